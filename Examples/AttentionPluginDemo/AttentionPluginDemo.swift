import Apus

/// Runs the AttentionPlugin alone: a prompt, a chunk, then single tokens, each checked against plain attention.
///
///     swift run -c release --package-path Examples AttentionPluginDemo
@main
struct AttentionPluginDemo {
    static let shape = AttentionShape()
    static let prompt = 512
    static let chunk = 96
    static let tokens = 64
    static var capacity: Int { prompt + chunk + tokens }

    static func main() throws {
        print(
            "AttentionPlugin, \(shape.heads) query heads, \(shape.kvHeads) KV heads of \(shape.size), one thread, "
                + "\(try InstructionSet.chosen().rawValue)\n")
        print("| cache | call | max error | cosine | plugin | unfused, plain Swift |")
        print("| --- | --- | --- | --- | --- | --- |")
        for element in [ElementType.f32, .f16, .bf16] { try show(element) }
        print("\nThe error is relative to the largest value; a decode row is the sum of \(tokens) steps.")
    }

    /// Plays all calls on a cache of one element type and prints a row for each.
    static func show(_ element: ElementType) throws {
        let table = rotaryTable(positions: capacity, size: shape.size)
        let runner = try makeRunner(element, table)
        var plain = PlainAttention(shape, table: table)
        var numbers = SystemRandomNumberGenerator()
        var cached = 0

        /// One call with `count` new tokens; a single token's context length is the length after it.
        func call(_ count: Int) throws -> Comparison {
            let packed = (0..<count * shape.packedWidth).map { _ in Float.random(in: -1...1, using: &numbers)
            }
            let length = cached > 0 && count == 1 ? cached + 1 : count
            try runner.write(Tensor(.f32, [1, count, shape.packedWidth], floats: packed), to: 0)
            try runner.write(Tensor(.i32, [1], ints: [length]), to: 2)
            try runner.write(Tensor(.i32, [cached == 0 ? 0 : 1], ints: cached == 0 ? [] : [cached]), to: 4)
            let clock = ContinuousClock()
            let pluginTime = try clock.measure { try runner.run() }
            let got = try runner.result().floats
            var expected: [Float] = []
            let plainTime = clock.measure { expected = plain.step(packed) }
            cached += count
            return Comparison(got, expected, plugin: pluginTime, plain: plainTime)
        }

        try report("prefill of \(prompt)", element, [try call(prompt)])
        try report("chunk of \(chunk)", element, [try call(chunk)])
        try report("decode of \(tokens)", element, try (0..<tokens).map { _ in try call(1) })
    }

    static func makeRunner(_ element: ElementType, _ table: [Float]) throws -> PluginRunner {
        let runner = try PluginRunner(
            AttentionPlugin(),
            operands: [
                TensorType(.f32, [1, prompt, shape.packedWidth]),
                TensorType(element, [1, 2, shape.kvHeads, capacity, shape.size]),
                TensorType(.i32, [1]), TensorType(.f32, [1, capacity, shape.size]), TensorType(.i32, [1]),
            ],
            attributes: [
                "num_q_heads": .int(shape.heads), "num_kv_heads": .int(shape.kvHeads),
                "head_size": .int(shape.size), "attention_scale": .float(Double(shape.scale)),
            ], backend: try CPUBackend(threads: 1))
        try runner.write(Tensor(.f32, [1, capacity, shape.size], floats: table), to: 3)
        return runner
    }

    /// Prints a row of the table, and fails if it is not as exact as the cache's type allows.
    static func report(_ name: String, _ element: ElementType, _ results: [Comparison]) throws {
        let error = results.map(\.error).max() ?? .infinity
        let cosine = results.map(\.cosine).min() ?? 0
        let (plugin, plain) = (results.map(\.plugin).reduce(.zero, +), results.map(\.plain).reduce(.zero, +))
        print("| \(element.rawValue) | \(name) | \(error) | \(cosine) | \(plugin) | \(plain) |")
        let allowed: Float = element == .f32 ? 1e-5 : element == .f16 ? 2e-3 : 1.6e-2
        guard error <= allowed else {
            throw ApusError(
                .internal, "\(name): the error is \(error) of the largest value, allowed are \(allowed)")
        }
    }
}

/// How two outputs of one call differ, and what each took.
struct Comparison {
    let error: Float
    let cosine: Float
    let plugin: Duration
    let plain: Duration

    init(_ got: [Float], _ expected: [Float], plugin: Duration, plain: Duration) {
        (self.plugin, self.plain) = (plugin, plain)
        guard got.count == expected.count else {
            (error, cosine) = (.infinity, 0)
            return
        }
        var (worst, largest, dot, a, b) = (Float(0), Float(0), 0.0, 0.0, 0.0)
        for (x, y) in zip(got, expected) {
            let difference = abs(x - y)
            worst = difference <= worst ? worst : difference.isNaN ? .infinity : difference
            largest = max(largest, abs(y))
            dot += Double(x) * Double(y)
            a += Double(x) * Double(x)
            b += Double(y) * Double(y)
        }
        error = worst / largest
        cosine = Float(dot / (a * b).squareRoot())
    }
}
