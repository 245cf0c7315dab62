import ApusGraph
import ApusSupport

/// Updates a static cache in place where a concatenation is proven to overwrite a range of rows and nothing else.
///
///     %n = cat(slice(%c) {0 ..< a}, %new, slice(%c) {b ..< C}) ; %v = slice(%n) {0 ..< b} ; return …, %n
///     %v = cat(slice(%c) {0 ..< a}, %new) ; %n = cat(%v, slice(%c) {b ..< C}) ; return …, %n
///         →     %n = kv_update(%c, %new) {start = a} ; %v = slice(%n) {0 ..< b} ; return …, %n
///
/// The proof, for the i-th cache among the inputs and the i-th output after the logits: the output is a concatenation along
/// dimension 2, nested or not, of the rows 0 ..< a of the input, one new tensor, and the rows b ..< C of the input,
/// and has the input's type, so that the new tensor fills a ..< b. Nothing but these two slices reads the input, and
/// nothing but the concatenation reads the slices, so nobody sees that the rows have changed. Each cache gets a
/// ``CacheReport``.
struct AliasKVCache: Pass {
    let name = "alias-kv-cache"

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        let caches = StaticCache.inputs(of: graph)
        let outputs = Array(graph.outputs.dropFirst())
        let editor = GraphEditor(graph, registry: notes.registry)
        let users = Users(graph)
        for (index, cache) in caches.enumerated() {
            let name = graph.name(of: cache) ?? "\(index)"
            do throws(ApusError) {
                guard index < outputs.count else {
                    throw ApusError(.unsupported, "there is no output \(index + 1) that updates it")
                }
                let update = CacheUpdate(
                    cache: cache, output: outputs[index], graph: graph, editor: editor, users: users)
                try update.apply()
                notes.caches.append(CacheReport(cache: name))
            } catch {
                guard error.code == .unsupported else { throw error }
                notes.caches.append(CacheReport(cache: name, reason: error.message))
            }
        }
        graph = try editor.commit()
    }
}

/// Who uses each value of a graph.
private struct Users {
    private var nodes: [Value: [Int]] = [:]
    private var outputs: [Value: Int] = [:]

    init(_ graph: Graph) {
        for (position, node) in graph.nodes.enumerated() {
            for value in Set(node.operands.compactMap { $0 }) { nodes[value, default: []].append(position) }
        }
        for value in graph.outputs { outputs[value, default: 0] += 1 }
    }

    /// Positions of the nodes that use a value.
    func nodes(of value: Value) -> [Int] { nodes[value] ?? [] }

    /// How often a value is returned.
    func returns(of value: Value) -> Int { outputs[value] ?? 0 }
}

/// The proof for one cache, and the rewrite that follows from it.
private struct CacheUpdate {
    let cache: Value
    let output: Value
    let graph: Graph
    let editor: GraphEditor
    let users: Users

    /// Dimension of the rows.
    private static let axis = 2

    /// A concatenation inside the update, and the rows that it holds.
    private struct Join {
        let position: Int
        let value: Value
        let rows: (start: Dimension, end: Dimension)
    }

    /// Replaces the concatenation.
    /// - Throws: `.unsupported` with the reason if the proof fails; nothing is changed then.
    func apply() throws(ApusError) {
        if let node = editor.producer(of: output, "kv_update"), node.operand(0) == cache {
            try requireOnlyUsers(of: cache, [editor.position(of: output)], "reads the cache")
            return
        }
        let type = graph.type(of: cache)
        guard graph.type(of: output) == type, type.rank > Self.axis else {
            throw refuse("output \(editor.describe(output)) is not of its type \(type)")
        }
        guard users.returns(of: output) == 1, users.returns(of: cache) == 0 else {
            throw refuse("it, or its update \(editor.describe(output)), is returned more than once")
        }
        var joins: [Join] = []
        var parts: [Value] = []
        _ = collect(output, from: 0, &joins, &parts)
        guard parts.count == 3, let before = rows(parts[0]), let after = rows(parts[2]) else {
            throw refuse(
                "its update \(editor.describe(output)) is not its first rows, one tensor and its last rows")
        }
        guard before.start == 0, after.end == type.shape[Self.axis] else {
            throw refuse(
                "the update keeps its rows \(before.start)..<\(before.end) and \(after.start)..<\(after.end), "
                    + "not all around the new ones")
        }
        try requireOnlyUsers(
            of: cache, [editor.position(of: parts[0]), editor.position(of: parts[2])], "reads the cache")
        for part in [parts[0], parts[2]] {
            try requireOnlyUsers(of: part, joins.map(\.position), "reads rows of the cache")
        }

        editor.anchor = joins[0].position
        let updated = try editor.add(
            "kv_update", [cache, parts[1]], ["start": .size(before.end)], name: graph.name(of: output))
        editor.replace(output, with: updated)
        // What else reads an inner concatenation reads the same rows of the updated cache.
        for join in joins.dropFirst() where editor.useCount(join.value) > 0 {
            editor.anchor = join.position
            let rows = try editor.add(
                "slice", [updated],
                ["dim": .int(Self.axis), "start": .size(join.rows.start), "end": .size(join.rows.end)])
            editor.replace(join.value, with: rows)
        }
    }

    /// Lists the concatenations and parts that a value is made of, the outermost first; returns where its rows end.
    private func collect(
        _ value: Value, from start: Dimension, _ joins: inout [Join], _ parts: inout [Value]
    ) -> Dimension {
        let end = start + graph.type(of: value).shape[Self.axis]
        guard let node = editor.producer(of: value, "cat"), node.axis("dim") == Self.axis else {
            parts.append(value)
            return end
        }
        joins.append(Join(position: editor.position(of: value), value: value, rows: (start, end)))
        var next = start
        for case let operand? in node.operands { next = collect(operand, from: next, &joins, &parts) }
        return end
    }

    /// The rows that a slice of the cache takes; nil for anything else.
    private func rows(_ value: Value) -> (start: Dimension, end: Dimension)? {
        guard let node = editor.producer(of: value, "slice"), node.operand(0) == cache,
            node.axis("dim") == Self.axis, let start = node.size("start"), let end = node.size("end")
        else { return nil }
        return (start, end == -1 ? graph.type(of: cache).shape[Self.axis] : end)
    }

    private func requireOnlyUsers(
        of value: Value, _ allowed: [Int], _ what: String
    ) throws(ApusError) {
        for position in users.nodes(of: value) where !allowed.contains(position) {
            throw refuse("\(editor.describe(graph.nodes[position].result)) \(what)")
        }
        guard users.returns(of: value) == 0 else { throw refuse("\(editor.describe(value)) is returned") }
    }

    private func refuse(_ reason: String) -> ApusError { ApusError(.unsupported, reason) }
}
