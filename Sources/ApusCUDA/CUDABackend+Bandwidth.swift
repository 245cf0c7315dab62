import ApusEngine
public import ApusSupport
import CApusCUDA

extension CUDABackend {
    /// Measures how fast the GPU reads its memory: a buffer that its caches cannot hold, read by a kernel that does nothing
    /// else, timed with events.
    /// - Parameter byteCount: Size of the buffer, a multiple of 16.
    /// - Returns: Bytes a second, the best of several passes.
    public func measureReadBandwidth(byteCount: Int = 2 << 30) throws(ApusError) -> Double {
        let device = runtime.device
        let (driver, functions) = (device.driver, device.driver.functions)
        let buffer = try CUDAMemory(byteCount, purpose: "the bandwidth probe", on: device)
        let stream = try CUDAStream(on: device)
        // Bytes that are not zero, and whose highest bits are: reading zeros may be faster.
        try driver.check(functions.fill(buffer.address, 0x5a, byteCount, stream.handle), "filling the probe")
        let call = KernelCall(
            KernelUnit("read"), "read_all", grid: .init(4 * device.processorCount), block: .init(512),
            [.pointer(buffer.base), .int64(byteCount / 16), .pointer(buffer.base)])
        let prepared = try PreparedCall(call, runtime.kernels, on: device, overlaps: false)
        let start = try CUDAEvent(on: device)
        let end = try CUDAEvent(on: device)
        var best = Float.infinity
        for _ in 0..<8 {
            try driver.check(functions.event_record(start.handle, stream.handle), "recording an event")
            try prepared.enqueue(stream.handle)
            try driver.check(functions.event_record(end.handle, stream.handle), "recording an event")
            try driver.check(functions.event_synchronize(end.handle), "reading memory")
            var milliseconds: Float = 0
            try driver.check(
                functions.event_elapsed(&milliseconds, start.handle, end.handle), "reading an event")
            best = min(best, milliseconds)
        }
        return Double(byteCount) / Double(best) * 1000
    }
}
