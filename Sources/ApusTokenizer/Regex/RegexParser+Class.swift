internal import ApusSupport

/// Escapes, properties and bracketed classes.
extension RegexParser {
    mutating func parseEscape() throws(ApusError) -> RegexNode {
        let start = at
        at += 1
        guard let next = peek else { throw failure("nothing after \"\\\"", at: start) }
        if let set = try parseSetEscape() { return .set(set) }
        at += 1
        switch next {
        case "A": return .assertion(.textStart)
        case "z": return .assertion(.textEnd)
        case "Z": return .assertion(.textEndOrFinalNewline)
        case "b": return .assertion(.wordBoundary)
        case "B": return .assertion(.notWordBoundary)
        case "R":
            let single = ScalarSet(10...13).union(ScalarSet("\u{85}", "\u{2028}", "\u{2029}"))
            let pair = RegexNode.sequence([.set(ScalarSet("\r")), .set(ScalarSet("\n"))])
            return .atomic(.alternation([pair, .set(single)]))
        default: break
        }
        at -= 1
        return .set(literal(try parseScalarEscape(start)))
    }

    /// `\d`, `\p{…}` and their kin; nil, with nothing read, for any other escape.
    private mutating func parseSetEscape() throws(ApusError) -> ScalarSet? {
        guard let next = peek else { return nil }
        let set: ScalarSet
        switch next {
        case "d": set = .digit
        case "D": set = ScalarSet.digit.inverted
        case "s": set = .whitespace
        case "S": set = ScalarSet.whitespace.inverted
        case "w": set = .word
        case "W": set = ScalarSet.word.inverted
        case "h": set = .hexDigit
        case "H": set = ScalarSet.hexDigit.inverted
        case "N": set = ScalarSet("\n").inverted
        case "O": set = .all
        case "p", "P":
            at += 1
            return try parseProperty(inverted: next == "P")
        default: return nil
        }
        at += 1
        return set
    }

    private mutating func parseProperty(inverted: Bool) throws(ApusError) -> ScalarSet {
        let start = at
        var inverted = inverted
        var name = ""
        if take("{") {
            if take("^") { inverted.toggle() }
            while let next = peek, next != "}" {
                name.unicodeScalars.append(next)
                at += 1
            }
            guard take("}") else { throw failure("expected \"}\" after the property's name", at: start) }
        } else if let next = peek {
            name.unicodeScalars.append(next)
            at += 1
        }
        guard let set = ScalarSet(propertyName: name) else {
            throw failure("unknown property \"\(name)\"", at: start)
        }
        let folded = options.ignoresCase ? set.caseFolded : set
        return inverted ? folded.inverted : folded
    }

    /// The scalar that an escape stands for; `at` is behind the backslash.
    private mutating func parseScalarEscape(_ start: Int) throws(ApusError) -> Unicode.Scalar {
        guard let next = peek else { throw failure("nothing after \"\\\"", at: start) }
        at += 1
        switch next {
        case "t": return "\t"
        case "n": return "\n"
        case "r": return "\r"
        case "f": return "\u{C}"
        case "v": return "\u{B}"
        case "a": return "\u{7}"
        case "e": return "\u{1B}"
        case "x":
            if take("{") {
                let scalar = try takeHex(1...8, start)
                guard take("}") else { throw failure("expected \"}\" after the code point", at: start) }
                return scalar
            }
            return try takeHex(1...2, start)
        case "u": return try takeHex(4...4, start)
        case "0":
            var value: UInt32 = 0
            var count = 0
            while count < 2, let digit = peek, ("0"..."7").contains(digit) {
                value = value * 8 + digit.value - 48
                at += 1
                count += 1
            }
            return Unicode.Scalar(value) ?? "\0"
        default:
            guard !next.properties.isAlphabetic, !("1"..."9").contains(next) else {
                throw failure("escape \"\\\(next)\" is not supported", at: start)
            }
            return next
        }
    }

    private mutating func takeHex(_ count: ClosedRange<Int>, _ start: Int) throws(ApusError) -> Unicode.Scalar
    {
        var value: UInt32 = 0
        var taken = 0
        while taken < count.upperBound, let next = peek, next.isASCII,
            let digit = hexDigit(UInt8(truncatingIfNeeded: next.value))
        {
            value = value << 4 | UInt32(digit)
            at += 1
            taken += 1
        }
        guard taken >= count.lowerBound, let scalar = Unicode.Scalar(value) else {
            throw failure("expected a code point in hexadecimal", at: start)
        }
        return scalar
    }

    /// The class behind an opening bracket.
    mutating func parseClass() throws(ApusError) -> ScalarSet {
        let start = at - 1
        guard start < 100_000, nesting(start) <= 50 else {
            throw failure("classes nest too deeply", at: start)
        }
        let isInverted = take("^")
        var result = ScalarSet.empty
        var intersected: ScalarSet?
        var isFirst = true
        while true {
            guard let next = peek else { throw failure("expected \"]\" to end the class", at: start) }
            if next == "]", !isFirst {
                at += 1
                break
            }
            isFirst = false
            if take("&&") {
                intersected = intersected.map { $0.intersection(result) } ?? result
                result = .empty
                continue
            }
            result = result.union(try parseClassItem(start))
        }
        if let intersected { result = intersected.intersection(result) }
        return isInverted ? result.inverted : result
    }

    /// How many brackets are open before an offset: a bound on recursion that counts too many at worst.
    private func nesting(_ offset: Int) -> Int {
        var open = 0
        for scalar in scalars[..<offset] {
            if scalar == "[" { open += 1 } else if scalar == "]" { open = max(0, open - 1) }
        }
        return open
    }

