import ApusGraph

extension Script {
    /// Adds padding at the end of the last call, a tree, up to `size` tokens.
    package mutating func padTree(to size: Int) {
        guard var call = calls.last, let mask = call.mask, let positions = call.positions else { return }
        let (real, words) = (call.packed.shape[1], (size + 31) / 32)
        var rows: [Float] = []
        var bits: [Int] = []
        var places: [Int] = []
        for sequence in 0..<c.batch {
            let width = real * c.width
            rows += call.packed.floats[sequence * width..<(sequence + 1) * width]
            rows += [Float](repeating: .nan, count: (size - real) * c.width)
            for token in 0..<size {
                let own = mask.shape[2]
                let start = (sequence * real + token) * own
                let row = token < real ? Array(mask.ints[start..<start + own]) : []
                // Every token claims to see the padding.
                bits += row + Array(repeating: -1, count: words - row.count)
                places.append(token < real ? positions.ints[sequence * real + token] : -1)
            }
            call.padding += (real..<size).map { (sequence, $0) }
        }
        call.packed = Tensor(.f32, [c.batch, size, c.width], floats: rows)
        call.mask = Tensor(.i32, [c.batch, size, words], ints: bits)
        call.positions = Tensor(.i32, [c.batch, size], ints: places)
        call.lengths = Tensor(.i32, [c.batch], ints: call.starts.ints.map { $0 + size })
        replaceLast(call)
    }

    /// Makes the last call, a tree of one sequence, that of `other`, a chunk, with a mask under which each token sees
    /// those before it.
    package mutating func makeChain(of other: Script) {
        guard var call = other.calls.last, let start = call.starts.ints.first else { return }
        let size = call.packed.shape[1]
        call.mask = Tensor(.i32, [1, size, 1], ints: (0..<size).map { (1 << ($0 + 1)) - 1 })
        call.positions = Tensor(.i32, [1, size], ints: (0..<size).map { start + $0 })
        call.lengths = Tensor(.i32, [1], ints: [start + size])
        replaceLast(call)
    }
}
