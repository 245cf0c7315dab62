import ApusEngine
import ApusGraph
import ApusReference
import ApusSupport
import GraphCases

@testable import ApusCPU
@testable import ApusCompiler

/// A graph compiled for the CPU as it stands, and run on the inputs that the interpreter gets.
final class GraphRun {
    let bound: BoundPlan
    let plan: Plan
    private let frame: Frame
    private let limits: SessionLimits
    private let inputs = Inputs()

    /// Memory of the inputs by name, in the element types of the plan.
    private final class Inputs {
        var memory: [String: UnsafeMutableRawPointer] = [:]
        deinit { memory.values.forEach { $0.deallocate() } }
    }

    init(
        _ graph: Graph, weights source: any WeightSource = NoWeights(), set: InstructionSet = .best,
        threads: Int = 1, limits: SessionLimits = SessionLimits(batch: 4, chunk: 160, capacity: 640)
    ) throws {
        self.limits = limits
        let backend = try CPUBackend(threads: threads, instructionSet: set)
        let expressions = WeightExpressions(graph)
        let draft = try PlanBuilder.build(
            graph, registry: .standard, backend: backend, plugins: PluginRegistry(), expressions: expressions)
        plan = draft.plan
        let store = try WeightStore(draft.weights.map { ($0.name, $0.type, $0.packing) })
        let packer = WeightPacker(
            graph: graph, expressions: expressions, source: source, backend: backend)
        for (region, weight) in draft.weights.enumerated() {
            try packer.pack(weight.value, weight.packing, into: try store.bytes(of: region))
        }
        let (memory, bounds) = (inputs, SizeBounds(plan.symbols, limits: limits))
        frame = try Frame(limits: limits)
        guard let kernels = set.kernels else { throw ApusError(.unsupported, "no \(set) here") }
        let pool = try ThreadPool(count: threads)
        let engine = Engine(
            info: ModelInfo(
                modelType: "graph", vocabularySize: 0, maxPositions: 0, layerCount: 0, precision: .f32),
            plan: plan, weights: store, precision: .f32)
        let binding = try PlanBinding(
            engine, frame: frame, limits: limits, on: CPUDevice(kernels: kernels, pool: pool)
        ) { name, type throws(ApusError) in
            let bytes = (bounds.upperBound(of: type.elementCount) ?? 0) * type.element.byteCount
            let pointer = UnsafeMutableRawPointer.allocate(byteCount: max(bytes, 1), alignment: 64)
            memory.memory[name] = pointer
            return pointer
        }
        bound = try BoundPlan(binding, kernels: kernels, pool: pool)
        // What a step does not write, no step may read.
        let arena = binding.memory.arena
        arena.base.initializeMemory(as: UInt8.self, repeating: 0xff, count: arena.byteCount)
    }

    /// Writes an input.
    func set(_ name: String, _ tensor: Tensor) throws {
        guard let pointer = inputs.memory[name],
            let entry = plan.tensors.first(where: { $0.storage == .input(name) })
        else { return }
        tensor.write(as: entry.type.element, to: pointer)
    }

    /// Runs the graph for `B` sequences of `S` tokens.
    func run(batch: Int, width: Int) throws -> [Tensor] {
        let capacity = limits.capacity
        try bound.run { ["B": batch, "S": width, "C": capacity][$0] }
        return try plan.outputs.map { output in
            let view = try bound.context.view(output.tensor)
            let shape = (0..<view.rank).map { view.size($0) }
            return Tensor(view.element, shape, bytes: UnsafeRawPointer(view.pointer))
        }
    }
}
