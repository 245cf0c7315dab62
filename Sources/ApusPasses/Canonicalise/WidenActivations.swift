import ApusGraph
import ApusSupport

/// Makes a program of half precision one of FP32: how weights are stored is decided at the end, for all programs.
///
///     %w = parameter() : bf16[N, K] ; %y = linear(%x, %w) : bf16[B, S, N]
///         →     %w = parameter() : f32[N, K] ; %y = linear(%x, %w) : f32[B, S, N]
///     to(%x) {element = f32} between floats     →     %x
///
/// Parameters are declared in FP32 like those of a checkpoint, and their source converts them. Constants keep their
/// values. Changes the types of inputs and outputs of half precision.
struct WidenActivations: Pass {
    let name = "widen-activations"

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        let values = graph.inputs + graph.nodes.flatMap(\.results)
        let halves = values.filter { Self.isHalf(graph.type(of: $0).element) }
        guard !halves.isEmpty else { return }
        for value in halves {
            graph.setType(of: value, to: TensorType(.f32, graph.type(of: value).shape))
        }
        var conversions: [Value: Value] = [:]
        for position in graph.nodes.indices {
            let node = graph.nodes[position]
            for (name, attribute) in node.attributes {
                graph.nodes[position].attributes[name] = Self.widened(attribute)
            }
            if node.op == "to", let x = node.operands[0], graph.type(of: x) == graph.type(of: node.result) {
                conversions[node.result] = x
            }
        }
        graph.replaceUses(conversions)
        graph.nodes.removeAll { $0.op == "to" && conversions[$0.result] != nil }
    }

    private static func isHalf(_ element: ElementType) -> Bool { element == .f16 || element == .bf16 }

    private static func widened(_ attribute: Attribute) -> Attribute {
        switch attribute {
        case .element(let element) where isHalf(element): .element(.f32)
        case .literal(let literal) where isHalf(literal.type.element):
            .literal(TensorLiteral(TensorType(.f32, literal.type.shape), literal.values))
        default: attribute
        }
    }
}
