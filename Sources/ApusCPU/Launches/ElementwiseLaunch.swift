import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// A function of each element; workers share the elements.
final class UnaryLaunch: Launch {
    private static let kinds: [String: apus_unary] = [
        "neg": APUS_NEG, "exp": APUS_EXP, "log": APUS_LOG, "sqrt": APUS_SQRT, "rsqrt": APUS_RSQRT,
        "sin": APUS_SIN, "cos": APUS_COS, "tanh": APUS_TANH, "sigmoid": APUS_SIGMOID, "silu": APUS_SILU,
        "relu": APUS_RELU, "erf": APUS_ERF,
    ]

    static let entries = (kinds.keys.sorted() + ["gelu", "pow"]).map { op in
        KernelEntry(op: op, kernel: "cpu.\(op)", forms: [.strided]) { query in
            query.operands[0]?.element == .f32 ? query.rankRefusal : "x is not f32"
        }
    }

    /// Elements that a worker takes at least: less is not worth waking it for.
    static let grain = 256

    private let kernels: UnsafePointer<apus_kernels>
    /// Nil for a power that is no square.
    private let kind: apus_unary?
    private let exponent: Double
    private let x: TensorView
    private let y: TensorView
    private var nest = apus_nest()

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        kernels = context.kernels
        exponent = step.float("exponent")
        switch step.op {
        case "gelu": kind = step.string("approximate") == "tanh" ? APUS_GELU_TANH : APUS_GELU_ERF
        case "pow": kind = exponent == 2 ? APUS_SQUARE : nil
        default:
            guard let known = Self.kinds[step.op] else {
                throw ApusError(.internal, "no elementwise kernel for '\(step.op)'")
            }
            kind = known
        }
        x = try context.view(step.operands[0])
        y = try context.view(step.results[0])
        super.init(step)
    }

    override func resize() { nest = apus_nest(y, x) }

    override func run(phase: Int, worker: Int, workers: Int) {
        var nest = nest
        let range = share(nest.count, worker, workers, grain: Self.grain)
        if let kind {
            apus_unary_strided(
                kernels, kind, x.floats, y.floats, &nest, range.lowerBound, range.upperBound)
        } else {
            apus_power(
                exponent, APUS_ELEMENT_F32, x.pointer, y.pointer, &nest, range.lowerBound, range.upperBound)
        }
    }
}

/// A function of two elements whose shapes broadcast; workers share the elements.
final class BinaryLaunch: Launch {
    private static let kinds: [String: (arithmetic: apus_arithmetic, vector: apus_binary?)] = [
        "add": (APUS_ARITHMETIC_ADD, APUS_ADD), "sub": (APUS_ARITHMETIC_SUB, APUS_SUB),
        "mul": (APUS_ARITHMETIC_MUL, APUS_MUL), "div": (APUS_ARITHMETIC_DIV, APUS_DIV),
        "minimum": (APUS_ARITHMETIC_MINIMUM, APUS_MINIMUM),
        "maximum": (APUS_ARITHMETIC_MAXIMUM, APUS_MAXIMUM),
        "floor_divide": (APUS_ARITHMETIC_FLOOR_DIVIDE, nil), "remainder": (APUS_ARITHMETIC_REMAINDER, nil),
    ]

    static let ops = kinds.keys.sorted()

    static let entries = ops.map { op in
        KernelEntry(op: op, kernel: "cpu.\(op)", forms: [.strided]) { $0.rankRefusal }
    }

    private let kernels: UnsafePointer<apus_kernels>
    private let kind: apus_arithmetic
    /// The kernel of FP32 rows; nil for other types and functions.
    private let vector: apus_binary?
    private let a: TensorView
    private let b: TensorView
    private let y: TensorView
    private let faults: Faults
    private var nest = apus_nest()

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        guard let kinds = Self.kinds[step.op] else {
            throw ApusError(.internal, "no elementwise kernel for '\(step.op)'")
        }
        kernels = context.kernels
        faults = context.faults
        a = try context.view(step.operands[0])
        b = try context.view(step.operands[1])
        y = try context.view(step.results[0])
        kind = kinds.arithmetic
        vector = y.element == .f32 ? kinds.vector : nil
        super.init(step)
    }

    override func resize() { nest = apus_nest(y, a, b) }

    override var faultReason: String { "an integer is divided by 0" }

    override func run(phase: Int, worker: Int, workers: Int) {
        var nest = nest
        let range = share(nest.count, worker, workers, grain: UnaryLaunch.grain)
        if let vector {
            apus_binary_strided(
                kernels, vector, a.floats, b.floats, y.floats, &nest, range.lowerBound, range.upperBound)
        } else {
            let fault = apus_arithmetic_of(
                kind, y.element.code, a.pointer, b.pointer, y.pointer, &nest, range.lowerBound,
                range.upperBound)
            if fault != 0 { faults.report(index) }
        }
    }
}
