import CApusCPU
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// How the threads of one pool meet: for a job, at its barriers, at its end, and to sleep between jobs.
final class Workers: @unchecked Sendable {
    /// Number of workers, the caller included.
    let count: Int

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
    private let isStopped = PaddedCounter()
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private unowned(unsafe) var job: (any PoolJob)?

    init(count: Int, isCrowded: Bool) {
        self.count = count
        self.isCrowded = isCrowded
        spinsBeforeYield = isCrowded ? 16 : 2000
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(condition)
        mutex.deallocate()
        condition.deallocate()
    }

    /// Lets the threads end once the running job is done.
    func stop() {
        isStopped.value.store(1, ordering: .releasing)
        wake()
    }

    private func wake() {
        generation.value.add(1, ordering: .sequentiallyConsistent)
        if sleepers.value.load(ordering: .sequentiallyConsistent) > 0 {
            pthread_mutex_lock(mutex)
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
    }

    /// Runs a job as worker 0 and returns when all are done; one caller at a time.
    func run(_ job: any PoolJob, callersCore: [Int32]) {
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

    /// Runs jobs as worker `worker` until ``stop()``.
    func work(_ worker: Int) {
        var seen = 0
        while true {
            seen = waitForJob(after: seen)
            if isStopped.value.load(ordering: .acquiring) != 0 { return }
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

/// An atomic counter on a cache line of its own.
final class PaddedCounter: Sendable {
    private let before: (Int, Int, Int, Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0, 0, 0, 0)
    let value = Atomic<Int>(0)
    private let after: (Int, Int, Int, Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0, 0, 0, 0)
}
