/// The tokens of one sequence so far, as the penalties need them.
///
/// Cost: nothing is allocated after it is made.
struct TokenHistory {
    /// Ids that occur, each once.
    private var distinct: [Int32] = []
    private var isPresent: [Bool]
    private var generatedCounts: [UInt32]

    /// Starts with a prompt, with room for `newTokens`.
    init(vocabularySize: Int, prompt: [Int32], newTokens: Int) {
        isPresent = Array(repeating: false, count: vocabularySize)
        generatedCounts = Array(repeating: 0, count: vocabularySize)
        distinct.reserveCapacity(min(prompt.count + newTokens, vocabularySize))
        for id in prompt { note(id) }
    }

    /// Adds a generated token.
    mutating func append(_ id: Int32) {
        note(id)
        generatedCounts[Int(id)] += 1
    }

    private mutating func note(_ id: Int32) {
        guard !isPresent[Int(id)] else { return }
        isPresent[Int(id)] = true
        distinct.append(id)
    }

    /// Changes the logits of the tokens seen.
    func penalise(_ logits: UnsafeMutableBufferPointer<Float>, _ options: SamplingOptions) {
        // By index: an array's iterator allocates where it is not optimised away.
        for place in distinct.indices {
            let id = Int(distinct[place])
            var logit = logits[id]
            logit = logit < 0 ? logit * options.repetitionPenalty : logit / options.repetitionPenalty
            let count = generatedCounts[id]
            if count > 0 { logit -= options.presencePenalty + Float(count) * options.frequencyPenalty }
            logits[id] = logit
        }
    }
}
