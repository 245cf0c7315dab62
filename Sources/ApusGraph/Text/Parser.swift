public import ApusSupport

extension Graph {
    /// Reads the text form of a graph.
    ///
    /// Only the form is checked; ``diagnostics(registry:)`` tells whether the graph makes sense.
    /// - Throws: `.invalidInput` with source, line, what was expected and what was found.
    public init(parsing text: String, source: String = "graph") throws(ApusError) {
        var parser = try Parser(text, source: source)
        self = try parser.parseGraph()
    }
}

extension Attribute {
    /// Reads attributes in the text form of ``text(of:)``.
    /// - Throws: `.invalidInput` with source, line, what was expected and what was found.
    public static func parse(_ text: String, source: String) throws(ApusError) -> [String: Attribute] {
        var parser = try Parser(text, source: source)
        return try parser.parseOnlyAttributes()
    }
}

extension Dimension {
    /// Reads the text form of a dimension, such as `2*S + 1`.
    /// - Throws: `.invalidInput` with source and what was expected.
    public init(parsing text: String, source: String = "dimension") throws(ApusError) {
        var parser = try Parser(text, source: source)
        self = try parser.parseWhole { parser throws(ApusError) in try parser.parseDimension() }
    }
}

extension Symbol {
    /// Reads the text form of a symbol, such as `S in 1...64` or `P = value(%start_idx) in 0...63`.
    /// - Throws: `.invalidInput` with source and what was expected.
    public init(parsing text: String, source: String = "symbol") throws(ApusError) {
        var parser = try Parser(text, source: source)
        self = try parser.parseWhole { parser throws(ApusError) in try parser.parseSymbol() }
    }
}

extension TensorType {
    /// Reads the text form of a type, such as `f32[B, S, 256]`.
    /// - Throws: `.invalidInput` with source and what was expected.
    public init(parsing text: String, source: String = "type") throws(ApusError) {
        var parser = try Parser(text, source: source)
        self = try parser.parseWhole { parser throws(ApusError) in try parser.parseType() }
    }
}

private struct Parser {
    private var lexer: Lexer
    private var token: Lexer.Token
    private var line: Int
    private var graph = Graph(name: "")
    private var values: [String: Value] = [:]

    init(_ text: String, source: String) throws(ApusError) {
        lexer = Lexer(text, source: source)
        (token, line) = try lexer.next()
    }

    private mutating func advance() throws(ApusError) { (token, line) = try lexer.next() }

    private func expected(_ what: String) -> ApusError {
        lexer.error("expected \(what), got \(token.text)", line: line)
    }

    private mutating func accept(_ punctuation: String) throws(ApusError) -> Bool {
        guard token == .punctuation(punctuation) else { return false }
        try advance()
        return true
    }

    private mutating func expect(_ punctuation: String) throws(ApusError) {
        guard try accept(punctuation) else { throw expected("'\(punctuation)'") }
    }

    private mutating func expectName(_ what: String) throws(ApusError) -> String {
        guard case .name(let name) = token else { throw expected(what) }
        try advance()
        return name
    }

    private mutating func expectValueName() throws(ApusError) -> String {
        guard case .value(let name) = token else { throw expected("a value such as %x") }
        try advance()
        return name
    }

    private mutating func expectInt() throws(ApusError) -> Int {
        guard case .int(let value) = token else { throw expected("an integer") }
        try advance()
        return value
    }

    /// Something that is all there is of the text.
    mutating func parseWhole<T>(_ parse: (inout Parser) throws(ApusError) -> T) throws(ApusError) -> T {
        let result = try parse(&self)
        guard token == .end else { throw expected("the end") }
        return result
    }

    mutating func parseGraph() throws(ApusError) -> Graph {
        guard try expectName("'graph'") == "graph" else { throw expected("'graph'") }
        guard case .symbol(let name) = token else { throw expected("a graph name such as @main") }
        graph.name = name
        try advance()
        try expect("(")
        while token != .punctuation(")") {
            let name = try expectValueName()
            try expect(":")
            let type = try parseType()
            try define(name, graph.addInput(name, type), line: line)
            if try !accept(",") { break }
        }
        try expect(")")
        if token == .name("where") { try parseSymbols() }
        try expect("{")
        while case .value = token { try parseNode() }
        guard try expectName("'return'") == "return" else { throw expected("'return'") }
        while case .value = token {
            graph.outputs.append(try parseUse())
            if try !accept(",") { break }
        }
        try expect("}")
        guard token == .end else { throw expected("end of file") }
        return graph
    }

    private mutating func parseSymbols() throws(ApusError) {
        repeat {
            try advance()
            graph.symbols.append(try parseSymbol())
        } while token == .punctuation(",")
    }

    mutating func parseSymbol() throws(ApusError) -> Symbol {
        let name = try expectName("a symbol")
        let definition = try accept("=") ? try parseDefinition() : nil
        guard try expectName("'in'") == "in" else { throw expected("'in'") }
        let lower = try expectInt()
        try expect("...")
        let upper = try expectInt()
        guard lower <= upper else {
            throw lexer.error("empty range \(lower)...\(upper) of symbol '\(name)'", line: line)
        }
        return Symbol(name, lower...upper, definition)
    }

