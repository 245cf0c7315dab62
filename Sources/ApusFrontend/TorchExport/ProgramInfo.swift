import ApusGraph
import ApusSupport

extension ExportedProgram {
    /// The kind of model, from the class that was traced, as in `llama` for `transformers.models.llama.…`; `exported`
    /// if the archive does not name it.
    var modelType: String {
        for node in graph.nodes {
            for name in node.moduleClasses {
                let parts = name.split(separator: ".")
                if let index = parts.firstIndex(of: "models"), index + 1 < parts.count {
                    return String(parts[index + 1])
                }
            }
        }
        return "exported"
    }
}

/// What a runtime must know of an imported program.
struct ProgramInfo {
    let graph: Graph
    let program: ExportedProgram

    /// The description of the model.
    /// - Throws: `.unsupported` for a program whose first output is no logits.
    func info() throws(ApusError) -> ModelInfo {
        let logits = graph.outputs.first.map { graph.type(of: $0) }
        guard let logits, logits.rank == 3, logits.element.isFloat, let vocabulary = logits.shape[2].constant
        else {
            throw ApusError(
                .unsupported,
                "expected logits [batch, sequence, vocabulary] as the first output, got "
                    + "\(logits?.description ?? "none")")
        }
        return ModelInfo(
            modelType: program.modelType, vocabularySize: vocabulary, maxPositions: maxPositions,
            layerCount: layerCount, precision: precision)
    }

    /// The largest length of the sequence, and no more than the rows of a table that positions are looked up in.
    private var maxPositions: Int {
        var largest = graph.symbol(named: "S")?.range.upperBound ?? 1
        guard let positions = graph.input(named: "position_ids") else { return largest }
        let producers = graph.producers()
        for node in graph.nodes where node.op == "embedding" && node.operands.count > 1 {
            guard let weight = node.operands[0], let rows = graph.type(of: weight).shape.first?.constant,
                let indices = node.operands[1], source(of: indices, producers) == positions
            else { continue }
            largest = min(largest, rows)
        }
        return largest
    }

    /// The value behind views and markers.
    private func source(of value: Value, _ producers: [Int]) -> Value {
        var value = value
        while producers[value.index] >= 0 {
            let node = graph.nodes[producers[value.index]]
            guard ["view", "detach", "clone", "assert_element", "expand"].contains(node.op),
                let next = node.operands[0]
            else { break }
            value = next
        }
        return value
    }

    /// The most different numbers that stand at one place of the parameters' names, as in `model.layers.7.mlp`.
    private var layerCount: Int {
        var numbers: [String: Set<Int>] = [:]
        for (name, _) in graph.parameters {
            let parts = name.split(separator: ".")
            for (index, part) in parts.enumerated() {
                guard let number = Int(part) else { continue }
                numbers[parts[..<index].joined(separator: "."), default: []].insert(number)
            }
        }
        return numbers.values.map(\.count).max() ?? 0
    }

    /// The type of most floating-point parameters, by elements.
    private var precision: ElementType {
        var counts: [ElementType: Int] = [:]
        for (_, type) in graph.parameters where type.element.isFloat {
            counts[type.element, default: 0] += type.elementCount.constant ?? 0
        }
        let order: [ElementType] = [.f32, .f16, .bf16]
        return order.max { counts[$0, default: 0] < counts[$1, default: 0] } ?? .f32
    }
}
