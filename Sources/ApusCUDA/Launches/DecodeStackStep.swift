import ApusEngine
import ApusGraph
import ApusSupport
import CApusCUDA

/// All layers of a decode step: one kernel for one sequence, the steps that they are made of for several.
///
/// Blocks pass numbers to each other as words that carry an epoch, and count epochs up from pass to pass; both are this
/// step's own and zero only at first. A kernel that fails midway leaves them as they are, which does no harm: nothing runs
/// any more in the context of a device where one failed.
final class DecodeStackStep: DeviceStep {
    static let op = "decode_stack"

    private let context: DeviceContext
    private let members: [DeviceStep]
    private let shape: DecodeStackShape
    private let layers: [Layer]
    private let (x, y): (TensorView, TensorView)
    private let rowCount: Size
    /// What q is multiplied by beside the scale.
    private let factor: Float
    private let exchange: CUDAMemory
    private let epochs: CUDAMemory
    /// Why the GPU cannot run the kernel; nil before it was asked.
    private var refusal: String??

    /// The steps of a layer.
    fileprivate struct Layer {
        let qkv, projection, gate, down: GemvStep
        let attention: any NewestAttention
    }

    /// - Parameters:
    ///   - members: The steps at the positions of the stack.
    ///   - factor: What q is multiplied by beside the scale.
    init(
        _ stack: DecodeStack, _ members: [DeviceStep], factor: Float, _ context: DeviceContext
    ) throws(ApusError) {
        self.context = context
        self.members = members
        self.factor = factor
        shape = stack.shape
        func member<Step>(_ position: Int, as type: Step.Type) throws(ApusError) -> Step {
            guard let step = members[position - stack.positions.lowerBound] as? Step else {
                throw ApusError(.internal, "step \(position) of a stack of layers is none of \(type)")
            }
            return step
        }
        layers = try stack.layers.map { layer throws(ApusError) in
            Layer(
                qkv: try member(layer.qkv, as: GemvStep.self),
                projection: try member(layer.projection, as: GemvStep.self),
                gate: try member(layer.gate, as: GemvStep.self),
                down: try member(layer.down, as: GemvStep.self),
                attention: try member(layer.attention, as: (any NewestAttention).self))
        }
        (x, y) = (try context.view(stack.x), try context.view(stack.y))
        rowCount = try context.size(Dimension.product(x.type.shape.dropLast()))
        exchange = try context.zeros(8 * shape.exchangeWords, purpose: "what blocks tell each other")
        epochs = try context.zeros(4 * shape.grid, purpose: "epochs of blocks")
        super.init(
            Plan.Step(
                op: Self.op, kernel: "cuda.\(Self.op)", operands: [stack.x], results: [stack.y],
                attributes: [:]))
        positions = Array(stack.positions)
    }

    override var scratchBytes: Int { members.reduce(0) { max($0, $1.scratchBytes) } }

    override var deviceSymbols: Set<String> { members.reduce(into: []) { $0.formUnion($1.deviceSymbols) } }

    override var faultReason: String { "the new rows exceed the capacity of the cache" }

    override var alternatives: [DeviceStep] { [self] + members }

    override var warnings: [String] {
        guard case let reason?? = refusal else { return [] }
        return ["the GPU decodes layer by layer, step by step, which is slower: \(reason)"]
    }

    override func parts() throws(ApusError) -> [DeviceStep] {
        guard context.symbols.value(rowCount) == 1 else { return members }
        if case .none = refusal { refusal = .some(try findRefusal()) }
        guard case .some(.none) = refusal else { return members }
        return [self]
    }

    /// Whether all clusters fit onto the GPU at once.
    private func findRefusal() throws(ApusError) -> String? {
        let count = try call().mostClusters(context.kernels, on: context.device)
        guard count < shape.clusters else { return nil }
        return "it has room for \(count) clusters of \(DecodeStackShape.cluster) blocks at once, expected "
            + "\(shape.clusters)"
    }

    override func work() throws(ApusError) -> [DeviceWork] { [.kernel(try call())] }

    private func call() throws(ApusError) -> KernelCall {
        guard let first = layers.first else { throw ApusError(.internal, "a stack of layers is empty") }
        let (newest, decode) = (first.attention.newest, first.attention.decode)
        let angles = newest.angles
        return KernelCall(
            shape.unit, Self.op, grid: .init(shape.grid), block: .init(DecodeStackShape.threads),
            sharedBytes: shape.sharedBytes, isCooperative: true,
            [
                .pointers(layers.flatMap(\.addresses)), .pointer(x.pointer), .pointer(y.pointer),
                .pointer(angles.cosines), .pointer(angles.sines), .int32(angles.row),
                .int32(angles.tableRows ?? 1), .int32(newest.capacity), .int64(newest.keys.head),
                .int64(newest.values.head), .pointer(decode.length.address), .int32(decode.length.offset),
                .pointer(decode.fault?.address), .int32(positions.first ?? 0),
                .float(Float(first.qkv.step.float("eps"))), .float(newest.epsilon),
                .float(first.attention.shape.scale * factor), .pointer(exchange.base), .pointer(epochs.base),
            ])
    }
}

extension DecodeStackStep.Layer {
    /// What the kernel is told of a layer.
    fileprivate var addresses: [UnsafeRawPointer?] {
        let newest = attention.newest
        return [
            qkv.normWeight, qkv.matrix, qkv.biasWeight, newest.norms?.q, newest.norms?.k, newest.keys.pointer,
            newest.values.pointer, projection.matrix, gate.normWeight, gate.matrix, down.matrix,
        ]
    }
}
