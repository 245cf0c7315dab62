import ApusEngine
import ApusGraph
import ApusSupport

/// Copies of elements as bytes.
enum ElementCopy {
    private static let unit = KernelUnit("copy")
    /// Rows and columns from which turning a matrix in shared memory pays.
    private static let leastTurned = 8
    /// Rows and columns of a tile that a block turns.
    private static let tile = 32

    /// The launch that copies along a nest of [y, x], in the largest words that fit.
    static func work(
        _ nest: LoopNest, from x: UnsafeRawPointer, to y: UnsafeRawPointer, bytes: Int, on processors: Int
    ) -> [DeviceWork] {
        if nest.count > 0, let turned = turning(nest, x, y, bytes, processors) { return turned }
        var (words, wide) = (bytes, nest)
        while words < 16, let wider = doubled(wide), aligned(x, 2 * words), aligned(y, 2 * words) {
            (words, wide) = (2 * words, wider)
        }
        return DeviceStep.launch(
            unit, "copy_\(words)", wide.count, on: processors, [.pointer(x), .pointer(y), wide.argument])
    }

    private static func aligned(_ pointer: UnsafeRawPointer, _ bytes: Int) -> Bool {
        Int(bitPattern: pointer) % bytes == 0
    }

    /// The nest in words of twice the size, if elements lie so on both sides.
    private static func doubled(_ nest: LoopNest) -> LoopNest? {
        let last = nest.shape.count - 1
        guard last >= 0, nest.shape[last] % 2 == 0 else { return nil }
        for strides in nest.strides[..<2] {
            guard strides[last] == 1, strides[..<last].allSatisfy({ $0 % 2 == 0 }) else { return nil }
        }
        return nest.divided(by: 2, scaled: [0, 1])
    }

    /// The launch that turns matrices, where x's neighbours lie along another loop than y's.
    private static func turning(
        _ nest: LoopNest, _ x: UnsafeRawPointer, _ y: UnsafeRawPointer, _ bytes: Int, _ processors: Int
    ) -> [DeviceWork]? {
        let last = nest.shape.count - 1
        guard last > 0, nest.strides[0][last] == 1, nest.strides[1][last] > 1,
            nest.shape[last] >= leastTurned,
            let rows = nest.strides[1][..<last].firstIndex(of: 1), nest.shape[rows] >= leastTurned
        else { return nil }
        var matrices = LoopNest()
        for loop in 0..<last where loop != rows {
            matrices.add(nest.shape[loop], nest.strides.prefix(2).map { $0[loop] })
        }
        let tiles = (nest.shape[rows] + tile - 1) / tile * ((nest.shape[last] + tile - 1) / tile)
        return DeviceStep.launch(
            unit, "transpose_\(bytes)", matrices.count * tiles, lanes: DeviceStep.blockThreads,
            on: processors,
            [
                .pointer(x), .pointer(y), matrices.argument, .int64(nest.shape[rows]),
                .int64(nest.shape[last]),
                .int64(nest.strides[0][rows]), .int64(nest.strides[1][last]),
            ])
    }
}

/// Makes a strided tensor dense.
final class CopyStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(op: "copy", kernel: "cuda.copy", forms: [.strided]) { $0.rankRefusal }
    ) { step, context throws(ApusError) in try CopyStep(step, context) }

    private let x: TensorView
    private let y: TensorView
    private let processors: Int

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        x = try context.view(step.operands[0])
        y = try context.view(step.results[0])
        processors = context.processorCount
        super.init(step)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        ElementCopy.work(
            LoopNest(y, [x]), from: x.pointer, to: y.pointer, bytes: y.element.byteCount, on: processors)
    }
}

/// Copies tensors one after the other along a dimension.
final class CatStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(op: "cat", kernel: "cuda.cat", forms: [.strided]) { $0.rankRefusal }
    ) { step, context throws(ApusError) in try CatStep(step, context) }

    private let parts: [TensorView]
    private let y: TensorView
    private let axis: Int
    private let processors: Int

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        var parts: [TensorView] = []
        for operand in step.operands { parts.append(try context.view(operand)) }
        self.parts = parts
        y = try context.view(step.results[0])
        axis = y.axis(step)
        processors = context.processorCount
        super.init(step)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        var work: [DeviceWork] = []
        var start = 0
        for part in parts {
            var nest = LoopNest()
            for dimension in 0..<y.rank {
                nest.add(part.size(dimension), [y.stride(dimension), part.stride(dimension)])
            }
            let bytes = y.element.byteCount
            work += ElementCopy.work(
                nest, from: part.pointer, to: y.pointer + start * y.stride(axis) * bytes, bytes: bytes,
                on: processors)
            start += part.size(axis)
        }
        return work
    }
}

/// Copies a tensor and fills what is added before and after along a dimension.
final class PadStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(op: "pad", kernel: "cuda.pad", forms: [.strided]) { $0.rankRefusal }
    ) { step, context throws(ApusError) in try PadStep(step, context) }

    private let x: TensorView
    private let y: TensorView
    private let axis: Int
    private let before: Size
    private let value: Int
    private let context: DeviceContext

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        self.context = context
        x = try context.view(step.operands[0])
        y = try context.view(step.results[0])
        axis = y.axis(step)
        before = try context.size(step.size("before"))
        value = ElementFill.word(step.float("value"), y.element)
        super.init(step)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        let (head, body) = (max(context.symbols.value(before), 0), x.size(axis))
        let bytes = y.element.byteCount
        func part(_ size: Int) -> LoopNest {
            var nest = LoopNest()
            for dimension in 0..<y.rank {
                nest.add(
                    dimension == axis ? size : y.size(dimension), [y.stride(dimension), x.stride(dimension)])
            }
            return nest
        }
        func place(_ index: Int) -> UnsafeRawPointer {
            UnsafeRawPointer(y.pointer + index * y.stride(axis) * bytes)
        }
        func fill(_ size: Int, at index: Int) -> [DeviceWork] {
            ElementFill.work(
                part(max(size, 0)), value, to: place(index), bytes: bytes, on: context.processorCount)
        }
        return fill(head, at: 0)
            + ElementCopy.work(
                part(body), from: x.pointer, to: place(head), bytes: bytes, on: context.processorCount)
            + fill(y.size(axis) - head - body, at: head + body)
    }
}
