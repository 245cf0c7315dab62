extension OpSpec {
    static let dequantize = OpSpec(
        "dequantize", .any,
        "y[n, k] = (codes[n, k] − zero) · scales[k / (K/G), n]; codes u8[N, K], scales [G, N], zero_points u8[G, N] "
            + "or 2^(bits−1) where absent, y f32[N, K]",
        operands: [.one("codes"), .one("scales"), .optional("zero_points")],
        attributes: [.required("bits", .int)]
    ) { c in
        let bits = c.int("bits")
        c.require(bits == 4 || bits == 8, "C5", "attribute 'bits': expected 4 or 8, got \(bits)")
        guard checkCodes(c, codes: 0, scales: 1, zeroPoints: 2) else { return nil }
        return [TensorType(.f32, c[0].shape)]
    }

    package static let int4GroupwiseGemm = quantizedLinear("int4_groupwise_gemm", bits: 4)
    static let int8Linear = quantizedLinear("int8_linear", bits: 8)

    /// A linear whose weight is read as codes.
    private static func quantizedLinear(_ name: String, bits: Int) -> OpSpec {
        OpSpec(
            name, .engine,
            "y = x·dequantize(codes, scales, zero_points)ᵀ + bias with \(bits)-bit codes; x […, K], codes u8[N, K], "
                + "scales [K/group_size, N], zero_points u8[K/group_size, N] or \(1 << (bits - 1)) where absent, "
                + "bias [N], y […, N]. activations \"int8\": x is rounded to 8 bits per row and group",
            operands: [
                .one("x"), .one("codes"), .one("scales"), .optional("zero_points"), .optional("bias"),
            ],
            attributes: [.required("group_size", .int), .optional("activations", "int8")]
        ) { c in
            guard checkCodes(c, codes: 1, scales: 2, zeroPoints: 3) else { return nil }
            let (rows, columns, groups) = (c[1].shape[0], c[1].shape[1], c[2].shape[0])
            c.require(
                c[0].element.isFloat && c[0].rank >= 1 && c[0].shape.last == columns, "C6",
                "expected a floating-point x […, \(columns)], got \(c[0])")
            c.require(
                Dimension(c.int("group_size")) * groups == columns, "C7",
                "\(groups) groups of \(c.int("group_size")) do not make the \(columns) columns of the codes")
            if let bias = c.optional(4) {
                c.require(
                    bias.shape == [rows] && bias.element.isFloat, "C8",
                    "expected a floating-point bias [\(rows)], got \(bias)")
            }
            let activations = c.string("activations")
            c.require(
                activations == "int8" || activations == "f32", "C9",
                "attribute 'activations': expected \"int8\" or \"f32\", got \"\(activations)\"")
            return [TensorType(c[0].element, c[0].shape.dropLast() + [rows])]
        }
    }

    /// Checks that codes [N, K], scales [G, N] and zero points [G, N] go together: constraints C1 to C4.
    private static func checkCodes(_ c: OpChecker, codes: Int, scales: Int, zeroPoints: Int) -> Bool {
        guard c[codes].rank == 2, c[codes].element == .u8 else {
            c.fail("C1", "expected codes u8[N, K], got \(c[codes])")
            return false
        }
        let (rows, columns) = (c[codes].shape[0], c[codes].shape[1])
        guard c[scales].rank == 2, c[scales].element.isFloat, c[scales].shape[1] == rows else {
            c.fail("C2", "expected floating-point scales [G, \(rows)], got \(c[scales])")
            return false
        }
        guard let count = columns.constant, let groups = c[scales].shape[0].constant, groups > 0,
            count % groups == 0
        else {
            c.fail("C3", "\(c[scales].shape[0]) groups do not divide \(columns) columns")
            return false
        }
        if let zeros = c.optional(zeroPoints) {
            let expected = TensorType(.u8, c[scales].shape)
            c.require(zeros == expected, "C4", "expected zero_points \(expected), got \(zeros)")
        }
        return true
    }
}
