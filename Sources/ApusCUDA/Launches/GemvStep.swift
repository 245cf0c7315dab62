import ApusEngine
import ApusGraph
import ApusSupport

/// A product of a few rows with a stored matrix, with the norm before it and the gate, bias or residual after it.
///
/// Operands x, w, bias, residual, norm weight, norm bias; see ``DecodeFusion``.
final class GemvStep: DeviceStep {
    static let kind = StepKind(KernelEntry(op: "gemv", kernel: "cuda.gemv")) {
        step, context throws(ApusError) in
        try GemvStep(step, context)
    }

    private let context: DeviceContext
    private let (x, w, y): (TensorView, TensorView, TensorView)
    private let (bias, residual): (TensorView?, TensorView?)
    private let norm: (weight: TensorView, bias: TensorView?)?
    private let isGated: Bool
    private let (n, k): (Int, Int)
    private let rowCount: Size
    private let mostRows: Int

    init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        self.context = context
        (x, w) = (try context.view(step.operands[0]), try context.view(step.operands[1]))
        y = try context.view(step.results[0])
        (bias, residual) = (try context.optionalView(step, 2), try context.optionalView(step, 3))
        if let weight = try context.optionalView(step, 4) {
            norm = (weight, try context.optionalView(step, 5))
        } else {
            norm = nil
        }
        isGated = step.bool("gated")
        n = (w.type.shape[0].constant ?? 0) / (isGated ? 2 : 1)
        k = w.type.shape[1].constant ?? 0
        let rows = Dimension.product(x.type.shape.dropLast())
        (rowCount, mostRows) = (try context.size(rows), try context.most(rows))
        super.init(step)
    }

    /// What a kernel is told that computes it with others: matrix, bias and weight of the norm.
    var matrix: UnsafeRawPointer { UnsafeRawPointer(w.pointer) }
    var biasWeight: UnsafeRawPointer? { bias.map { UnsafeRawPointer($0.pointer) } }
    var normWeight: UnsafeRawPointer? { norm.map { UnsafeRawPointer($0.weight.pointer) } }

    private var macros: [String: String] {
        [
            "WEIGHT": w.element.kernelType, "VECTOR": "float", "N": "\(n)", "K": "\(k)",
            "GATED": isGated ? "1" : "0", "HAS_BIAS": bias == nil ? "0" : "1",
            "HAS_RESIDUAL": residual == nil ? "0" : "1",
            "NORM": norm == nil ? "0" : step.string("norm") == "layer_norm" ? "2" : "1",
        ]
    }

    /// Whether the result is the logits, whose largest are found on the way.
    private var isHead: Bool {
        !isGated && residual == nil && context.isOutput(step.results[0])
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        let tokens = context.symbols.value(rowCount)
        guard tokens > 0, n > 0 else { return [] }
        return PassKind.rowRuns(tokens, most: mostRows).map { run in
            .kernel(call(from: run.lowerBound, run.count, isHead: isHead && run.count >= tokens))
        }
    }

    /// The launch for some of the rows.
    private func call(from first: Int, _ rows: Int, isHead: Bool) -> KernelCall {
        let matrix = GemvShape.Matrix(
            n: n, k: k, elementBytes: w.element.byteCount, parts: isGated ? 2 : 1,
            rows: rows, isHead: isHead, hasNorm: norm != nil)
        var macros = macros
        macros["HEAD"] = isHead ? "1" : "0"
        macros["ROWS"] = "\(matrix.rows)"
        func call(
            _ source: String, _ shape: [String: String], _ grid: Int, _ threads: Int, _ sharedBytes: Int
        ) -> KernelCall {
            let unit = KernelUnit(source, macros.merging(shape) { $1 })
            return KernelCall(
                unit, isHead ? "\(source)_head" : source, grid: .init(grid), block: .init(threads),
                sharedBytes: sharedBytes, arguments(from: first, isHead: isHead, grid))
        }
        // From five rows on, tensor cores are faster than FP32 arithmetic on each weight.
        if rows > 4, w.element == .f16, k % 32 == 0 {
            let shape = GemvRowsShape(matrix, processors: context.nominalProcessorCount)
            macros["WEIGHT"] = nil
            return call("gemv_rows", shape.macros, shape.grid, GemvRowsShape.threads, shape.sharedBytes)
        }
        if context.stagesWeights,
            let shape = StagedGemvShape(
                matrix, processors: context.nominalProcessorCount,
                sharedBytes: context.device.architecture.sharedBytesPerBlock)
        {
            macros["HEAD"] = nil
            return call("gemv_staged", shape.macros, shape.grid, shape.threads, shape.sharedBytes)
        }
        let shape = GemvShape(matrix, processors: context.nominalProcessorCount)
        return call("gemv", shape.macros, shape.grid, shape.threads, shape.sharedBytes)
    }

    private func arguments(from first: Int, isHead: Bool, _ grid: Int) -> [KernelArgument] {
        var arguments: [KernelArgument] = [
            .pointer(y.pointer + 4 * first * n), .pointer(x.pointer + 4 * first * k), .pointer(w.pointer),
            .pointer(bias?.pointer),
        ]
        if !isHead { arguments.append(.pointer(residual.map { $0.pointer + 4 * first * n })) }
        arguments += [
            .pointer(norm?.weight.pointer), .pointer(norm?.bias?.pointer),
            .float(norm == nil ? 0 : Float(step.float("eps"))),
        ]
        if isHead {
            let best = context.bestLogits
            context.bestParts = grid
            arguments += [.pointer(best.values), .pointer(best.indices)]
        }
        return arguments
    }
}
