internal import ApusSupport

/// One instruction of a compiled expression.
struct RegexInstruction: Sendable {
    enum Operation: UInt8, Sendable {
        /// The byte `x`.
        case byte
        /// One scalar of set `x`.
        case set
        /// `y` to `z` scalars of set `x` (`z` < 0: no bound), in one of three manners.
        case repeatGreedy, repeatLazy, repeatPossessive
        /// Goes on at `x`, and at `y` if that fails. `z` ≥ 0: skips `x` unless the next byte is in filter `z`.
        case split
        case jump
        case assertion
        /// Matches what follows as a look-around of its own and goes on at `x`. `y`, `z`: its length if behind.
        case lookAhead, lookAheadNot, lookBehind, lookBehindNot
        /// Matches what follows once and for all and goes on at `x`.
        case atomic
        /// Notes the position in register `x`.
        case mark
        /// Leaves the loop for `y` if it has consumed nothing since register `x` was set.
        case check
        case accept
    }

    var operation: Operation
    var x: Int32 = 0
    var y: Int32 = 0
    var z: Int32 = 0
}

/// A set in the form the matcher wants: bits for ASCII, category bits, and a tree only where those do not do.
struct RegexSet: Sendable {
    let low: UInt64
    let high: UInt64
    let categories: UInt32
    let isSimple: Bool
}

/// The compiled form of an expression.
struct RegexProgram: Sendable {
    private(set) var code: [RegexInstruction] = []
    private(set) var sets: [RegexSet] = []
    private(set) var trees: [ScalarSet] = []
    private(set) var filters: [ByteSet] = []
    private(set) var registerCount = 0
    /// The bytes that a match can begin with; all of them if it may be empty.
    let firstBytes: ByteSet

    static let maximumLength = 50_000

    init(_ node: RegexNode, pattern: String) throws(ApusError) {
        firstBytes = node.isNullable ? .all : node.firstBytes
        try emit(node, pattern)
        append(.accept)
    }

    @discardableResult
    private mutating func append(
        _ operation: RegexInstruction.Operation, _ x: Int = 0, _ y: Int = 0, _ z: Int = 0
    )
        -> Int
    {
        code.append(RegexInstruction(operation: operation, x: Int32(x), y: Int32(y), z: Int32(z)))
        return code.count - 1
    }

    private mutating func index(of set: ScalarSet) -> Int {
        if case .categories(let mask) = set.wide {
            sets.append(RegexSet(low: set.low, high: set.high, categories: mask, isSimple: true))
        } else {
            sets.append(RegexSet(low: set.low, high: set.high, categories: 0, isSimple: false))
        }
        trees.append(set)
        return sets.count - 1
    }

    private mutating func emit(_ node: RegexNode, _ pattern: String) throws(ApusError) {
        guard code.count < Self.maximumLength else {
            throw ApusError(
                .unsupported,
                "regular expression \(JSONValue.string(pattern).text()): its repetitions expand to more than "
                    + "\(Self.maximumLength) steps")
        }
        switch node {
        case .set(let set):
            if let byte = set.singleASCII { append(.byte, Int(byte)) } else { append(.set, index(of: set)) }
        case .sequence(let nodes):
            for node in nodes { try emit(node, pattern) }
        case .alternation(let branches): try emit(branches, pattern)
        case .repetition(let body, let least, let most, let mode):
            try emitRepetition(body, least, most, mode, pattern)
        case .atomic(let body):
            let start = append(.atomic)
            try emit(body, pattern)
            append(.accept)
            code[start].x = Int32(code.count)
        case .look(let body, let behind, let negative):
            let length = body.length
            let operation: RegexInstruction.Operation =
                behind ? (negative ? .lookBehindNot : .lookBehind) : (negative ? .lookAheadNot : .lookAhead)
            let start = append(operation, 0, length.min, length.max ?? 255)
            try emit(body, pattern)
            append(.accept)
            code[start].x = Int32(code.count)
        case .assertion(let kind): append(.assertion, Int(kind.rawValue))
        }
    }

    private mutating func filter(_ node: RegexNode) -> Int {
        guard !node.isNullable else { return -1 }
        filters.append(node.firstBytes)
        return filters.count - 1
    }

    private mutating func emit(_ branches: [RegexNode], _ pattern: String) throws(ApusError) {
        var ends: [Int] = []
        for (number, branch) in branches.enumerated() {
            guard number < branches.count - 1 else {
                try emit(branch, pattern)
                break
            }
            let split = append(.split, code.count + 1, 0, filter(branch))
            try emit(branch, pattern)
            ends.append(append(.jump))
            code[split].y = Int32(code.count)
        }
        for end in ends { code[end].x = Int32(code.count) }
    }

    private mutating func emitRepetition(
        _ body: RegexNode, _ least: Int, _ most: Int?, _ mode: RegexNode.RepetitionMode, _ pattern: String
    ) throws(ApusError) {
        if case .set(let set) = body {
            let operation: RegexInstruction.Operation =
                switch mode {
                case .greedy: .repeatGreedy
                case .lazy: .repeatLazy
                case .possessive: .repeatPossessive
                }
            append(operation, index(of: set), least, most ?? -1)
            return
        }
        if mode == .possessive {
            return try emit(.atomic(.repetition(body, min: least, max: most, mode: .greedy)), pattern)
        }
        for _ in 0..<least { try emit(body, pattern) }
        if let most {
            var exits: [Int] = []
            for _ in least..<max(most, least) {
                exits.append(appendLoopSplit(body, mode))
                try emit(body, pattern)
            }
            for exit in exits { setExit(exit, mode) }
            return
        }
        let register = body.isNullable ? registerCount : -1
        if register >= 0 { registerCount += 1 }
        let split = appendLoopSplit(body, mode)
        if register >= 0 { append(.mark, register) }
        try emit(body, pattern)
        let check = register >= 0 ? append(.check, register) : -1
        append(.jump, split)
        setExit(split, mode)
        if check >= 0 { code[check].y = Int32(code.count) }
    }

    /// A split between the loop's body, which follows, and its exit, which is set later.
    private mutating func appendLoopSplit(_ body: RegexNode, _ mode: RegexNode.RepetitionMode) -> Int {
        mode == .lazy
            ? append(.split, 0, code.count + 1, -1) : append(.split, code.count + 1, 0, filter(body))
    }

    private mutating func setExit(_ split: Int, _ mode: RegexNode.RepetitionMode) {
        if mode == .lazy { code[split].x = Int32(code.count) } else { code[split].y = Int32(code.count) }
    }
}
