/// Operators that write to their first argument.
enum InPlace {
    /// The operator that computes what an in-place one writes: `aten.mul.Tensor` for `aten.mul_.Tensor`; nil if the
    /// name is not of that kind.
    static func functionalTarget(of target: String) -> String? {
        let parts = target.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count >= 3 else { return nil }
        let name = parts[parts.count - 2]
        guard name.hasSuffix("_"), !name.hasPrefix("__"), name.count > 1 else { return nil }
        return (parts.dropLast(2) + [name.dropLast(), parts[parts.count - 1]]).joined(separator: ".")
    }
}
