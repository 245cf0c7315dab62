import ApusGraph
import ApusSupport

extension GraphBuilder {
    /// `torch.nn.Linear`: weight [outputs, inputs], and a bias if there is one.
    mutating func linear(
        _ name: String, _ x: Value, inputs: Int, outputs: Int, bias hasBias: Bool
    ) throws(ApusError) -> Value {
        let (weight, bias) = try module(name) { builder throws(ApusError) in
            (
                builder.weight("weight", [outputs, inputs]),
                hasBias ? builder.weight("bias", [outputs]) : nil
            )
        }
        return try add("linear", bias.map { [x, weight, $0] } ?? [x, weight], name: name)
    }

    /// The `Conv1D` of GPT-2: a linear layer whose weight is [inputs, outputs], on flattened rows.
    mutating func conv1D(
        _ name: String, _ x: Value, inputs: Int, outputs: Int
    ) throws(ApusError) -> Value {
        let (weight, bias) = try module(name) { builder throws(ApusError) in
            (builder.weight("weight", [inputs, outputs]), builder.weight("bias", [outputs]))
        }
        let leading = Array(shape(x).dropLast())
        let rows: [Dimension] = [.product(leading), Dimension(inputs)]
        let flat = try add("view", [x], ["shape": .dimensions(rows)])
        let product = try add("addmm", [bias, flat, weight])
        return try add(
            "view", [product], ["shape": .dimensions(leading + [Dimension(outputs)])], name: name)
    }

    /// `torch.nn.Embedding`: weight [rows, width].
    ///
    /// Returns the weight too, for a tied head.
    mutating func embedding(
        _ name: String, _ indices: Value, rows: Int, width: Int
    ) throws(ApusError) -> (y: Value, weight: Value) {
        let weight = try module(name) { builder throws(ApusError) in builder.weight("weight", [rows, width]) }
        return (try add("embedding", [weight, indices], name: name), weight)
    }

    /// The output head, without a bias: its own weight, or the embedding's if it is tied.
    mutating func head(
        _ x: Value, tied: Value?, width: Int, vocabulary: Int
    ) throws(ApusError) -> Value {
        guard let tied else {
            return try linear("lm_head", x, inputs: width, outputs: vocabulary, bias: false)
        }
        return try add("linear", [x, tied], name: "lm_head")
    }
}
