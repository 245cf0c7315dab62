import Apus
import ApusCPU
import ApusEngine
import ApusGraph
import ApusSupport
import CApusCUDA
import Testing

@testable import ApusCUDA

/// Which decode steps one kernel computes, and what it is given.
@Suite struct DecodeStackTests {
    private static let plugin = LaunchGoldenTests.Case(name: "stack-plugin-f16", config: .wide)
    private static let cached = LaunchGoldenTests.Case(
        name: "stack-iattention-static-v2", config: .wide, backend: .iattention, cache: .staticV2)
    private static let writtenOut = LaunchGoldenTests.Case(
        name: "stack-sdpa-static-v1", config: .wide, backend: .sdpa, cache: .staticV1)

    /// What is found in the decode plan of a case.
    private func find(
        _ test: LaunchGoldenTests.Case, for architecture: CUDAArchitecture = .hopper,
        edit: (inout EditedPlan) throws -> Void = { _ in }
    ) throws -> Result<DecodeStack, FusionRefusal>? {
        let plan = PassKind.decode.fused(try LaunchGoldenTests.plan(test).plan)
        var edited = EditedPlan(plan)
        try edit(&edited)
        return DecodeStackFusion.find(in: edited.plan, for: architecture)
    }

    /// Why nothing is found.
    private func reason(
        _ test: LaunchGoldenTests.Case, for architecture: CUDAArchitecture = .hopper,
        edit: (inout EditedPlan) throws -> Void = { _ in }
    ) throws -> String {
        guard case .failure(let refusal)? = try find(test, for: architecture, edit: edit) else {
            Issue.record("nothing is refused")
            return ""
        }
        return refusal.reason
    }

    @Test(arguments: [plugin, cached, writtenOut])
    func layersAreFound(_ test: LaunchGoldenTests.Case) throws {
        let stack = try #require(try find(test)).get()
        #expect(stack.layers.count == 2)
        #expect(stack.positions.count == 10)
        #expect(stack.layers[1].positions == stack.layers[0].positions.map { $0 + 5 })
        #expect(stack.factors.count == (test.backend == .sdpa ? 2 : 0))
        let layer = stack.shape.layer
        #expect((layer.hidden, layer.inner, layer.heads, layer.kvHeads) == (512, 1024, 16, 8))
        #expect((layer.headSize, layer.rotary, layer.weight, layer.cache) == (64, 64, .f16, .f16))
        #expect(layer.hasNorms && !layer.hasBias && layer.hasTable == (test.backend == .plugin))
        #expect(layer.byteCount == 2 * (512 * (16 + 16) * 64 + 512 * 16 * 64 + 3 * 512 * 1024))
    }

    @Test func biasesAndBF16AreServed() throws {
        let test = LaunchGoldenTests.Case(name: "", config: .biased, precision: .bf16)
        let layer = try #require(try find(test)).get().shape.layer
        #expect(layer.hasBias && !layer.hasNorms)
        #expect((layer.weight, layer.cache) == (.bf16, .bf16))
    }

