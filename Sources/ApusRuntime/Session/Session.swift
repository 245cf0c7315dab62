public import ApusEngine
public import ApusSupport

/// A batch of sequences of different lengths that an executor runs, each with its own part of the KV cache.
///
/// Prompts run in chunks that are aligned at their ends, so that the last tokens of all sequences meet in one last
/// forward pass, which gives every sequence its logits. Longer sequences lie in lower rows of the executor: while
/// only they have tokens left, a pass runs without the others. A row without new tokens that lies between others
/// repeats its last one, which writes the same values to the same place of the cache.
///
/// Cost: after ``begin(_:)`` a decode step allocates nothing. Not thread safe.
public final class Session {
    private let executor: any Executor
    private var state: [Row] = []
    /// Row of each sequence.
    private var rows: [Int] = []
    private var logits = UnsafeBufferPointer<Float>(start: nil, count: 0)
    private let inputs: SessionInputs

    /// One row of the executor.
    private struct Row {
        /// Tokens in the cache.
        var cached = 0
        /// The token that was cached last.
        var last: Int32 = 0
        /// Tokens that wait to be run; those before `done` were run.
        var pending: [Int32] = []
        var done = 0
        var isRetired = false

        var remaining: Int { pending.count - done }
    }

    /// Makes a session without sequences.
    public init(_ executor: any Executor) {
        self.executor = executor
        inputs = SessionInputs(executor.limits)
    }

    /// The sizes the executor was prepared for.
    public var limits: SessionLimits { executor.limits }

    /// Number of logits of a token.
    public var vocabularySize: Int { executor.vocabularySize }

    /// Bytes held for activations and KV caches.
    public var workingBytes: Int { executor.workingBytes }

    /// What a user should hear of though nothing failed, of the passes so far.
    public var warnings: [String] { executor.warnings }

    /// Number of sequences, retired ones included.
    public var count: Int { rows.count }

    /// Starts new sequences in place of the old, and runs their prompts.
    /// - Throws: `.invalidInput` for more prompts than the batch, an empty one, one longer than the cache, or ids
    ///   outside the vocabulary.
    public func begin(_ prompts: [[Int32]]) throws(ApusError) {
        guard (1...limits.batch).contains(prompts.count) else {
            throw ApusError(
                .invalidInput,
                "batch: expected 1…\(limits.batch) prompts, got \(prompts.count); choose a larger batch size")
        }
        for (sequence, prompt) in prompts.enumerated() { try check(prompt, sequence: sequence, cached: 0) }
        // Enumeration order decides between equals, so that a batch is laid out the same way every time.
        let order = prompts.indices.sorted { (prompts[$1].count, $0) < (prompts[$0].count, $1) }
        rows = Array(repeating: 0, count: prompts.count)
        state = []
        for (row, sequence) in order.enumerated() {
            rows[sequence] = row
            state.append(Row(pending: prompts[sequence]))
        }
        try run()
    }

    /// Adds tokens to each of the sequences, and runs them; a retired sequence takes none.
    /// - Throws: As ``begin(_:)``.
    public func extend(_ tokens: [[Int32]]) throws(ApusError) {
        guard tokens.count == count else {
            throw ApusError(.invalidInput, "expected tokens for \(count) sequences, got \(tokens.count)")
        }
        for (sequence, new) in tokens.enumerated() where !state[rows[sequence]].isRetired {
            try check(new, sequence: sequence, cached: state[rows[sequence]].cached)
        }
        for (sequence, new) in tokens.enumerated() where !state[rows[sequence]].isRetired {
            state[rows[sequence]].pending = new
            state[rows[sequence]].done = 0
        }
        try run()
    }

    /// Number of tokens in the cache of a sequence.
    public func cachedCount(of sequence: Int) -> Int { state[rows[sequence]].cached }

    /// The logits [V] after the last token of a sequence that is not retired; valid until the next pass.
    public func logits(of sequence: Int) -> UnsafeBufferPointer<Float> {
        let first = rows[sequence] * vocabularySize
        return UnsafeBufferPointer(rebasing: logits[first..<first + vocabularySize])
    }

    /// Sets the token that a sequence goes on with in the next ``step()``.
    public func append(_ token: Int32, to sequence: Int) {
        let row = rows[sequence]
        if state[row].pending.count != 1 {
            state[row].pending = [token]
        } else {
            state[row].pending[0] = token
        }
        state[row].done = 0
    }

    /// Takes a sequence out of all further passes.
    public func retire(_ sequence: Int) {
        state[rows[sequence]].isRetired = true
        state[rows[sequence]].pending.removeAll()
        state[rows[sequence]].done = 0
    }

    /// Runs the tokens that were appended.
    /// - Throws: `.invalidInput` if a sequence grows beyond the cache.
    public func step() throws(ApusError) { try run() }

