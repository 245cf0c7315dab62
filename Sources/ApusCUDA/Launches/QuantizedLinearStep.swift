import ApusEngine
import ApusGraph
import ApusSupport

/// A linear whose weight is read as codes of 4 or 8 bits.
///
/// Few rows are multiplied with the codes as they stream by; for many the weight is first written out in the type of its
/// scales, which costs less than a product that decodes it again for each tile of rows. Inputs are never rounded to 8 bits,
/// whatever the op's `activations` allow.
final class QuantizedLinearStep: DeviceStep {
    /// Kernels of an op by bits, for many rows and for few.
    static func kinds(_ op: String, bits: Int) -> (many: StepKind, few: StepKind) {
        let refusal: @Sendable (KernelQuery) -> String? = { query in
            guard query.operands[0]?.element == .f32 else { return "x is not f32" }
            if query.operands.count > 4, let bias = query.operands[4], bias.element != .f32 {
                return "bias \(bias) is not f32"
            }
            guard let shape = query.operands[1]?.constantShape, shape.count == 2 else {
                return "the codes are not a constant matrix"
            }
            let group = query.int("group_size")
            guard group % 8 == 0 || group == shape[1] else {
                return "group_size \(group) is neither a multiple of 8 nor all \(shape[1]) inputs"
            }
            return nil
        }
        let many = StepKind(
            KernelEntry(
                op: op, kernel: "cuda.\(op)",
                refusal: refusal,
                packing: { operand, query in packing(of: operand, bits: bits, group: query.int("group_size"))
                })
        ) { step, context throws(ApusError) in try QuantizedLinearStep(step, context, bits: bits) }
        let few = StepKind(
            KernelEntry(op: "int\(bits)_gemv", kernel: "cuda.int\(bits)_gemv")
        ) { step, context throws(ApusError) in try QuantizedLinearStep(step, context, bits: bits) }
        return (many, few)
    }

    /// How an operand is stored.
    static func packing(of operand: Int, bits: Int, group: Int) -> (any WeightPacking)? {
        switch operand {
        case 1: TileCodes(bits: bits, group: group)
        case 2, 3: TileGroups()
        default: nil
        }
    }

    private let context: DeviceContext
    private let bits: Int
    private let (x, codes, scales): (TensorView, TensorView, TensorView)
    private let (zeros, bias, residual): (TensorView?, TensorView?, TensorView?)
    private let norm: (weight: TensorView, bias: TensorView?)?
    private let y: TensorView
    private let isGated: Bool
    private let (n, k, group): (Int, Int, Int)
    private let rowCount: Size
    private let mostRows: Int
    private let counters: UnsafeMutableRawPointer

    init(_ step: Plan.Step, _ context: DeviceContext, bits: Int) throws(ApusError) {
        self.context = context
        self.bits = bits
        (x, codes) = (try context.view(step.operands[0]), try context.view(step.operands[1]))
        scales = try context.view(step.operands[2])
        (zeros, bias) = (try context.optionalView(step, 3), try context.optionalView(step, 4))
        residual = try context.optionalView(step, 5)
        if let weight = try context.optionalView(step, 6) {
            norm = (weight, try context.optionalView(step, 7))
        } else {
            norm = nil
        }
        y = try context.view(step.results[0])
        isGated = step.bool("gated")
        (n, k) = (codes.type.shape[0].constant ?? 0, codes.type.shape[1].constant ?? 0)
        group = step.int("group_size")
        let count = Dimension.product(x.type.shape.dropLast())
        rowCount = try context.size(count)
        mostRows = try context.most(count)
        counters = try context.takeCounters(
            (n + 127) / 128 * max((mostRows + 127) / 128, 1))
        super.init(step)
    }

    /// The type that many rows are multiplied in: that of the scales, but of FP32 ones only where inputs are to stay exact.
    private var factor: ElementType {
        scales.element == .f32 && step.string("activations") != "f32" ? .f16 : scales.element
    }

    /// Whether the kernel for few rows serves: it reads and writes FP32.
    private var usesCodes: Bool {
        isPlain && context.symbols.value(rowCount) <= PassKind.mostDecodeRows
    }

    private var isPlain: Bool { x.element == .f32 && y.element == .f32 }

    override var scratchBytes: Int {
        guard mostRows > PassKind.mostDecodeRows || !isPlain else { return 0 }
        var most = 0
        if context.hasProducts || x.element == .bf16 {
            most = weightBytes + (x.element == factor ? 0 : mostRows * k * factor.byteCount)
        }
        for rows in [16, 32, 64, 128, mostRows] where usesTiles(rows) && rows <= max(mostRows, 16) {
            most = max(most, 4 * gemmShape(rows).splits * rows * n)
        }
        return most
    }

    private var weightBytes: Int { (n * k * factor.byteCount + 255) / 256 * 256 }

    private var macros: [String: String] {
        [
            "BITS": "\(bits)", "G": "\(group)", "K": "\(k)", "SCALE": scales.element.kernelType,
            "HAS_ZEROS": zeros == nil ? "0" : "1",
        ]
    }

    override func work() throws(ApusError) -> [DeviceWork] {
        let rows = context.symbols.value(rowCount)
        guard rows > 0, n > 0 else { return [] }
        if usesCodes { return fewRows(rows) }
        if usesTiles(rows) { return [.kernel(someRows(rows))] }
        return try manyRows(rows)
    }

