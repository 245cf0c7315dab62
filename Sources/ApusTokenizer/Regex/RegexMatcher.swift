/// Runs a program over a text by backtracking.
///
/// A loop over one set takes one entry of the stack however long it runs. When an attempt has backtracked often,
/// states that failed are remembered, so that nested loops cost states × length and not two to the length.
struct RegexMatcher {
    private struct Entry {
        enum Kind: UInt8 {
            /// Resume at `pc` and `position`.
            case resume
            /// Resume at `pc` with one scalar fewer, down to `limit`.
            case shrink
            /// Take one more scalar of the lazy loop at `pc`, of which `limit` more are allowed.
            case grow
            /// Put `position` back into register `pc`.
            case restore
        }
        var kind: Kind
        var pc: Int32
        var position: Int
        var limit: Int
    }

    private let base: UnsafePointer<UInt8>
    private let count: Int
    private let code: UnsafeBufferPointer<RegexInstruction>
    private let sets: UnsafeBufferPointer<RegexSet>
    private let filters: UnsafeBufferPointer<ByteSet>
    private let trees: [ScalarSet]
    private let firstBytes: ByteSet
    private let categories = UnicodeTables.shared.categories
    private var stack: [Entry] = []
    private var registers: [Int]
    private var failed: [UInt64] = []
    private var marked: [Int] = []
    private var backtracks = 0
    private var innerSteps = 0
    /// Set when look-around has used up its steps: the answer given is then no answer.
    private(set) var isExhausted = false

    private static let backtracksBeforeMemory = 2000
    private static let maximumInnerSteps = 1 << 31

    init(
        text: UnsafeBufferPointer<UInt8>, code: UnsafeBufferPointer<RegexInstruction>,
        sets: UnsafeBufferPointer<RegexSet>, filters: UnsafeBufferPointer<ByteSet>, trees: [ScalarSet],
        firstBytes: ByteSet, registerCount: Int
    ) {
        base = text.baseAddress ?? UnsafePointer(bitPattern: 1).unsafelyUnwrapped
        count = text.count
        self.code = code
        self.sets = sets
        self.filters = filters
        self.trees = trees
        self.firstBytes = firstBytes
        registers = [Int](repeating: -1, count: registerCount)
        stack.reserveCapacity(64)
    }

    /// The leftmost match that starts at `from` or later.
    mutating func firstMatch(from: Int) -> (start: Int, end: Int)? {
        var start = from
        while start <= count {
            if start < count ? firstBytes.contains(base[start]) : firstBytes.contains(0) || from == count {
                backtracks = 0
                if let end = run(0, start, isInner: false) {
                    for bit in marked { failed[bit >> 6] &= ~(1 << UInt64(bit & 63)) }
                    marked.removeAll(keepingCapacity: true)
                    return (start, end)
                }
                if isExhausted { return nil }
                // What failed from here fails from anywhere: those states stay marked.
                marked.removeAll(keepingCapacity: true)
            }
            start += start < count ? utf8Length(base[start]) : 1
        }
        return nil
    }

    @inline(__always) private func isMember(_ set: Int32, _ at: Int) -> Int {
        let set0 = sets[Int(set)]
        let lead = base[at]
        if lead < 0x80 {
            return Int((lead < 64 ? set0.low : set0.high) >> UInt64(lead & 63) & 1)
        }
        let (scalar, length) = decodeScalar(base, at)
        if set0.isSimple {
            return set0.categories >> UInt32(categories[scalar]) & 1 != 0 ? length : 0
        }
        return trees[Int(set)].wide.contains(scalar) ? length : 0
    }

    /// Whether the state to be resumed is known to fail; notes it otherwise.
    private mutating func hasFailed(_ pc: Int32, _ position: Int) -> Bool {
        backtracks += 1
        guard backtracks > Self.backtracksBeforeMemory else { return false }
        let (bits, overflow) = code.count.multipliedReportingOverflow(by: count + 1)
        guard !overflow, bits < 1 << 31 else { return false }
        if failed.isEmpty { failed = [UInt64](repeating: 0, count: bits / 64 + 1) }
        let bit = position * code.count + Int(pc)
        if failed[bit >> 6] >> UInt64(bit & 63) & 1 != 0 { return true }
        failed[bit >> 6] |= 1 << UInt64(bit & 63)
        marked.append(bit)
        return false
    }

