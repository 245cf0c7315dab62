import ApusGraph
import ApusSupport

extension GraphBuilder {
    /// Builds what belongs to a module of the checkpoint: names inside `body` are prefixed with `name`.
    mutating func module<T>(
        _ name: String, _ body: (inout GraphBuilder) throws(ApusError) -> T
    ) throws(ApusError) -> T {
        scope.append(name)
        defer { scope.removeLast() }
        return try body(&self)
    }

    /// A weight of the module being built, `f32` whatever the checkpoint stores.
    mutating func weight(_ name: String, _ shape: [Int]) -> Value {
        parameter((scope + [name]).joined(separator: "."), TensorType(.f32, shape))
    }

    /// The shape of a value.
    func shape(_ value: Value) -> [Dimension] { type(of: value).shape }
}
