import ApusEngine
import ApusGraph
import ApusSupport

/// y = x·wᵀ + bias + residual for many rows: cuBLASLt, or a kernel of Apus where that is missing.
///
/// Operands x, w, bias, residual. x is rounded to the type of w first, unless whatever made it has done so.
final class LinearStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(op: "linear", kernel: "cuda.linear") { query in
            guard query.operands[0]?.element == .f32 else { return "x is not f32" }
            guard let weight = query.operands[1], weight.element.isFloat, weight.constantShape != nil else {
                return "the weight is not a constant floating-point matrix"
            }
            if query.operands.count > 2, let bias = query.operands[2], bias.element != .f32 {
                return "bias \(bias) is not f32"
            }
            return nil
        }
    ) { step, context throws(ApusError) in try LinearStep(step, context) }

    private let context: DeviceContext
    private let x: TensorView
    private let w: TensorView
    private let bias: TensorView?
    private let residual: TensorView?
    private let y: TensorView
    private let rows: Size
    private let mostRows: Int
    private let (n, k): (Int, Int)

    init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        self.context = context
        x = try context.view(step.operands[0])
        w = try context.view(step.operands[1])
        bias = try context.optionalView(step, 2)
        residual = try context.optionalView(step, 3)
        y = try context.view(step.results[0])
        (n, k) = (w.type.shape[0].constant ?? 0, w.type.shape[1].constant ?? 0)
        let count = Dimension.product(x.type.shape.dropLast())
        rows = try context.size(count)
        mostRows = try context.most(count)
        super.init(step)
    }

    private var needsRounding: Bool { x.element != w.element }

    override var scratchBytes: Int { needsRounding ? mostRows * k * w.element.byteCount : 0 }

    override func work() throws(ApusError) -> [DeviceWork] {
        let m = context.symbols.value(rows)
        guard m > 0, n > 0 else { return [] }
        var work: [DeviceWork] = []
        var input = UnsafeRawPointer(x.pointer)
        if needsRounding, context.hasProducts, let scratch = context.scratch() {
            work.append(
                .kernel(RoundingCall.call(x.pointer, x.element, scratch, w.element, count: m * k, context)))
            input = UnsafeRawPointer(scratch)
        }
        let product = LinearProduct(
            element: w.element, result: y.element, m: m, n: n, k: k, x: input, w: UnsafeRawPointer(w.pointer),
            y: y.pointer, bias: bias.map { UnsafeRawPointer($0.pointer) },
            residual: residual.map { UnsafeRawPointer($0.pointer) })
        work.append(product.work(context, inputs: context.hasProducts ? w.element : x.element))
        return work
    }
}

extension LinearProduct {
    /// The product by cuBLASLt, or by a kernel of Apus where that is missing or does not take the sizes.
    /// - Parameter inputs: Type of x; cuBLASLt wants that of w.
    func work(_ context: DeviceContext, inputs: ElementType) -> DeviceWork {
        let takesSizes = k > 0 && (element == .f32 || k % 8 == 0)
        if context.hasProducts, inputs == element, takesSizes { return .product(self) }
        let unit = KernelUnit(
            "linear_rows",
            ["X_TYPE": inputs.kernelType, "W_TYPE": element.kernelType, "Y_TYPE": result.kernelType])
        return .kernel(
            KernelCall(
                unit, "linear_rows", grid: .init((n + 63) / 64, (m + 63) / 64), block: .init(256),
                [
                    .pointer(x), .pointer(w), .pointer(bias), .pointer(residual), .pointer(y), .int32(m),
                    .int32(n),
                    .int32(k),
                ]))
    }
}

/// Rounds dense elements to another floating-point type.
enum RoundingCall {
    static func call(
        _ x: UnsafeRawPointer, _ from: ElementType, _ y: UnsafeRawPointer, _ to: ElementType, count: Int,
        _ context: DeviceContext
    ) -> KernelCall {
        let unit = KernelUnit("round", ["X_TYPE": from.kernelType, "Y_TYPE": to.kernelType])
        let blocks = min((count + 2047) / 2048, context.processorCount * 8)
        return KernelCall(
            unit, "round_elements", grid: .init(max(blocks, 1)), block: .init(256),
            [.pointer(x), .pointer(y), .int64(count)])
    }
}
