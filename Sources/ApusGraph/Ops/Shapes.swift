/// Rules about shapes that several ops share.
enum Shapes {
    /// The common shape that both broadcast to, aligned at the right; nil if there is none.
    static func broadcast(_ a: [Dimension], _ b: [Dimension]) -> [Dimension]? {
        let rank = max(a.count, b.count)
        var result: [Dimension] = []
        for index in 0..<rank {
            let x = index - (rank - a.count) >= 0 ? a[index - (rank - a.count)] : 1
            let y = index - (rank - b.count) >= 0 ? b[index - (rank - b.count)] : 1
            if x == y || y == 1 {
                result.append(x)
            } else if x == 1 {
                result.append(y)
            } else {
                return nil
            }
        }
        return result
    }

    /// Whether `shape` broadcasts to exactly `target`.
    static func broadcasts(_ shape: [Dimension], to target: [Dimension]) -> Bool {
        broadcast(shape, target) == target
    }
}
