public import ApusGraph
public import ApusSupport

/// What running one pass did.
public struct PassReport: Sendable {
    /// The pass.
    public let pass: String
    /// Time the pass itself took, without verification and checks.
    public let duration: Duration
    /// Number of nodes before.
    public let nodeCountBefore: Int
    /// Number of nodes after.
    public let nodeCountAfter: Int
    /// Whether the graph differs from before.
    public let hasChanged: Bool
    /// One line for each attention that the pass met.
    public let attention: [AttentionReport]
    /// One line for each static cache that the pass met.
    public let caches: [CacheReport]
    /// What is known of the attentions' masks after the pass.
    public let masks: [MaskReport]
    /// What a user should hear of beside that.
    public let remarks: [String]
}

/// Runs passes one after the other: verifies after each that changed something, times, dumps, checks.
public struct PassManager: Sendable {
    /// Compares the graphs before and after a pass in some way of the caller's, such as by running both.
    public typealias Check =
        @Sendable (_ pass: String, _ before: Graph, _ after: Graph) throws(ApusError) -> Void

    /// The ops that may be used.
    public var registry: OpRegistry
    /// The values of the graphs' parameters, for passes that look at masks and frequencies; nil if not at hand.
    public var weights: (any WeightSource)?
    /// Folder for the text of the graph before the first pass and after each; nil for none.
    public var dumpDirectory: String?
    /// Called after each pass that changed the graph.
    public var check: Check?

    /// Makes a manager.
    public init(
        registry: OpRegistry = .standard, weights: (any WeightSource)? = nil, dumpDirectory: String? = nil,
        check: Check? = nil
    ) {
        self.registry = registry
        self.weights = weights
        self.dumpDirectory = dumpDirectory
        self.check = check
    }

    /// Runs the passes on a graph, which must verify.
    /// - Throws: what a pass, the verifier or the check throws, with the pass as context and the path of a file
    ///   with the graph that the pass was given.
    public func run(_ graph: Graph, _ passes: [any Pass]) throws(ApusError) -> (
        graph: Graph, reports: [PassReport]
    ) {
        try ApusError.within("before the first pass") { () throws(ApusError) in
            try graph.verify(registry: registry)
        }
        if let dumpDirectory { TextFile.makeFolder(dumpDirectory) }
        try dump(graph, 0, "input")
        var graph = graph
        var fingerprint = graph.fingerprint
        var reports: [PassReport] = []
        var notes = PassNotes(registry: registry, weights: weights)
        for (index, pass) in passes.enumerated() {
            let before = graph
            let old = fingerprint
            do {
                notes.attention = []
                notes.remarks = []
                let start = ContinuousClock.now
                try pass.run(&graph, &notes)
                let duration = ContinuousClock.now - start
                fingerprint = graph.fingerprint
                let hasChanged = fingerprint != old
                reports.append(
                    PassReport(
                        pass: pass.name, duration: duration, nodeCountBefore: before.nodes.count,
                        nodeCountAfter: graph.nodes.count, hasChanged: hasChanged, attention: notes.attention,
                        caches: notes.caches, masks: notes.masks, remarks: notes.remarks))
                if hasChanged {
                    try graph.verify(registry: registry)
                    try check?(pass.name, before, graph)
                }
            } catch {
                throw explain(error, pass.name, before)
            }
            try dump(graph, index + 1, pass.name)
        }
        return (graph, reports)
    }

    private func dump(_ graph: Graph, _ index: Int, _ name: String) throws(ApusError) {
        guard let dumpDirectory else { return }
        let number = index < 10 ? "0\(index)" : "\(index)"
        try TextFile.write(graph.text(registry: registry), to: "\(dumpDirectory)/\(number)-\(name).ir")
    }

    /// Names the pass and a file with its input, from which the failure can be reproduced.
    private func explain(_ error: ApusError, _ pass: String, _ before: Graph) -> ApusError {
        let directory = dumpDirectory ?? TextFile.temporaryDirectory
        let path = "\(directory)/apus-failed-\(pass).ir"
        let text = "// pass: \(pass)\n" + before.text(registry: registry)
        do {
            try TextFile.write(text, to: path)
            return error.within("pass \(pass) (its input is in \(path))")
        } catch {
            // The pass's own failure matters more than that of writing its input.
        }
        return error.within("pass \(pass)")
    }
}

extension Graph {
    /// A hash of everything that the text form shows but the names of values.
    var fingerprint: Int {
        var hasher = Hasher()
        hasher.combine(symbols)
        hasher.combine(outputs)
        func combine(_ value: Value) {
            let type = type(of: value)
            hasher.combine(value)
            hasher.combine(type.element)
            for dimension in type.shape {
                if let size = dimension.constant { hasher.combine(size) } else { hasher.combine(dimension) }
            }
        }
        inputs.forEach(combine)
        for node in nodes {
            hasher.combine(node.op)
            hasher.combine(node.operands)
            hasher.combine(node.attributes)
            node.results.forEach(combine)
        }
        return hasher.finalize()
    }
}