    private func fewRows(_ tokens: Int) -> [DeviceWork] {
        PassKind.rowRuns(tokens, most: mostRows).map { run in
            .kernel(fewRows(from: run.lowerBound, run.count, isHead: isHead && run.count >= tokens))
        }
    }

    private func fewRows(from first: Int, _ rows: Int, isHead: Bool) -> KernelCall {
        let features = isGated ? n / 2 : n
        let shape = QuantizedGemvShape(
            .init(
                n: features, k: k, bits: bits, group: group, rows: rows, parts: isGated ? 2 : 1,
                scaleBytes: scales.element.byteCount, hasZeros: zeros != nil),
            architecture: context.device.architecture)
        var macros = macros.merging(shape.macros) { $1 }
        macros.merge(
            [
                "N": "\(features)", "ROWS": "\(rows)", "VECTOR": "float", "HEAD": isHead ? "1" : "0",
                "GATED": isGated ? "1" : "0", "HAS_BIAS": bias == nil ? "0" : "1",
                "HAS_RESIDUAL": residual == nil ? "0" : "1",
                "NORM": norm == nil ? "0" : step.string("norm") == "layer_norm" ? "2" : "1",
            ]) { $1 }
        var arguments: [KernelArgument] = [
            .pointer(y.pointer + 4 * first * features), .pointer(x.pointer + 4 * first * k),
            .pointer(codes.pointer), .pointer(scales.pointer), .pointer(zeros?.pointer),
            .pointer(bias?.pointer),
        ]
        if !isHead { arguments.append(.pointer(residual.map { $0.pointer + 4 * first * features })) }
        arguments += [
            .pointer(norm?.weight.pointer), .pointer(norm?.bias?.pointer),
            .float(norm == nil ? 0 : Float(step.float("eps"))),
        ]
        if isHead {
            let best = context.bestLogits
            context.bestParts = shape.grid
            arguments += [.pointer(best.values), .pointer(best.indices)]
        }
        return KernelCall(
            KernelUnit("quantized_gemv", macros), isHead ? "quantized_gemv_head" : "quantized_gemv",
            grid: .init(shape.grid), block: .init(shape.threads), sharedBytes: shape.sharedBytes, arguments)
    }

    /// Whether the result is the logits of a pass of few rows, whose largest are found on the way.
    private var isHead: Bool {
        guard context.kind == .decode, let output = context.plan.outputs.first, !isGated, residual == nil
        else {
            return false
        }
        return context.plan.root(of: output.tensor) == step.results[0]
    }

    /// Whether rows are so few that codes are best decoded for each tile of them.
    private func usesTiles(_ rows: Int) -> Bool {
        (x.element == .f32 || x.element == .f16)
            && (rows <= QuantizedGemmShape.mostRows || !context.hasProducts)
    }

    private func gemmShape(_ rows: Int) -> QuantizedGemmShape {
        QuantizedGemmShape(
            n: n, k: k, group: group, rows: rows, input: x.element, processors: context.nominalProcessorCount)
    }

    private func someRows(_ rows: Int) -> KernelCall {
        let shape = gemmShape(rows)
        var macros = macros.merging(shape.macros) { $1 }
        macros.merge(
            [
                "N": "\(n)", "OUT": y.element.kernelType, "VECTOR": "float",
                "HAS_BIAS": bias == nil ? "0" : "1",
                "HAS_RESIDUAL": residual == nil ? "0" : "1",
            ]) { $1 }
        return KernelCall(
            KernelUnit("quantized_gemm", macros), "quantized_gemm",
            grid: .init((n + 127) / 128, (rows + shape.tile - 1) / shape.tile, shape.splits),
            block: .init(QuantizedGemmShape.threads), sharedBytes: shape.sharedBytes,
            [
                .pointer(y.pointer), .pointer(x.pointer), .int32(rows), .pointer(codes.pointer),
                .pointer(scales.pointer), .pointer(zeros?.pointer), .pointer(bias?.pointer),
                .pointer(residual?.pointer), .pointer(context.scratch()), .pointer(counters),
            ])
    }

    private func manyRows(_ rows: Int) throws(ApusError) -> [DeviceWork] {
        guard let scratch = context.scratch() else {
            throw ApusError(.internal, "int\(bits) product: no scratch for the weight")
        }
        var macros = macros
        macros["N"] = "\(n)"
        macros["OUT_TYPE"] = factor.kernelType
        let padded = QuantizedGroups.paddedInputs(k: k, group: group)
        var work: [DeviceWork] = [
            .kernel(
                KernelCall(
                    KernelUnit("dequantize", macros), "dequantize",
                    grid: .init((padded + 511) / 512, (n + 15) / 16), block: .init(256),
                    [
                        .pointer(codes.pointer), .pointer(scales.pointer), .pointer(zeros?.pointer),
                        .pointer(scratch),
                    ]))
        ]
        var input = UnsafeRawPointer(x.pointer)
        if x.element != factor {
            let rounded = scratch + weightBytes
            work.append(
                .kernel(RoundingCall.call(x.pointer, x.element, rounded, factor, count: rows * k, context)))
            input = UnsafeRawPointer(rounded)
        }
        let product = LinearProduct(
            element: factor, result: y.element, m: rows, n: n, k: k, x: input, w: UnsafeRawPointer(scratch),
            y: y.pointer, bias: bias.map { UnsafeRawPointer($0.pointer) },
            residual: residual.map { UnsafeRawPointer($0.pointer) })
        work.append(product.work(context, inputs: factor))
        return work
    }
}
