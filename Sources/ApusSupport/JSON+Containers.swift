extension JSON {
    /// The elements of an array or the members of an object, as written; 0 for any other value.
    public var count: Int {
        switch node.tag {
        case .array, .object: Int(node.length)
        default: 0
        }
    }

    /// The value of an object's member; nil if it has none of that name or is not an object.
    ///
    /// Of duplicate names the last one counts, as in Python. Cost: linear in the object's size.
    public subscript(key: String) -> JSON? {
        var found: JSON?
        var key = key
        key.withUTF8 { wanted in
            for member in JSONMemberNodes(self) where member.key.isString(wanted) { found = member.value }
        }
        return found
    }

    /// An element of an array; nil if out of range or not an array.
    ///
    /// Cost: linear in `index`.
    public subscript(index: Int) -> JSON? {
        guard node.tag == .array, index >= 0, index < count else { return nil }
        var at = self.index + 1
        for _ in 0..<index { at = Int(document.nodes[at].next) }
        return JSON(document: document, index: at)
    }

    /// The elements of an array in order; empty if this is not an array.
    public var elements: some Sequence<JSON> { JSONElements(self) }

    /// The members of an object in the order of the file, duplicates included; empty if this is not an object.
    public var members: some Sequence<(key: String, value: JSON)> {
        JSONMemberNodes(self).lazy.map { (key: $0.key.string ?? "", value: $0.value) }
    }

    /// The members of an object with each name as a view, for a reader that wants its bytes and no `String`.
    public var memberViews: some Sequence<(key: JSON, value: JSON)> { JSONMemberNodes(self) }

    private func isString(_ wanted: UnsafeBufferPointer<UInt8>) -> Bool {
        withUTF8 { $0.count == wanted.count && $0.elementsEqual(wanted) } ?? false
    }
}

private struct JSONElements: Sequence, IteratorProtocol {
    private let document: JSONDocument
    private var at: Int
    private var remaining: Int

    init(_ json: JSON) {
        document = json.document
        at = json.index + 1
        remaining = json.node.tag == .array ? json.count : 0
    }

    mutating func next() -> JSON? {
        guard remaining > 0 else { return nil }
        remaining -= 1
        defer { at = Int(document.nodes[at].next) }
        return JSON(document: document, index: at)
    }
}

private struct JSONMemberNodes: Sequence, IteratorProtocol {
    private let document: JSONDocument
    private var at: Int
    private var remaining: Int

    init(_ json: JSON) {
        document = json.document
        at = json.index + 1
        remaining = json.node.tag == .object ? json.count : 0
    }

    mutating func next() -> (key: JSON, value: JSON)? {
        guard remaining > 0 else { return nil }
        remaining -= 1
        defer { at = Int(document.nodes[at + 1].next) }
        return (JSON(document: document, index: at), JSON(document: document, index: at + 1))
    }
}
