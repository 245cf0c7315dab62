import ApusGraph
import ApusSupport

/// The tensors of a checkpoint that hold one quantised weight W[N, K], and how they are laid out.
struct QuantizedTensors: Sendable {
    /// Where the codes lie.
    ///
    /// In a 32-bit word the first of its codes has the lowest bits.
    enum CodeLayout: Sendable {
        /// GPTQ: i32[K·bits/32, N], a word holds codes of consecutive columns.
        case wordsOfColumns
        /// AWQ: i32[K, N·4/32], a word holds the codes of rows 8i + 0, 2, 4, 6, 1, 3, 5, 7.
        case interleavedRows
        /// compressed-tensors: i32[N, ⌈K·bits/32⌉], a word holds codes of consecutive columns.
        case packedRows
        /// i8[N, K], less 2^(bits−1).
        case signedBytes
    }

    /// Where the scales lie.
    enum ScaleLayout: Sendable {
        /// [G, N].
        case groupsFirst
        /// [N, G].
        case rowsFirst
        /// bitsandbytes: [N], the largest magnitude of each row, which is 127 scales.
        case rowMaxima
    }

    /// Where the zero points lie.
    enum ZeroLayout: Sendable {
        /// GPTQ: i32[G, ⌈N·bits/32⌉], a word holds those of consecutive rows; version 1 stores them less one.
        case wordsOfRows(lessOne: Bool)
        /// AWQ: i32[G, N·4/32], ordered as the codes.
        case interleavedRows
        /// compressed-tensors: i32[⌈N·bits/32⌉, G], a word holds those of consecutive rows.
        case packedRows
        /// i8[N, G], less 2^(bits−1).
        case signedBytes
    }

    /// Bits of a code.
    let bits: Int
    /// Columns that share a scale; nil for one scale a row.
    let groupSize: Int?
    let codes: (name: String, layout: CodeLayout)
    let scales: (name: String, layout: ScaleLayout)
    /// nil where zero points are 2^(bits−1).
    var zeroPoints: (name: String, layout: ZeroLayout)?
    /// i32[K], the group of each column; nil where groups are of consecutive columns.
    var groupIndex: String?
    /// Tensors that only repeat what is known.
    var others: [String] = []

    /// The names of all tensors.
    var names: [String] {
        [codes.name, scales.name] + [zeroPoints?.name, groupIndex].compactMap { $0 } + others
    }

    /// The tensors that do not have the type that they must have, each in words.
    func problems(of module: LinearModule, groups: Int, in checkpoint: Checkpoint) -> [String] {
        let (rows, columns) = (module.outputs, module.inputs)
        func words(_ count: Int) -> Int { (count * bits + 31) / 32 }
        var expected: [(name: String, elements: [ElementType], shapes: [[Int]])] = []
        switch codes.layout {
        case .wordsOfColumns: expected.append((codes.name, [.i32], [[words(columns), rows]]))
        case .interleavedRows: expected.append((codes.name, [.i32], [[columns, words(rows)]]))
        case .packedRows: expected.append((codes.name, [.i32], [[rows, words(columns)]]))
        case .signedBytes: expected.append((codes.name, [.i8], [[rows, columns]]))
        }
        let floats: [ElementType] = [.f32, .f16, .bf16]
        switch scales.layout {
        case .groupsFirst: expected.append((scales.name, floats, [[groups, rows]]))
        case .rowsFirst:
            expected.append((scales.name, floats, groups == 1 ? [[rows, 1], [rows]] : [[rows, groups]]))
        case .rowMaxima: expected.append((scales.name, floats, [[rows], [rows, 1]]))
        }
        if let (name, layout) = zeroPoints {
            switch layout {
            case .wordsOfRows, .interleavedRows: expected.append((name, [.i32], [[groups, words(rows)]]))
            case .packedRows: expected.append((name, [.i32], [[words(rows), groups]]))
            case .signedBytes:
                expected.append((name, [.i8], groups == 1 ? [[rows, 1], [rows]] : [[rows, groups]]))
            }
        }
        if let groupIndex { expected.append((groupIndex, [.i32], [[columns]])) }
        return expected.compactMap { name, elements, shapes in
            let types = elements.map { $0.rawValue.uppercased() }.joined(separator: ", ")
            guard let stored = checkpoint.storedType(of: name) else {
                return "'\(name)' \(types) \(shapes[0]) is missing"
            }
            if let type = checkpoint.type(of: name), elements.contains(type.element),
                let shape = type.constantShape, shapes.contains(shape)
            {
                return nil
            }
            return "'\(name)': expected \(types) of shape \(shapes[0]), got \(stored)"
        }
    }
}
