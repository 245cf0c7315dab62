package import ApusGraph
import TestNumbers

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The seeded inputs of every round of a case, and what must come out of it.
package struct Script {
    /// One call of the plugin.
    package struct Call {
        package var packed: Tensor
        package var lengths: Tensor
        package var starts: Tensor
        package var mask: Tensor?
        package var positions: Tensor?
        /// What each sequence's cache is given before the call; nil leaves it as it is.
        package var filling: [[PlainAttention.Entry]]?
        /// Rows that must come out as zeros, by sequence and token.
        package var padding: [(sequence: Int, token: Int)] = []
        /// Rows that are compared.
        package var expected: [(sequence: Int, token: Int, row: [Double])] = []
        /// The entries of each sequence's cache, nil where nothing was ever written.
        package var cache: [[PlainAttention.Entry?]] = []
        /// Slots from here on are forgotten after the call.
        package var kept: [Int] = []
    }

    package let c: PluginCase
    package let capacity: Int
    package let table: Tensor
    package let norms: (q: Tensor, k: Tensor)?
    package private(set) var calls: [Call] = []
    private var filling: [[PlainAttention.Entry]]?
    private var numbers: Numbers
    private var plain: PlainAttention

    /// Works out a case.
    package init(_ c: PluginCase, seed: UInt64 = 1) {
        self.c = c
        numbers = Numbers(seed: seed)
        let half = c.rotaryDims / 2
        let frequencies = (0..<c.batch).map { sequence in
            (0..<half).map {
                pow(1e4, -Double($0) / Double(half)) * (c.hasTables ? 1 / Double(sequence + 1) : 1)
            }
        }
        let (qNorm, kNorm) = (numbers.array(c.dim), numbers.array(c.dim))
        norms =
            c.hasNorm ? (Tensor(.f32, [c.dim], floats: qNorm), Tensor(.f32, [c.dim], floats: kNorm)) : nil
        plain = PlainAttention(
            c: c, frequencies: frequencies, qNorm: qNorm.map(Double.init), kNorm: kNorm.map(Double.init),
            entries: Array(repeating: [], count: c.batch))
        var lengths = [Int](repeating: 0, count: c.batch)
        var top = 0
        for round in c.rounds {
            switch round {
            case .prefill(let counts), .fill(let counts): lengths = counts
            case .chunk(let counts, _), .decode(let counts): lengths = zip(lengths, counts).map(+)
            case .tree(let size, _): top = max(top, (lengths.max() ?? 0) + size)
            }
            top = max(top, lengths.max() ?? 0)
        }
        capacity = top + c.spareSlots
        let positions = capacity + 3
        let tables = c.hasTables ? c.batch : 1
        table = Tensor(
            .f32, [tables, positions, c.rotaryDims],
            floats: (0..<tables).flatMap { sequence in
                (0..<positions).flatMap { position in
                    let angles = frequencies[sequence].map { Double(position) * $0 }
                    return angles.map { Float(cos($0)) } + angles.map { Float(sin($0)) }
                }
            })
        for round in c.rounds { add(round, c.rowLimit) }
    }

    private mutating func add(_ round: PluginCase.Round, _ rowLimit: Int) {
        var (counts, width): ([Int], Int)
        var isPrefill = false
        var isDecode = false
        switch round {
        case .prefill(let list): (counts, width, isPrefill) = (list, max(list.max() ?? 0, 1), true)
        case .chunk(let list, let padded): (counts, width) = (list, padded)
        case .decode(let list): (counts, width, isDecode) = (list, 1, true)
        case .fill(let list): return fill(list)
        case .tree(let size, let padding): return addTree(size, padding, rowLimit)
        }
        if isPrefill { plain.entries = plain.entries.map { _ in [] } }
        let starts = plain.entries.map(\.count)
        let rows = packed(width, isValid: { $1 < counts[$0] })
        var call = Call(
            packed: Tensor(.f32, [c.batch, width, c.width], floats: rows),
            lengths: integers(zip(starts, counts).map { isDecode ? ($1 == 0 ? 0 : $0 + $1) : $1 }),
            starts: integers(isPrefill ? [] : starts))
        if c.isTree {
            // Whatever they hold, no phase but the tree looks at them.
            call.positions = Tensor(.i32, [c.batch, 1], ints: Array(repeating: -1, count: c.batch))
            call.mask = Tensor(.i32, [c.batch, 1, 1], ints: Array(repeating: 0, count: c.batch))
        }
        for sequence in 0..<c.batch {
            let compared = choose(counts[sequence], rowLimit)
            for token in 0..<width {
                guard token < counts[sequence] else {
                    call.padding.append((sequence, token))
                    continue
                }
                let position = starts[sequence] + token
                let row = row(rows, width, sequence, token)
                let (queries, entry) = plain.heads(row, sequence, position: position)
                plain.entries[sequence].append(entry)
                guard compared.contains(token) else { continue }
                let seen = plain.entries[sequence].filter { isNear($0.position, position) }
                call.expected.append((sequence, token, plain.attend(queries, seen)))
            }
        }
        call.cache = plain.entries
        call.kept = plain.entries.map(\.count)
        append(call)
    }

    /// Adds a call, with what the cache is to be given before it.
    private mutating func append(_ call: Call) {
        var call = call
        call.filling = filling
        filling = nil
        calls.append(call)
    }

    private mutating func fill(_ counts: [Int]) {
        for (sequence, count) in counts.enumerated() {
            plain.entries[sequence] = (0..<count).map { position in
                let (key, value) = (numbers.array(c.kv * c.dim), numbers.array(c.kv * c.dim))
                return .init(position: position, key: key.map(Double.init), value: value.map(Double.init))
            }
        }
        filling = plain.entries
    }

    private mutating func addTree(_ size: Int, _ padding: Int, _ rowLimit: Int) {
        let starts = plain.entries.map(\.count)
        let real = size - padding
        let rows = packed(size, isValid: { $1 < real })
        let words = (size + 31) / 32
        var bits = [Int](repeating: 0, count: c.batch * size * words)
        var positions = [Int](repeating: -1, count: c.batch * size)
        for sequence in 0..<c.batch {
            for token in 0..<size {
                // Bits of padding, and those past the last token, are noise that must not show.
                for word in 0..<words {
                    bits[(sequence * size + token) * words + word] = Int(
                        Int32(truncatingIfNeeded: numbers.next()))
                }
                let own = (sequence * size + token) * words + token / 32
                if numbers.below(8) > 0 { bits[own] |= 1 << (token % 32) }
                if token < real {
                    positions[sequence * size + token] = starts[sequence] + numbers.below(min(token, 6) + 1)
                }
            }
        }
        var call = Call(
            packed: Tensor(.f32, [c.batch, size, c.width], floats: rows),
            lengths: integers(starts.map { $0 + size }), starts: integers(starts),
            mask: Tensor(.i32, [c.batch, size, words], ints: bits),
            positions: Tensor(.i32, [c.batch, size], ints: positions))
        for sequence in 0..<c.batch {
            let cached = plain.entries[sequence]
            let heads = (0..<real).map { token in
                plain.heads(
                    row(rows, size, sequence, token), sequence, position: positions[sequence * size + token])
            }
            for token in choose(real, rowLimit) {
                let position = positions[sequence * size + token]
                let tree = (0..<real).filter { key in
                    bits[(sequence * size + token) * words + key / 32] >> (key % 32) & 1 == 1
                }
                let seen = (cached + tree.map { heads[$0].entry }).filter { isNear($0.position, position) }
                call.expected.append((sequence, token, plain.attend(heads[token].queries, seen)))
            }
            call.padding += (real..<size).map { (sequence, $0) }
            call.cache.append(cached + heads.map(\.entry))
        }
        call.kept = starts
        append(call)
    }

    /// Puts another call in place of the last one.
    package mutating func replaceLast(_ call: Call) { calls[calls.count - 1] = call }

    private func isNear(_ key: Int, _ query: Int) -> Bool { c.window == 0 || query - key < c.window }

    private func integers(_ values: [Int]) -> Tensor { Tensor(.i32, [values.count], ints: values) }

    /// Rows of all sequences; those of padding are NaN.
    private mutating func packed(_ width: Int, isValid: (Int, Int) -> Bool) -> [Float] {
        var rows: [Float] = []
        for sequence in 0..<c.batch {
            for token in 0..<width {
                rows +=
                    isValid(sequence, token)
                    ? numbers.array(c.width) : Array(repeating: .nan, count: c.width)
            }
        }
        return rows
    }

    private func row(_ rows: [Float], _ width: Int, _ sequence: Int, _ token: Int) -> [Float] {
        let start = (sequence * width + token) * c.width
        return Array(rows[start..<start + c.width])
    }

    /// The first and last of `count` rows, and some between.
    private mutating func choose(_ count: Int, _ limit: Int) -> Set<Int> {
        guard count > limit else { return Set(0..<count) }
        var rows: Set<Int> = [0, count - 1]
        while rows.count < limit { rows.insert(numbers.below(count)) }
        return rows
    }
}
