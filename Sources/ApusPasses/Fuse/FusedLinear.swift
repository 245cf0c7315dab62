import ApusGraph
import ApusSupport

/// One of several projections of the same input.
struct Projection {
    let result: Value
    let weight: Value
    let bias: Value?

    init(_ result: Value, weight: Value, bias: Value?) {
        self.result = result
        self.weight = weight
        self.bias = bias
    }
}

extension GraphEditor {
    /// Builds one linear that computes all projections of `x` side by side, and a slice of it for each.
    ///
    /// The slices take the names of the projections; the linear and its weight are called `name` beside them.
    /// Returns nil unless all weights have a constant number of rows, and all or none are codes, of one form.
    func fusedLinear(_ x: Value, _ parts: [Projection], name: String) throws(ApusError) -> [Value]? {
        var sizes: [Int] = []
        for part in parts {
            guard let size = type(of: part.weight).shape.first?.constant else { return nil }
            sizes.append(size)
        }
        // Joined with others, codes would have to be dequantized.
        guard Set(parts.map { QuantizedWeight($0.weight, self)?.form }).count == 1 else { return nil }
        let name = parts.first.flatMap { siblingName(of: $0.result, name) }
        let weight = try add(
            "cat", parts.map(\.weight), ["dim": 0], name: name.map { $0 + ".weight" })
        var operands = [x, weight]
        if parts.contains(where: { $0.bias != nil }) {
            var biases: [Value] = []
            for (part, size) in zip(parts, sizes) {
                if let bias = part.bias {
                    biases.append(bias)
                } else {
                    let type = TensorType(type(of: part.weight).element, [size])
                    biases.append(try constant(TensorLiteral(type, [0])))
                }
            }
            operands.append(try add("cat", biases, ["dim": 0], name: name.map { $0 + ".bias" }))
        }
        let fused = try add("linear", operands, name: name)
        var start = 0
        var slices: [Value] = []
        for (part, size) in zip(parts, sizes) {
            slices.append(
                try add(
                    "slice", [fused],
                    ["dim": .int(type(of: x).rank - 1), "start": .int(start), "end": .int(start + size)],
                    name: graph.name(of: part.result)))
            start += size
        }
        return slices
    }

    /// A name beside a value's: `layers.0.mlp.gate_proj` gives `layers.0.mlp.gate_up_proj`; nil if it has none.
    func siblingName(of value: Value, _ last: String) -> String? {
        guard let name = graph.name(of: value) else { return nil }
        return (name.split(separator: ".").dropLast().map(String.init) + [last]).joined(separator: ".")
    }
}

extension Match {
    /// Builds one linear in place of several; see ``GraphEditor/fusedLinear(_:_:name:)``.
    func fusedLinear(_ x: Value, _ parts: [Projection], name: String) throws(ApusError) -> [Value]? {
        try editor.fusedLinear(x, parts, name: name)
    }

    /// Whether a value is computed from parameters and constants alone.
    func isWeight(_ value: Value) -> Bool { editor.isWeight(value) }
}
