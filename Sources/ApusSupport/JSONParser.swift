extension JSON {
    /// How deeply arrays and objects may nest.
    public static let maximumDepth = 1000

    /// Parses one document of UTF-8 bytes; a byte order mark in front is skipped.
    ///
    /// Strict JSON, but for `NaN`, `Infinity` and `-Infinity`, which Python writes. Lone surrogate escapes are
    /// read as U+FFFD.
    /// - Parameter source: The name that errors give, normally the file's.
    /// - Throws: `.invalidInput` with source, line and column, and what was expected there.
    public static func parse(_ bytes: [UInt8], source: String) throws(ApusError) -> JSON {
        guard bytes.count < Int(UInt32.max) else {
            throw ApusError(
                .unsupported, "\(source): expected JSON of less than 4 GiB, got \(bytes.count) bytes")
        }
        let nodes = try bytes.withUnsafeBufferPointer { buffer throws(ApusError) -> [JSONNode] in
            var parser = JSONParser(buffer, source: source)
            return try parser.parse()
        }
        return JSON(document: JSONDocument(bytes: bytes, nodes: nodes, source: source), index: 0)
    }
}

/// Turns bytes into a tape in one pass, without recursion.
private struct JSONParser {
    private let bytes: UnsafeBufferPointer<UInt8>
    private let source: String
    private var at = 0
    private var nodes: [JSONNode] = []
    /// The tape indices of the containers that are open.
    private var open: [Int] = []

    init(_ bytes: UnsafeBufferPointer<UInt8>, source: String) {
        self.bytes = bytes
        self.source = source
        nodes.reserveCapacity(bytes.count / 16 + 8)
    }

    mutating func parse() throws(ApusError) -> [JSONNode] {
        if let invalid = firstInvalidUTF8(bytes) {
            throw failure("expected UTF-8, got byte \(hex(bytes[invalid])) (offset \(invalid))", at: invalid)
        }
        if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF { at = 3 }
        try parseValue()
        while let container = open.last {
            if nodes[container].tag == .object {
                try continueObject(container)
            } else {
                try continueArray(container)
            }
        }
        skipSpace()
        if at < bytes.count { throw unexpected("the end of the document") }
        return nodes
    }

    private mutating func continueObject(_ container: Int) throws(ApusError) {
        skipSpace()
        if peek() == UInt8(ascii: "}") { return close() }
        if nodes[container].length > 0 {
            guard peek() == UInt8(ascii: ",") else { throw unexpected("\",\" or \"}\"") }
            at += 1
            skipSpace()
        }
        guard peek() == UInt8(ascii: "\"") else {
            throw unexpected(nodes[container].length == 0 ? "a member's name or \"}\"" : "a member's name")
        }
        try parseString()
        skipSpace()
        guard peek() == UInt8(ascii: ":") else { throw unexpected("\":\"") }
        at += 1
        nodes[container].length += 1
        try parseValue()
    }

    private mutating func continueArray(_ container: Int) throws(ApusError) {
        skipSpace()
        if peek() == UInt8(ascii: "]") { return close() }
        if nodes[container].length > 0 {
            guard peek() == UInt8(ascii: ",") else { throw unexpected("\",\" or \"]\"") }
            at += 1
        }
        nodes[container].length += 1
        try parseValue()
    }

    private mutating func close() {
        at += 1
        nodes[open.removeLast()].next = UInt32(nodes.count)
    }

    private mutating func parseValue() throws(ApusError) {
        skipSpace()
        guard let byte = peek() else { throw unexpected("a value") }
        switch byte {
        case UInt8(ascii: "\""): try parseString()
        case UInt8(ascii: "{"): try openContainer(.object)
        case UInt8(ascii: "["): try openContainer(.array)
        case UInt8(ascii: "t"): try parseWord("true", .true)
        case UInt8(ascii: "f"): try parseWord("false", .false)
        case UInt8(ascii: "n"): try parseWord("null", .null)
        case UInt8(ascii: "N"): try parseWord("NaN", .number)
        case UInt8(ascii: "I"): try parseWord("Infinity", .number)
        case UInt8(ascii: "-"), 48...57: try parseNumber()
        default: throw unexpected("a value")
        }
    }