    /// The macros are those of the kernel's text, the arguments one for each of its parameters.
    @Test func theUnitTellsTheShape() throws {
        let shape = try #require(try find(Self.plugin)).get().shape
        #expect(
            shape.unit.id
                == "decode_stack(CLUSTER=8, CLUSTERS=8, DEPTH=3, FFN=1024, HEAD_DIM=64, HIDDEN=512, KV_HEADS=8, "
                + "LAUNCH_BYTES=211040, LAYERS=2, QKV_BIAS=0, QK_NORM=1, Q_HEADS=16, TABLE=1, WEIGHT=half_t)")
        #expect((shape.grid, shape.clusters, shape.exchangeWords) == (64, 8, 2 * 8 * 512))
    }

    /// Models whose types, sizes or GPU the kernel does not serve.
    private static let others:
        [(test: LaunchGoldenTests.Case, architecture: CUDAArchitecture, reason: String)] = [
            (.init(name: "", config: .wide, precision: .f32), .hopper, "weights are f32"),
            (.init(name: "", config: .wide, kvCache: .bf16), .hopper, "weights are f16, caches bf16"),
            (.init(name: "", config: .wide, kvCache: .i8), .hopper, "weights are f16, caches i8"),
            (.init(name: ""), .hopper, "2 KV heads, expected 8"),
            (
                .init(
                    name: "", config: .wide,
                    quantization: QuantizationRequest(
                        layers: QuantizationScheme(bits: 4, groupSize: 64), head: nil)), .hopper,
                "no product with a floating-point matrix, but int4_gemv"
            ),
            (.init(name: "", config: .wide, backend: .sdpa, cache: CacheKind.none), .hopper, "is apart"),
            (plugin, .init(major: 8, minor: 9), "no clusters of blocks"),
            (plugin, .init(major: 12, minor: 0), "bytes of shared memory"),
        ]

    @Test(arguments: others.indices) func otherModelsKeepTheirSteps(_ index: Int) throws {
        let other = Self.others[index]
        let reason = try reason(other.test, for: other.architecture)
        #expect(reason.contains(other.reason), "\(reason)")
    }

    /// Layers so large that they hide the chain of kernels themselves, and others that the kernel has no room for.
    @Test func otherShapesAreRefused() throws {
        let layer = try #require(try find(Self.plugin)).get().shape.layer
        func reason(_ layer: DecodeStackShape.Layer, layers: Int = 2) -> String {
            do throws(FusionRefusal) {
                _ = try DecodeStackShape(layer, layerCount: layers, for: .hopper)
                return ""
            } catch {
                return error.reason
            }
        }
        func changed(
            hidden: Int? = nil, inner: Int? = nil, heads: Int? = nil, size: Int? = nil, rotary: Int? = nil
        ) -> DecodeStackShape.Layer {
            .init(
                hidden: hidden ?? layer.hidden, inner: inner ?? layer.inner, heads: heads ?? layer.heads,
                kvHeads: 8, headSize: size ?? 64, rotary: rotary ?? size ?? 64, weight: .f16, cache: .f16,
                hasBias: false, hasNorms: true, hasTable: true)
        }
        #expect(reason(layer).isEmpty)
        #expect(reason(layer, layers: 44).isEmpty)
        #expect(reason(layer, layers: 45).contains("45 layers exceed 44"))
        #expect(reason(changed(size: 96)).contains("heads of 96"))
        #expect(reason(changed(rotary: 32)).contains("32 of 64 columns"))
        #expect(reason(changed(heads: 24)).contains("24 query heads"))
        #expect(reason(changed(heads: 8)).contains("q, k and v: 24 rows of 512 columns"))
        #expect(reason(changed(hidden: 640)).contains("a hidden size of 640"))
        #expect(reason(changed(inner: 1408)).contains("an inner size of 1408"))
        #expect(reason(changed(hidden: 4352)).contains("q, k and v: 32 rows of 4352 columns"))
        #expect(reason(changed(hidden: 4096, inner: 14336, heads: 32, size: 128)).contains("bytes"))
        // Qwen3-0.6B and Llama-3.2-1B.
        #expect(reason(changed(hidden: 1024, inner: 3072, size: 128), layers: 28).isEmpty)
        #expect(reason(changed(hidden: 2048, inner: 8192, heads: 32), layers: 16).isEmpty)
    }

    /// One change each to the plan of a model that qualifies, and what is said of it.
    private static let edits: [(test: LaunchGoldenTests.Case, reason: String, edit: Edit)] = [
        (plugin, "layer 0: what attention is added to has other readers", .output(of: 2)),
        (plugin, "layer 0: q, k or v has other readers", .output(of: 0)),
        (plugin, "layer 0: its attention has other readers", .output(of: 1)),
        (plugin, "layer 0: what the gate lets through has other readers", .output(of: 3)),
        (plugin, "layer 1: what the layer before it writes has other readers", .output(of: 4)),
        (plugin, "layer 0: its two norms have different eps", .attribute(of: 3, "eps", .float(1e-5))),
        (plugin, "layer 0: q, k and v: no RMS norm", .attribute(of: 0, "norm", .string("layer_norm"))),
        (plugin, "layer 1: it attends within a window", .attribute(of: 6, "sliding_window_size", .int(100))),
        (plugin, "layer 1: its scores are capped", .attribute(of: 6, "softcap", .float(30))),
        (plugin, "layer 0: it attends to a tree", .operands(of: 1, from: 2, to: [7, 8])),
        (plugin, "layer 1: its sizes, types", .attribute(of: 6, "attention_scale", .float(1))),
        (plugin, "layer 1: its sizes, types", .attribute(of: 6, "qk_norm_eps", .float(1))),
        (plugin, "layer 0: its matrices do not fit", .attribute(of: 1, "num_q_heads", .int(8))),
        (
            plugin, "layer 0: the product behind the gate: a norm, gate, bias",
            .operands(of: 4, from: 3, to: [2])
        ),
        (cached, "layer 1: it attends within a window", .attribute(of: 6, "sliding_window", .int(100))),
        (cached, "layer 1: its sizes, types", .attribute(of: 6, "start", .dimension(0))),
        (
            cached, "layer 0: q, k and v of a token do not lie side by side",
            .operands(of: 1, from: 1, to: [2])
        ),
        (plugin, "other steps stand between theirs", .stepBetween),
        (plugin, "layer 1: it does not read what the layer before it writes", .otherInput),
        (plugin, "layer 1: its sizes, types", .retyped(of: 6, operand: 1)),
    ]

    @Test(arguments: edits.indices) func otherPlansKeepTheirSteps(_ index: Int) throws {
        let (test, expected, edit) = Self.edits[index]
        let reason = try reason(test) { plan in try plan.apply(edit) }
        #expect(reason.hasPrefix(expected) || reason == expected, "\(reason)")
    }

    @Test func aSingleLayerIsLeftAlone() throws {
        let plan = try LaunchGoldenTests.plan(Self.plugin).plan
        var edited = EditedPlan(PassKind.decode.fused(plan))
        let last = try #require(edited.steps.lastIndex { $0.op == "attention_plugin" })
        edited.steps.remove(at: last)
        #expect(DecodeStackFusion.find(in: edited.plan, for: .hopper) == nil)
    }

    private func outline(
        _ test: LaunchGoldenTests.Case, batch: Int = 1, on architecture: CUDAArchitecture = .hopper,
        stacksLayers: Bool = true
    ) throws -> PassOutline {
        try CUDABackend.outline(
            of: LaunchGoldenTests.plan(test).plan, .standard, architecture, batch: batch, width: 1,
            stacksLayers: stacksLayers)
    }

    @Test(arguments: [plugin, cached, writtenOut])
    func severalSequencesTakeTheStepsOneByOne(_ test: LaunchGoldenTests.Case) throws {
        let one = try outline(test)
        #expect(one.launches.filter { $0.hasPrefix("decode_stack") }.count == 1)
        #expect(!one.launches.contains { $0.hasPrefix("attention_decode") })
        #expect(one.isSteadyInLoops)
        #expect(one.notes == ["2 layers → decode_stack"])
        // Where all blocks do not fit at once, the kernels of the steps are needed.
        let apart = try outline(test, stacksLayers: false)
        #expect(apart.launches.count == one.launches.count + 9)
        #expect(one.units == apart.units.union(one.units.filter { $0.source == "decode_stack" }))
        #expect(apart.notes.isEmpty)
        guard test.backend == .plugin else { return }
        let two = try outline(test, batch: 2)
        #expect(two.launches == (try outline(test, batch: 2, stacksLayers: false)).launches)
    }

    /// A GPU that cannot run all blocks at once, such as a part of one, takes the steps one by one, and the user hears of it.
    @Test func blocksThatDoNotFitAreReported() throws {
        var functions = CUDADriver.null.functions
        functions.occupancy_clusters = { count, _, _ in
            count?.pointee = 7
            return 0
        }
        let (bound, caches) = try CUDABackend.bound(
            LaunchGoldenTests.plan(Self.plugin).plan, .standard, .hopper, batch: 1, width: 1, capacity: 2048,
            driver: CUDADriver(imitating: functions), stacksLayers: true)
        #expect(bound.warnings.isEmpty)
        let launches = try withExtendedLifetime(caches) { try bound.outline().launches }
        #expect(launches == (try outline(Self.plugin, stacksLayers: false)).launches)
        #expect(bound.warnings.count == 1)
        #expect(bound.warnings.first?.contains("room for 7 clusters of 8 blocks at once, expected 8") == true)
        #expect(bound.loop != nil)
    }

    /// A profile shows the layers as one row that reads what all of their steps read.
    @Test func profilesHaveOneEntryForAllLayers() throws {
        let plan = PassKind.decode.fused(try LaunchGoldenTests.plan(Self.plugin).plan)
        let steps = Array(try #require(try find(Self.plugin)).get().positions)
        var profile = StepProfile(plan)
        profile.add(.seconds(1), steps: [0], kernel: "first")
        profile.add(.seconds(2), steps: steps, kernel: "cuda.decode_stack")
        profile.endPass()
        var sum = StepProfile(plan)
        sum.add(profile)
        for profile in [profile, sum] {
            #expect(profile.entries.count == plan.steps.count - steps.count + 1)
            let stack = try #require(profile.entries.first { $0.kernel == "cuda.decode_stack" })
            #expect(stack.steps == steps)
            #expect(profile.seconds(of: stack) == 2)
            #expect(profile.entries[0].kernel == plan.steps[0].kernel)
        }
    }

    @Test func refusalsAreTold() throws {
        let outline = try outline(Self.plugin, on: .init(major: 8, minor: 0))
        #expect(
            outline.notes == [
                "layers stay apart: sm_80 has no clusters of blocks, which compute capability 9.0 brought"
            ])
        #expect(!outline.units.contains { $0.source == "decode_stack" })
    }

    @Test(
        .enabled(
            if: KernelCompilationTests.compiler != nil && KernelSources.text("decode_stack.cu") != nil,
            "NVRTC or the kernel is not there"),
        arguments: CUDAArchitecture.all.filter { $0.major >= 9 })
    func theKernelCompiles(architecture: CUDAArchitecture) throws {
        let compiler = try #require(KernelCompilationTests.compiler)
        let biased = LaunchGoldenTests.Case(name: "", config: .biased, precision: .bf16)
        for test in architecture == .hopper ? [Self.plugin, Self.cached, biased] : [Self.plugin] {
            let unit = try #require(try find(test)).get().shape.unit
            #expect(try !compiler.compile(unit, for: architecture).isEmpty, "\(unit.id)")
        }
    }
}