    /// Has the device run the tokens that were appended, and choose and run those after them, until every sequence has
    /// ended; false if the executor cannot, and nothing has run.
    /// - Parameters:
    ///   - choices: How each sequence chooses.
    ///   - endTokens: Tokens after which a sequence ends.
    ///   - stepCounts: Most tokens that each sequence gets, at least 1.
    ///   - onToken: Told of each token of a sequence that lives; returns whether that sequence goes on, and whether any
    ///     does.
    /// - Throws: `.invalidInput` if a sequence grows beyond the cache, and what `onToken` throws.
    func runLoop(
        choices: [TokenChoice], endTokens: [Int32], stepCounts: [Int],
        onToken: (Int, Int32) throws(ApusError) -> (goesOn: Bool, anyGoesOn: Bool)
    ) throws(ApusError) -> Bool {
        guard let executor = executor as? any TokenLoopExecutor else { return false }
        // Sequences in the order of their rows; rows behind the last living one are left out.
        var sequences = [Int](repeating: 0, count: rows.count)
        for (sequence, row) in rows.enumerated() { sequences[row] = sequence }
        guard let last = state.lastIndex(where: { !$0.isRetired }) else { return false }
        let batch = last + 1
        guard state[..<batch].allSatisfy({ $0.isRetired || $0.remaining == 1 }) else { return false }
        let request = TokenLoopRequest(
            tokens: state[..<batch].map { $0.isRetired ? $0.last : $0.pending[$0.done] },
            cachedCounts: state[..<batch].map { Int32($0.isRetired ? $0.cached - 1 : $0.cached) },
            choices: sequences[..<batch].map { choices[$0] }, endTokens: endTokens,
            stepCounts: (0..<batch).map { state[$0].isRetired ? 0 : stepCounts[sequences[$0]] })
        for row in 0..<batch where !state[row].isRetired {
            // The last token of a sequence is never run.
            guard state[row].cached + stepCounts[sequences[row]] <= limits.capacity else {
                throw ApusError(
                    .invalidInput,
                    "sequence \(sequences[row]): \(state[row].cached) cached and \(stepCounts[sequences[row]]) new tokens "
                        + "exceed the cache of \(limits.capacity) tokens; choose a larger context")
            }
        }
        guard executor.canLoop(request) else { return false }
        try executor.runLoop(request) { tokens throws(ApusError) in
            var anyGoesOn = false
            for row in 0..<batch where !state[row].isRetired {
                // The step has run the token before, and chosen one that waits.
                state[row].last = state[row].pending[state[row].done]
                state[row].cached += 1
                state[row].pending[state[row].done] = tokens[row]
                let answer = try onToken(sequences[row], tokens[row])
                anyGoesOn = answer.anyGoesOn
                if !answer.goesOn { retire(sequences[row]) }
            }
            return anyGoesOn
        }
        return true
    }

    private func check(_ tokens: [Int32], sequence: Int, cached: Int) throws(ApusError) {
        guard !tokens.isEmpty else {
            throw ApusError(.invalidInput, "prompt \(sequence) is empty: expected at least one token")
        }
        guard cached + tokens.count <= limits.capacity else {
            throw ApusError(
                .invalidInput,
                "prompt \(sequence): \(cached) cached and \(tokens.count) new tokens exceed the cache of "
                    + "\(limits.capacity) tokens; choose a larger context")
        }
        for id in tokens where id < 0 || Int(id) >= vocabularySize {
            throw ApusError(
                .invalidInput,
                "prompt \(sequence): token id \(id) is outside the vocabulary of \(vocabularySize) tokens")
        }
    }

    /// Runs passes until no token waits.
    private func run() throws(ApusError) {
        var passes = 0
        for row in state.indices { passes = max(passes, passCount(row)) }
        while passes > 0 {
            try runPass(remaining: passes)
            passes -= 1
        }
    }

    /// Passes that the waiting tokens of a row need.
    private func passCount(_ row: Int) -> Int { (state[row].remaining + limits.chunk - 1) / limits.chunk }

    /// Runs one pass; `remaining` counts it and those after it.
    private func runPass(remaining: Int) throws(ApusError) {
        var batch = 0
        var width = 1
        for row in state.indices {
            let takes = passCount(row) == remaining
            if takes { width = max(width, min(state[row].remaining, limits.chunk)) }
            // In the last pass every living row takes part, so that all logits are of one pass.
            if takes || (remaining == 1 && !state[row].isRetired) { batch = row + 1 }
        }
        for row in 0..<batch {
            let takes = passCount(row) == remaining
            let new = takes ? min(state[row].remaining, limits.chunk) : 1
            for column in 0..<width {
                inputs.tokens[row * width + column] =
                    takes && column < new ? state[row].pending[state[row].done + column] : state[row].last
            }
            inputs.newCounts[row] = Int32(new)
            inputs.cachedCounts[row] = Int32(takes ? state[row].cached : state[row].cached - 1)
        }
        logits = try executor.forward(
            tokens: UnsafeBufferPointer(rebasing: inputs.tokens[..<(batch * width)]), batch: batch,
            width: width,
            newCounts: UnsafeBufferPointer(rebasing: inputs.newCounts[..<batch]),
            cachedCounts: UnsafeBufferPointer(rebasing: inputs.cachedCounts[..<batch]))
        for row in 0..<batch where passCount(row) == remaining {
            let new = min(state[row].remaining, limits.chunk)
            state[row].done += new
            state[row].cached += new
            state[row].last = state[row].pending[state[row].done - 1]
        }
    }
}
