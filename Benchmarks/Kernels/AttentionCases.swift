import CApusCPU

/// Attention of the published shapes: one query against a long cache, and a whole prompt.
struct AttentionCases {
    let workspace: Workspace

    /// Heads of Q, heads of K and V, head size.
    private static let shapes = [(14, 2, 64), (32, 8, 64), (32, 8, 128), (16, 8, 128), (8, 8, 64)]
    private static let types: [(String, apus_dtype, Int)] = [
        ("f32", APUS_F32, 4), ("f16", APUS_F16, 2), ("bf16", APUS_BF16, 2), ("i8", APUS_I8, 1),
    ]
    /// Keys that one partial covers in decode.
    private static let keysPerSplit = 256

    /// All cases.
    var all: [KernelCase] {
        var cases: [KernelCase] = []
        for type in Self.types {
            for shape in Self.shapes {
                for length in [128, 2048, 8192] {
                    cases.append(decode(Setting(shape, type, queries: 1, keys: length)))
                }
            }
            for shape in Self.shapes.prefix(3) {
                for length in [512, 2048] {
                    cases.append(prefill(Setting(shape, type, queries: length, keys: length)))
                }
            }
        }
        return cases
    }

    /// One query; K and V are read once, so that is what bounds it.
    private func decode(_ setting: Setting) -> KernelCase {
        KernelCase(
            kernel: "attention decode \(setting.typeName)", shape: "\(setting.heads), keys \(setting.keys)",
            bytes: setting.cacheBytes, operations: 4 * setting.qHeads * setting.keys * setting.size
        ) {
            let kernels = workspace.kernels
            let cache = try workspace.stream(of: setting.type)
            let call = try setting.call(kernels)
            let step = Self.keysPerSplit
            let partialFloats = kernels.attention_partial_floats(
                setting.qHeads, setting.kvHeads, setting.size)
            let splits = (setting.keys + step - 1) / step
            let partials = try Memory(byteCount: splits * partialFloats * 4).filledWithFloats()
            return { run in
                var arguments = call.arguments
                setting.place(&arguments, cache.part(run, byteCount: setting.cacheBytes))
                for head in 0..<setting.kvHeads {
                    for split in 0..<splits {
                        kernels.attention_decode_partial(
                            &arguments, 0, head, split * step, min(split * step + step, setting.keys),
                            partials + split * partialFloats, call.scratch)
                    }
                    kernels.attention_decode_combine(&arguments, 0, head, partials, splits)
                }
            }
        }
    }

    /// A whole prompt; only what a causal mask shows is counted as work.
    private func prefill(_ setting: Setting) -> KernelCase {
        KernelCase(
            kernel: "attention prefill \(setting.typeName)",
            shape: "\(setting.heads), tokens \(setting.keys)",
            bytes: 0, operations: 2 * setting.qHeads * setting.keys * (setting.keys + 1) * setting.size
        ) {
            let kernels = workspace.kernels
            let cache = try workspace.stream(of: setting.type)
            let call = try setting.call(kernels)
            return { run in
                var arguments = call.arguments
                setting.place(&arguments, cache.part(run, byteCount: setting.cacheBytes))
                for head in 0..<setting.kvHeads {
                    kernels.attention(&arguments, 0, head, 0, setting.keys, call.scratch)
                }
            }
        }
    }
}

/// Sizes of one case, and the cache's order: K of all heads, then V; of INT8, the scales behind each head's codes.
private struct Setting {
    let qHeads, kvHeads, size, queries, keys: Int
    let typeName: String
    let type: apus_dtype
    private let elementBytes: Int

    init(
        _ shape: (q: Int, kv: Int, size: Int), _ type: (name: String, type: apus_dtype, bytes: Int),
        queries: Int,
        keys: Int
    ) {
        (qHeads, kvHeads, size) = shape
        (typeName, self.type, elementBytes) = type
        (self.queries, self.keys) = (queries, keys)
    }

    var heads: String { "heads \(qHeads)/\(kvHeads), size \(size)" }
    private var headBytes: Int { keys * (size * elementBytes + (type == APUS_I8 ? 4 : 0)) }
    /// Bytes of K and V.
    var cacheBytes: Int { 2 * kvHeads * headBytes }

    /// What does not change from run to run.
    struct Call {
        var arguments: apus_attention
        let scratch: UnsafeMutableRawPointer
    }

    func call(_ kernels: apus_kernels) throws -> Call {
        let row = qHeads * size
        var arguments = apus_attention()
        arguments.q = UnsafePointer(try Memory(byteCount: queries * row * 4).filledWithFloats())
        arguments.out = try Memory(byteCount: queries * row * 4).filledWithFloats()
        (arguments.q_head_stride, arguments.q_token_stride) = (size, row)
        (arguments.out_head_stride, arguments.out_token_stride) = (size, row)
        arguments.kv_dtype = type
        (arguments.k_head_stride, arguments.k_row_stride) = (headBytes / elementBytes, size)
        (arguments.v_head_stride, arguments.v_row_stride) = (headBytes / elementBytes, size)
        arguments.kv_scale_offset = keys * size
        (arguments.q_heads, arguments.kv_heads, arguments.head_dim) = (qHeads, kvHeads, size)
        let bounds = try Memory(byteCount: 8).base.bindMemory(to: Int32.self, capacity: 2)
        (bounds[0], bounds[1]) = (Int32(keys - queries), Int32(keys))
        (arguments.start, arguments.length) = (UnsafePointer(bounds), UnsafePointer(bounds + 1))
        arguments.causal = 1
        arguments.scale = 1 / Float(size).squareRoot()
        let scratch = try Memory(byteCount: kernels.attention_scratch_bytes(qHeads, kvHeads, size))
        return Call(arguments: arguments, scratch: scratch.base)
    }

    func place(_ arguments: inout apus_attention, _ cache: UnsafeMutableRawPointer) {
        arguments.k = UnsafeRawPointer(cache)
        arguments.v = UnsafeRawPointer(cache + kvHeads * headBytes)
    }
}
