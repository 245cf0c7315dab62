public import ApusSupport
import CApusCPU
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Work that all threads of a pool enter together.
protocol PoolJob: AnyObject {
    /// Runs the share of one worker; `worker` is below the pool's count.
    func run(worker: Int)
}

/// A few threads that run one job at a time together, with a barrier between its steps.
///
/// The calling thread is worker 0; the others spin for a moment between jobs, then sleep, so that an idle pool costs
/// nothing. A join costs a fraction of a microsecond, where a task group costs several. A pool of one thread for each
/// core keeps each on its own; smaller ones leave the choice to the system, since other pools and processes run too, and
/// larger ones give up their core as soon as they wait. The threads end with the pool.
public final class ThreadPool: Sendable {
    /// The numbers of threads that a pool may have.
    public static let counts = 1...1024

    /// Number of workers, the caller included.
    public var count: Int { workers.count }
    /// The threads of workers 1 and up.
    let threads: [pthread_t]

    /// What the threads hold; they do not hold the pool, or it would never end.
    private let workers: Workers
    /// Held by the caller whose job runs.
    private let turn = Mutex<Void>(())
    /// The processors that the other workers leave to the caller; empty if they run anywhere.
    private let callersCore: [Int32]

    /// Starts `count - 1` threads.
    /// - Throws: `.invalidInput` for a count outside ``counts``, `.outOfMemory` if the system refuses a thread.
    public convenience init(count: Int) throws(ApusError) {
        try self.init(count: count, cores: Topology.physicalCores())
    }

    /// - Parameter cores: The processors of each core there is; none if that is unknown.
    init(count: Int, cores: [[Int32]]) throws(ApusError) {
        try Self.check(count)
        let workers = Workers(count: count, isCrowded: count > Topology.count(of: cores))
        let isPinned = count == cores.count
        var threads: [pthread_t] = []
        for worker in 1..<max(count, 1) {
            let start = WorkerStart(workers: workers, worker: worker, cores: isPinned ? cores[worker] : [])
            let argument = Unmanaged.passRetained(start).toOpaque()
            var thread = pthread_t(bitPattern: 0)
            let status = pthread_create(
                &thread, nil,
                { argument in
                    guard let argument else { return nil }
                    let start = Unmanaged<WorkerStart>.fromOpaque(argument).takeRetainedValue()
                    start.enter()
                    return nil
                }, argument)
            guard status == 0, let thread = Optional(thread) else {
                Unmanaged<WorkerStart>.fromOpaque(argument).release()
                Self.end(workers, threads)
                throw ApusError(.outOfMemory, "cannot start thread \(worker) of \(count) (error \(status))")
            }
            threads.append(thread)
        }
        self.workers = workers
        self.threads = threads
        callersCore = isPinned ? cores[0] : []
    }

    deinit { Self.end(workers, threads) }

    private static func end(_ workers: Workers, _ threads: [pthread_t]) {
        workers.stop()
        for thread in threads { pthread_join(thread, nil) }
    }

    /// Checks a number of threads that a user gave.
    /// - Throws: `.invalidInput` for a count outside ``counts``.
    public static func check(_ count: Int) throws(ApusError) {
        guard counts.contains(count) else {
            throw ApusError(
                .invalidInput, "threads: expected \(counts.lowerBound) to \(counts.upperBound), got \(count)")
        }
    }

    /// Runs a job on all workers and returns when all are done.
    ///
    /// Jobs of several callers run one after another.
    func run(_ job: any PoolJob) {
        guard count > 1 else { return job.run(worker: 0) }
        turn.withLock { _ in workers.run(job, callersCore: callersCore) }
    }

    /// Waits until every worker of the running job has come here.
    func barrier() { workers.barrier() }
}

/// What a new thread needs to begin.
private final class WorkerStart: Sendable {
    private let workers: Workers
    private let worker: Int
    private let cores: [Int32]

    init(workers: Workers, worker: Int, cores: [Int32]) {
        self.workers = workers
        self.worker = worker
        self.cores = cores
    }

    func enter() {
        if !cores.isEmpty { _ = apus_keep_thread_on(cores, Int32(cores.count)) }
        workers.work(worker)
    }
}
