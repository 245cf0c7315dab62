import ApusGraph
import ApusSupport

/// A weight that is stored as codes: one `dequantize`, or several of one form joined along the output features.
struct QuantizedWeight {
    /// What weights must have in common to be joined as codes.
    struct Form: Hashable {
        let bits: Int
        /// Inputs that share a scale.
        let groupSize: Int
        /// Element type of the scales.
        let scales: ElementType
    }

    /// One stored matrix.
    private struct Part {
        let codes: Value
        let scales: Value
        let zeroPoints: Value?
    }

    /// The form of all parts.
    let form: Form
    private let parts: [Part]

    /// Looks at the node that defines a weight; nil if the weight is not made of stored codes alone.
    init?(_ weight: Value, _ editor: GraphEditor) {
        var matrices = [weight]
        if let cat = editor.producer(of: weight, "cat") {
            guard cat.axis("dim") == 0 else { return nil }
            matrices = cat.operands.compactMap { $0 }
        }
        var parts: [Part] = []
        var forms: Set<Form> = []
        for matrix in matrices {
            guard let node = editor.producer(of: matrix, "dequantize"), let bits = node.int("bits"),
                let codes = node.operand(0), let scales = node.operand(1),
                let columns = node.type.shape.last?.constant,
                let groups = editor.type(of: scales).shape.first?.constant, groups > 0,
                node.operands.allSatisfy({ $0.map(editor.isWeight) ?? true })
            else { return nil }
            forms.insert(
                Form(bits: bits, groupSize: columns / groups, scales: editor.type(of: scales).element))
            parts.append(Part(codes: codes, scales: scales, zeroPoints: node.operand(2)))
        }
        guard forms.count == 1, let form = forms.first else { return nil }
        self.form = form
        self.parts = parts
    }

    /// Codes, scales and zero points of all parts, joined where there are several.
    ///
    /// Zero points that are missing beside present ones are the middle code.
    func operands(_ editor: GraphEditor, name: String?) throws(ApusError) -> [Value?] {
        let codes = try joined(parts.map(\.codes), 0, editor, name.map { $0 + ".codes" })
        let scales = try joined(parts.map(\.scales), 1, editor, name.map { $0 + ".scales" })
        guard parts.contains(where: { $0.zeroPoints != nil }) else { return [codes, scales, nil] }
        var zeroPoints: [Value] = []
        for part in parts {
            if let own = part.zeroPoints {
                zeroPoints.append(own)
            } else {
                let type = TensorType(.u8, editor.type(of: part.scales).shape)
                zeroPoints.append(
                    try editor.constant(TensorLiteral(type, [Double(1 << (form.bits - 1))])))
            }
        }
        return [codes, scales, try joined(zeroPoints, 1, editor, name.map { $0 + ".zero_points" })]
    }

    private func joined(
        _ values: [Value], _ axis: Int, _ editor: GraphEditor, _ name: String?
    ) throws(ApusError) -> Value {
        guard values.count > 1 else { return values[0] }
        return try editor.add("cat", values, ["dim": .int(axis)], name: name)
    }
}
