internal import ApusSupport

/// Parses the syntax of Oniguruma (Ruby's), as far as tokenizers use it.
///
/// Captures are groups like any other, since nothing asks for them. Back-references, conditionals, absent
/// operators, `\X`, `\K` and `\G` are errors. Source: Oniguruma, doc/RE.
struct RegexParser {
    let pattern: String
    let scalars: [Unicode.Scalar]
    var at = 0
    var options = Options()
    private var depth = 0

    struct Options {
        var ignoresCase = false
        var dotMatchesNewline = false
        var isExtended = false
    }

    init(_ pattern: String) {
        self.pattern = pattern
        scalars = Array(pattern.unicodeScalars)
    }

    mutating func parse() throws(ApusError) -> RegexNode {
        let node = try parseAlternation()
        if at < scalars.count { throw failure("unmatched \")\"") }
        return node
    }

    func failure(_ message: String, at offset: Int? = nil) -> ApusError {
        let place = min(offset ?? at, scalars.count)
        return ApusError(
            .unsupported,
            "regular expression \(JSONValue.string(pattern).text()), offset \(place): \(message)")
    }

    var peek: Unicode.Scalar? { at < scalars.count ? scalars[at] : nil }

    func lookingAt(_ text: String) -> Bool {
        let wanted = Array(text.unicodeScalars)
        return scalars.count - at >= wanted.count && scalars[at..<at + wanted.count].elementsEqual(wanted)
    }

    mutating func take(_ text: String) -> Bool {
        guard lookingAt(text) else { return false }
        at += text.unicodeScalars.count
        return true
    }

