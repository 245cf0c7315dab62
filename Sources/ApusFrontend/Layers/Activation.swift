import ApusGraph
import ApusSupport

/// The activation functions that a config can name, as in transformers' `ACT2FN` (activations.py).
enum Activation: String, CaseIterable, Sendable {
    case silu, swish, gelu, relu, tanh, sigmoid
    case geluNew = "gelu_new"
    case geluTanh = "gelu_pytorch_tanh"

    /// Reads the key that names the function.
    init(_ config: ConfigReader, _ key: String, default fallback: Activation) throws(ApusError) {
        let name = try config.string(key, default: fallback.rawValue)
        guard let known = Activation(rawValue: name) else {
            let all = Self.allCases.map(\.rawValue).joined(separator: ", ")
            throw config.error(key, "expected one of \(all), got \"\(name)\"", .unsupported)
        }
        self = known
    }
}

extension GraphBuilder {
    /// Applies an activation function.
    mutating func activation(_ function: Activation, _ x: Value) throws(ApusError) -> Value {
        switch function {
        case .silu, .swish: try add("silu", [x], name: "act_fn")
        case .gelu: try add("gelu", [x], name: "act")
        case .geluTanh: try add("gelu", [x], ["approximate": "tanh"], name: "act")
        case .relu, .tanh, .sigmoid: try add(function.rawValue, [x], name: "act")
        case .geluNew: try newGELU(x)
        }
    }

    /// `NewGELUActivation`: x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), in its own order of operations.
    private mutating func newGELU(_ x: Value) throws(ApusError) -> Value {
        let half = try add("mul", [x, scalar(0.5)])
        let cube = try add("pow", [x], ["exponent": 3.0])
        let inner = try add("add", [x, try add("mul", [cube, scalar(0.044715)])])
        let scaled = try add("mul", [inner, scalar((2 / Double.pi).squareRoot())])
        let gate = try add("add", [try add("tanh", [scaled]), scalar(1)])
        return try add("mul", [half, gate], name: "act")
    }
}
