#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// One kernel on one shape: what it has to read and to compute, and how to run it.
struct KernelCase {
    /// The kernel, such as `linear f16`.
    let kernel: String
    /// The sizes, such as `n 896, k 896, m 1`.
    let shape: String
    /// Bytes that one run must read from memory; 0 if memory is not what bounds it.
    let bytes: Int
    /// Arithmetic of one run, counted as multiplications and additions; 0 if it is not what bounds it.
    let operations: Int
    /// The peak that `operations` are set against.
    let peak: Peak
    /// Takes the memory and gives what runs the kernel; its number counts the runs, so that each may read another part
    /// of a ``Stream``.
    let prepare: () throws -> (Int) -> Void

    /// Which instruction's peak bounds a kernel: of FP32 multiply-adds, or of products of bytes.
    enum Peak {
        case multiplyAdd, byteDot
    }

    init(
        kernel: String, shape: String, bytes: Int, operations: Int, peak: Peak = .multiplyAdd,
        prepare: @escaping () throws -> (Int) -> Void
    ) {
        self.kernel = kernel
        self.shape = shape
        self.bytes = bytes
        self.operations = operations
        self.peak = peak
        self.prepare = prepare
    }
}

/// Seconds of processor time that this thread has used: what neighbours on the machine take is not in it.
func threadSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// The least time of one run, out of rounds that take `budget` seconds together.
///
/// The least rather than the median: whatever disturbs a kernel makes it slower, nothing makes it faster.
func leastSeconds(budget: Double, _ run: (Int) -> Void) -> Double {
    var count = 0
    run(count)
    let single = threadSeconds()
    count += 1
    run(count)
    let estimate = max(threadSeconds() - single, 1e-7)
    // A round is long enough for the clock, and there are enough of them to find a quiet one.
    let perRound = max(Int(0.002 / estimate), 1)
    var least = Double.infinity
    let end = threadSeconds() + budget
    repeat {
        let start = threadSeconds()
        for _ in 0..<perRound {
            count += 1
            run(count)
        }
        least = min(least, (threadSeconds() - start) / Double(perRound))
    } while threadSeconds() < end
    return least
}
