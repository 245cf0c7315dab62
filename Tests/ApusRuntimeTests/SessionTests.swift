import ApusEngine
import ApusSupport
import Testing

@testable import ApusRuntime

@Suite struct SessionTests {
    private func prompt(_ length: Int, salt: Int = 0) -> [Int32] {
        (0..<length).map { Int32(($0 * 7 + salt * 13 + length) % 50) }
    }

    private func expectLogits(
        _ session: Session, _ sequence: Int, after tokens: [Int32], _ note: Comment? = nil
    ) {
        #expect(Array(session.logits(of: sequence)) == FakeExecutor.logits(after: tokens), note)
    }

    @Test(arguments: [1, 2, 3, 5, 8, 64])
    func everyChunkGivesTheSameLogits(chunk: Int) throws {
        let session = Session(FakeExecutor(SessionLimits(batch: 1, chunk: chunk, capacity: 64)))
        for length in [1, 2, 3, 7, 8, 9, 33] {
            try session.begin([prompt(length)])
            expectLogits(session, 0, after: prompt(length), "\(length) tokens")
            #expect(session.cachedCount(of: 0) == length)
        }
    }

    @Test(arguments: [1, 3, 4, 64])
    func sequencesOfABatchDoNotTouchEachOther(chunk: Int) throws {
        let executor = FakeExecutor(SessionLimits(batch: 6, chunk: chunk, capacity: 64))
        let session = Session(executor)
        let prompts = [3, 1, 17, 17, 4, 30].enumerated().map { prompt($1, salt: $0) }
        try session.begin(prompts)
        for (sequence, prompt) in prompts.enumerated() { expectLogits(session, sequence, after: prompt) }
        var texts = prompts
        for step in 0..<5 {
            for sequence in texts.indices {
                let token = Int32((step * 11 + sequence) % 50)
                texts[sequence].append(token)
                session.append(token, to: sequence)
            }
            try session.step()
            for (sequence, text) in texts.enumerated() { expectLogits(session, sequence, after: text) }
        }
    }

    @Test func passesRunOnlyTheRowsThatHaveTokens() throws {
        let executor = FakeExecutor(SessionLimits(batch: 3, chunk: 4, capacity: 64))
        try Session(executor).begin([prompt(2), prompt(11), prompt(6)])
        #expect(executor.passes.map(\.batch) == [1, 2, 3])
        #expect(executor.passes.map(\.width) == [4, 4, 3])
    }

    @Test func retiredSequencesLeaveTheOthersAlone() throws {
        let executor = FakeExecutor(SessionLimits(batch: 4, chunk: 8, capacity: 64))
        let session = Session(executor)
        var texts = [9, 8, 7, 6].enumerated().map { prompt($1, salt: $0) }
        try session.begin(texts)
        var living = Set(texts.indices)
        for leaver in [1, 3, 0] {
            session.retire(leaver)
            living.remove(leaver)
            for sequence in living {
                let token = Int32(10 * leaver + sequence)
                texts[sequence].append(token)
                session.append(token, to: sequence)
            }
            try session.step()
            for sequence in living { expectLogits(session, sequence, after: texts[sequence]) }
        }
        // The prompt of 9 takes a pass more. Longer prompts lie in lower rows: rows behind the last living one are not run.
        #expect(executor.passes.map(\.batch) == [1, 4, 4, 3, 3])
    }

    @Test func aSequenceThatWaitsKeepsItsLogitsEvenWithAFullCache() throws {
        let session = Session(FakeExecutor(SessionLimits(batch: 2, chunk: 4, capacity: 16)))
        try session.begin([prompt(16), prompt(3)])
        for token: Int32 in [5, 6, 7] {
            session.append(token, to: 1)
            try session.step()
            expectLogits(session, 0, after: prompt(16))
        }
        expectLogits(session, 1, after: prompt(3) + [5, 6, 7])
        #expect(session.cachedCount(of: 0) == 16)
    }

    @Test(arguments: [1, 2, 5, 64])
    func extendsSequencesByUnequalTexts(chunk: Int) throws {
        let session = Session(FakeExecutor(SessionLimits(batch: 3, chunk: chunk, capacity: 64)))
        var texts = [12, 3, 7].map { prompt($0) }
        try session.begin(texts)
        for lengths in [[1, 9, 4], [6, 1, 1], [2, 11, 20]] {
            let more = lengths.enumerated().map { prompt($1, salt: 5 + $0) }
            for (sequence, new) in more.enumerated() { texts[sequence] += new }
            try session.extend(more)
            for (sequence, text) in texts.enumerated() { expectLogits(session, sequence, after: text) }
        }
    }

    @Test func beginsAnewAfterAnotherBatch() throws {
        let session = Session(FakeExecutor(SessionLimits(batch: 2, chunk: 8, capacity: 64)))
        try session.begin([prompt(20), prompt(3)])
        try session.begin([prompt(2, salt: 4)])
        #expect(session.count == 1)
        expectLogits(session, 0, after: prompt(2, salt: 4))
    }

    @Test func refusesWhatDoesNotFit() throws {
        let session = Session(FakeExecutor(SessionLimits(batch: 2, chunk: 8, capacity: 16)))
        func message(_ prompts: [[Int32]]) -> String? {
            #expect(throws: ApusError.self) { try session.begin(prompts) }.map { "\($0)" }
        }
        #expect(
            message([[1], [2], [3]])
                == "batch: expected 1…2 prompts, got 3; choose a larger batch size")
        #expect(message([[1], []]) == "prompt 1 is empty: expected at least one token")
        #expect(
            message([[1, 50]]) == "prompt 0: token id 50 is outside the vocabulary of 50 tokens")
        #expect(
            message([prompt(17)])
                == "prompt 0: 0 cached and 17 new tokens exceed the cache of 16 tokens; choose a larger context"
        )
    }
}
