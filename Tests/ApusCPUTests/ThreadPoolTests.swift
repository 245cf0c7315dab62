import ApusSupport
import Dispatch
import Synchronization
import Testing

@testable import ApusCPU

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Threads that compute together: with more of them than cores, with several callers, and while there is nothing to do.
@Suite struct ThreadPoolTests {
    /// Steps with a barrier between them; each worker checks that all others have done the step before.
    private final class Steps: PoolJob, @unchecked Sendable {
        let pool: ThreadPool
        let count: Int
        /// Additions in a step, all workers together.
        let work: Int
        let done: [PaddedCounter]
        let faults = PaddedCounter()

        init(_ pool: ThreadPool, count: Int, work: Int = 0) {
            self.pool = pool
            self.count = count
            self.work = work
            done = (0..<pool.count).map { _ in PaddedCounter() }
        }

        func run(worker: Int) {
            for step in 1...count {
                let mine = done[worker]
                for _ in 0..<work / pool.count { mine.value.add(0, ordering: .relaxed) }
                mine.value.add(1, ordering: .relaxed)
                pool.barrier()
                // Another may be a step ahead, but never one behind.
                for other in done.indices
                where !(step...step + 1).contains(done[other].value.load(ordering: .relaxed)) {
                    faults.value.add(1, ordering: .relaxed)
                }
                pool.barrier()
            }
        }
    }

    @Test(arguments: [1, 2, 3, 5, 8, 16])
    func allWorkersTakeEveryStepTogether(count: Int) throws {
        let pool = try ThreadPool(count: count)
        for _ in 0..<5 {
            let job = Steps(pool, count: 20)
            pool.run(job)
            #expect(job.faults.value.load(ordering: .relaxed) == 0)
            #expect(job.done.allSatisfy { $0.value.load(ordering: .relaxed) == 20 })
        }
    }

    /// What does not tell its cores, and cores with two hardware threads.
    @Test(arguments: [[], [[0, 1]], [[0], [1]], [[0, 1], [2, 3]]] as [[[Int32]]])
    func runsOnEveryKindOfMachine(cores: [[Int32]]) throws {
        for count in 1...3 {
            let pool = try ThreadPool(count: count, cores: cores)
            let job = Steps(pool, count: 5)
            pool.run(job)
            #expect(job.done.allSatisfy { $0.value.load(ordering: .relaxed) == 5 })
        }
    }

    @Test(arguments: [0, -1, Int.min, 1025, Int.max])
    func otherCountsAreRefused(count: Int) {
        let error = #expect(throws: ApusError.self) { try ThreadPool(count: count) }
        #expect(error?.code == .invalidInput)
        #expect(error?.message == "threads: expected 1 to 1024, got \(count)")
    }

    #if canImport(Glibc)
        /// Processor time of the pool's own threads.
        private func processorTime(_ pool: ThreadPool) -> Duration {
            pool.threads.reduce(.zero) { sum, thread in
                var (clock, time) = (clockid_t(), timespec())
                guard pthread_getcpuclockid(thread, &clock) == 0, clock_gettime(clock, &time) == 0 else {
                    return sum
                }
                return sum + .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
            }
        }

        /// Processor time of this thread.
        private func callersProcessorTime() -> Duration {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
        }

        @Test(arguments: [2, 4, 8])
        func idleThreadsUseNoProcessorTime(count: Int) throws {
            let pool = try ThreadPool(count: count)
            let job = Steps(pool, count: 100, work: 1000)
            pool.run(job)
            #expect(processorTime(pool) > .zero)
            // On a busy machine a thread may come to its rest late; one that spins never does.
            var used = Duration.seconds(1)
            for _ in 0..<10 where used >= .milliseconds(1) {
                usleep(20_000)
                let before = processorTime(pool)
                usleep(200_000)
                used = processorTime(pool) - before
            }
            #expect(used < .milliseconds(1))
            // They wake up again.
            pool.run(job)
            #expect(job.done.allSatisfy { $0.value.load(ordering: .relaxed) == 200 })
        }

        /// Waiting threads leave their cores to those that work: what they all use stays near what the work takes.
        ///
        /// Measured on two cores: 28 ms for one thread, 37 ms for 16. A thread that waits for one whose core another process
        /// has uses time, too: up to 270 ms beside other tests. Threads that spin where they should leave their cores wait
        /// for the end of a time slice at every barrier, and use more than 15 seconds.
        @Test func moreThreadsThanCoresWasteLittle() throws {
            func time(_ count: Int) throws -> Duration {
                let pool = try ThreadPool(count: count)
                let job = Steps(pool, count: 100, work: 20_000)
                let before = callersProcessorTime()
                pool.run(job)
                return callersProcessorTime() - before + processorTime(pool)
            }
            let cores = Topology.physicalCoreCount()
            let one = try time(1)
            let bound = one * 20 + .seconds(1)
            let many = try (0..<3).map { _ in try time(8 * cores) }
            #expect(
                many.contains { $0 < bound },
                "1 thread \(one), \(8 * cores) threads \(many), expected \(bound)")
        }
    #endif

    /// Ending joins the threads, so a pool that is gone has none.
    @Test func shortLivedPoolsEnd() throws {
        for round in 0..<300 {
            weak var ended: ThreadPool?
            do {
                let pool = try ThreadPool(count: 1 + round % 5)
                ended = pool
                if round % 3 > 0 {
                    let job = Steps(pool, count: 2)
                    pool.run(job)
                    #expect(job.faults.value.load(ordering: .relaxed) == 0)
                }
            }
            #expect(ended == nil)
        }
    }

    @Test func jobsOfSeveralCallersDoNotMix() throws {
        let pool = try ThreadPool(count: 3)
        let jobs = (0..<40).map { _ in Steps(pool, count: 3) }
        DispatchQueue.concurrentPerform(iterations: 4) { caller in
            for index in 0..<10 { pool.run(jobs[caller * 10 + index]) }
        }
        for job in jobs {
            #expect(job.faults.value.load(ordering: .relaxed) == 0)
            #expect(job.done.allSatisfy { $0.value.load(ordering: .relaxed) == 3 })
        }
    }

    @Test(
        arguments: [
            ("max 100000", nil), ("400000 100000", 4), ("150000 100000", 1), ("20000 100000", 1), ("", nil),
            ("100000", nil), ("100000 0", nil),
        ] as [(String, Int?)])
    func containersLimitTheDefault(limit: String, share: Int?) {
        #expect(Topology.processorShare(limit) == share)
        #expect((1...Topology.physicalCoreCount()).contains(Topology.defaultThreadCount()))
    }
}
