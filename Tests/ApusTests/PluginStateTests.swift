import Apus
import Testing

/// An op that updates its second operand in place: state += x.
struct Accumulator: Plugin {
    let name = "Accumulator"
    let version = 1
    let inPlace = [0: 1]
    var op: OpSpec {
        OpSpec("accumulate", .engine, "state += x", operands: [.one("x"), .one("state")]) { [$0[1]] }
    }
    var reference: ReferenceFunction {
        { call in [call.result(zip(call[0].floats, call[1].floats).map(+))] }
    }
    var cpu: (any CPUKernel)? { Kernel() }

    struct Kernel: CPUKernel {
        func refusal(_ query: KernelQuery) -> String? { nil }
        func makeLaunch(_ setup: CPUKernelSetup) throws(ApusError) -> any CPULaunch {
            try Launch(setup)
        }
    }

    final class Launch: CPULaunch {
        private let x, state: UnsafeMutablePointer<Float>
        private var count = 0

        init(_ setup: CPUKernelSetup) throws(ApusError) {
            x = try setup.operand(0).floats()
            state = try setup.results[0].floats()
        }

        func resize(_ shapes: KernelShapes) { count = shapes.results[0].reduce(1, *) }

        func run(_ worker: CPUWorker) {
            for i in worker.share(of: count) { state[i] += x[i] }
        }
    }
}

@Suite struct PluginStateTests {
    @Test func stateStaysFromRunToRun() throws {
        let type = TensorType(.f32, [3])
        let runner = try PluginRunner(
            Accumulator(), operands: [type, type], backend: try CPUBackend(threads: 2))
        try runner.write(Tensor(.f32, [3], floats: [0, 10, 20]), to: 1)
        try runner.write(Tensor(.f32, [3], floats: [1, 2, 3]), to: 0)
        for _ in 0..<3 { try runner.run() }
        #expect(try runner.result().floats == [3, 16, 29])
        #expect(try runner.operand(1).floats == [3, 16, 29])
        // A smaller call works on the front of the same memory.
        try runner.write(Tensor(.f32, [1], floats: [5]), to: 0)
        try runner.write(Tensor(.f32, [1], floats: [1]), to: 1)
        try runner.run()
        #expect(try runner.result() == Tensor(.f32, [1], floats: [6]))
    }

    @Test func aRunnerSaysWhatDoesNotFit() throws {
        let type = TensorType(.f32, [3])
        let backend = try CPUBackend(threads: 1)
        func message(_ body: () throws(ApusError) -> Void) -> String? {
            do throws(ApusError) {
                try body()
                return nil
            } catch {
                return error.message
            }
        }
        let runner = try PluginRunner(Accumulator(), operands: [type, type], backend: backend)
        #expect(
            message { () throws(ApusError) in
                try runner.write(Tensor(.f32, [4], floats: [1, 2, 3, 4]), to: 0)
            }
                == "operand 0: expected at most f32[3], got f32[4]")
        #expect(
            message { () throws(ApusError) in try runner.write(Tensor(.i32, [3], ints: [1, 2, 3]), to: 0) }
                == "operand 0: expected at most f32[3], got i32[3]")
        #expect(
            message { () throws(ApusError) in try runner.write(Tensor(.f32, [1], floats: [1]), to: 2) }
                == "operand 2 is absent from this runner")
        #expect(
            message { () throws(ApusError) in _ = try runner.result(1) }
                == "result 1: op 'accumulate' has 1 result(s)")
        #expect(
            message { () throws(ApusError) in
                _ = try PluginRunner(Accumulator(), operands: [type], backend: backend)
            } == "accumulate.operands: operand 'state' is missing")
        #expect(
            message { () throws(ApusError) in
                _ = try PluginRunner(NamedPlugin(), operands: [type], backend: backend)
            } == "plugin Half 1 has no CPU kernel")
    }

    /// What is updated in place must not be a weight, and nothing else may want its old values.
    @Test(arguments: [
        ("%y = accumulate(%e, %e2) : f32[B, S, 4]", nil),
        (
            "%y = accumulate(%e, %e) : f32[B, S, 4]",
            "accumulate: updates %e in place, which something else uses too"
        ),
        (
            "%z = accumulate(%e, %e2) : f32[B, S, 4] %y = add(%z, %e2) : f32[B, S, 4]",
            "accumulate: updates %e2 in place, which something else uses too"
        ),
        (
            "%u = view(%e2) {shape = [B, S, 2, 2]} : f32[B, S, 2, 2] %z = accumulate(%e, %u) : f32[B, S, 2, 2] "
                + "%t = view(%z) {shape = [B, S, 4]} : f32[B, S, 4] %y = add(%t, %e2) : f32[B, S, 4]",
            "accumulate: updates %u in place, which something else uses too"
        ),
        (
            "%y = accumulate(%e, %w) : f32[40, 4]",
            "accumulate: updates %w in place, which is a weight"
        ),
    ])
    func stateIsOwned(nodes: String, message: String?) throws {
        let graph = try Graph(
            parsing: """
                graph @f(%input_ids: i64[B, S]) where B in 1...2, S in 1...8 {
                  %w = parameter() {name = "w"} : f32[40, 4]
                  %v = parameter() {name = "v"} : f32[40, 4]
                  %e = embedding(%v, %input_ids) : f32[B, S, 4]
                  %e2 = embedding(%w, %input_ids) : f32[B, S, 4]
                  \(nodes)
                  return %y
                }
                """)
        let plugins = try PluginRegistry([Accumulator()])
        let info = ModelInfo(
            modelType: "test", vocabularySize: 40, maxPositions: 8, layerCount: 1, precision: .f32)
        let lowered = try Compiler.lower(
            graph, info: info, options: CompileOptions(backend: .sdpa, cache: CacheKind.none),
            plugins: plugins)
        let backend = try CPUBackend(threads: 1)
        do throws(ApusError) {
            let plan = try Compiler.dryRun(lowered, plugins: plugins, backend: backend)
            #expect(message == nil)
            let step = try? #require(plan.steps.first { $0.op == "accumulate" })
            #expect(step.map { plan.root(of: $0.results[0]) == plan.root(of: $0.operands[1] ?? -1) } == true)
        } catch {
            #expect(message.map { error.message.contains($0) } == true, "\(error)")
        }
    }
}