/// One change to a plan; steps are counted from the first layer on.
private enum Edit {
    /// The result of a step becomes an output.
    case output(of: Int)
    case attribute(of: Int, String, Attribute)
    /// Operands of a step become what another operand of it is.
    case operands(of: Int, from: Int, to: [Int])
    /// A step between the layers that has nothing to do with them.
    case stepBetween
    /// The second layer reads what the first one does.
    case otherInput
    /// An operand has another size.
    case retyped(of: Int, operand: Int)
}

/// A plan whose parts may change.
private struct EditedPlan {
    private let original: Plan
    var tensors: [Plan.Tensor]
    var steps: [Plan.Step]
    private var outputs: [(name: String, tensor: Int)]

    init(_ plan: Plan) {
        (original, tensors, steps, outputs) = (plan, plan.tensors, plan.steps, plan.outputs)
    }

    var plan: Plan { Plan(symbols: original.symbols, tensors: tensors, steps: steps, outputs: outputs) }

    mutating func apply(_ edit: Edit) throws {
        let first = try #require(steps.firstIndex { $0.op == "gemv" })
        switch edit {
        case .output(let step): outputs.append(("more", steps[first + step].results[0]))
        case .attribute(let step, let name, let value):
            try #require(steps[first + step].attributes[name] != nil)
            change(first + step) { $0.attributes[name] = value }
        case .operands(let step, let from, let places):
            change(first + step) { step in
                for place in places {
                    while step.operands.count <= place { step.operands.append(nil) }
                    step.operands[place] = step.operands[from]
                }
            }
        case .stepBetween:
            let x = try #require(steps[first].operands[0])
            tensors.append(Plan.Tensor(name: "more", type: tensors[x].type, storage: .activation))
            steps.insert(
                Plan.Step(
                    op: "copy", kernel: "cuda.copy", operands: [steps[first].operands[4]],
                    results: [tensors.count - 1], attributes: [:]), at: first + 5)
        case .otherInput:
            let x = steps[first].operands[0]
            change(first + 5) { $0.operands[0] = x }
            change(first + 7) { $0.operands[3] = x }
        case .retyped(let step, let operand):
            let tensor = try #require(steps[first + step].operands[operand])
            var shape = tensors[tensor].type.shape
            shape[3] = 7
            tensors[tensor] = Plan.Tensor(
                name: "", type: TensorType(tensors[tensor].type.element, shape),
                storage: tensors[tensor].storage)
        }
    }

    private mutating func change(_ position: Int, _ body: (inout EditedStep) -> Void) {
        let old = steps[position]
        var edited = EditedStep(operands: old.operands, attributes: old.attributes)
        body(&edited)
        steps[position] = Plan.Step(
            op: old.op, kernel: old.kernel, operands: edited.operands, results: old.results,
            attributes: edited.attributes, plugin: old.plugin)
    }

    private struct EditedStep {
        var operands: [Int?]
        var attributes: [String: Attribute]
    }
}
