import ApusGraph
import ApusSupport

/// What the attention plugin needs to know of one attention of the graph, proven from how it is computed.
struct AttentionMatch {
    /// Query, key or value: where it comes from, and what happens to it on the way.
    struct Head {
        /// [B, S, heads · D].
        var source: Value
        var heads = 0
        var size = 0
        /// Weight [D] and epsilon of the RMS norm of each head, before the rotary embedding.
        var norm: (weight: Value, eps: Double)?
        var rotary: RotaryTable?
    }

    let query: Head
    let key: Head
    let value: Head
    let scale: Double
    /// Number of keys that a query sees, itself included; 0 for all.
    let window: Int
    /// Bound of the scores; 0 for none.
    let softcap: Double
    let batch: Dimension
    let sequence: Dimension

    /// Looks at a `scaled_dot_product_attention`.
    /// - Throws: `.unsupported` with the reason why the plugin does not compute this attention.
    init(_ node: NodeView, _ editor: GraphEditor) throws(ApusError) {
        guard node.bool("is_causal"), node.operand(3) == nil else {
            throw ApusError(.unsupported, node.operand(3) == nil ? "it is not causal" : node.maskText)
        }
        guard let q = node.operand(0), let k = node.operand(1), let v = node.operand(2),
            let scale = node.float("scale")
        else { throw ApusError(.unsupported, "an operand is missing") }
        query = try Self.head(q, "query", editor)
        key = try Self.head(k, "key", editor)
        value = try Self.head(v, "value", editor)
        self.scale = scale
        window = node.int("sliding_window") ?? 0
        softcap = node.float("softcap") ?? 0
        batch = node.type.shape[0]
        sequence = node.type.shape[2]
        let keyType = editor.type(of: k)
        guard keyType.shape[2] == sequence else {
            throw ApusError(.unsupported, "keys \(keyType) are not those of the \(sequence) queries")
        }
        guard editor.type(of: query.source).element == .f32 else {
            throw ApusError(.unsupported, "the query is of \(editor.type(of: query.source)), not f32")
        }
        guard value.norm == nil, value.rotary == nil else {
            throw ApusError(.unsupported, "the value is normalised or rotated")
        }
        guard query.rotary == key.rotary else {
            throw ApusError(.unsupported, "query and key are rotated differently")
        }
        guard (query.norm == nil) == (key.norm == nil), query.norm?.eps == key.norm?.eps else {
            throw ApusError(.unsupported, "query and key are normalised differently")
        }
    }

    /// Follows an operand of the attention, [B, heads, S, D], up to the projection it comes from.
    private static func head(
        _ operand: Value, _ label: String, _ editor: GraphEditor
    ) throws(ApusError) -> Head {
        var head = Head(source: operand)
        var isTransposed = false
        var value = editor.resolve(operand)
        while let node = editor.producer(of: value).map({ NodeView($0, editor) }), node.node.result == value,
            let source = node.operand(0)
        {
            switch node.node.op {
            case "transpose" where !isTransposed && node.type.rank == 4 && node.transposes(1, 2):
                isTransposed = true
            case "rope" where head.rotary == nil && head.norm == nil:
                guard let cos = node.operand(1), let sin = node.operand(2),
                    let rotary = editor.type(of: cos).shape.last, node.type.rank == 4
                else { break }
                // Tables are broadcast over the heads, wherever that dimension stands here.
                var shape = node.type.shape
                shape[isTransposed ? 2 : 1] = 1
                shape[3] = rotary
                head.rotary = try RotaryAnalysis(editor: editor).table(cos: cos, sin: sin, expected: shape)
            case "rms_norm" where head.norm == nil:
                guard let weight = node.operand(1), let eps = node.float("eps"), editor.isWeight(weight)
                else {
                    break
                }
                head.norm = (weight, eps)
            case "view" where isTransposed && isSplit(node):
                head.source = source
                head.heads = node.type.shape[2].constant ?? 0
                head.size = node.type.shape[3].constant ?? 0
                return head
            default:
                throw ApusError(
                    .unsupported, "\(label): \(editor.describe(value)) is between projection and attention")
            }
            value = source
        }
        throw ApusError(
            .unsupported, "\(label): \(editor.describe(value)) is not a projection split in heads")
    }

    /// Whether a view makes [B, S, heads, D] of [B, S, heads · D].
    private static func isSplit(_ node: NodeView) -> Bool {
        guard node.type.rank == 4, let source = node.types[0], source.rank == 3 else { return false }
        let shape = node.type.shape
        return shape[2].constant != nil && shape[3].constant != nil
            && source.shape == [shape[0], shape[1], shape[2] * shape[3]]
    }
}

extension NodeView {
    /// The mask operand of an attention as a reason why a kernel does not compute it.
    fileprivate var maskText: String {
        guard let name = string("mask_class"), !name.isEmpty else { return "it has a mask" }
        return "its mask is \(name)"
    }
}
