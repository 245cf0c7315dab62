import Apus
import Synchronization
import Testing

/// The gate of a ReGLU, relu(g)·u, as a program's own op: what a user can write is what is used here.
struct ReGLU: Plugin {
    let name = "ReGLU"
    var version = 1
    let kernel = ReGLUKernel()

    var op: OpSpec {
        OpSpec("reglu", .engine, "y = max(g, 0)·u", operands: [.one("g"), .one("u")]) { c in
            c.require(c[0] == c[1], "C1", "expected g and u alike, got \(c[0]) and \(c[1])")
            return [c[0]]
        }
    }
    var reference: ReferenceFunction {
        { call in [call.result(zip(call[0].floats, call[1].floats).map { max($0, 0) * $1 })] }
    }
    var cpu: (any CPUKernel)? { kernel }

    static let rule = RewritePass(
        "fuse-reglu",
        [
            Rule(.op("mul", .op("relu", .capture("g")).once, .capture("u"))) { m throws(ApusError) in
                try m.add("reglu", [m["g"], m["u"]])
            }
        ])
}

/// Two phases with scratch, each worker on another part in each, so that a missing barrier or a wrong share shows.
final class ReGLUKernel: CPUKernel {
    /// How often its launches were resized and prepared, and the largest number of rows they saw.
    let counts = Mutex<(resized: Int, prepared: Int, widest: Int)>((0, 0, 0))
    let failure = Mutex<ApusError?>(nil)

    func refusal(_ query: KernelQuery) -> String? {
        query.operands[0]?.element == .f32 ? nil : "g is not f32"
    }

    func makeLaunch(_ setup: CPUKernelSetup) throws(ApusError) -> any CPULaunch {
        let maximum = try setup.operand(0).maximumShape.reduce(1, *)
        return ReGLULaunch(
            self, try setup.operand(0).floats(), try setup.operand(1).floats(), try setup.results[0].floats(),
            maximum)
    }
}

final class ReGLULaunch: CPULaunch {
    private let kernel: ReGLUKernel
    private let g, u, y: UnsafeMutablePointer<Float>
    private let maximum: Int
    private var count = 0

    init(
        _ kernel: ReGLUKernel, _ g: UnsafeMutablePointer<Float>, _ u: UnsafeMutablePointer<Float>,
        _ y: UnsafeMutablePointer<Float>, _ maximum: Int
    ) {
        self.kernel = kernel
        (self.g, self.u, self.y, self.maximum) = (g, u, y, maximum)
    }

    var phaseCount: Int { 2 }
    var scratchBytes: Int { maximum * 4 }

    func resize(_ shapes: KernelShapes) {
        count = shapes.results[0].reduce(1, *)
        let rows = shapes.results[0].dropLast().reduce(1, *)
        kernel.counts.withLock { $0 = ($0.resized + 1, $0.prepared, max($0.widest, rows)) }
    }

    func prepare() throws(ApusError) {
        kernel.counts.withLock { $0.prepared += 1 }
        if let error = kernel.failure.withLock({ $0 }) { throw error }
    }

    func run(_ worker: CPUWorker) {
        guard worker.phase == 0 else {
            let mirrored = CPUWorker(
                phase: 1, index: worker.count - 1 - worker.index, count: worker.count, scratch: worker.scratch
            )
            for i in mirrored.share(of: count) { y[i] *= u[i] }
            return
        }
        let range = worker.share(of: count, grain: 3)
        guard let scratch = worker.scratch?.assumingMemoryBound(to: Float.self) else { return }
        for i in range { scratch[i - range.lowerBound] = max(g[i], 0) }
        (y + range.lowerBound).update(from: scratch, count: range.count)
    }
}

@Suite struct CustomPluginTests {
    static let config = """
        {"model_type": "llama", "hidden_size": 24, "intermediate_size": 44, "num_hidden_layers": 2,
         "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 40, "max_position_embeddings": 64,
         "hidden_act": "relu", "bos_token_id": 1, "eos_token_id": 2}
        """
    static let prompt: [Int32] = [5, 9, 3, 30, 12]

    private func model(_ options: LoadOptions) throws -> LanguageModel {
        let model = try Importer.importConfig(
            try JSON.parse(Array(Self.config.utf8), source: "config"), seed: 3, element: .f32)
        return try LanguageModel(model, options: options)
    }

    private func tokens(_ model: LanguageModel) throws -> [Int32] {
        let results = try model.generate(
            [Self.prompt, [7]], options: GenerationOptions(maxNewTokens: 12, ignoreEnd: true))
        return results.flatMap(\.tokens)
    }