    /// Runs from an instruction to its `accept`; the end of the match, or nil.
    ///
    /// `target` is where a look-behind has to end.
    private mutating func run(_ startPC: Int, _ startPosition: Int, isInner: Bool, target: Int = -1) -> Int? {
        let floor = stack.count
        var pc = startPC
        var at = startPosition
        while true {
            let instruction = code[pc]
            var ok = true
            switch instruction.operation {
            case .byte:
                ok = at < count && base[at] == UInt8(truncatingIfNeeded: instruction.x)
                at &+= 1
                pc &+= 1
            case .set:
                let length = at < count ? isMember(instruction.x, at) : 0
                ok = length > 0
                at &+= length
                pc &+= 1
            case .repeatGreedy, .repeatPossessive:
                let most = instruction.z < 0 ? Int.max : Int(instruction.z)
                let least = Int(instruction.y)
                var taken = 0
                var limit = at
                while taken < most, at < count {
                    let length = isMember(instruction.x, at)
                    if length == 0 { break }
                    at &+= length
                    taken &+= 1
                    if taken == least { limit = at }
                }
                ok = taken >= least
                pc &+= 1
                if ok, at > limit, instruction.operation == .repeatGreedy {
                    stack.append(Entry(kind: .shrink, pc: Int32(pc), position: at, limit: limit))
                }
            case .repeatLazy:
                var taken = 0
                while taken < Int(instruction.y), at < count {
                    let length = isMember(instruction.x, at)
                    if length == 0 { break }
                    at &+= length
                    taken &+= 1
                }
                ok = taken == Int(instruction.y)
                let more = instruction.z < 0 ? Int.max : Int(instruction.z) - taken
                if ok, more > 0 { stack.append(Entry(kind: .grow, pc: Int32(pc), position: at, limit: more)) }
                pc &+= 1
            case .split:
                if instruction.z >= 0, at >= count || !filters[Int(instruction.z)].contains(base[at]) {
                    pc = Int(instruction.y)
                } else {
                    stack.append(Entry(kind: .resume, pc: instruction.y, position: at, limit: 0))
                    pc = Int(instruction.x)
                }
            case .jump: pc = Int(instruction.x)
            case .assertion:
                ok = holds(instruction.x, at)
                pc &+= 1
            case .lookAhead, .lookAheadNot:
                let found = run(pc + 1, at, isInner: true) != nil
                ok = found == (instruction.operation == .lookAhead)
                pc = Int(instruction.x)
            case .lookBehind, .lookBehindNot:
                let found = isBehind(pc + 1, at, Int(instruction.y), Int(instruction.z))
                ok = found == (instruction.operation == .lookBehind)
                pc = Int(instruction.x)
            case .atomic:
                if let end = run(pc + 1, at, isInner: true) { at = end } else { ok = false }
                pc = Int(instruction.x)
            case .mark:
                let register = Int(instruction.x)
                stack.append(
                    Entry(kind: .restore, pc: instruction.x, position: registers[register], limit: 0))
                registers[register] = at
                pc &+= 1
            case .check:
                pc = registers[Int(instruction.x)] == at ? Int(instruction.y) : pc + 1
            case .accept:
                if target < 0 || at == target {
                    stack.removeSubrange(floor...)
                    return at
                }
                ok = false
            }
            if !ok {
                guard let state = backtrack(floor, isInner) else { return nil }
                (pc, at) = state
            }
        }
    }

    private mutating func backtrack(_ floor: Int, _ isInner: Bool) -> (pc: Int, position: Int)? {
        if isInner {
            innerSteps &+= 1
            if innerSteps > Self.maximumInnerSteps { isExhausted = true }
        }
        while stack.count > floor, !isExhausted {
            let top = stack.count &- 1
            let entry = stack[top]
            var position = entry.position
            var pc = entry.pc
            switch entry.kind {
            case .restore:
                registers[Int(entry.pc)] = entry.position
                stack.removeLast()
                continue
            case .resume: stack.removeLast()
            case .shrink:
                position &-= 1
                while base[position] & 0xC0 == 0x80 { position &-= 1 }
                if position <= entry.limit { stack.removeLast() } else { stack[top].position = position }
            case .grow:
                let length = position < count ? isMember(code[Int(pc)].x, position) : 0
                guard length > 0 else {
                    stack.removeLast()
                    continue
                }
                position &+= length
                if entry.limit == 1 {
                    stack.removeLast()
                } else {
                    stack[top].position = position
                    stack[top].limit = entry.limit &- 1
                }
                pc &+= 1
            }
            if !isInner, hasFailed(pc, position) { continue }
            return (Int(pc), position)
        }
        stack.removeSubrange(floor...)
        return nil
    }

    private mutating func isBehind(_ pc: Int, _ at: Int, _ least: Int, _ most: Int) -> Bool {
        var start = at
        var length = 0
        while true {
            if length >= least, run(pc, start, isInner: true, target: at) != nil { return true }
            guard length < most, start > 0 else { return false }
            start -= 1
            while start > 0, base[start] & 0xC0 == 0x80 { start -= 1 }
            length += 1
        }
    }

    private func holds(_ assertion: Int32, _ at: Int) -> Bool {
        switch RegexNode.Assertion(rawValue: assertion) {
        case .textStart: at == 0
        case .textEnd: at == count
        case .textEndOrFinalNewline: at == count || (at == count - 1 && base[at] == 10)
        case .lineStart: at == 0 || (base[at - 1] == 10 && at < count)
        case .lineEnd: at == count || base[at] == 10
        case .wordBoundary: isWord(at) != isWordBefore(at)
        case .notWordBoundary: isWord(at) == isWordBefore(at)
        case nil: false
        }
    }

    private func isWord(_ at: Int) -> Bool {
        at < count && ScalarSet.word.contains(decodeScalar(base, at).scalar)
    }

    private func isWordBefore(_ at: Int) -> Bool {
        guard at > 0 else { return false }
        var start = at - 1
        while start > 0, base[start] & 0xC0 == 0x80 { start -= 1 }
        return isWord(start)
    }
}
