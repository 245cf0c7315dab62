import ApusSupport
import Testing

@testable import ApusRuntime

@Suite struct SamplerTests {
    private func choose(
        _ logits: [Float], _ options: SamplingOptions, prompt: [Int32] = [], generated: [Int32] = []
    ) throws -> Int32 {
        let scratch = SamplerScratch(vocabularySize: logits.count)
        let sampler = try Sampler(options, scratch: scratch, prompt: prompt, newTokens: 16)
        for token in generated { sampler.accept(token) }
        return try logits.withUnsafeBufferPointer { try sampler.choose($0) }
    }

    @Test(arguments: [1, 15, 16, 17, 31, 100])
    func greedyTakesTheFirstLargest(count: Int) throws {
        for place in 0..<count {
            var logits = (0..<count).map { Float($0 % 7) - 9 }
            logits[place] = 4
            logits[count - 1] = 4
            #expect(try choose(logits, .greedy) == Int32(place))
        }
    }

    @Test func greedyIgnoresForbiddenTokensButRefusesNaN() throws {
        #expect(try choose([-.infinity, -3, -.infinity], .greedy) == 1)
        for bad in [[0, Float.nan, 1], [.infinity, 0], [-.infinity, -.infinity]] {
            let error = #expect(throws: ApusError.self) { try choose(bad, .greedy) }
            #expect(error?.message.hasPrefix("the logits hold no largest number") == true)
        }
    }

    @Test func repetitionPenaltyCountsPromptAndOutputOnce() throws {
        var options = SamplingOptions.greedy
        options.repetitionPenalty = 2
        // 3 / 2 = 1.5 loses to 2; −1 · 2 = −2 loses to −1.5.
        #expect(try choose([3, 2, 0], options, prompt: [0]) == 1)
        #expect(try choose([3, 2, 0], options, prompt: [0, 0, 0]) == 1)
        #expect(try choose([3, 1.4, 0], options, prompt: [0, 0], generated: [0]) == 0)
        #expect(try choose([-1, -1.5], options, generated: [0]) == 1)
        #expect(try choose([-1, -2.5], options, generated: [0]) == 0)
    }

    @Test func presenceAndFrequencyPenaltiesCountOutputOnly() throws {
        var options = SamplingOptions.greedy
        options.presencePenalty = 1
        #expect(try choose([3, 2.5], options, prompt: [0, 0]) == 0)
        #expect(try choose([3, 2.5], options, generated: [0]) == 1)
        #expect(try choose([3, 1.5], options, generated: [0, 0, 0]) == 0)
        options.presencePenalty = 0
        options.frequencyPenalty = 0.5
        #expect(try choose([3, 2.25], options, generated: [0]) == 0)
        #expect(try choose([3, 2.25], options, generated: [0, 0]) == 1)
        #expect(try choose([3, 2.25], options, prompt: [0, 0, 0]) == 0)
    }

    @Test func penaltiesComeInOrderAndBeforeBias() throws {
        // (4 / 2) − 1 − 2 · 0.25 + 0.75 = 1.25.
        let options = SamplingOptions(
            temperature: 0, repetitionPenalty: 2, presencePenalty: 1, frequencyPenalty: 0.25,
            logitBias: [0: 0.75])
        #expect(try choose([4, 1.24], options, generated: [0, 0]) == 0)
        #expect(try choose([4, 1.26], options, generated: [0, 0]) == 1)
    }

    @Test func biasMovesAndForbidsTokens() throws {
        #expect(try choose([1, 2], SamplingOptions(temperature: 0, logitBias: [0: 1.5])) == 0)
        #expect(try choose([1, 2], SamplingOptions(temperature: 0, logitBias: [1: -.infinity])) == 0)
    }

    @Test func leavesTheLogitsAsTheyAre() throws {
        let options = SamplingOptions(
            temperature: 0.7, topK: 2, repetitionPenalty: 3, logitBias: [1: 5], seed: 1)
        let scratch = SamplerScratch(vocabularySize: 4)
        let sampler = try Sampler(options, scratch: scratch, prompt: [0, 1], newTokens: 4)
        let logits: [Float] = [1, 2, 3, 4]
        _ = try logits.withUnsafeBufferPointer { try sampler.choose($0) }
        #expect(logits == [1, 2, 3, 4])
    }

    @Test func namesTheWrongOption() {
        func message(_ options: SamplingOptions) -> String? {
            #expect(throws: ApusError.self) { try options.validate(vocabularySize: 10) }?.message
        }
        #expect(message(.init(temperature: -1)) == "temperature: expected a number of at least 0, got -1.0")
        #expect(message(.init(topK: -1)) == "topK: expected a number of tokens, or 0 for all, got -1")
        #expect(message(.init(topP: 1.5)) == "topP: expected a probability from 0 to 1, got 1.5")
        #expect(message(.init(topP: .nan)) == "topP: expected a probability from 0 to 1, got nan")
        #expect(message(.init(minP: -0.5)) == "minP: expected a fraction from 0 to 1, got -0.5")
        #expect(
            message(.init(repetitionPenalty: 0)) == "repetitionPenalty: expected a number above 0, got 0.0")
        #expect(
            message(.init(presencePenalty: .infinity)) == "presencePenalty: expected a finite number, got inf"
        )
        #expect(
            message(.init(frequencyPenalty: .nan)) == "frequencyPenalty: expected a finite number, got nan")
        #expect(message(.init(logitBias: [10: 1])) == "logitBias: expected token ids below 10, got 10")
        #expect(
            message(.init(logitBias: [1: .nan])) == "logitBias: expected finite numbers or −infinity, got nan"
        )
    }
}
