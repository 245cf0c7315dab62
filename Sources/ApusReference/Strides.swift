/// Steps between neighbours of a row-major tensor, in elements.
enum Strides {
    /// The steps of a dense tensor of that shape.
    static func dense(_ shape: [Int]) -> [Int] {
        var strides = [Int](repeating: 1, count: shape.count)
        for index in stride(from: shape.count - 2, through: 0, by: -1) {
            strides[index] = strides[index + 1] * shape[index + 1]
        }
        return strides
    }

    /// The steps that read a dense tensor as if it had been repeated to `target`: 0 along repeated dimensions.
    static func broadcast(_ shape: [Int], to target: [Int]) -> [Int] {
        let missing = target.count - shape.count
        let own = dense(shape)
        return target.indices.map { index in
            index < missing || shape[index - missing] == 1 ? 0 : own[index - missing]
        }
    }

    /// Where in its memory each element of a strided view lies, in row-major order of `shape`.
    static func offsets(_ shape: [Int], _ strides: [Int], start: Int = 0) -> [Int] {
        var offsets = [start]
        for (size, step) in zip(shape, strides) {
            let outer = offsets
            offsets = [Int](unsafeUninitializedCapacity: outer.count * size) { buffer, initialized in
                guard var target = buffer.baseAddress else { return }
                for offset in outer {
                    var position = 0
                    while position < size {
                        target.initialize(to: offset + position * step)
                        target += 1
                        position += 1
                    }
                }
                initialized = outer.count * size
            }
        }
        return offsets
    }
}
