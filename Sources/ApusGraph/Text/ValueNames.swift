/// The names that the text form gives to a graph's values: their own, made unique, or `%0`, `%1`, … in order.
struct ValueNames {
    private var text: [Int: String] = [:]
    private var taken: Set<String> = []

    init(_ graph: Graph) {
        let inOrder = graph.inputs + graph.nodes.flatMap(\.results)
        var number = 0
        for value in inOrder {
            if let name = graph.name(of: value) {
                text[value.index] = "%" + unique(name)
            } else {
                text[value.index] = "%\(number)"
                number += 1
            }
        }
    }

    private mutating func unique(_ name: String) -> String {
        // A name of digits alone would read as the number of an unnamed value.
        let base = name.utf8.allSatisfy({ (48...57).contains($0) }) ? "v" + name : name
        var candidate = base
        var suffix = 1
        while !taken.insert(candidate).inserted {
            candidate = "\(base)#\(suffix)"
            suffix += 1
        }
        return candidate
    }

    /// The text of a value; values that nothing defines print as `%?index`.
    subscript(value: Value) -> String { text[value.index] ?? "%?\(value.index)" }
}
