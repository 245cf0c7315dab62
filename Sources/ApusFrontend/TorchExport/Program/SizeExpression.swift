import ApusSupport

/// An integer expression over symbols, as sympy's `srepr` writes it.
///
///     Add(Symbol('s70', positive=True, integer=True), Integer(1))
indirect enum SizeExpression: Sendable, Hashable {
    case int(Int)
    case symbol(String)
    /// A function of sympy or torch, such as `Add`, `Mul` or `Mod`.
    case call(String, [SizeExpression])

    /// Reads a size of a tensor or a symbolic integer: `{"as_int": …}` or `{"as_expr": {"expr_str": …}}`.
    init(meta json: JSON) throws(ApusError) {
        if let value = json["as_int"] {
            self = .int(try value.required("an integer", \.int))
            return
        }
        let text = try json.member("as_expr").member("expr_str").required("a string", \.string)
        try self.init(parsing: text)
    }

    /// Parses the text of an expression.
    /// - Throws: `.invalidInput` with the text.
    init(parsing text: String) throws(ApusError) {
        var parser = SizeExpressionParser(text)
        self = try parser.parse()
    }
}

/// A recursive parser of calls: a name, and arguments that are calls, numbers or strings; keywords are passed over.
private struct SizeExpressionParser {
    private let text: String
    private let bytes: [UInt8]
    private var at = 0

    /// How deeply calls may nest.
    private static let maximumDepth = 200

    init(_ text: String) {
        self.text = text
        bytes = Array(text.utf8)
    }

    mutating func parse() throws(ApusError) -> SizeExpression {
        guard case .expression(let result) = try argument(depth: 0) else { throw failure }
        skipSpace()
        guard at == bytes.count else { throw failure }
        return result
    }

    private enum Argument {
        case expression(SizeExpression)
        case string(String)
        case number(Int)
        /// `key=value`
        case keyword
    }

    private mutating func argument(depth: Int) throws(ApusError) -> Argument {
        guard depth < Self.maximumDepth else { throw failure }
        skipSpace()
        guard let first = peek else { throw failure }
        if first == UInt8(ascii: "'") || first == UInt8(ascii: "\"") { return .string(try quoted(first)) }
        if first == UInt8(ascii: "-") || isDigit(first) { return .number(try number()) }
        let name = word()
        guard !name.isEmpty else { throw failure }
        skipSpace()
        if peek == UInt8(ascii: "=") {
            at += 1
            _ = try argument(depth: depth + 1)
            return .keyword
        }
        guard peek == UInt8(ascii: "(") else {
            // A bare word is the value of a keyword, such as True.
            return ["True", "False", "None"].contains(name) ? .keyword : .expression(.call(name, []))
        }
        at += 1
        return .expression(try node(name, try arguments(depth: depth)))
    }

    private mutating func arguments(depth: Int) throws(ApusError) -> [Argument] {
        var list: [Argument] = []
        skipSpace()
        if peek == UInt8(ascii: ")") {
            at += 1
            return list
        }
        while true {
            list.append(try argument(depth: depth + 1))
            skipSpace()
            guard let byte = peek else { throw failure }
            at += 1
            if byte == UInt8(ascii: ")") { return list }
            guard byte == UInt8(ascii: ",") else { throw failure }
        }
    }

    private func node(_ name: String, _ list: [Argument]) throws(ApusError) -> SizeExpression {
        switch (name, list.first) {
        case ("Integer", .number(let value)?) where list.count == 1: return .int(value)
        case ("Symbol", .string(let symbol)?): return .symbol(symbol)
        default: break
        }
        var operands: [SizeExpression] = []
        for argument in list {
            switch argument {
            case .expression(let operand): operands.append(operand)
            case .number(let value): operands.append(.int(value))
            case .keyword: break
            case .string: throw failure
            }
        }
        return .call(name, operands)
    }

    private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

    private func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }

    private mutating func skipSpace() {
        while peek == 32 { at += 1 }
    }

    private mutating func word() -> String {
        let start = at
        while let byte = peek,
            isDigit(byte) || byte == 95 || byte == 46 || (65...90).contains(byte) || (97...122).contains(byte)
        {
            at += 1
        }
        return String(decoding: bytes[start..<at], as: UTF8.self)
    }

    private mutating func number() throws(ApusError) -> Int {
        let start = at
        at += 1
        while let byte = peek, isDigit(byte) { at += 1 }
        guard let value = Int(String(decoding: bytes[start..<at], as: UTF8.self)) else { throw failure }
        return value
    }

    private mutating func quoted(_ quote: UInt8) throws(ApusError) -> String {
        at += 1
        let start = at
        while let byte = peek, byte != quote { at += 1 }
        guard peek == quote else { throw failure }
        at += 1
        return String(decoding: bytes[start..<at - 1], as: UTF8.self)
    }

    private var failure: ApusError {
        ApusError(.invalidInput, "expected an expression of integers and symbols, got \"\(text)\" (at \(at))")
    }
}
