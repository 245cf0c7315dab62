import ApusGraph
import ApusSupport

/// Compares the parameters of a graph with what a checkpoint holds.
struct WeightCheck {
    let checkpoint: Checkpoint
    let family: any ModelFamily.Type
    let isTied: Bool

    /// The tensors of quantised layers.
    private var used: Set<String> = []
    /// The layers that are stored quantised, by their names in the checkpoint.
    private var quantized: Set<String> = []
    private var problems: [String] = []

    init(checkpoint: Checkpoint, family: any ModelFamily.Type, isTied: Bool) {
        self.checkpoint = checkpoint
        self.family = family
        self.isTied = isTied
    }

    /// The source of a graph's weights; the graph gets the names that the checkpoint has for them, and codes in place
    /// of the weights that are quantised.
    /// - Throws: What reading the index of a quantised weight throws.
    mutating func source(
        of graph: inout Graph, format: (any QuantizedFormat)?
    ) throws(ApusError) -> any WeightSource {
        let modules = graph.linearModules()
        renameParameters(of: &graph, format)
        guard let format else { return checkpoint }
        let producers = graph.producers()
        var weights: [QuantizedWeight] = []
        var forms: [Int: QuantizedForm] = [:]
        for (position, module) in modules.sorted(by: { $0.key < $1.key }) where !module.isTied {
            guard let weight = graph.nodes[position].weightOperand,
                let parameter = graph.nodes[producers[weight.index]].parameterName
            else { continue }
            let name = String(parameter.dropLast(7))
            guard format.codeTensors.contains(where: { checkpoint.storedType(of: "\(name).\($0)") != nil })
            else { continue }
            quantized.insert(name)
            let found = try QuantizedWeight(
                module, name: name, in: checkpoint, format: format, used: &used, problems: &problems)
            guard let found else { continue }
            weights.append(found)
            forms[position] = found.form
        }
        graph = try graph.withQuantizedWeights(forms)
        return QuantizedCheckpoint(checkpoint, weights)
    }

    /// Gives each parameter the name that the checkpoint has for it.
    ///
    /// A checkpoint of the bare model, saved without its head, leaves the base module out of all names.
    private func renameParameters(of graph: inout Graph, _ format: (any QuantizedFormat)?) {
        func isStored(_ name: String) -> Bool {
            if checkpoint.storedType(of: name) != nil { return true }
            guard let format, name.hasSuffix(".weight") else { return false }
            let module = name.dropLast(6)
            return format.codeTensors.contains { checkpoint.storedType(of: module + $0) != nil }
        }
        let prefix = family.baseModule + "."
        for index in graph.nodes.indices {
            guard let name = graph.nodes[index].parameterName, name.hasPrefix(prefix), !isStored(name) else {
                continue
            }
            let bare = String(name.dropFirst(prefix.count))
            if isStored(bare) { graph.nodes[index].attributes["name"] = .string(bare) }
        }
    }

    /// Throws one error that lists every weight that is missing, unexpected or of the wrong type or shape.
    func check(_ graph: Graph, _ source: any WeightSource) throws(ApusError) {
        var problems = problems
        var used = used
        var embedding: String?
        for (name, type) in graph.parameters {
            used.insert(name)
            if embedding == nil { embedding = name }
            let shape = type.constantShape ?? []
            if let found = source.type(of: name), found.shape == type.shape,
                found.element.isFloat ? type.element.isFloat : found.element == type.element
            {
                continue
            }
            // What is wrong with a quantised layer is among the problems already.
            if name.hasSuffix(".weight"), quantized.contains(String(name.dropLast(7))) { continue }
            guard let stored = checkpoint.storedType(of: name) else {
                problems.append("'\(name)' \(shape) is missing")
                continue
            }
            problems.append("'\(name)': expected F32, F16 or BF16 of shape \(shape), got \(stored)")
        }
        for name in checkpoint.names where !used.contains(name) {
            if family.isLeftover("." + name) { continue }
            if try isEmptyBias(name) { continue }
            if isTied, name == "lm_head.weight", let embedding {
                if try !areEqual(name, embedding) {
                    problems.append(
                        "'\(name)' differs from '\(embedding)' although tie_word_embeddings is true; set it to "
                            + "false to use the head of the file")
                }
                continue
            }
            let hint =
                isTied && name.hasPrefix("lm_head.")
                ? "; set tie_word_embeddings to false to use the head of the file" : ""
            problems.append("'\(name)' \(checkpoint.storedType(of: name) ?? "") is unexpected\(hint)")
        }
        guard problems.isEmpty else {
            throw ApusError(
                .mismatch,
                "\(checkpoint.folder): the weights do not fit config.json:\n  "
                    + problems.joined(separator: "\n  "))
        }
    }

    /// Whether a tensor is a bias of zeros, which older tools gave every layer that they quantised.
    private func isEmptyBias(_ name: String) throws(ApusError) -> Bool {
        guard name.hasSuffix(".bias"), quantized.contains(String(name.dropLast(5))) else { return false }
        var isEmpty = false
        try checkpoint.withBytes(of: name) { bytes in isEmpty = bytes.allSatisfy { $0 == 0 } }
        return isEmpty
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
