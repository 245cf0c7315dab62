import ApusEngine
import ApusGraph
import ApusSupport

/// One number in many places.
enum ElementFill {
    /// A number as an element of a type, in the low bytes of a word.
    static func word(_ value: Double, _ element: ElementType) -> Int {
        let integer = Int(exactly: value.rounded(.towardZero)) ?? (value < 0 ? .min : value > 0 ? .max : 0)
        switch element {
        case .f32: return Int(Float(value).bitPattern)
        case .f16: return Int(Half(Float(value)).bits)
        case .bf16: return Int(BFloat16(Float(value)).bits)
        case .bool: return value == 0 ? 0 : 1
        case .i64, .i32, .i8, .u8: return integer
        }
    }

    /// The launch that fills the first view of a nest.
    static func work(
        _ nest: LoopNest, _ word: Int, to y: UnsafeRawPointer, bytes: Int, on processors: Int
    ) -> [DeviceWork] {
        DeviceStep.launch(
            unit(bytes), "fill", nest.count, on: processors, [.pointer(y), nest.argument, .int64(word)])
    }

    /// What moves elements of so many bytes.
    static func unit(_ bytes: Int) -> KernelUnit { KernelUnit("move", ["BYTES": "\(bytes)"]) }
}

/// Chooses between two elements.
final class WhereStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(op: "where", kernel: "cuda.where", forms: [.strided]) { $0.rankRefusal }
    ) { step, context throws(ApusError) in try WhereStep(step, context) }

    private let condition: TensorView
    private let a: TensorView
    private let b: TensorView
    private let y: TensorView
    private let processors: Int

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        condition = try context.view(step.operands[0])
        a = try context.view(step.operands[1])
        b = try context.view(step.operands[2])
        y = try context.view(step.results[0])
        processors = context.processorCount
        super.init(step)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        let nest = LoopNest(y, [condition, a, b])
        return Self.launch(
            ElementFill.unit(y.element.byteCount), "choose", nest.count, on: processors,
            [condition.argument, a.argument, b.argument, y.argument, nest.argument])
    }
}

/// Keeps one side of a diagonal.
final class TriangleStep: DeviceStep {
    static let kinds = ["triu", "tril"].map { op in
        StepKind(KernelEntry(op: op, kernel: "cuda.\(op)", forms: [.strided]) { $0.rankRefusal }) {
            step, context throws(ApusError) in try TriangleStep(step, context)
        }
    }

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
        let nest = LoopNest(y, [x])
        return Self.launch(
            ElementFill.unit(y.element.byteCount), "triangle", nest.count, on: processors,
            [
                x.argument, y.argument, nest.argument, .int64(y.size(-1)), .int64(y.size(-2)),
                .int32(step.op == "triu" ? 1 : 0), .int64(step.int("diagonal")),
            ])
    }
}

/// Tensors that follow from sizes alone: ranges, constants, sizes, causal masks.
final class GeneratorStep: DeviceStep {
    static let kinds = ["arange", "causal_mask", "full", "size"].map { op in
        StepKind(KernelEntry(op: op, kernel: "cuda.\(op)") { $0.rankRefusal }) {
            step, context throws(ApusError) in try GeneratorStep(step, context)
        }
    }

    private let y: TensorView
    /// The start of a range, the value of a size, the offset of a mask.
    private let number: Size
    private let context: DeviceContext

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        self.context = context
        y = try context.view(step.results[0])
        let name = ["arange": "start", "causal_mask": "offset", "size": "value"][step.op] ?? ""
        number = try context.size(step.size(name))
        super.init(step)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        let (count, processors) = (y.count, context.processorCount)
        let value = context.symbols.value(number)
        let unit = KernelUnit("generate", y.element.macros("ELEMENT", "IS_BOOLEAN"))
        switch step.op {
        case "full":
            return ElementFill.work(
                LoopNest(y), ElementFill.word(step.float("value"), y.element), to: y.pointer,
                bytes: y.element.byteCount, on: processors)
        case "causal_mask":
            return Self.launch(
                unit, "causal_mask", count, on: processors,
                [y.argument, .int64(count), .int64(y.size(1)), .int64(value), .int64(step.int("window"))])
        default:
            return Self.launch(
                unit, "arange", count, on: processors, [y.argument, .int64(count), .int64(value)])
        }
    }
}
