import ApusEngine
import ApusGraph
import ApusSupport
import Testing

@testable import ApusRuntime

/// Writes each id as a letter: 0 is `a`.
private final class LetterStream: TextStream {
    private var waiting = ""
    /// Ids that come out one call late, as half a character does.
    private let late: Set<Int32>

    init(late: Set<Int32> = []) { self.late = late }

    func append(_ id: Int32) throws(ApusError) -> String {
        let letter = waiting + String(UnicodeScalar(UInt8(97 + id % 26)))
        waiting = late.contains(id) ? letter : ""
        return late.contains(id) ? "" : letter
    }

    func finish() throws(ApusError) -> String { waiting }
}

@Suite struct GeneratorTests {
    private let model = ModelInfo(
        modelType: "fake", vocabularySize: 50, maxPositions: 40, layerCount: 1, precision: .f32, endTokens: [49])

    private func generator(batch: Int = 1, chunk: Int = 8, capacity: Int = 40) -> Generator {
        Generator(
            executor: FakeExecutor(SessionLimits(batch: batch, chunk: chunk, capacity: capacity)), model: model)
    }

    /// A model that counts: after id n comes n + 1.
    private func counter(batch: Int = 1) -> Generator {
        let executor = FakeExecutor(SessionLimits(batch: batch, chunk: 8, capacity: 40)) { sequence in
            (0..<50).map { Int32($0) == ((sequence.last ?? 0) + 1) % 50 ? 1 : 0 }
        }
        return Generator(executor: executor, model: model)
    }

    /// Greedy tokens, computed without session or cache.
    private func greedy(_ prompt: [Int32], _ count: Int) -> [Int32] {
        var sequence = prompt
        for _ in 0..<count {
            let logits = FakeExecutor.logits(after: sequence)
            let largest = logits.max() ?? 0
            sequence.append(Int32(logits.firstIndex(of: largest) ?? 0))
        }
        return Array(sequence.dropFirst(prompt.count))
    }

    private let prompts: [[Int32]] = [[4, 9, 1], [7], [3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3], [8, 8]]

    @Test(arguments: [1, 3, 64])
    func batchesAndChunksChangeNoToken(chunk: Int) throws {
        let options = GenerationOptions(maxNewTokens: 12, ignoreEnd: true)
        let together = try generator(batch: 4, chunk: chunk).generate(prompts, options: options)
        for (prompt, result) in zip(prompts, together) {
            #expect(result.tokens == greedy(prompt, 12))
            #expect(result.finishReason == .length)
            #expect(result.text == nil)
            #expect(result.stats.promptTokens == prompt.count && result.stats.generatedTokens == 12)
            #expect(result.stats.timeToFirstToken > 0 && result.stats.decodeSeconds > 0)
        }
    }

    @Test func aSequenceDrawsTheSameAloneAndInABatch() throws {
        let sampling = SamplingOptions(temperature: 1.2, topK: 20, topP: 0.95, repetitionPenalty: 1.1, seed: 5)
        let options = GenerationOptions(maxNewTokens: 15, sampling: sampling, ignoreEnd: true)
        let alone = try generator().generate([prompts[0]], options: options)[0].tokens
        let again = try generator(chunk: 2).generate([prompts[0]], options: options)[0].tokens
        let together = try generator(batch: 4).generate(prompts, options: options)
        #expect(alone == again && alone == together[0].tokens)
        let twins = try generator(batch: 2).generate([prompts[0], prompts[0]], options: options)
        #expect(twins[0].tokens != twins[1].tokens)
    }

    @Test func anEndTokenIsKeptAndEnds() throws {
        let results = try counter(batch: 3).generate(
            [[46], [10], [48]], options: GenerationOptions(maxNewTokens: 5))
        #expect(results.map(\.tokens) == [[47, 48, 49], [11, 12, 13, 14, 15], [49]])
        #expect(results.map(\.finishReason) == [.endToken, .length, .endToken])
        #expect(results.map { "\($0.finishReason)" } == ["stop", "length", "stop"])
        let ignoring = try counter().generate([[46]], options: GenerationOptions(maxNewTokens: 5, ignoreEnd: true))
        #expect(ignoring[0].tokens == [47, 48, 49, 0, 1])
        let other = try counter().generate([[46]], options: GenerationOptions(maxNewTokens: 5, endTokens: [48]))
        #expect(other[0].tokens == [47, 48])
    }

