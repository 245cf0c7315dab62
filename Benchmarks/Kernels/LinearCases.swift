import CApusCPU

/// Products with weights of the published shapes: one row, as in decode, and many, as in a prompt.
struct LinearCases {
    let workspace: Workspace

    /// Output and input features of Qwen2.5-0.5B's and Llama-3.2-1B's layers and heads.
    private static let shapes = [
        (896, 896), (9728, 896), (896, 4864), (2048, 2048), (16384, 2048), (2048, 8192), (32000, 2048),
    ]
    /// Rows: decode, a small batch, prompts.
    private static let rows = [1, 4, 32, 512]
    private static let types: [(String, apus_dtype, Int)] = [
        ("f32", APUS_F32, 4), ("f16", APUS_F16, 2), ("bf16", APUS_BF16, 2),
    ]

    /// All cases.
    var all: [KernelCase] {
        var cases: [KernelCase] = []
        for (n, k) in Self.shapes {
            for m in Self.rows {
                cases += Self.types.map { plain($0.0, $0.1, n, k, m) }
                cases += [quantized(4, n, k, m), exact(n, k, m), quantized(8, n, k, m)]
            }
        }
        return cases
    }

    /// Weights count as bytes where few rows stream them; many rows are bound by arithmetic.
    private func plain(_ name: String, _ type: apus_dtype, _ n: Int, _ k: Int, _ m: Int) -> KernelCase {
        let bytes = apus_panel_bytes(Int32(type.rawValue), n, k)
        return KernelCase(
            kernel: "linear \(name)", shape: shape(n, k, m), bytes: m <= 8 ? bytes : 0,
            operations: 2 * m * n * k
        ) {
            let kernels = workspace.kernels
            let weights = try workspace.stream(of: type)
            let x = try Memory(byteCount: m * k * 4).filledWithFloats()
            let y = try Memory(byteCount: m * n * 4).filledWithFloats()
            let scratch = try Memory(byteCount: kernels.packed_linear_scratch_bytes(m, k)).base
            return { run in
                var arguments = apus_packed_linear()
                arguments.w = UnsafeRawPointer(weights.part(run, byteCount: bytes))
                arguments.dtype = type
                (arguments.n, arguments.k, arguments.m) = (n, k, m)
                (arguments.x, arguments.ldx) = (UnsafePointer(x), k)
                (arguments.y, arguments.ldy) = (y, n)
                // Blocks as the engine hands them out: features that fit the cache beside the rows.
                let step = m <= 8 ? n : 512
                for first in stride(from: 0, to: n, by: step) {
                    kernels.packed_linear(&arguments, first, min(first + step, n), scratch)
                }
            }
        }
    }

    /// Codes of 4 bits in groups of 128, or of 8 bits a row; inputs rounded to 8 bits, which the time includes.
    private func quantized(_ bits: Int, _ n: Int, _ k: Int, _ m: Int) -> KernelCase {
        let setting = QuantizedSetting(bits: bits, n: n, k: k, m: m)
        return KernelCase(
            kernel: "quantized_linear int\(bits)", shape: shape(n, k, m),
            bytes: m <= 8 ? setting.byteCount : 0,
            operations: 2 * m * n * k, peak: .byteDot
        ) {
            let kernels = workspace.kernels
            let codes = try workspace.stream(of: APUS_I8)
            let arguments = try setting.arguments()
            return { run in
                var arguments = arguments
                setting.place(&arguments, codes.part(run, byteCount: setting.byteCount))
                kernels.quantize_rows(&arguments, 0, m)
                kernels.quantized_linear(&arguments, 0, n)
            }
        }
    }

    /// Codes of 4 bits in groups of 128 with inputs as they are.
    private func exact(_ n: Int, _ k: Int, _ m: Int) -> KernelCase {
        let setting = QuantizedSetting(bits: 4, n: n, k: k, m: m)
        return KernelCase(
            kernel: "exact_linear int4", shape: shape(n, k, m), bytes: m <= 4 ? setting.byteCount : 0,
            operations: 2 * m * n * k
        ) {
            let kernels = workspace.kernels
            let codes = try workspace.stream(of: APUS_I8)
            let arguments = try setting.arguments()
            let scratch = try Memory(byteCount: kernels.exact_linear_scratch_bytes(m, n, k)).base
            return { run in
                var arguments = arguments
                setting.place(&arguments, codes.part(run, byteCount: setting.byteCount))
                kernels.exact_linear(&arguments, 0, n, scratch)
            }
        }
    }

    private func shape(_ n: Int, _ k: Int, _ m: Int) -> String { "n \(n), k \(k), rows \(m)" }
}

/// Sizes and buffers of one product with quantised weights.
private struct QuantizedSetting {
    let bits, n, k, m: Int

    private var group: Int { bits == 4 ? 128 : k }
    private var groups: Int { k / group }
    private var codeBytes: Int { apus_packed_codes_bytes(n, k, Int32(bits)) }
    private var scaleCount: Int { (n + 15) / 16 * 16 * groups }

    /// Bytes of codes and FP16 scales.
    var byteCount: Int { codeBytes + 2 * scaleCount }

    /// Everything but the weights' places.
    func arguments() throws -> apus_quantized_linear {
        var arguments = apus_quantized_linear()
        arguments.bits = Int32(bits)
        (arguments.n, arguments.k, arguments.group, arguments.m) = (n, k, group, m)
        arguments.scale_dtype = APUS_F16
        (arguments.x, arguments.ldx) = (UnsafePointer(try Memory(byteCount: m * k * 4).filledWithFloats()), k)
        (arguments.y, arguments.ldy) = (try Memory(byteCount: m * n * 4).filledWithFloats(), n)
        let pieces = m * apus_quantized_pieces(k, group)
        let codes = m * apus_quantized_row_bytes(k)
        arguments.x_codes = try Memory(byteCount: codes).base.bindMemory(to: Int8.self, capacity: codes)
        arguments.x_scales = try Memory(byteCount: pieces * 4).base.bindMemory(
            to: Float.self, capacity: pieces)
        arguments.x_starts = try Memory(byteCount: pieces * 4).base.bindMemory(
            to: Int32.self, capacity: pieces)
        return arguments
    }

    /// Codes and behind them scales at `weights`; their bits are any, since no instruction's time depends on them.
    func place(_ arguments: inout apus_quantized_linear, _ weights: UnsafeMutableRawPointer) {
        arguments.codes = UnsafeRawPointer(weights)
        arguments.scales = UnsafeRawPointer(weights + codeBytes)
    }
}
