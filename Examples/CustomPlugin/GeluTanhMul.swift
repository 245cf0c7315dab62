import Apus
import Foundation

/// The gate of a GeGLU MLP in one op: y = gelu_tanh(gate)·up.
///
/// Gemma's MLP is made of it, and any Llama whose config says `"hidden_act": "gelu_pytorch_tanh"`. Apus computes such
/// a gate in two steps; this plugin makes it one, which reads and writes each number once.
struct GeluTanhMul: Plugin {
    let name = "GeluTanhMul"
    let version = 1

    /// What the op takes and gives.
    ///
    /// The rule says what a graph must look like; it checks every use.
    var op: OpSpec {
        OpSpec(
            "gelu_tanh_mul", .engine, "y = gelu_tanh(gate)·up; all of one shape",
            operands: [.one("gate"), .one("up")]
        ) { c in
            c.require(c[0] == c[1], "C1", "expected gate and up alike, got \(c[0]) and \(c[1])")
            c.require(c[0].element.isFloat, "C2", "expected floating-point operands, got \(c[0])")
            return [c[0]]
        }
    }

    /// What the op means, as plainly as it can be said.
    ///
    /// Rule and kernels are checked against it.
    var reference: ReferenceFunction {
        { call in
            let pairs = zip(call[0].floats, call[1].floats)
            return [call.result(pairs.map { Float(Self.gelu(Double($0)) * Double($1)) })]
        }
    }

    /// The tanh form of GELU, x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
    private static func gelu(_ x: Double) -> Double {
        x / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    }

    var cpu: (any CPUKernel)? { GeluTanhMulKernel() }
    var cuda: CUDAKernel? { .geluTanhMul }

    /// Finds the op in a graph.
    ///
    ///     %a = gelu(%gate) {approximate = "tanh"} ; %y = mul(%a, %up)     →     %y = gelu_tanh_mul(%gate, %up)
    ///
    /// The factors may come in either order; nothing else may use the activation.
    static let rule = RewritePass(
        "fuse-gelu-tanh-mul",
        [
            Rule(
                .op(
                    "mul", .op("gelu", .capture("gate"), where: { $0.isTanhApproximation }).once,
                    .capture("up"))
            ) { match throws(ApusError) in
                try match.add("gelu_tanh_mul", [match["gate"], match["up"]])
            }
        ])
}

extension NodeView {
    fileprivate var isTanhApproximation: Bool { node.attributes["approximate"] == .string("tanh") }
}
