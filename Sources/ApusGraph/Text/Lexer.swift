import ApusSupport

/// Splits the text form of a graph into tokens.
struct Lexer {
    enum Token: Equatable {
        case name(String)
        case value(String)
        case symbol(String)
        case int(Int)
        case float(Double)
        case string(String)
        case punctuation(String)
        case end

        var text: String {
            switch self {
            case .name(let s), .punctuation(let s): "'\(s)'"
            case .value(let s): "'%\(s)'"
            case .symbol(let s): "'@\(s)'"
            case .int(let v): "'\(v)'"
            case .float(let v): "'\(v)'"
            case .string(let s): "\"\(s)\""
            case .end: "end of file"
            }
        }
    }

    private let bytes: [UInt8]
    private let source: String
    private var position = 0
    private(set) var line = 1

    init(_ text: String, source: String) {
        bytes = Array(text.utf8)
        self.source = source
    }

    func error(_ message: String, line: Int) -> ApusError {
        ApusError(.invalidInput, message, context: ["\(source):\(line)"])
    }

    mutating func next() throws(ApusError) -> (Token, line: Int) {
        skipBlanks()
        guard position < bytes.count else { return (.end, line) }
        let start = line
        let byte = bytes[position]
        switch byte {
        case UInt8(ascii: "%"): return (.value(try word(after: "%")), start)
        case UInt8(ascii: "@"): return (.symbol(try word(after: "@")), start)
        case UInt8(ascii: "\""): return (.string(try string()), start)
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return (try number(), start)
        case UInt8(ascii: "-") where position + 1 < bytes.count && Self.isDigitOrInf(bytes[position + 1]):
            return (try number(), start)
        default: break
        }
        if Self.isWord(byte) { return (wordToken(), start) }
        for text in ["...", "("] where bytes[position...].starts(with: text.utf8) {
            position += text.utf8.count
            return (.punctuation(text), start)
        }
        guard byte < 0x80 else { throw error("unexpected byte \(byte)", line: line) }
        position += 1
        return (.punctuation(String(UnicodeScalar(byte))), start)
    }

    private mutating func skipBlanks() {
        while position < bytes.count {
            switch bytes[position] {
            case 10:
                line += 1
                position += 1
            case 9, 13, 32: position += 1
            case UInt8(ascii: "/")
            where position + 1 < bytes.count && bytes[position + 1] == UInt8(ascii: "/"):
                while position < bytes.count, bytes[position] != 10 { position += 1 }
            default: return
            }
        }
    }

    private static func isDigitOrInf(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || byte == UInt8(ascii: "i")
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            || byte == UInt8(ascii: "_")
    }

    /// A value or graph name: words joined by the punctuation that checkpoints use in names.
    private mutating func word(after mark: String) throws(ApusError) -> String {
        position += 1
        let start = position
        while position < bytes.count {
            let byte = bytes[position]
            let joins = ".-/:#?".utf8.contains(byte)
            // A colon or dot belongs to the name only if another word follows: `%x: f32` ends at the colon.
            let hasFollower = position + 1 < bytes.count && Self.isWord(bytes[position + 1])
            guard Self.isWord(byte) || (joins && (hasFollower || byte == UInt8(ascii: "?"))) else { break }
            position += 1
        }
        guard position > start else { throw error("expected a name after '\(mark)'", line: line) }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func wordToken() -> Token {
        let start = position
        while position < bytes.count,
            Self.isWord(bytes[position])
                || (bytes[position] == UInt8(ascii: "-") && position + 1 < bytes.count
                    && Self.isLetter(bytes[position + 1]))
        { position += 1 }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        switch text {
        case "nan": return .float(.nan)
        case "inf": return .float(.infinity)
        default: return .name(text)
        }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (65...90).contains(byte) || (97...122).contains(byte)
    }

    private mutating func number() throws(ApusError) -> Token {
        let start = position
        position += 1
        var isFloat = false
        while position < bytes.count {
            let byte = bytes[position]
            if (48...57).contains(byte) {
                position += 1
            } else if byte == UInt8(ascii: "."), position + 1 < bytes.count,
                (48...57).contains(bytes[position + 1])
            {
                isFloat = true
                position += 1
            } else if byte == UInt8(ascii: "e") || byte == UInt8(ascii: "i") || byte == UInt8(ascii: "n")
                || byte == UInt8(ascii: "f")
                || ((byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+"))
                    && bytes[position - 1] == UInt8(ascii: "e"))
            {
                isFloat = true
                position += 1
            } else {
                break
            }
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if !isFloat, let value = Int(text) { return .int(value) }
        guard let value = Double(text) else { throw error("'\(text)' is not a number", line: line) }
        return .float(value)
    }

    private mutating func string() throws(ApusError) -> String {
        var text: [UInt8] = []
        position += 1
        while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
            if bytes[position] == UInt8(ascii: "\\"), position + 1 < bytes.count {
                position += 1
                text.append(bytes[position] == UInt8(ascii: "n") ? 10 : bytes[position])
            } else {
                if bytes[position] == 10 { line += 1 }
                text.append(bytes[position])
            }
            position += 1
        }
        guard position < bytes.count else { throw error("a string is not closed", line: line) }
        position += 1
        return String(decoding: text, as: UTF8.self)
    }
}
