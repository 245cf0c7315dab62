public import ApusSupport

/// The packed weights of an engine where a device keeps them.
public protocol DeviceWeights: AnyObject, Sendable {
    /// Size in bytes.
    var byteCount: Int { get }
    /// Copies them to memory of the processor of the same size.
    func copy(to buffer: HugeBuffer) throws(ApusError)
}

/// Takes weights to a device in parts, each through a slot that one thread at a time uses.
public protocol WeightReceiver: AnyObject, Sendable {
    /// Slots; each has its own part on its way.
    var slotCount: Int { get }
    /// Memory of the processor for the next part of a slot, 1 MiB; waits until the one before has left it.
    func part(_ slot: Int) throws(ApusError) -> UnsafeMutableRawBufferPointer
    /// Sends the first `count` bytes of a slot's part to `offset` of the weights, without waiting.
    func send(_ slot: Int, count: Int, to offset: Int) throws(ApusError)
    /// Waits until all parts have arrived; once, after the last.
    func finish() throws(ApusError) -> any DeviceWeights
}
