import Apus
import ApusCPU
import ApusEngine
import ApusGraph
import ApusSupport
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Plays a script on the plugin and compares every round: output rows, padding rows, the whole cache.
struct Playback {
    let script: Script
    let element: ElementType
    let runner: PluginRunner

    /// Largest error that is allowed, relative to the largest value.
    var tolerance: Double { element == .f32 ? 1e-5 : element == .f16 ? 2e-3 : 1.6e-2 }

    private var c: PluginCase { script.c }

    init(_ script: Script, _ element: ElementType, _ instructions: InstructionSet, threads: Int) throws {
        self.script = script
        self.element = element
        let c = script.c
        let width = script.calls.map { $0.packed.shape[1] }.max() ?? 1
        var types: [TensorType?] = [
            TensorType(.f32, [c.batch, width, c.width]),
            TensorType(element, [c.batch, 2, c.kv, script.capacity, c.dim]), TensorType(.i32, [c.batch]),
            TensorType(.f32, script.table.shape), TensorType(.i32, [c.batch]),
        ]
        types += Array(repeating: c.hasNorm ? TensorType(.f32, [c.dim]) : nil, count: 2)
        if c.isTree {
            types += [
                TensorType(.i32, [c.batch, width, (width + 31) / 32]), TensorType(.i32, [c.batch, width]),
            ]
        }
        runner = try PluginRunner(
            AttentionPlugin(), operands: types,
            attributes: [
                "num_q_heads": .int(c.q), "num_kv_heads": .int(c.kv), "head_size": .int(c.dim),
                "attention_scale": .float(c.scoreScale), "sliding_window_size": .int(c.window),
                "softcap": .float(c.softcap),
                "qk_norm_eps": .float(c.hasNorm ? PlainAttention.normEps : 0),
                "enable_tree_attention": .bool(c.isTree),
            ], backend: try CPUBackend(threads: threads, instructionSet: instructions))
        try runner.write(script.table, to: 3)
        if let norms = script.norms {
            try runner.write(norms.q, to: 5)
            try runner.write(norms.k, to: 6)
        }
        let shape = [c.batch, 2, c.kv, script.capacity, c.dim]
        try runner.write(
            Tensor(element, shape, floats: Array(repeating: .nan, count: shape.reduce(1, *))), to: 1)
    }

    /// Plays all calls; returns what came out of each.
    @discardableResult
    func play() throws -> [Tensor] {
        var outputs: [Tensor] = []
        for (index, call) in script.calls.enumerated() {
            try runner.write(call.packed, to: 0)
            try runner.write(call.lengths, to: 2)
            try runner.write(call.starts, to: 4)
            if let mask = call.mask { try runner.write(mask, to: 7) }
            if let positions = call.positions { try runner.write(positions, to: 8) }
            try runner.run()
            let output = try runner.result()
            compare(output, call, "round \(index)")
            try compareCache(call, "round \(index)")
            outputs.append(output)
        }
        return outputs
    }

    private func compare(_ output: Tensor, _ call: Script.Call, _ place: String) {
        let row = c.q * c.dim
        #expect(output.shape == [c.batch, call.packed.shape[1], c.q, c.dim])
        func values(_ sequence: Int, _ token: Int) -> ArraySlice<Float> {
            let start = (sequence * call.packed.shape[1] + token) * row
            return output.floats[start..<start + row]
        }
        let largest = call.expected.flatMap(\.row).reduce(0) { max($0, abs($1)) }
        var worst = 0.0
        for expected in call.expected {
            let error = values(expected.sequence, expected.token).withUnsafeBufferPointer {
                difference($0, expected.row, 0).error
            }
            worst = max(worst, error)
        }
        #expect(worst <= tolerance * largest, "\(place): error \(worst / largest) of the largest value")
        for (sequence, token) in call.padding {
            #expect(values(sequence, token).allSatisfy { $0 == 0 }, "\(place): padding \(sequence), \(token)")
        }
        #expect(output.floats.allSatisfy { $0.isFinite }, "\(place): not all of the output is finite")
    }

    /// The largest error of some numbers, and the largest of them.
    private func difference(
        _ got: UnsafeBufferPointer<Float>, _ want: [Double], _ offset: Int
    ) -> (error: Double, size: Double) {
        want.withUnsafeBufferPointer { want in
            var (worst, largest) = (0.0, 0.0)
            var i = 0
            while i < got.count {
                let error = abs(Double(got[i]) - want[offset + i])
                worst = error <= worst ? worst : error.isNaN ? .infinity : error
                largest = abs(want[offset + i]) > largest ? abs(want[offset + i]) : largest
                i += 1
            }
            return (worst, largest)
        }
    }

    /// Every slot that was written holds its entry, every other one is as it was.
    private func compareCache(_ call: Script.Call, _ place: String) throws {
        var cache = try runner.operand(1).floats
        let (head, plane) = (script.capacity * c.dim, c.kv * script.capacity * c.dim)
        var worst = 0.0
        var largest = 0.0
        var touched = 0
        cache.withUnsafeBufferPointer { cache in
            for sequence in 0..<c.batch {
                for slot in 0..<script.capacity {
                    let entry = slot < call.cache[sequence].count ? call.cache[sequence][slot] : nil
                    for kv in 0..<c.kv {
                        let key = 2 * sequence * plane + kv * head + slot * c.dim
                        for (start, numbers) in [(key, entry?.key), (key + plane, entry?.value)] {
                            let got = UnsafeBufferPointer(rebasing: cache[start..<start + c.dim])
                            guard let numbers else {
                                touched += got.count { !$0.isNaN }
                                continue
                            }
                            let (error, size) = difference(got, numbers, kv * c.dim)
                            (worst, largest) = (max(worst, error), max(largest, size))
                        }
                    }
                }
            }
        }
        #expect(worst <= tolerance * largest, "\(place): cache error \(worst / max(largest, 1e-30))")
        #expect(touched == 0, "\(place): \(touched) numbers in slots that hold no token")
        guard zip(call.kept, call.cache).contains(where: { $0 < $1.count }) else { return }
        // What was drafted is forgotten: nothing may read it again.
        for sequence in 0..<c.batch {
            for row in 0..<2 * c.kv {
                let start = 2 * sequence * plane + row * head
                for i in call.kept[sequence] * c.dim..<head { cache[start + i] = .nan }
            }
        }
        try runner.write(Tensor(element, [c.batch, 2, c.kv, script.capacity, c.dim], floats: cache), to: 1)
    }
}

/// Whether `APUS_FULL_TESTS` asks for all cases in all ways, which takes minutes.
let isFull = getenv("APUS_FULL_TESTS").map { String(cString: $0) == "1" } ?? false

/// Plays a case on every instruction set of the machine, on 1 to 3 threads in turn.
///
/// Each set gets another type of cache, and each case begins with another; a full run takes all pairs.
func play(_ c: PluginCase, rowLimit: Int = 24) throws {
    let script = Script(c, rowLimit: rowLimit)
    let elements: [ElementType] = [.f32, .f16, .bf16]
    var turn = c.name.utf8.reduce(0) { $0 + Int($1) }
    for instructions in InstructionSet.available {
        turn += 1
        for element in isFull ? elements : [elements[turn % 3]] {
            try Playback(script, element, instructions, threads: turn % 3 + 1).play()
            turn += isFull ? 1 : 0
        }
    }
}
