import ApusSupport

/// One of a program's guards (`guards_code`), which says that two sizes are equal.
///
///     L['input_ids'].size()[1] == L['position_ids'].size()[1]
///
/// A guard is Python; what is read of it are sums, differences and products of sizes of inputs and of integers. Other
/// guards (bounds, types) say nothing that the import needs.
struct GuardEquality {
    /// The two sides, over the symbols of the inputs' sizes.
    let sides: (SizeExpression, SizeExpression)

    /// Reads a guard; nil for one of another kind.
    /// - Parameter sizes: The sizes of an input by its name in the graph: the keys and indices of its path, joined by
    ///   underscores.
    init?(_ text: String, sizes: (String) -> [SizeExpression]?) {
        var reader = GuardReader(text)
        guard let left = reader.sum(sizes), reader.accept("=="), let right = reader.sum(sizes), reader.isAtEnd
        else { return nil }
        sides = (left, right)
    }
}

/// A recursive reader of the sums that guards compare.
private struct GuardReader {
    private let bytes: [UInt8]
    private var at = 0
    private var depth = 0

    /// How deeply parentheses may nest.
    private static let maximumDepth = 100

    init(_ text: String) { bytes = Array(text.utf8) }

    var isAtEnd: Bool {
        mutating get {
            skipBlanks()
            return at == bytes.count
        }
    }

    private mutating func skipBlanks() { while at < bytes.count, bytes[at] == UInt8(ascii: " ") { at += 1 } }

    mutating func accept(_ text: String) -> Bool {
        skipBlanks()
        guard bytes[at...].starts(with: text.utf8) else { return false }
        at += text.utf8.count
        return true
    }

    mutating func sum(_ sizes: (String) -> [SizeExpression]?) -> SizeExpression? {
        guard var result = product(sizes) else { return nil }
        while true {
            if accept("+") {
                guard let next = product(sizes) else { return nil }
                result = .call("Add", [result, next])
            } else if accept("-") {
                guard let next = product(sizes) else { return nil }
                result = .call("Add", [result, .call("Mul", [.int(-1), next])])
            } else {
                return result
            }
        }
    }

    private mutating func product(_ sizes: (String) -> [SizeExpression]?) -> SizeExpression? {
        guard var result = factor(sizes) else { return nil }
        while accept("*") {
            guard let next = factor(sizes) else { return nil }
            result = .call("Mul", [result, next])
        }
        return result
    }

    private mutating func factor(_ sizes: (String) -> [SizeExpression]?) -> SizeExpression? {
        if accept("(") {
            depth += 1
            defer { depth -= 1 }
            guard depth < Self.maximumDepth, let inner = sum(sizes), accept(")") else { return nil }
            return inner
        }
        if accept("L") { return size(sizes) }
        return integer().map { .int($0) }
    }

    /// The rest of `L['a']['b'][0].size()[1]`.
    private mutating func size(_ sizes: (String) -> [SizeExpression]?) -> SizeExpression? {
        var path: [String] = []
        while let key = subscriptText() { path.append(key) }
        guard accept(".size()"), let text = subscriptText(), let axis = Int(text),
            let shape = sizes(path.joined(separator: "_")), shape.indices.contains(axis)
        else { return nil }
        return shape[axis]
    }

    /// What stands between brackets, without quotes.
    private mutating func subscriptText() -> String? {
        guard accept("["), let end = bytes[at...].firstIndex(of: UInt8(ascii: "]")) else { return nil }
        let inside = bytes[at..<end].filter { $0 != UInt8(ascii: "'") }
        at = end + 1
        return String(decoding: inside, as: UTF8.self)
    }

    private mutating func integer() -> Int? {
        skipBlanks()
        let digits = bytes[at...].prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        at += digits.count
        return Int(String(decoding: digits, as: UTF8.self))
    }
}
