import Apus

/// Puts an op of this package into a model: finds it by a rewrite rule, proves the rule, checks the kernel, runs the
/// model with and without it.
///
///     swift run -c release --package-path Examples CustomPlugin
@main
struct CustomPlugin {
    /// A small Llama whose MLP is gated by a tanh GELU, as Gemma's is.
    static let config = """
        {"model_type": "llama", "hidden_size": 256, "intermediate_size": 2048, "num_hidden_layers": 4,
         "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512, "max_position_embeddings": 1024,
         "hidden_act": "gelu_pytorch_tanh", "bos_token_id": 1, "eos_token_id": 2}
        """

    static func main() throws {
        var plugins = PluginRegistry.standard
        try plugins.register(GeluTanhMul())
        let passes = [ExtraPass(GeluTanhMul.rule, .last(.fuse))]
        let config = try JSON.parse(Array(Self.config.utf8), source: "config")
        let imported = try Importer.importConfig(config, seed: 1, element: .f32)

        try proveTheRule(imported, plugins, passes)
        try checkTheKernel()

        let plain = try LanguageModel(imported)
        let fused = try LanguageModel(imported, options: LoadOptions(plugins: plugins, passes: passes))
        for step in fused.engine?.plan.steps ?? [] where step.plugin?.name == "GeluTanhMul" {
            print("step          \(step.kernel) of plugin \(step.plugin.map { "\($0)" } ?? "")")
        }
        try compareTheModels(plain, fused)
    }

    /// Runs the reference interpreter before and after every pass, on the same numbers.
    static func proveTheRule(
        _ model: ImportedModel, _ plugins: PluginRegistry, _ passes: [ExtraPass]
    ) throws {
        let checker = PassChecker(
            weights: model.weights, registry: plugins.ops(), functions: plugins.referenceFunctions)
        let lowered = try Compiler.lower(
            model.graph, info: model.info, options: CompileOptions(passes: passes, check: checker.check),
            plugins: plugins)
        let count = lowered.graph.nodes.count { $0.op == "gelu_tanh_mul" }
        try expect(
            count == model.info.layerCount, "the rule fired \(count) times in \(model.info.layerCount) layers"
        )
        print("rule          fired \(count) times in \(model.info.layerCount) layers")
        for result in checker.results where result.pass == GeluTanhMul.rule.name {
            print("interpreter   \(result)")
        }
    }

    /// Compares the kernel with the reference function, alone, on 1 and 2 threads.
    static func checkTheKernel() throws {
        let plugin = GeluTanhMul()
        let values = (0..<4099).map { Float($0 - 2050) / 128 }
        let gate = Tensor(.f32, [values.count], floats: values)
        let up = Tensor(.f32, [values.count], floats: values.reversed())
        let node = Node(op: plugin.op.name, operands: [], attributes: [:], results: [])
        let call = ReferenceCall(
            node: node, spec: plugin.op, operands: [gate, up], elements: [.f32], shapes: [gate.shape])
        let expected = try plugin.reference(call)[0].floats
        let type = TensorType(.f32, gate.shape)
        for threads in 1...2 {
            let runner = try PluginRunner(
                plugin, operands: [type, type], backend: try CPUBackend(threads: threads))
            try runner.write(gate, to: 0)
            try runner.write(up, to: 1)
            try runner.run()
            let got = try runner.result().floats
            let largest = expected.reduce(0) { max($0, abs($1)) }
            let error = zip(got, expected).reduce(0) { max($0, abs($1.0 - $1.1)) } / largest
            try expect(error < 1e-6, "the kernel is off by \(error) of the largest value")
            print("kernel        \(threads) thread(s): largest error \(error) of the largest value")
        }
        try timeTheKernel()
    }

    /// Times the kernel over a buffer that caches hold.
    static func timeTheKernel() throws {
        let count = 1 << 16
        let type = TensorType(.f32, [count])
        let runner = try PluginRunner(
            GeluTanhMul(), operands: [type, type], backend: try CPUBackend(threads: 1))
        let seconds = try best(of: 50) { try runner.run() }
        print("              \(microseconds(seconds)) for \(count) elements on one thread")
    }

    /// Tokens must be equal; times are printed as they are.
    static func compareTheModels(_ plain: LanguageModel, _ fused: LanguageModel) throws {
        let prompt = (0..<256).map { Int32(3 + $0 * 37 % 500) }
        func tokens(_ model: LanguageModel, _ count: Int) throws -> [Int32] {
            let options = GenerationOptions(maxNewTokens: count, ignoreEnd: true)
            return try model.generate([prompt], options: options)[0].tokens
        }
        let expected = try tokens(plain, 32)
        try expect(try tokens(fused, 32) == expected, "the tokens differ")
        print("tokens        32 equal ones with and without it")
        for (name, model) in [("without", plain), ("with", fused)] {
            let prompt = try best(of: 5) { _ = try tokens(model, 1) }
            let all = try best(of: 5) { _ = try tokens(model, 65) }
            print(
                "\(name)\(name == "with" ? "   " : "")       \(microseconds(prompt)) for a prompt of 256 tokens, "
                    + "\(microseconds((all - prompt) / 64)) a token after it")
        }
    }

    static func best(of runs: Int, _ body: () throws -> Void) throws -> Double {
        var best = Double.infinity
        for _ in 0..<runs {
            best = min(best, try ContinuousClock().measure(body) / .seconds(1))
        }
        return best
    }

    static func microseconds(_ seconds: Double) -> String { "\((seconds * 1e7).rounded() / 10) µs" }

    static func expect(_ condition: Bool, _ failure: String) throws {
        guard condition else { throw ApusError(.internal, failure) }
    }
}
