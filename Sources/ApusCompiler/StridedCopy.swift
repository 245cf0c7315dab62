/// Copies elements from one dense tensor to another through a change of strides.
struct StridedCopy {
    /// Extents of the loop, outermost first.
    private var extents: [Int]
    private var fromStrides: [Int]
    private var toStrides: [Int]
    private var fromOffset = 0
    private var toOffset = 0
    private let toShape: [Int]

    /// A copy from a tensor of shape `from` into one of shape `to`; both row-major.
    init(from: [Int], to: [Int]) {
        extents = from
        fromStrides = Self.strides(of: from)
        toStrides = Self.strides(of: to)
        toShape = to
    }

    private static func strides(of shape: [Int]) -> [Int] {
        var strides = [Int](repeating: 1, count: shape.count)
        for index in stride(from: shape.count - 2, through: 0, by: -1) {
            strides[index] = strides[index + 1] * shape[index + 1]
        }
        return strides
    }

    /// The destination has dimensions `a` and `b` of the source exchanged.
    mutating func swap(_ a: Int, _ b: Int) {
        extents.swapAt(a, b)
        fromStrides.swapAt(a, b)
    }

    /// Dimension i of the destination is dimension order[i] of the source.
    mutating func permute(_ order: [Int]) {
        extents = order.map { extents[$0] }
        fromStrides = order.map { fromStrides[$0] }
    }

    /// The destination holds the source's `axis` from index `start` on.
    mutating func slice(_ axis: Int, from start: Int) {
        extents[axis] = toShape[axis]
        fromOffset += start * fromStrides[axis]
    }

    /// The source lands at index `start` of the destination's `axis`.
    mutating func place(_ axis: Int, at start: Int) { toOffset += start * toStrides[axis] }

    /// Moves the elements; walks in blocks of the two innermost dimensions so that a transpose stays in cache.
    func run(_ from: UnsafeMutableRawBufferPointer, _ to: UnsafeMutableRawBufferPointer, elementBytes: Int) {
        guard let source = from.baseAddress, let destination = to.baseAddress, !extents.contains(0) else {
            return
        }
        switch elementBytes {
        case 2:
            move(
                source.assumingMemoryBound(to: UInt16.self), destination.assumingMemoryBound(to: UInt16.self))
        case 4:
            move(
                source.assumingMemoryBound(to: UInt32.self), destination.assumingMemoryBound(to: UInt32.self))
        case 8:
            move(
                source.assumingMemoryBound(to: UInt64.self), destination.assumingMemoryBound(to: UInt64.self))
        default:
            move(source.assumingMemoryBound(to: UInt8.self), destination.assumingMemoryBound(to: UInt8.self))
        }
    }

    private func move<T>(_ source: UnsafeMutablePointer<T>, _ destination: UnsafeMutablePointer<T>) {
        let rank = extents.count
        guard rank > 0 else {
            destination[toOffset] = source[fromOffset]
            return
        }
        let columns = extents[rank - 1]
        let rows = rank > 1 ? extents[rank - 2] : 1
        let fromColumn = fromStrides[rank - 1]
        let toColumn = toStrides[rank - 1]
        let fromRow = rank > 1 ? fromStrides[rank - 2] : 0
        let toRow = rank > 1 ? toStrides[rank - 2] : 0
        let block = 32
        var index = [Int](repeating: 0, count: max(rank - 2, 0))
        while true {
            var fromBase = fromOffset
            var toBase = toOffset
            for (axis, position) in index.enumerated() {
                fromBase += position * fromStrides[axis]
                toBase += position * toStrides[axis]
            }
            for row0 in stride(from: 0, to: rows, by: block) {
                for column0 in stride(from: 0, to: columns, by: block) {
                    for row in row0..<min(row0 + block, rows) {
                        for column in column0..<min(column0 + block, columns) {
                            destination[toBase + row * toRow + column * toColumn] =
                                source[fromBase + row * fromRow + column * fromColumn]
                        }
                    }
                }
            }
            var axis = index.count - 1
            while axis >= 0 {
                index[axis] += 1
                if index[axis] < extents[axis] { break }
                index[axis] = 0
                axis -= 1
            }
            if axis < 0 { return }
        }
    }
}