    mutating func parseAlternation() throws(ApusError) -> RegexNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= 100 else { throw failure("expected at most 100 nested groups") }
        let saved = options
        defer { options = saved }
        var branches = [try parseSequence()]
        while take("|") { branches.append(try parseSequence()) }
        return branches.count == 1 ? branches[0] : .alternation(branches)
    }

    private mutating func parseSequence() throws(ApusError) -> RegexNode {
        var nodes: [RegexNode] = []
        while let next = peek, next != "|", next != ")" {
            if options.isExtended, next.properties.isWhitespace {
                at += 1
                continue
            }
            if options.isExtended, next == "#" {
                while at < scalars.count, scalars[at] != "\n" { at += 1 }
                continue
            }
            if let node = try parseFlags() {
                nodes.append(node)
                break
            }
            guard let atom = try parseAtom() else { continue }
            nodes.append(try parseQuantifiers(atom))
        }
        return nodes.count == 1 ? nodes[0] : .sequence(nodes)
    }

    /// `(?i)` holds to the end of the group, alternatives included: `a(?i)b|c` is `a(?i:b|c)`.
    private mutating func parseFlags() throws(ApusError) -> RegexNode? {
        guard lookingAt("(?") else { return nil }
        let start = at
        at += 2
        guard let flags = takeFlags(), take(")") else {
            at = start
            return nil
        }
        let saved = options
        defer { options = saved }
        options = flags
        return try parseAlternation()
    }

    private mutating func takeFlags() -> Options? {
        var result = options
        var on = true
        var any = false
        while let next = peek {
            switch next {
            case "-": on = false
            case "i": result.ignoresCase = on
            case "m": result.dotMatchesNewline = on
            case "x": result.isExtended = on
            default: return any ? result : nil
            }
            any = true
            at += 1
        }
        return nil
    }

    private mutating func parseAtom() throws(ApusError) -> RegexNode? {
        let next = scalars[at]
        switch next {
        case "(": return try parseGroup()
        case "[":
            at += 1
            return .set(try parseClass())
        case ".":
            at += 1
            return .set(options.dotMatchesNewline ? .all : ScalarSet("\n").inverted)
        case "^":
            at += 1
            return .assertion(.lineStart)
        case "$":
            at += 1
            return .assertion(.lineEnd)
        case "\\": return try parseEscape()
        case "*", "+", "?": throw failure("nothing for \"\(next)\" to repeat")
        default:
            at += 1
            return .set(literal(next))
        }
    }

    func literal(_ scalar: Unicode.Scalar) -> ScalarSet {
        let set = ScalarSet(scalar)
        return options.ignoresCase ? set.caseFolded : set
    }

    private mutating func parseGroup() throws(ApusError) -> RegexNode? {
        let start = at
        at += 1
        if take("?#") {
            while at < scalars.count, scalars[at] != ")" { at += 1 }
            guard take(")") else { throw failure("expected \")\" to end the comment", at: start) }
            return nil
        }
        let saved = options
        defer { options = saved }
        let wrap: (RegexNode) -> RegexNode
        if take("?:") {
            wrap = { $0 }
        } else if take("?=") {
            wrap = { .look($0, behind: false, negative: false) }
        } else if take("?!") {
            wrap = { .look($0, behind: false, negative: true) }
        } else if take("?<=") {
            wrap = { .look($0, behind: true, negative: false) }
        } else if take("?<!") {
            wrap = { .look($0, behind: true, negative: true) }
        } else if take("?>") {
            wrap = { .atomic($0) }
        } else if take("?<") || take("?P<") {
            while at < scalars.count, scalars[at] != ">" { at += 1 }
            guard take(">") else { throw failure("expected \">\" after the group's name", at: start) }
            wrap = { $0 }
        } else if take("?") {
            guard let flags = takeFlags(), take(":") else {
                throw failure("expected one of (?: (?= (?! (?<= (?<! (?> (?i: here", at: start)
            }
            options = flags
            wrap = { $0 }
        } else {
            wrap = { $0 }
        }
        let body = try parseAlternation()
        guard take(")") else { throw failure("expected \")\" to end the group", at: start) }
        if case .look(let node, behind: true, _) = wrap(body), (node.length.max ?? .max) > 255 {
            throw failure("a look-behind must have a bounded length", at: start)
        }
        return wrap(body)
    }

    private mutating func parseQuantifiers(_ atom: RegexNode) throws(ApusError) -> RegexNode {
        var node = atom
        while let next = peek {
            let least: Int
            let most: Int?
            var isInterval = false
            switch next {
            case "*": (least, most) = (0, nil)
            case "+": (least, most) = (1, nil)
            case "?": (least, most) = (0, 1)
            case "{":
                guard let bounds = try parseInterval() else { return node }
                (least, most) = bounds
                isInterval = true
            default: return node
            }
            if !isInterval { at += 1 }
            if isInterval, least == most, take("?") {
                // A fixed count cannot be lazy: `a{2}?` is an optional `a{2}`.
                let fixed = RegexNode.repetition(node, min: least, max: most, mode: .greedy)
                node = .repetition(fixed, min: 0, max: 1, mode: .greedy)
            } else if take("?") {
                node = .repetition(node, min: least, max: most, mode: .lazy)
            } else if !isInterval, take("+") {
                node = .repetition(node, min: least, max: most, mode: .possessive)
            } else {
                node = .repetition(node, min: least, max: most, mode: .greedy)
            }
        }
        return node
    }

    /// `{n}`, `{n,}`, `{,m}` or `{n,m}`; nil, with the brace a literal, if it is none of them.
    private mutating func parseInterval() throws(ApusError) -> (Int, Int?)? {
        let start = at
        at += 1
        let least = takeNumber()
        let hasComma = take(",")
        let most = hasComma ? takeNumber() : least
        guard take("}"), least != nil || most != nil else {
            at = start
            return nil
        }
        guard (least ?? 0) <= 1000, (most ?? 0) <= 1000, (least ?? 0) <= (most ?? .max) else {
            throw failure("expected an interval {n,m} with n ≤ m ≤ 1000", at: start)
        }
        return (least ?? 0, most)
    }

    private mutating func takeNumber() -> Int? {
        var value: Int?
        while let next = peek, ("0"..."9").contains(next) {
            value = min((value ?? 0) * 10 + Int(next.value) - 48, 1_000_000)
            at += 1
        }
        return value
    }
}
