import ApusGraph
import ApusSupport

/// Compares the parameters of a graph with what a checkpoint holds.
struct WeightCheck {
    let checkpoint: Checkpoint
    let family: any ModelFamily.Type
    let isTied: Bool

    /// Gives each parameter the name that the checkpoint has for it.
    ///
    /// A checkpoint of the bare model, saved without its head, leaves the base module out of all names.
    func renameParameters(of graph: inout Graph) {
        let prefix = family.baseModule + "."
        for index in graph.nodes.indices where graph.nodes[index].op == "parameter" {
            guard case .string(let name)? = graph.nodes[index].attributes["name"], name.hasPrefix(prefix),
                checkpoint.storedType(of: name) == nil
            else { continue }
            let bare = String(name.dropFirst(prefix.count))
            guard checkpoint.storedType(of: bare) != nil else { continue }
            graph.nodes[index].attributes["name"] = .string(bare)
        }
    }

    /// Throws one error that lists every weight that is missing, unexpected or of the wrong type or shape.
    func check(_ graph: Graph) throws(ApusError) {
        var problems: [String] = []
        var used: Set<String> = []
        var embedding: String?
        for (name, type) in graph.parameters {
            used.insert(name)
            if embedding == nil { embedding = name }
            let shape = type.constantShape ?? []
            guard let stored = checkpoint.storedType(of: name) else {
                problems.append("'\(name)' \(shape) is missing")
                continue
            }
            guard let found = checkpoint.type(of: name), found.element.isFloat, found.shape == type.shape
            else {
                problems.append("'\(name)': expected F32, F16 or BF16 of shape \(shape), got \(stored)")
                continue
            }
        }
        for name in checkpoint.names where !used.contains(name) {
            if family.isLeftover("." + name) { continue }
            if isTied, name == "lm_head.weight", let embedding {
                if try !areEqual(name, embedding) {
                    problems.append(
                        "'\(name)' differs from '\(embedding)' although tie_word_embeddings is true; set it to "
                            + "false to use the head of the file")
                }
                continue
            }
            problems.append("'\(name)' \(checkpoint.storedType(of: name) ?? "") is unexpected")
        }
        guard problems.isEmpty else {
            throw ApusError(
                .mismatch,
                "\(checkpoint.folder): the weights do not fit config.json:\n  "
                    + problems.joined(separator: "\n  "))
        }
    }

    private func areEqual(_ a: String, _ b: String) throws(ApusError) -> Bool {
        guard checkpoint.storedType(of: a) == checkpoint.storedType(of: b) else { return false }
        var isEqual = false
        try checkpoint.withBytes(of: a) { x throws(ApusError) in
            try checkpoint.withBytes(of: b) { y throws(ApusError) in isEqual = x.isSame(as: y) }
        }
        checkpoint.release(a)
        return isEqual
    }
}

extension UnsafeRawBufferPointer {
    /// Whether two buffers hold the same bytes.
    fileprivate func isSame(as other: UnsafeRawBufferPointer) -> Bool {
        guard count == other.count else { return false }
        var index = 0
        while index + 8 <= count {
            let a = loadUnaligned(fromByteOffset: index, as: UInt64.self)
            if a != other.loadUnaligned(fromByteOffset: index, as: UInt64.self) { return false }
            index += 8
        }
        while index < count {
            if self[index] != other[index] { return false }
            index += 1
        }
        return true
    }
}
