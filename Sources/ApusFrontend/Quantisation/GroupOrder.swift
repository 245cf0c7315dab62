import ApusSupport

/// The order of columns that puts those of one group beside each other, where activations decided the groups.
enum GroupOrder {
    /// For each place the column that belongs there: sorted by group, else as they were; nil if that is each column's
    /// own place.
    ///
    /// - Parameters:
    ///   - index: i32, the group of each column.
    ///   - columns: Number of columns.
    ///   - groups: Number of groups.
    /// - Throws: `.invalidInput` for a group that is out of range or not of columns/groups columns.
    static func sorting(_ index: UnsafeRawPointer, columns: Int, groups: Int) throws(ApusError) -> [Int32]? {
        let size = columns / groups
        func group(_ column: Int) -> Int { Int(Int32(bitPattern: Words.load(index, column))) }
        // What was never set says nothing, as in compressed-tensors.
        if (0..<columns).contains(where: { group($0) == -1 }) { return nil }
        if (0..<columns).allSatisfy({ group($0) == $0 / size }) { return nil }
        var next = (0..<groups).map { $0 * size }
        var order = [Int32](repeating: 0, count: columns)
        for column in 0..<columns {
            let group = group(column)
            guard group >= 0, group < groups else {
                throw ApusError(
                    .invalidInput,
                    "column \(column): expected a group in 0..<\(groups), got \(group)")
            }
            guard next[group] < (group + 1) * size else {
                throw ApusError(
                    .invalidInput, "expected \(size) columns in each group, got more in group \(group)")
            }
            order[next[group]] = Int32(column)
            next[group] += 1
        }
        return order.enumerated().allSatisfy { $0.offset == Int($0.element) } ? nil : order
    }
}
