import ApusEngine
import ApusSupport
import CApusCUDA
import Dispatch
import Synchronization

/// The weights of an engine in the memory of a device.
final class CUDAWeights: DeviceWeights, @unchecked Sendable {
    let memory: CUDAMemory

    init(_ memory: CUDAMemory) { self.memory = memory }

    /// Weights of which nothing but places is there, for a device that computes nothing.
    init(placesOn device: CUDADevice) throws(ApusError) {
        memory = try CUDAMemory(1, purpose: "weights", on: device)
    }

    var byteCount: Int { memory.byteCount }

    func copy(to buffer: HugeBuffer) throws(ApusError) {
        let device = memory.device
        try device.activate()
        try device.driver.check(
            device.driver.functions.copy_out(buffer.base, memory.address, memory.byteCount, nil),
            "reading the weights")
        try device.driver.check(device.driver.functions.stream_synchronize(nil), "reading the weights")
    }
}

/// Weights on their way to a device: threads fill parts of pinned memory, from which the device fetches them by itself.
///
/// Memory that is not pinned would be copied once more by the driver.
final class WeightUpload: WeightReceiver, @unchecked Sendable {
    private let memory: CUDAMemory
    private let staging: CUDAHostMemory
    private let streams: [Stream]

    private final class Stream {
        let stream: CUDAStream
        init(on device: CUDADevice) throws(ApusError) { stream = try CUDAStream(on: device) }
    }

    /// Parts on their way at a time, and bytes of each.
    static let (slots, partBytes) = (32, 1 << 20)

    init(_ byteCount: Int, on device: CUDADevice) throws(ApusError) {
        memory = try CUDAMemory(byteCount, purpose: "weights", on: device)
        let slots = min(Self.slots, (byteCount + Self.partBytes - 1) / Self.partBytes)
        staging = try CUDAHostMemory(
            max(slots, 1) * Self.partBytes, purpose: "weights on their way", on: device)
        streams = try (0..<max(slots, 1)).map { _ throws(ApusError) in try Stream(on: device) }
    }

    var slotCount: Int { streams.count }

    func part(_ slot: Int) throws(ApusError) -> UnsafeMutableRawBufferPointer {
        let device = memory.device
        try device.activate()
        try device.driver.check(
            device.driver.functions.stream_synchronize(streams[slot].stream.handle), "copying the weights")
        return UnsafeMutableRawBufferPointer(
            start: staging.base + slot * Self.partBytes, count: Self.partBytes)
    }

    func send(_ slot: Int, count: Int, to offset: Int) throws(ApusError) {
        let driver = memory.device.driver
        try driver.check(
            driver.functions.copy_in(
                memory.address + UInt64(offset), staging.base + slot * Self.partBytes, count,
                streams[slot].stream.handle), "copying the weights")
    }

    func finish() throws(ApusError) -> any DeviceWeights { try finished() }

    private func finished() throws(ApusError) -> CUDAWeights {
        for slot in streams.indices { _ = try part(slot) }
        return CUDAWeights(memory)
    }

    deinit {
        // What is on its way must not outlive the memory that it is read from.
        for slot in streams.indices { _ = try? part(slot) }
    }

    /// Sends weights that are in the processor's memory.
    static func send(_ buffer: HugeBuffer, to device: CUDADevice) throws(ApusError) -> CUDAWeights {
        let upload = try WeightUpload(buffer.byteCount, on: device)
        let parts = (buffer.byteCount + partBytes - 1) / partBytes
        let next = Atomic<Int>(0)
        let failure = Mutex<ApusError?>(nil)
        DispatchQueue.concurrentPerform(iterations: upload.slotCount) { slot in
            do throws(ApusError) {
                while case let part = next.add(1, ordering: .relaxed).oldValue, part < parts {
                    let offset = part * partBytes
                    let count = min(partBytes, buffer.byteCount - offset)
                    try upload.part(slot).copyMemory(
                        from: UnsafeRawBufferPointer(start: buffer.base + offset, count: count))
                    try upload.send(slot, count: count, to: offset)
                }
            } catch {
                failure.withLock { $0 = $0 ?? error }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
        return try upload.finished()
    }
}