    private mutating func parseDefinition() throws(ApusError) -> Symbol.Definition {
        let functions: [String: (Dimension, Dimension) -> Symbol.Definition] = [
            "floordiv": { .floorDiv($0, $1) }, "mod": { .mod($0, $1) }, "max": { .max($0, $1) },
            "min": { .min($0, $1) },
        ]
        guard case .name(let name) = token, name == "value" || functions[name] != nil else {
            throw expected("value, floordiv, mod, max or min")
        }
        try advance()
        try expect("(")
        let definition: Symbol.Definition
        if let function = functions[name] {
            let first = try parseDimension()
            try expect(",")
            definition = function(first, try parseDimension())
        } else {
            definition = .input(try expectValueName())
        }
        try expect(")")
        return definition
    }

    private mutating func define(_ name: String, _ value: Value, line: Int) throws(ApusError) {
        guard values.updateValue(value, forKey: name) == nil else {
            throw lexer.error("%\(name) is defined twice", line: line)
        }
    }

    private mutating func parseUse() throws(ApusError) -> Value {
        let name = try expectValueName()
        guard let value = values[name] else {
            throw lexer.error("%\(name) is used before it is defined", line: line)
        }
        return value
    }

    private mutating func parseNode() throws(ApusError) {
        let start = line
        var names = [try expectValueName()]
        while try accept(",") { names.append(try expectValueName()) }
        try expect("=")
        let op = try expectName("an op")
        try expect("(")
        var operands: [Value?] = []
        while token != .punctuation(")") {
            if token == .name("none") {
                operands.append(nil)
                try advance()
            } else {
                operands.append(try parseUse())
            }
            if try !accept(",") { break }
        }
        try expect(")")
        let attributes = token == .punctuation("{") ? try parseAttributes() : [:]
        try expect(":")
        var results: [Value] = []
        for (index, name) in names.enumerated() {
            if index > 0 { try expect(",") }
            let isNumber = name.utf8.allSatisfy { (48...57).contains($0) }
            let value = graph.makeValue(try parseType(), name: isNumber ? nil : name)
            try define(name, value, line: start)
            results.append(value)
        }
        graph.nodes.append(Node(op: op, operands: operands, attributes: attributes, results: results))
    }

    /// Attributes in braces.
    private mutating func parseAttributes() throws(ApusError) -> [String: Attribute] {
        var attributes: [String: Attribute] = [:]
        try expect("{")
        while token != .punctuation("}") {
            let key = try expectName("an attribute")
            try expect("=")
            guard attributes.updateValue(try parseAttribute(), forKey: key) == nil else {
                throw lexer.error("attribute '\(key)' is given twice", line: line)
            }
            if try !accept(",") { break }
        }
        try expect("}")
        return attributes
    }

    /// A text that is attributes in braces and nothing else.
    mutating func parseOnlyAttributes() throws(ApusError) -> [String: Attribute] {
        let attributes = try parseAttributes()
        guard token == .end else { throw expected("end of text") }
        return attributes
    }

    mutating func parseType() throws(ApusError) -> TensorType {
        guard case .name(let name) = token, let element = ElementType(rawValue: name) else {
            throw expected("an element type such as f32")
        }
        try advance()
        try expect("[")
        return TensorType(element, try parseDimensions())
    }

    /// The dimensions up to and with the closing bracket.
    private mutating func parseDimensions() throws(ApusError) -> [Dimension] {
        var shape: [Dimension] = []
        while token != .punctuation("]") {
            shape.append(try parseDimension())
            if try !accept(",") { break }
        }
        try expect("]")
        return shape
    }

    mutating func parseDimension() throws(ApusError) -> Dimension {
        let isNegative = try accept("-")
        var sum = try parseProduct()
        if isNegative { sum = Dimension(0) - sum }
        while true {
            if try accept("+") {
                sum = sum + (try parseProduct())
            } else if try accept("-") {
                sum = sum - (try parseProduct())
            } else {
                return sum
            }
        }
    }

    private mutating func parseProduct() throws(ApusError) -> Dimension {
        var product = Dimension(1)
        repeat {
            switch token {
            case .int(let value): product = product * Dimension(value)
            case .name(let name): product = product * .symbol(name)
            default: throw expected("an integer or a symbol")
            }
            try advance()
        } while try accept("*")
        return product
    }

    private mutating func parseAttribute() throws(ApusError) -> Attribute {
        switch token {
        case .int, .punctuation("-"): return .size(try parseDimension())
        case .float(let value):
            try advance()
            return .float(value)
        case .string(let value):
            try advance()
            return .string(value)
        case .punctuation("["): return try parseList()
        case .name("dense"): return try parseLiteral()
        case .name(let name):
            if let type = ElementType(rawValue: name) {
                try advance()
                return .element(type)
            }
            if name == "true" || name == "false" {
                try advance()
                return .bool(name == "true")
            }
            return .size(try parseDimension())
        default: throw expected("an attribute")
        }
    }

    private mutating func parseList() throws(ApusError) -> Attribute {
        try expect("[")
        guard case .float = token else { return .dimensions(try parseDimensions()) }
        return .floats(try parseNumbers())
    }

    /// Numbers up to and with the closing bracket.
    private mutating func parseNumbers() throws(ApusError) -> [Double] {
        var numbers: [Double] = []
        while token != .punctuation("]") {
            switch token {
            case .float(let value): numbers.append(value)
            case .int(let value): numbers.append(Double(value))
            default: throw expected("a number")
            }
            try advance()
            if try !accept(",") { break }
        }
        try expect("]")
        return numbers
    }

    private mutating func parseLiteral() throws(ApusError) -> Attribute {
        try advance()
        try expect("<")
        try expect("[")
        let values = try parseNumbers()
        try expect(">")
        try expect(":")
        return .literal(TensorLiteral(try parseType(), values))
    }
}
