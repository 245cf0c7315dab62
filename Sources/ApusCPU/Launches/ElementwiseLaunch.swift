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

    static let entries =
        kinds.keys.sorted().map { op in KernelEntry(op: op, kernel: "cpu.\(op)", refusal: refusal) }
        + [
            KernelEntry(op: "gelu", kernel: "cpu.gelu", refusal: refusal),
            KernelEntry(op: "pow", kernel: "cpu.square") { query in
                query.attributes["exponent"] == .float(2) || query.attributes["exponent"] == .int(2)
                    ? refusal(query) : "only exponent 2 has a kernel"
            },
        ]

    private static let refusal: @Sendable (KernelQuery) -> String? = { query in
        query.operands[0]?.element == .f32 ? nil : "x is not f32"
    }

    private let kernels: UnsafePointer<apus_kernels>
    private let kind: apus_unary
    private let x: UnsafeMutablePointer<Float>
    private let y: UnsafeMutablePointer<Float>
    private let elementCount: Dimension
    private let frame: Frame
    private var count = 0

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        kernels = context.kernels
        switch step.op {
        case "gelu": kind = step.string("approximate") == "tanh" ? APUS_GELU_TANH : APUS_GELU_ERF
        case "pow": kind = APUS_SQUARE
        default:
            guard let known = Self.kinds[step.op] else {
                throw ApusError(.internal, "no elementwise kernel for '\(step.op)'")
            }
            kind = known
        }
        x = try context.floats(step.operands[0])
        y = try context.floats(step.results[0])
        elementCount = try context.type(step.results[0]).elementCount
        frame = context.frame
        super.init(step)
    }

    override func resize() { count = frame.count(elementCount) }

    override func run(phase: Int, worker: Int, workers: Int) {
        let range = share(count, worker, workers, grain: 256)
        guard !range.isEmpty else { return }
        kernels.pointee.unary(kind, x + range.lowerBound, y + range.lowerBound, range.count)
    }
}

/// A function of two elements, where the second operand has the shape of the first, of its last dimensions, or is
/// one number.
final class BinaryLaunch: Launch {
    private static let kinds: [String: (plain: apus_binary, reversed: apus_binary)] = [
        "add": (APUS_ADD, APUS_ADD), "sub": (APUS_SUB, APUS_REVERSE_SUB), "mul": (APUS_MUL, APUS_MUL),
        "div": (APUS_DIV, APUS_REVERSE_DIV),
    ]

    private enum Form {
        case same, rows, scalar
    }

    static let entries = kinds.keys.sorted().map { op in
        KernelEntry(op: op, kernel: "cpu.\(op)") { query in
            guard let a = query.operands[0], let b = query.operands[1], a.element == .f32, b.element == .f32
            else {
                return "operands are not f32"
            }
            return arrange(a, b) == nil ? "\(a) and \(b) broadcast in a way that has no kernel" : nil
        }
    }

    /// How the operands meet, and whether they change places so that the larger comes first.
    private static func arrange(_ a: TensorType, _ b: TensorType) -> (form: Form, isReversed: Bool)? {
        for (large, small, isReversed) in [(a, b, false), (b, a, true)] {
            if large.shape == small.shape { return (.same, false) }
            if small.elementCount == 1, small.rank <= large.rank { return (.scalar, isReversed) }
            let shape = small.shape.drop { $0 == 1 }
            if small.rank <= large.rank, large.shape.suffix(shape.count) == shape {
                return (.rows, isReversed)
            }
        }
        return nil
    }

    private let kernels: UnsafePointer<apus_kernels>
    private let kind: apus_binary
    private let form: Form
    private let a: UnsafeMutablePointer<Float>
    private let b: UnsafeMutablePointer<Float>
    private let y: UnsafeMutablePointer<Float>
    private let elementCount: Dimension
    private let innerCount: Dimension
    private let frame: Frame
    private var count = 0
    private var inner = 1

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        let types = (try context.type(step.operands[0]), try context.type(step.operands[1]))
        guard let arrangement = Self.arrange(types.0, types.1), let kinds = Self.kinds[step.op] else {
            throw ApusError(.internal, "no kernel for '\(step.op)' of \(types.0) and \(types.1)")
        }
        let pointers = (try context.floats(step.operands[0]), try context.floats(step.operands[1]))
        kernels = context.kernels
        form = arrangement.form
        kind = arrangement.isReversed ? kinds.reversed : kinds.plain
        a = arrangement.isReversed ? pointers.1 : pointers.0
        b = arrangement.isReversed ? pointers.0 : pointers.1
        y = try context.floats(step.results[0])
        elementCount = try context.type(step.results[0]).elementCount
        innerCount = (arrangement.isReversed ? types.0 : types.1).elementCount
        frame = context.frame
        super.init(step)
    }

    override func resize() {
        count = frame.count(elementCount)
        inner = max(frame.count(innerCount), 1)
    }

    override func run(phase: Int, worker: Int, workers: Int) {
        switch form {
        case .same:
            let range = share(count, worker, workers, grain: 256)
            kernels.pointee.binary(
                kind, a + range.lowerBound, b + range.lowerBound, y + range.lowerBound, range.count)
        case .scalar:
            let range = share(count, worker, workers, grain: 256)
            kernels.pointee.binary_scalar(kind, a + range.lowerBound, b[0], y + range.lowerBound, range.count)
        case .rows:
            let range = share(count / inner, worker, workers)
            let offset = range.lowerBound * inner
            kernels.pointee.binary_rows(kind, a + offset, b, y + offset, range.count, inner)
        }
    }
}
