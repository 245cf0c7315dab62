public import ApusGraph
public import ApusSupport

/// A pass that is a named list of rules.
///
/// The graph is swept in execution order; at each node the first rule that matches is applied, then its new nodes
/// are looked at in turn. Sweeps are repeated until one changes nothing.
public struct RewritePass: Pass {
    /// Name of the pass, in kebab case.
    public let name: String
    private let rules: [String: [Rule]]

    /// Sweeps, or rules applied one after the other at one node, after which a pass that still finds something to
    /// change is taken to run in circles.
    private static let limit = 64

    /// Makes a pass; every rule's pattern starts at a node.
    public init(_ name: String, _ rules: [Rule]) {
        self.name = name
        var table: [String: [Rule]] = [:]
        for rule in rules {
            guard let ops = rule.pattern.rootOps else {
                preconditionFailure("a rule of '\(name)' has a pattern that does not start at a node")
            }
            for op in Set(ops) { table[op, default: []].append(rule) }
        }
        self.rules = table
    }

    /// Applies the rules until none matches.
    public func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        for _ in 0..<Self.limit {
            let editor = GraphEditor(graph, registry: notes.registry)
            try sweep(editor)
            guard editor.hasChanged else { return }
            graph = try editor.commit()
        }
        throw Self.doesNotSettle
    }

    private static let doesNotSettle = ApusError(
        .internal, "the rules still match after \(limit) sweeps; one undoes what another does")

    private func sweep(_ editor: GraphEditor) throws(ApusError) {
        for position in 0..<editor.originalCount {
            editor.anchor = position
            var work = [(id: position, depth: 0)]
            while let (id, depth) = work.popLast() {
                let mark = editor.nodeCount
                guard let node = editor.node(id), let candidates = rules[node.op] else { continue }
                for rule in candidates where try apply(rule, to: node, editor) {
                    guard depth < Self.limit else { throw Self.doesNotSettle }
                    work += (mark..<editor.nodeCount).reversed().map { ($0, depth + 1) }
                    break
                }
            }
        }
    }

    private func apply(_ rule: Rule, to node: Node, _ editor: GraphEditor) throws(ApusError) -> Bool {
        guard let bindings = Matcher(editor: editor).match(rule.pattern, node.result) else { return false }
        let match = Match(root: node.result, bindings: bindings, editor: editor)
        let mark = editor.nodeCount
        let replacement: Value?
        do {
            replacement = try rule.build(match)
        } catch {
            guard error.code == .mismatch else { throw error }
            editor.discard(since: mark)
            return false
        }
        guard let new = replacement, editor.type(of: new) == editor.type(of: node.result) else {
            editor.discard(since: mark)
            return false
        }
        for (old, new) in match.others { editor.replace(old, with: new) }
        editor.replace(node.result, with: new)
        editor.removeUnused(since: mark)
        return true
    }
}