    private mutating func openContainer(_ tag: JSONTag) throws(ApusError) {
        guard open.count < JSON.maximumDepth else {
            throw failure("expected at most \(JSON.maximumDepth) nested arrays and objects", at: at)
        }
        open.append(nodes.count)
        append(tag, offset: at, length: 0)
        at += 1
    }

    private mutating func parseWord(_ word: StaticString, _ tag: JSONTag) throws(ApusError) {
        let start = at
        guard matches(word) else { throw unexpected("a value") }
        at += word.utf8CodeUnitCount
        append(tag, offset: start, length: at - start)
    }

    private mutating func parseNumber() throws(ApusError) {
        let start = at
        if peek() == UInt8(ascii: "-") {
            if matches("-Infinity") { return try parseWord("-Infinity", .number) }
            at += 1
        }
        if peek() == UInt8(ascii: "0") {
            at += 1
        } else {
            try parseDigits()
        }
        if peek() == UInt8(ascii: ".") {
            at += 1
            try parseDigits()
        }
        if let byte = peek(), byte | 0x20 == UInt8(ascii: "e") {
            at += 1
            if let sign = peek(), sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { at += 1 }
            try parseDigits()
        }
        append(.number, offset: start, length: at - start)
    }

    private mutating func parseDigits() throws(ApusError) {
        let start = at
        while let byte = peek(), byte >= 48, byte <= 57 { at += 1 }
        if at == start { throw unexpected("a digit") }
    }

    private mutating func parseString() throws(ApusError) {
        at += 1
        let start = at
        var tag = JSONTag.string
        while at < bytes.count {
            let byte = bytes[at]
            if byte == UInt8(ascii: "\"") {
                append(tag, offset: start, length: at - start)
                at += 1
                return
            }
            if byte == UInt8(ascii: "\\") {
                tag = .escapedString
                try skipEscape()
            } else if byte < 0x20 {
                throw failure("expected a string without control characters, got \(hex(byte))", at: at)
            } else {
                at += 1
            }
        }
        throw failure("expected \"\\\"\" to end the string, got the end of the document", at: start - 1)
    }

    private mutating func skipEscape() throws(ApusError) {
        at += 1
        switch peek() {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            at += 1
        case UInt8(ascii: "u"):
            at += 1
            for _ in 0..<4 {
                guard let byte = peek(), hexDigit(byte) != nil else {
                    throw unexpected("four hexadecimal digits")
                }
                at += 1
            }
        default: throw unexpected("one of \" \\ / b f n r t u after \"\\\"")
        }
    }

    private mutating func append(_ tag: JSONTag, offset: Int, length: Int) {
        let next = UInt32(nodes.count + 1)
        nodes.append(JSONNode(tag: tag, offset: UInt32(offset), length: UInt32(length), next: next))
    }

    private func peek() -> UInt8? { at < bytes.count ? bytes[at] : nil }

    private func matches(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard bytes.count - at >= count else { return false }
        return (0..<count).allSatisfy { bytes[at + $0] == word.utf8Start[$0] }
    }

    private mutating func skipSpace() {
        while at < bytes.count, case let byte = bytes[at], byte == 32 || byte == 10 || byte == 13 || byte == 9
        {
            at += 1
        }
    }

    private func unexpected(_ expected: String) -> ApusError {
        guard let byte = peek() else {
            return failure("expected \(expected), got the end of the document", at: at)
        }
        let got = byte > 0x20 && byte < 0x7F ? "\"\(Character(Unicode.Scalar(byte)))\"" : hex(byte)
        return failure("expected \(expected), got \(got)", at: at)
    }

    /// An error at an offset, told as line and column, both from 1; a column is a Unicode scalar.
    private func failure(_ message: String, at offset: Int) -> ApusError {
        var line = 1
        var column = 1
        for byte in bytes[..<offset] {
            if byte == 10 {
                line += 1
                column = 1
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
        }
        return ApusError(.invalidInput, "\(source): line \(line), column \(column): \(message)")
    }

    private func hex(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return "0x" + (digits.count == 1 ? "0" : "") + digits
    }
}
