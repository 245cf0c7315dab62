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
/// The calling thread is worker 0; the others are pinned, spin for a moment between jobs, then sleep, so that an
/// idle pool costs nothing. A join costs a fraction of a microsecond, where a task group costs several.
public final class ThreadPool: @unchecked Sendable {
    /// Number of workers, the caller included.
    public let count: Int

    /// Spins before a waiting worker sleeps: some 100 µs, longer than a token's sampling takes.
    private static let spinsBeforeSleep = 4000
    /// Spins in a barrier before the thread offers its core, for pools larger than the machine.
    private static let spinsBeforeYield = 2000

    private let generation = PaddedCounter()
    private let pending = PaddedCounter()
    private let sleepers = PaddedCounter()
    private let arrived = PaddedCounter()
    private let barrierGeneration = PaddedCounter()
    private let stop = PaddedCounter()
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private unowned(unsafe) var job: (any PoolJob)?
    private var threads: [pthread_t] = []

    /// Starts `count - 1` threads.
    /// - Throws: `.invalidInput` for a count below 1, `.outOfMemory` if the system refuses a thread.
    public init(count: Int) throws(ApusError) {
        guard (1...1024).contains(count) else {
            throw ApusError(.invalidInput, "threads: expected 1…1024, got \(count)")
        }
        self.count = count
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
        let cores = Topology.allowedCores()
        for worker in 1..<max(count, 1) {
            let start = WorkerStart(
                pool: self, worker: worker, core: cores.isEmpty ? nil : cores[worker % cores.count])
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
                shutDown()
                throw ApusError(.outOfMemory, "cannot start thread \(worker) of \(count) (error \(status))")
            }
            threads.append(thread)
        }
    }

    deinit {
        shutDown()
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(condition)
        mutex.deallocate()
        condition.deallocate()
    }

    private func shutDown() {
        stop.value.store(1, ordering: .releasing)
        wake()
        for thread in threads { pthread_join(thread, nil) }
        threads = []
    }

    private func wake() {
        generation.value.add(1, ordering: .sequentiallyConsistent)
        if sleepers.value.load(ordering: .sequentiallyConsistent) > 0 {
            pthread_mutex_lock(mutex)
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
    }

    /// Runs a job on all workers and returns when all are done.
    func run(_ job: any PoolJob) {
        guard count > 1 else { return job.run(worker: 0) }
        self.job = job
        pending.value.store(count - 1, ordering: .relaxed)
        wake()
        job.run(worker: 0)
        Self.spin { self.pending.value.load(ordering: .acquiring) == 0 }
        self.job = nil
    }

    /// Waits until every worker of the running job has come here.
    func barrier() {
        guard count > 1 else { return }
        let current = barrierGeneration.value.load(ordering: .relaxed)
        if arrived.value.add(1, ordering: .acquiringAndReleasing).newValue == count {
            arrived.value.store(0, ordering: .relaxed)
            barrierGeneration.value.store(current &+ 1, ordering: .releasing)
        } else {
            Self.spin { self.barrierGeneration.value.load(ordering: .acquiring) != current }
        }
    }

    private static func spin(until isDone: () -> Bool) {
        var spins = 0
        while !isDone() {
            apus_cpu_relax()
            spins += 1
            if spins > spinsBeforeYield { sched_yield() }
        }
    }

    fileprivate func work(_ worker: Int) {
        var seen = 0
        while true {
            seen = waitForJob(after: seen)
            if stop.value.load(ordering: .acquiring) != 0 { return }
            job?.run(worker: worker)
            pending.value.subtract(1, ordering: .releasing)
        }
    }

    private func waitForJob(after seen: Int) -> Int {
        for _ in 0..<Self.spinsBeforeSleep {
            let current = generation.value.load(ordering: .acquiring)
            if current != seen { return current }
            apus_cpu_relax()
        }
        pthread_mutex_lock(mutex)
        sleepers.value.add(1, ordering: .sequentiallyConsistent)
        while generation.value.load(ordering: .sequentiallyConsistent) == seen {
            pthread_cond_wait(condition, mutex)
        }
        sleepers.value.subtract(1, ordering: .sequentiallyConsistent)
        pthread_mutex_unlock(mutex)
        return generation.value.load(ordering: .acquiring)
    }
}

/// What a new thread needs to enter its pool; it must not keep the pool alive, or the pool would never end.
private final class WorkerStart: @unchecked Sendable {
    private unowned(unsafe) let pool: ThreadPool
    private let worker: Int
    private let core: Int?

    init(pool: ThreadPool, worker: Int, core: Int?) {
        self.pool = pool
        self.worker = worker
        self.core = core
    }

    func enter() {
        if let core { Topology.pinCurrentThread(to: core) }
        pool.work(worker)
    }
}

/// An atomic counter on a cache line of its own.
final class PaddedCounter: Sendable {
    private let before: (Int, Int, Int, Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0, 0, 0, 0)
    let value = Atomic<Int>(0)
    private let after: (Int, Int, Int, Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0, 0, 0, 0)
}
