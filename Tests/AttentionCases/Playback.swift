package import ApusGraph
package import ApusSupport

/// Plays a script and compares every round: output rows, padding rows, the whole cache.
package struct Playback {
    /// What came of a script.
    package struct Outcome {
        /// The output of each call.
        package var outputs: [Tensor] = []
        /// All that is wrong, each with its round, error and tolerance; empty if nothing is.
        package var faults: [String] = []
        /// The largest error of an output or cache, relative to the largest value of its round.
        package var largestError = 0.0
    }

    private let script: Script
    private let element: ElementType
    private let player: any PluginPlayer
    private let passes: Int

    /// Largest error that is allowed, relative to the largest value.
    private var tolerance: Double { element == .f32 ? 1e-5 : element == .f16 ? 2e-3 : 1.6e-2 }

    private var c: PluginCase { script.c }

    /// Gives the player what stays the same in all calls, and a cache of NaN.
    /// - Parameters:
    ///   - element: The type of the player's cache.
    ///   - passes: How often each call is made over the same cache; each time is compared.
    package init(
        _ script: Script, _ element: ElementType, _ player: any PluginPlayer, passes: Int = 1
    ) throws(ApusError) {
        (self.script, self.element, self.player, self.passes) = (script, element, player, passes)
        try player.write(script.table, to: 3)
        if let norms = script.norms {
            try player.write(norms.q, to: 5)
            try player.write(norms.k, to: 6)
        }
        try writeCache(Array(repeating: .nan, count: script.cacheShape.reduce(1, *)))
    }

    private func writeCache(_ numbers: [Float]) throws(ApusError) {
        try player.write(Tensor(element, script.cacheShape, floats: numbers), to: 1)
    }

    /// Plays all calls.
    /// - Throws: What the player throws.
    package func play() throws(ApusError) -> Outcome {
        var outcome = Outcome()
        for (index, call) in script.calls.enumerated() {
            if let filling = call.filling { try fill(filling) }
            let before = passes > 1 ? try player.operand(1) : nil
            for pass in 0..<passes {
                if pass > 0, let before { try player.write(before, to: 1) }
                let place = passes > 1 ? "round \(index), pass \(pass)" : "round \(index)"
                let output = try make(call, place)
                compare(output, call, place, &outcome)
                compareCache(try player.operand(1), call, place, &outcome)
                if pass == passes - 1 { outcome.outputs.append(output) }
            }
            try forget(call)
        }
        return outcome
    }

    /// Makes a call; returns its output.
    private func make(_ call: Script.Call, _ place: String) throws(ApusError) -> Tensor {
        try ApusError.within("\(place), cache of \(element)") { () throws(ApusError) in
            try player.write(call.packed, to: 0)
            try player.write(call.lengths, to: 2)
            try player.write(call.starts, to: 4)
            if let mask = call.mask { try player.write(mask, to: 7) }
            if let positions = call.positions { try player.write(positions, to: 8) }
            try player.run()
            return try player.result(0)
        }
    }

    /// Gives the cache these entries, and NaN in every other slot.
    private func fill(_ entries: [[PlainAttention.Entry]]) throws(ApusError) {
        let (head, plane) = (script.capacity * c.dim, c.kv * script.capacity * c.dim)
        var cache = [Float](repeating: .nan, count: 2 * c.batch * plane)
        for (sequence, entries) in entries.enumerated() {
            for (slot, entry) in entries.enumerated() {
                for kv in 0..<c.kv {
                    let start = 2 * sequence * plane + kv * head + slot * c.dim
                    let part = kv * c.dim..<(kv + 1) * c.dim
                    cache.replaceSubrange(start..<start + c.dim, with: entry.key[part].map { Float($0) })
                    cache.replaceSubrange(
                        start + plane..<start + plane + c.dim, with: entry.value[part].map { Float($0) })
                }
            }
        }
        try writeCache(cache)
    }

    private func compare(_ output: Tensor, _ call: Script.Call, _ place: String, _ outcome: inout Outcome) {
        let row = c.q * c.dim
        let shape = [c.batch, call.packed.shape[1], c.q, c.dim]
        guard output.shape == shape, output.isComplete, output.element == .f32 else {
            outcome.faults.append("\(place): expected an output f32\(shape), got \(output)")
            return
        }
        func values(_ sequence: Int, _ token: Int) -> ArraySlice<Float> {
            let start = (sequence * call.packed.shape[1] + token) * row
            return output.floats[start..<start + row]
        }
        let largest = call.expected.flatMap(\.row).reduce(0) { max($0, abs($1)) }
        var worst = (error: 0.0, sequence: 0, token: 0)
        for expected in call.expected {
            let error = values(expected.sequence, expected.token).withUnsafeBufferPointer {
                difference($0, expected.row, 0).error
            }
            if error > worst.error { worst = (error, expected.sequence, expected.token) }
        }
        judge(
            worst.error, largest, "\(place): output", "sequence \(worst.sequence), token \(worst.token)",
            &outcome)
        let noisy = call.padding.filter { !values($0.sequence, $0.token).allSatisfy { $0 == 0 } }
        if let first = noisy.first {
            outcome.faults.append(
                "\(place): \(noisy.count) rows of padding are not all zeros, first sequence \(first.sequence), "
                    + "token \(first.token)")
        }
        if !output.floats.allSatisfy(\.isFinite) {
            outcome.faults.append("\(place): not all of the output is finite")
        }
    }

    /// Every slot that was written holds its entry, every other one is as it was.
    private func compareCache(
        _ tensor: Tensor, _ call: Script.Call, _ place: String, _ outcome: inout Outcome
    ) {
        guard tensor.shape == script.cacheShape, tensor.isComplete, tensor.element == element else {
            outcome.faults.append(
                "\(place): expected a cache \(TensorType(element, script.cacheShape)), got \(tensor)")
            return
        }
        let (head, plane) = (script.capacity * c.dim, c.kv * script.capacity * c.dim)
        var worst = (error: 0.0, sequence: 0, slot: 0)
        var largest = 0.0
        var touched = 0
        tensor.floats.withUnsafeBufferPointer { cache in
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
                            if error > worst.error { worst = (error, sequence, slot) }
                            largest = max(largest, size)
                        }
                    }
                }
            }
        }
        judge(
            worst.error, largest, "\(place): cache", "sequence \(worst.sequence), slot \(worst.slot)",
            &outcome)
        if touched > 0 {
            outcome.faults.append("\(place): \(touched) numbers in slots of the cache that hold no token")
        }
    }

    /// Notes an error, as a fault if it exceeds what is allowed.
    private func judge(
        _ error: Double, _ largest: Double, _ what: String, _ place: String, _ outcome: inout Outcome
    ) {
        let relative = error / max(largest, 1e-30)
        outcome.largestError = max(outcome.largestError, relative)
        guard !(error <= tolerance * largest) else { return }
        outcome.faults.append(
            "\(what) \(place): error \(relative) of the largest value, at most \(tolerance) with a cache of \(element)"
        )
    }

    /// What was drafted is forgotten: nothing may read it again.
    private func forget(_ call: Script.Call) throws(ApusError) {
        guard zip(call.kept, call.cache).contains(where: { $0 < $1.count }) else { return }
        var cache = try player.operand(1).floats
        let (head, plane) = (script.capacity * c.dim, c.kv * script.capacity * c.dim)
        for sequence in 0..<c.batch {
            for row in 0..<2 * c.kv {
                let start = 2 * sequence * plane + row * head
                for i in call.kept[sequence] * c.dim..<head { cache[start + i] = .nan }
            }
        }
        try writeCache(cache)
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
}
