import ApusGraph
import ApusSupport

/// A linear layer of a model: a matrix that a checkpoint may hold quantised.
struct LinearModule: Sendable, Hashable {
    /// The class of `torch` that the layer has in transformers, which configs name as a target.
    enum Kind: String, Sendable {
        case linear = "Linear"
        /// GPT-2's: its plain weight is [inputs, outputs]; quantised ones are stored like any other layer's.
        case conv1D = "Conv1D"
    }

    /// The module's full name in transformers, such as `model.layers.0.self_attn.q_proj`.
    let name: String
    let kind: Kind
    /// N, the rows of the weight.
    let outputs: Int
    /// K, its columns.
    let inputs: Int
    /// Whether the layer shares its weight with the embedding.
    let isTied: Bool
}

extension Graph {
    /// The linear layers by the position of the node that multiplies with their weight.
    func linearModules() -> [Int: LinearModule] {
        let producers = producers()
        var embeddings: Set<Value> = []
        for node in nodes where node.op == "embedding" { node.operands[0].map { _ = embeddings.insert($0) } }
        var modules: [Int: LinearModule] = [:]
        for (position, node) in nodes.enumerated() {
            let kind: LinearModule.Kind
            switch node.op {
            case "linear": kind = .linear
            case "addmm": kind = .conv1D
            default: continue
            }
            guard let weight = node.weightOperand, producers[weight.index] >= 0,
                let name = nodes[producers[weight.index]].parameterName, name.hasSuffix(".weight"),
                let shape = type(of: weight).constantShape, shape.count == 2
            else { continue }
            let isTied = embeddings.contains(weight)
            let owner = isTied ? self.name(of: node.result) ?? "lm_head" : String(name.dropLast(7))
            modules[position] = LinearModule(
                name: owner, kind: kind, outputs: shape[kind == .linear ? 0 : 1],
                inputs: shape[kind == .linear ? 1 : 0], isTied: isTied)
        }
        return modules
    }
}

extension Node {
    /// The name of the weight that a `parameter` is.
    var parameterName: String? {
        guard op == "parameter", case .string(let name)? = attributes["name"] else { return nil }
        return name
    }

    /// The weight of a `linear` or an `addmm`.
    var weightOperand: Value? {
        switch op {
        case "linear": operands[1]
        case "addmm": operands[2]
        default: nil
        }
    }
}