    private mutating func parseClassItem(_ start: Int) throws(ApusError) -> ScalarSet {
        if lookingAt("[:"), let set = try parsePosixClass() { return set }
        if take("[") { return try parseClass() }
        guard let first = try parseClassScalar(start) else {
            at += 1
            guard let set = try parseSetEscape() else {
                throw failure("unknown escape in a class", at: at - 1)
            }
            return set
        }
        guard peek == "-", at + 1 < scalars.count, scalars[at + 1] != "]", scalars[at + 1] != "[" else {
            return literal(first)
        }
        let saved = at
        at += 1
        guard !lookingAt("&&"), let last = try parseClassScalar(start) else {
            at = saved + 1
            return literal(first).union(literal("-"))
        }
        guard first.value <= last.value else { throw failure("a range runs backwards", at: saved) }
        let range = ScalarSet(first.value...last.value)
        return options.ignoresCase ? range.caseFolded : range
    }

    /// One scalar of a class; nil, with nothing read, in front of an escape that stands for a set.
    private mutating func parseClassScalar(_ start: Int) throws(ApusError) -> Unicode.Scalar? {
        guard let next = peek else { throw failure("expected \"]\" to end the class", at: start) }
        guard next == "\\" else {
            at += 1
            return next
        }
        guard at + 1 < scalars.count else { throw failure("nothing after \"\\\"") }
        if "dDsSwWhHpP".unicodeScalars.contains(scalars[at + 1]) { return nil }
        let escape = at
        at += 1
        if take("b") { return "\u{8}" }
        return try parseScalarEscape(escape)
    }

    private mutating func parsePosixClass() throws(ApusError) -> ScalarSet? {
        let start = at
        at += 2
        let inverted = take("^")
        var name = ""
        while let next = peek, next.properties.isAlphabetic {
            name.unicodeScalars.append(next)
            at += 1
        }
        guard take(":]") else {
            at = start
            return nil
        }
        // POSIX brackets take symbols for punctuation as well; the property of that name does not.
        let posix = name == "punct" ? ScalarSet(.punctuation.union(.symbols)) : ScalarSet(propertyName: name)
        guard let set = posix else { throw failure("unknown POSIX class \"\(name)\"", at: start) }
        return inverted ? set.inverted : set
    }
}

extension ScalarSet {
    /// A property by its name: a general category, a group of them, a script, or a POSIX class.
    init?(propertyName name: String) {
        let key = propertyKey(name)
        if let category = UnicodeCategory.allCases.first(where: { propertyKey("\($0)") == key }),
            category != .nextLine
        {
            self.init(category == .cc ? [.init(.cc), .init(.nextLine)] : .init(category))
            return
        }
        let groups: [String: UnicodeCategory.Mask] = [
            "l": .letters, "letter": .letters, "m": .marks, "mark": .marks, "n": .numbers, "number": .numbers,
            "p": .punctuation, "punctuation": .punctuation, "punct": .punctuation, "s": .symbols,
            "symbol": .symbols, "z": .separators, "separator": .separators, "c": .others, "other": .others,
            "lc": .casedLetters, "casedletter": .casedLetters, "uppercaseletter": .init(.lu),
            "lowercaseletter": .init(.ll), "titlecaseletter": .init(.lt), "modifierletter": .init(.lm),
            "otherletter": .init(.lo), "nonspacingmark": .init(.mn), "spacingmark": .init(.mc),
            "enclosingmark": .init(.me), "decimalnumber": .init(.nd), "letternumber": .init(.nl),
            "othernumber": .init(.no), "mathsymbol": .init(.sm), "currencysymbol": .init(.sc),
            "modifiersymbol": .init(.sk), "othersymbol": .init(.so), "spaceseparator": .init(.zs),
            "control": [.init(.cc), .init(.nextLine)], "format": .init(.cf), "digit": .init(.nd),
            "upper": .init(.lu), "lower": .init(.ll), "cntrl": [.init(.cc), .init(.nextLine)],
            "connectorpunctuation": .init(.pc), "dashpunctuation": .init(.pd), "openpunctuation": .init(.ps),
            "closepunctuation": .init(.pe), "initialpunctuation": .init(.pi), "finalpunctuation": .init(.pf),
            "otherpunctuation": .init(.po), "unassigned": .init(.cn), "privateuse": .init(.co),
        ]
        if let mask = groups[key] {
            self.init(mask)
            return
        }
        switch key {
        case "alpha", "alphabetic": self.init(UnicodeProperty.alphabetic)
        case "alnum": self = ScalarSet(UnicodeProperty.alphabetic).union(.digit)
        case "space", "whitespace": self = .whitespace
        case "blank": self = ScalarSet(.init(.zs)).union(ScalarSet("\t"))
        case "word": self = .word
        case "xdigit": self = .hexDigit
        case "ascii": self.init(0...127)
        case "any": self = .all
        case "assigned": self = ScalarSet(.init(.cn)).inverted
        case "graph":
            self =
                ScalarSet.whitespace.union(ScalarSet([.init(.cc), .init(.nextLine), .init(.cn), .init(.cs)]))
                .inverted
        case "print":
            self =
                ScalarSet([.init(.cc), .init(.nextLine), .init(.cn), .init(.cs), .init(.zl), .init(.zp)])
                .inverted
        default:
            guard let script = UnicodeScripts.shared.index(of: name) else { return nil }
            self.init(script: script)
        }
    }
}
