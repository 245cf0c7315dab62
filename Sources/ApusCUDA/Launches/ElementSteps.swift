import ApusEngine
import ApusGraph
import ApusSupport

/// A function of each element.
final class UnaryStep: DeviceStep {
    /// Functions of `unary.cu` by op.
    private static let functions = [
        "neg": "neg", "exp": "exponential", "log": "logarithm", "sqrt": "root", "rsqrt": "inverse_root",
        "sin": "sine", "cos": "cosine", "tanh": "hyperbolic_tangent", "sigmoid": "sigmoid", "silu": "silu",
        "relu": "relu", "erf": "error_function",
    ]

    static let kinds = (functions.keys.sorted() + ["gelu", "pow"]).map { op in
        StepKind(
            KernelEntry(op: op, kernel: "cuda.\(op)", forms: [.strided]) { query in
                query.operands[0]?.element == .f32 ? query.rankRefusal : "x is not f32"
            }
        ) { step, context throws(ApusError) in try UnaryStep(step, context) }
    }

    private let unit: KernelUnit
    private let exponent: Double
    private let x: TensorView
    private let y: TensorView
    private let processors: Int

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        exponent = step.float("exponent")
        let function: String
        switch step.op {
        case "gelu": function = step.string("approximate") == "tanh" ? "gelu_tanh" : "gelu_erf"
        case "pow": function = exponent == 2 ? "square" : "power"
        default:
            guard let known = Self.functions[step.op] else {
                throw ApusError(.internal, "no elementwise kernel for '\(step.op)'")
            }
            function = known
        }
        unit = KernelUnit("unary", ["FUNCTION": function])
        x = try context.view(step.operands[0])
        y = try context.view(step.results[0])
        processors = context.processorCount
        super.init(step)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        let nest = GroupedNest(LoopNest(y, [x]), [y, x])
        return Self.launch(
            unit, "unary", nest.count, on: processors,
            [x.argument, y.argument] + nest.arguments + [.int64(Int(bitPattern: UInt(exponent.bitPattern)))])
    }
}

/// A function of two elements whose shapes broadcast: arithmetic, relations, connectives of booleans.
final class BinaryStep: DeviceStep {
    /// Functions of `binary.cu` by op.
    private static let arithmetic = [
        "add": "add", "sub": "sub", "mul": "mul", "div": "quotient", "minimum": "minimum",
        "maximum": "maximum", "floor_divide": "floor_divide", "remainder": "modulo",
    ]
    private static let relations = [
        "eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge",
        "logical_and": "logical_and", "logical_or": "logical_or", "logical_xor": "logical_xor",
    ]

    static let kinds = (arithmetic.keys.sorted() + relations.keys.sorted()).map { op in
        StepKind(KernelEntry(op: op, kernel: "cuda.\(op)", forms: [.strided]) { $0.rankRefusal }) {
            step, context throws(ApusError) in try BinaryStep(step, context)
        }
    }

    private let unit: KernelUnit
    private let a: TensorView
    private let b: TensorView
    private let y: TensorView
    private let context: DeviceContext

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        self.context = context
        a = try context.view(step.operands[0])
        b = try context.view(step.operands[1])
        y = try context.view(step.results[0])
        let relation = Self.relations[step.op]
        guard let operation = relation ?? Self.arithmetic[step.op] else {
            throw ApusError(.internal, "no elementwise kernel for '\(step.op)'")
        }
        var macros = a.element.macros("ELEMENT", "IS_BOOLEAN")
        macros["OPERATION"] = operation
        macros["IS_RELATION"] = relation == nil ? "0" : "1"
        unit = KernelUnit("binary", macros)
        super.init(step)
    }

    override var faultReason: String { "an integer is divided by 0" }

    override func work() throws(ApusError) -> [DeviceWork] {
        let nest = GroupedNest(LoopNest(y, [a, b]), [y, a, b])
        return Self.launch(
            unit, "binary", nest.count, on: context.processorCount,
            [a.argument, b.argument, y.argument] + nest.arguments + faultArguments(context))
    }
}

/// An element as another type, a boolean mask as what is added to scores, the negation of booleans.
final class ConvertStep: DeviceStep {
    static let kinds = [
        ("to", OperandForm.strided.orNarrow), ("mask_bias", .strided), ("logical_not", .strided),
    ].map { op, form in
        StepKind(KernelEntry(op: op, kernel: "cuda.\(op)", forms: [form]) { $0.rankRefusal }) {
            step, context throws(ApusError) in try ConvertStep(step, context)
        }
    }

    /// The macro `MAPPING` by op.
    private static let mappings = ["to": "0", "mask_bias": "1", "logical_not": "2"]

    private let unit: KernelUnit
    private let x: TensorView
    private let y: TensorView
    private let processors: Int

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        x = try context.view(step.operands[0])
        y = try context.view(step.results[0])
        unit = Self.unit(x.element, y.element, mapping: Self.mappings[step.op])
        processors = context.processorCount
        super.init(step)
    }

    /// What converts between two types.
    static func unit(_ from: ElementType, _ to: ElementType, mapping: String? = nil) -> KernelUnit {
        var macros = to.macros("TO", "TO_BOOLEAN")
        macros["FROM"] = from.kernelType
        macros["MAPPING"] = mapping ?? "0"
        return KernelUnit("convert", macros)
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        let nest = GroupedNest(LoopNest(y, [x]), [y, x])
        return Self.launch(
            unit, "convert", nest.count, on: processors, [x.argument, y.argument] + nest.arguments)
    }
}
