import ApusEngine
import ApusGraph
import ApusSupport

/// Where in a tensor the elements lie that index tensors name, computed into scratch memory.
struct IndexPositions {
    private let x: TensorView
    private let indices: [(view: TensorView, axis: Int)]
    private let context: DeviceContext
    /// Bytes of the positions at the largest sizes.
    let byteCount: Int

    /// Indices along the given dimensions of `x`, which broadcast to a shape of at most `mostCount` elements.
    init(
        _ x: TensorView, _ indices: [(view: TensorView, axis: Int)], shape: [Dimension],
        _ context: DeviceContext
    ) throws(ApusError) {
        self.x = x
        self.indices = indices
        self.context = context
        byteCount = try context.most(Dimension.product(shape)) * MemoryLayout<Int>.size
    }

    /// The launches that write the position of each index of the common shape.
    func work(_ shape: [Int], to positions: UnsafeRawPointer?, bytes: Int, _ step: DeviceStep) -> [DeviceWork]
    {
        indices.enumerated().flatMap { place, index in
            var nest = LoopNest()
            var inner = shape.reduce(1, *)
            for (axis, size) in shape.enumerated() {
                inner = size == 0 ? 0 : inner / size
                nest.add(size, [inner, index.view.stride(axis, broadcastTo: shape.count)])
            }
            return DeviceStep.launch(
                Self.unit(bytes, index.view.element), "locate", nest.count, on: context.processorCount,
                [
                    index.view.argument, .pointer(positions), nest.argument, .int64(x.size(index.axis)),
                    .int64(x.stride(index.axis)), .int32(place > 0 ? 1 : 0),
                ] + step.faultArguments(context))
        }
    }

    /// What handles elements of so many bytes and indices of a type.
    static func unit(_ bytes: Int, _ index: ElementType) -> KernelUnit {
        KernelUnit("index", ["BYTES": "\(bytes)", "INDEX": index.kernelType])
    }
}

/// Picks elements by index tensors over the leading dimensions, or along one dimension.
final class IndexStep: DeviceStep {
    static let kinds = ["index", "index_select"].map { op in
        StepKind(
            KernelEntry(op: op, kernel: "cuda.\(op)", forms: [.strided, .strided.orNarrow]) { $0.rankRefusal }
        ) { step, context throws(ApusError) in try IndexStep(step, context) }
    }

    private let x: TensorView
    private let y: TensorView
    private let index: ElementType
    private let places: IndexPositions
    /// First dimension of the result that the indices give, and how many they give.
    private let axis: Int
    private let commonRank: Int
    /// How many dimensions of x they replace.
    private let indexedRank: Int
    private let context: DeviceContext

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        self.context = context
        x = try context.view(step.operands[0])
        y = try context.view(step.results[0])
        var indices: [(view: TensorView, axis: Int)] = []
        if step.op == "index_select" {
            axis = x.axis(step)
            indices.append((try context.view(step.operands[1]), axis))
        } else {
            axis = 0
            for (position, operand) in step.operands.dropFirst().enumerated() {
                indices.append((try context.view(operand), position))
            }
        }
        index = indices.first?.view.element ?? .i32
        indexedRank = indices.count
        commonRank = y.rank - (x.rank - indices.count)
        places = try IndexPositions(
            x, indices, shape: Array(y.type.shape[axis..<axis + commonRank]), context)
        super.init(step)
    }

    override var scratchBytes: Int { places.byteCount }

    override var faultReason: String { "an index is outside the dimension" }

    override func work() throws(ApusError) -> [DeviceWork] {
        let common = (0..<commonRank).map { y.size(axis + $0) }
        let bytes = y.element.byteCount
        var (rest, inner) = (LoopNest(), 1)
        for dimension in 0..<x.rank where dimension < axis || dimension >= axis + indexedRank {
            rest.add(x.size(dimension), [0, x.stride(dimension)])
            if dimension >= axis { inner *= x.size(dimension) }
        }
        let count = common.reduce(1, *)
        guard count * rest.count > 0 else { return [] }
        let scratch = context.scratch()
        return places.work(common, to: scratch, bytes: bytes, self)
            + Self.launch(
                IndexPositions.unit(bytes, index), "gather", count * rest.count, on: context.processorCount,
                [
                    x.argument, .pointer(scratch), y.argument, rest.argument, .int64(inner), .int64(count),
                ])
    }
}

/// Copies a tensor and replaces what an index names.
final class IndexCopyStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(
            op: "index_copy", kernel: "cuda.index_copy", forms: [.strided, .strided.orNarrow, .strided]
        ) { $0.rankRefusal }
    ) { step, context throws(ApusError) in try IndexCopyStep(step, context) }

    private let x: TensorView
    private let index: TensorView
    private let source: TensorView
    private let y: TensorView
    private let axis: Int
    private let places: IndexPositions
    private let context: DeviceContext

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        self.context = context
        x = try context.view(step.operands[0])
        index = try context.view(step.operands[1])
        source = try context.view(step.operands[2])
        y = try context.view(step.results[0])
        axis = x.axis(step)
        places = try IndexPositions(y, [(index, axis)], shape: index.type.shape, context)
        super.init(step)
    }

    /// The positions, and those of them that no later index repeats.
    override var scratchBytes: Int { 2 * places.byteCount }

    override var faultReason: String { "an index is outside the dimension" }

    override func work() throws(ApusError) -> [DeviceWork] {
        let (bytes, processors, count) = (y.element.byteCount, context.processorCount, source.size(axis))
        var work = ElementCopy.work(
            LoopNest(y, [x]), from: x.pointer, to: y.pointer, bytes: bytes, on: processors)
        var rest = LoopNest()
        for dimension in 0..<y.rank where dimension != axis {
            rest.add(y.size(dimension), [y.stride(dimension), source.stride(dimension)])
        }
        guard count * rest.count > 0 else { return work }
        let (all, kept) = (context.scratch(), context.scratch(at: places.byteCount))
        let unit = IndexPositions.unit(bytes, index.element)
        work += places.work([count], to: all, bytes: bytes, self)
        work += Self.launch(
            unit, "winners", count, on: processors, [.pointer(all), .pointer(kept), .int64(count)])
        work += Self.launch(
            unit, "scatter", count * rest.count, on: processors,
            [
                source.argument, .pointer(kept), y.argument, rest.argument, .int64(count),
                .int64(source.stride(axis)),
            ])
        return work
    }
}