    @Test func aStopStringEndsAcrossTokens() throws {
        var streamed = ""
        let options = GenerationOptions(maxNewTokens: 20, stopStrings: ["efg", "zz"])
        let result = try counter().generate([[0]], options: options, textStreams: [LetterStream()]) {
            token throws(ApusError) in streamed += token.text
        }[0]
        #expect(result.tokens == [1, 2, 3, 4, 5, 6])
        #expect(result.text == "bcd" && streamed == "bcd")
        #expect(result.finishReason == .stopString && "\(result.finishReason)" == "stop")
    }

    @Test func textHeldBackComesWithTheLastToken() throws {
        var pieces: [String] = []
        let options = GenerationOptions(maxNewTokens: 4, stopStrings: ["def"])
        let result = try counter().generate([[0]], options: options, textStreams: [LetterStream(late: [4])]) {
            token throws(ApusError) in pieces.append(token.text)
        }[0]
        #expect(pieces == ["b", "c", "", "de"])
        #expect(result.text == "bcde" && result.finishReason == .length)
    }

    @Test func callbacksGetEachTokenWithItsLogits() throws {
        var seen: [Int: [Int32]] = [:]
        let options = GenerationOptions(
            maxNewTokens: 6, sampling: SamplingOptions(temperature: 0, repetitionPenalty: 1.5), ignoreEnd: true)
        let results = try generator(batch: 4).generate(prompts, options: options) { token throws(ApusError) in
            let before = prompts[token.sequence] + seen[token.sequence, default: []]
            // The model's own logits, before any penalty.
            #expect(Array(token.logits) == FakeExecutor.logits(after: before))
            #expect(token.index == before.count - prompts[token.sequence].count)
            #expect((token.finishReason != nil) == (token.index == 5))
            seen[token.sequence, default: []].append(token.id)
        }
        #expect(results.indices.map { seen[$0] ?? [] } == results.map(\.tokens))
    }

    @Test func whatACallbackThrowsEndsTheCall() throws {
        let generator = counter()
        let error = #expect(throws: ApusError.self) {
            try generator.generate([[0]], options: GenerationOptions()) { token throws(ApusError) in
                if token.index == 3 { throw ApusError(.cancelled, "enough") }
            }
        }
        #expect(error?.code == .cancelled)
        // The generator is as good as new.
        #expect(try generator.generate([[5]], options: GenerationOptions(maxNewTokens: 2))[0].tokens == [6, 7])
    }

    @Test func refusesWhatTheModelCannotServe() {
        func message(_ prompts: [[Int32]], _ options: GenerationOptions = .init(maxNewTokens: 4)) -> String? {
            #expect(throws: ApusError.self) { try generator(capacity: 20).generate(prompts, options: options) }?.message
        }
        #expect(message([]) == "expected at least one prompt, got none")
        #expect(message([[]]) == "prompt 0 is empty: expected at least one token")
        #expect(
            message([[1, -2]]) == "prompt 0: token id -2 is outside the vocabulary of 50 tokens; "
                + "check that the prompt was made by this model's tokenizer")
        #expect(
            message([[1, 2, 3]], .init(maxNewTokens: 38))
                == "prompt 0: 3 prompt tokens and 38 new tokens exceed the model's 40 positions; "
                + "ask for at most 37 new tokens or shorten the prompt")
        #expect(
            message([Array(repeating: 1, count: 40)])
                == "prompt 0: 40 prompt tokens and 4 new tokens exceed the model's 40 positions; "
                + "shorten the prompt")
        #expect(
            message([[1]], .init(maxNewTokens: 21))
                == "prompt 0: 1 prompt tokens and 21 new tokens exceed the context of 20 tokens; "
                + "choose a larger context or fewer new tokens")
        #expect(message([[1]], .init(maxNewTokens: 0)) == "maxNewTokens: expected at least 1, got 0")
        #expect(message([[1]], .init(maxNewTokens: .max))?.contains("exceed the model's 40 positions") == true)
        #expect(
            message([[1]], .init(stopStrings: ["x"]))
                == "stopStrings: expected a tokenizer that gives the text, got none")
        #expect(
            message([[1]], .init(stopStrings: [""]))
                == "stopStrings: expected texts of at least one character, got an empty one")
        #expect(
            message([[1]], .init(sampling: .init(temperature: -1)))
                == "temperature: expected a number of at least 0, got -1.0")
        #expect(message([[1], [2]]) == "batch: expected 1…1 prompts, got 2; choose a larger batch size")
    }
}
