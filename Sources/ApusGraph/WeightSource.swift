public import ApusSupport

/// Where the values of a graph's parameters come from: a checkpoint, a random generator, an archive.
public protocol WeightSource: Sendable {
    /// Element type and constant shape of the weight as it is stored; nil if there is none of that name.
    func type(of name: String) -> TensorType?

    /// Calls `body` with the weight's elements: row-major, little-endian, in the element type of ``type(of:)``.
    ///
    /// The bytes are valid only during the call and need not be aligned.
    /// - Throws: `.notFound` for an unknown name, and whatever reading the weight or `body` throws.
    func withBytes(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError)

    /// Tells that the weight will not be asked for again, so that its pages need not stay in memory.
    func release(_ name: String)
}

extension WeightSource {
    /// Does nothing.
    public func release(_ name: String) {}
}