    @Test(arguments: [1, 2, 3])
    func aProgramsOpRunsInACompiledModel(threads: Int) throws {
        let plugin = ReGLU()
        var plugins = PluginRegistry.standard
        try plugins.register(plugin)
        let plain = try model(LoadOptions(threads: threads))
        let fused = try model(
            LoadOptions(threads: threads, plugins: plugins, passes: [ExtraPass(ReGLU.rule, .last(.fuse))]))
        let steps = try #require(fused.engine).plan.steps
        #expect(steps.filter { $0.op == "reglu" }.count == 2)
        #expect(steps.filter { $0.plugin == PluginID(name: "ReGLU", version: 1) }.count == 2)
        #expect(steps.allSatisfy { $0.op != "relu" })
        #expect(steps.first { $0.op == "reglu" }?.kernel == "cpu.reglu")
        #expect(try tokens(fused) == tokens(plain))
        let counts = plugin.kernel.counts.withLock { $0 }
        // Two layers; a prefill of 5 rows of two sequences, then 11 steps of one row each.
        #expect(counts.resized == 4 && counts.prepared == 24 && counts.widest == 10)
    }

    @Test func whatPrepareThrowsEndsThePass() throws {
        let plugin = ReGLU()
        var plugins = PluginRegistry.standard
        try plugins.register(plugin)
        let fused = try model(
            LoadOptions(plugins: plugins, passes: [ExtraPass(ReGLU.rule, .last(.fuse))]))
        let before = try tokens(fused)
        let error = ApusError(.invalidInput, "not today")
        plugin.kernel.failure.withLock { $0 = error }
        #expect(throws: error) { try tokens(fused) }
        plugin.kernel.failure.withLock { $0 = nil }
        #expect(try tokens(fused) == before)
    }

    @Test func aPassIsProvenInTheInterpreter() throws {
        var plugins = PluginRegistry.standard
        try plugins.register(ReGLU())
        let model = try Importer.importConfig(
            try JSON.parse(Array(Self.config.utf8), source: "config"), seed: 3, element: .f32)
        let checker = PassChecker(
            weights: model.weights, registry: plugins.ops(), functions: plugins.referenceFunctions)
        let lowered = try Compiler.lower(
            model.graph, info: model.info,
            options: CompileOptions(
                passes: [ExtraPass(ReGLU.rule, .before("fuse-add-norm"))], check: checker.check),
            plugins: plugins)
        #expect(checker.results.first { $0.pass == "fuse-reglu" }?.difference == 0)
        #expect(lowered.passes.first { $0.pass == "fuse-reglu" }?.hasChanged == true)
        #expect(
            lowered.passes.map(\.pass).firstIndex(of: "fuse-reglu").map { $0 + 1 }
                == lowered.passes.map(\.pass).firstIndex(of: "fuse-add-norm"))
    }

    @Test func anEngineIsNotRunWithoutItsPlugins() throws {
        var plugins = PluginRegistry.standard
        try plugins.register(ReGLU(version: 2))
        let engine = try #require(
            try model(LoadOptions(plugins: plugins, passes: [ExtraPass(ReGLU.rule, .last(.fuse))])).engine)
        func message(_ plugins: PluginRegistry) -> String? {
            let other = Engine(
                info: engine.info, plan: engine.plan, weights: engine.weights, precision: engine.precision,
                plugins: plugins)
            do throws(ApusError) {
                _ = try CPUBackend(threads: 1).makeExecutor(
                    other, limits: SessionLimits(batch: 1, chunk: 4, capacity: 8))
                return nil
            } catch {
                return error.message
            }
        }
        #expect(message(plugins) == nil)
        #expect(
            message(.standard)?.hasPrefix("the engine needs plugin 'ReGLU' version 2, which is not") == true)
        let other = try PluginRegistry([AttentionPlugin(), ReGLU()])
        #expect(message(other)?.hasPrefix("the engine needs plugin 'ReGLU' version 2, got version 1") == true)
    }

    @Test func whatIsNotThereIsAnError() throws {
        let error = #expect(throws: ApusError.self) {
            try model(LoadOptions(passes: [ExtraPass(ReGLU.rule, .last(.fuse))]))
        }
        #expect(error?.description.contains("unknown op 'reglu'") == true)
        let place = #expect(throws: ApusError.self) {
            try model(LoadOptions(passes: [ExtraPass(ReGLU.rule, .after("fuse-nothing"))]))
        }
        #expect(
            place?.message.hasPrefix(
                "pass 'fuse-reglu': there is no pass 'fuse-nothing' to stand beside; this pipeline")
                == true)
    }
}
