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
/// larger ones give up their core as soon as they wait.
public final class ThreadPool: @unchecked Sendable {
    /// The numbers of threads that a pool may have.
    public static let counts = 1...1024

    /// Number of workers, the caller included.
    public let count: Int

    /// How long a worker spins before it sleeps, longer than a token's sampling takes.
    private static let spinTime = Duration.microseconds(150)
    /// Spins before a waiting thread offers its core to another: some 100 µs, for cores that other processes use too,
    /// or next to none where threads wait for cores.
    private let spinsBeforeYield: Int
    /// Whether there are more workers than cores.
    private let isCrowded: Bool

    private let generation = PaddedCounter()
    private let pending = PaddedCounter()
    private let sleepers = PaddedCounter()
    private let arrived = PaddedCounter()
    private let barrierGeneration = PaddedCounter()
    private let stop = PaddedCounter()
    /// Held by the caller whose job runs.
    private let turn = Mutex<Void>(())
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private unowned(unsafe) var job: (any PoolJob)?
    /// The threads of workers 1 and up.
    private(set) var threads: [pthread_t] = []
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
        self.count = count
        isCrowded = count > Topology.count(of: cores)
        spinsBeforeYield = isCrowded ? 16 : 2000
        let isPinned = count == cores.count
        callersCore = isPinned ? cores[0] : []
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
        for worker in 1..<max(count, 1) {
            let start = WorkerStart(pool: self, worker: worker, cores: isPinned ? cores[worker] : [])
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

    /// Checks a number of threads that a user gave.
    /// - Throws: `.invalidInput` for a count outside ``counts``.
    public static func check(_ count: Int) throws(ApusError) {
        guard counts.contains(count) else {
            throw ApusError(
                .invalidInput, "threads: expected \(counts.lowerBound) to \(counts.upperBound), got \(count)")
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
    ///
    /// Jobs of several callers run one after another.
    func run(_ job: any PoolJob) {
        guard count > 1 else { return job.run(worker: 0) }
        turn.withLock { _ in
            self.job = job
            pending.value.store(count - 1, ordering: .relaxed)
            // A worker that wakes on the caller's core would wait for it there until the system moves one of them.
            if sleepers.value.load(ordering: .relaxed) > 0, !callersCore.isEmpty {
                apus_move_thread_to(callersCore, Int32(callersCore.count))
            }
            wake()
            job.run(worker: 0)
            spin { self.pending.value.load(ordering: .acquiring) == 0 }
            self.job = nil
        }
    }

    /// Waits until every worker of the running job has come here.
    func barrier() {
        guard count > 1 else { return }
        let current = barrierGeneration.value.load(ordering: .relaxed)
        if arrived.value.add(1, ordering: .acquiringAndReleasing).newValue == count {
            arrived.value.store(0, ordering: .relaxed)
            barrierGeneration.value.store(current &+ 1, ordering: .releasing)
        } else {
            spin { self.barrierGeneration.value.load(ordering: .acquiring) != current }
        }
    }

    private func spin(until isDone: () -> Bool) {
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
        // Where workers wait for cores, a spinning one would only be in the way of the caller.
        if !isCrowded {
            let end = ContinuousClock.now + Self.spinTime
            repeat {
                for _ in 0..<32 {
                    let current = generation.value.load(ordering: .acquiring)
                    if current != seen { return current }
                    apus_cpu_relax()
                }
            } while ContinuousClock.now < end
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
    private let cores: [Int32]

    init(pool: ThreadPool, worker: Int, cores: [Int32]) {
        self.pool = pool
        self.worker = worker
        self.cores = cores
    }

    func enter() {
        if !cores.isEmpty { _ = apus_keep_thread_on(cores, Int32(cores.count)) }
        pool.work(worker)
    }
}

/// An atomic counter on a cache line of its own.
final class PaddedCounter: Sendable {
    private let before: (Int, Int, Int, Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0, 0, 0, 0)
    let value = Atomic<Int>(0)
    private let after: (Int, Int, Int, Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0, 0, 0, 0)
}
