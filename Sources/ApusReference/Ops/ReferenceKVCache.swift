import ApusGraph

/// The KV cache of the attention plugin as numbers.
///
/// A head of an `i8` cache holds capacity · D codes and behind them capacity scales, each four bytes of an f32, the
/// lowest first. A row becomes codes when it is written: its scale is max |x| / 127, a code x · (1 / scale) rounded to
/// the nearest integer, to the even one in the middle.
struct ReferenceKVCache {
    private let element: ElementType
    private let shape: [Int]
    private let capacity: Int
    private let size: Int
    /// The numbers, head by head and row by row.
    private var floats: [Float]
    /// The bytes of an `i8` cache, otherwise empty.
    private var codes: [Int]

    init(_ tensor: Tensor, headSize: Int) {
        (element, shape) = (tensor.element, tensor.shape)
        (capacity, size) = (shape[3], headSize)
        (floats, codes) = (tensor.floats, tensor.ints)
        guard element == .i8 else { return }
        let heads = shape[0] * shape[1] * shape[2]
        floats = [Float](repeating: 0, count: heads * capacity * size)
        for head in 0..<heads {
            for slot in 0..<capacity { widen(head, slot) }
        }
    }

    /// The cache as a value of the graph.
    var tensor: Tensor {
        element == .i8 ? Tensor(.i8, shape, ints: codes) : Tensor(element, shape, floats: floats)
    }

    /// The numbers of a row.
    func row(head: Int, slot: Int) -> ArraySlice<Float> {
        let start = (head * capacity + slot) * size
        return floats[start..<start + size]
    }

    /// Stores a row as the cache keeps it.
    mutating func write(_ row: [Float], head: Int, slot: Int) {
        let start = (head * capacity + slot) * size
        guard element == .i8 else {
            floats.replaceSubrange(start..<start + size, with: row.map { Tensor.round($0, to: element) })
            return
        }
        let isNumber = !row.contains(where: \.isNaN)
        let scale = isNumber ? (row.map { abs($0) }.max() ?? 0) / 127 : .nan
        let inverse = scale == 0 ? 0 : 1 / scale
        for (column, value) in row.enumerated() {
            let code = (value * inverse).rounded(.toNearestOrEven)
            codes[codeStart(head) + slot * size + column] = code.isFinite ? Int(code) : -128
        }
        for byte in 0..<4 {
            let bits = UInt8(truncatingIfNeeded: scale.bitPattern >> UInt32(8 * byte))
            codes[scaleStart(head, slot) + byte] = Int(Int8(bitPattern: bits))
        }
        widen(head, slot)
    }

    private func codeStart(_ head: Int) -> Int { head * capacity * (size + 4) }

    private func scaleStart(_ head: Int, _ slot: Int) -> Int { codeStart(head) + capacity * size + 4 * slot }

    /// Works out the numbers of a row of codes.
    private mutating func widen(_ head: Int, _ slot: Int) {
        var bits: UInt32 = 0
        for byte in 0..<4 {
            bits |=
                UInt32(UInt8(truncatingIfNeeded: codes[scaleStart(head, slot) + byte])) << UInt32(8 * byte)
        }
        let start = (head * capacity + slot) * size
        for column in 0..<size {
            floats[start + column] =
                Float(codes[codeStart(head) + slot * size + column]) * Float(bitPattern: bits)
        }
    }
}
