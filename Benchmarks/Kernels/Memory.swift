import CApusCPU

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Memory on 2 MB pages where the system gives them; it is kept until the program ends.
struct Memory {
    let base: UnsafeMutableRawPointer
    let byteCount: Int

    private static let page = 2 << 20

    /// Takes memory of zeros, all of its pages present.
    init(byteCount: Int) throws {
        self.byteCount = (max(byteCount, 1) + Self.page - 1) / Self.page * Self.page
        var pointer: UnsafeMutableRawPointer?
        guard posix_memalign(&pointer, Self.page, self.byteCount) == 0, let pointer else {
            throw OutOfMemory(byteCount: self.byteCount)
        }
        #if os(Linux)
            madvise(pointer, self.byteCount, MADV_HUGEPAGE)
        #endif
        memset(pointer, 0, self.byteCount)
        base = pointer
    }

    /// The memory as floats between plus and minus `limit`, the same in every run.
    func filledWithFloats(upTo limit: Float = 1) -> UnsafeMutablePointer<Float> {
        let floats = base.bindMemory(to: Float.self, capacity: byteCount / 4)
        var state: UInt64 = 1
        for index in 0..<byteCount / 4 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            floats[index] = limit * Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
        }
        return floats
    }

    struct OutOfMemory: Error, CustomStringConvertible {
        let byteCount: Int
        var description: String { "the system has no \(byteCount >> 20) MiB: run fewer cases with --filter" }
    }
}

/// A stretch of memory greater than the processor's caches, from which kernels take another part in every run: in a
/// model the weights and the cache of a layer are read again only after those of all the others.
struct Stream {
    private let memory: Memory

    /// A stream of elements between -1 and 1.
    ///
    /// Bytes are those of small floats, so that the FP32 scales of a cache may be
    /// among them: large ones would make scores whose exponentials are subnormal, which are slow.
    init(of type: apus_dtype, _ kernels: apus_kernels) throws {
        memory = try Memory(byteCount: Self.byteCount)
        let block = try Memory(byteCount: 4 << 20)
        let floats = block.filledWithFloats(upTo: type == APUS_I8 ? 0.01 : 1)
        let count = block.byteCount / 4
        if type == APUS_I8 {
            for start in stride(from: 0, to: memory.byteCount, by: block.byteCount) {
                (memory.base + start).copyMemory(from: block.base, byteCount: block.byteCount)
            }
        } else {
            let step = count * (type == APUS_F32 ? 4 : 2)
            for start in stride(from: 0, to: memory.byteCount, by: step) {
                kernels.convert(floats, APUS_F32, memory.base + start, type, count)
            }
        }
    }

    private static let byteCount = 768 << 20

    /// The part of `size` bytes that run number `run` reads; all of them begin at cache lines.
    func part(_ run: Int, byteCount size: Int) -> UnsafeMutableRawPointer {
        let step = (size + 63) / 64 * 64
        return memory.base + run % max(memory.byteCount / step, 1) * step
    }
}

/// What the cases share: the kernels, and a stream for each element type, made when the first case needs it.
final class Workspace {
    let kernels: apus_kernels
    private var streams: [UInt32: Stream] = [:]

    init(_ kernels: apus_kernels) { self.kernels = kernels }

    func stream(of type: apus_dtype) throws -> Stream {
        if let stream = streams[type.rawValue] { return stream }
        let stream = try Stream(of: type, kernels)
        streams[type.rawValue] = stream
        return stream
    }
}
