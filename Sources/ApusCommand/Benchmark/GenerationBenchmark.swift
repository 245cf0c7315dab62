import Apus

/// The sizes of one generation to time.
struct BenchmarkSetting: Equatable {
    /// Sequences.
    var batch: Int
    /// Prompt tokens of each.
    var inputLength: Int
    /// Tokens to generate for each, the one that ends the prompt included.
    var outputLength: Int
    /// Tokens that the cache of each sequence holds before the timing starts.
    var depth: Int

    /// Positions a sequence takes: the last token is never fed back.
    var positionCount: Int { depth + inputLength + outputLength - 1 }

    /// Session limits that hold this setting.
    /// - Parameter chunk: Most tokens of a sequence that one pass takes.
    func limits(chunk: Int) -> SessionLimits {
        SessionLimits(batch: batch, chunk: min(max(inputLength, depth), chunk), capacity: positionCount)
    }

    /// Refuses more positions than a model has.
    /// - Parameter flags: The flags that choose the sizes, as the error names them.
    /// - Throws: `.invalidInput` that names the flags.
    func check(_ info: ModelInfo, flags: String = "--depth, --isl or --osl") throws(ApusError) {
        guard positionCount > info.maxPositions else { return }
        throw ApusError(
            .invalidInput,
            "depth \(depth) + prompt \(inputLength) + output \(outputLength) take \(positionCount) positions, the "
                + "model has \(info.maxPositions): choose smaller \(flags)")
    }
}

/// Times of repeated generations, in seconds.
struct GenerationTimes: Equatable {
    /// From the request to the first token.
    var firstToken: [Double] = []
    /// From the request to the last token.
    var total: [Double] = []

    /// Median time from the request to the first token.
    var ttft: Double { Statistics(firstToken).median }

    /// Median time between tokens: (end − first token) / (tokens − 1); nil for one token.
    func tpot(outputLength: Int) -> Double? {
        guard outputLength > 1 else { return nil }
        return Statistics(zip(firstToken, total).map { ($1 - $0) / Double(outputLength - 1) }).median
    }
}

/// Times greedy generations of random ids that never stop early, straight on an executor.
final class GenerationBenchmark {
    private let executor: any Executor
    private let setting: BenchmarkSetting
    private let prompts: [Int32]
    private var row: [Int32]
    private var next: [Int32]
    private var new: [Int32]
    private var cached: [Int32]
    /// Whether every step is to be timed, which only passes one by one can be.
    private var isProfiling = false

    /// Prepares prompts and fills the caches up to the setting's depth.
    /// - Throws: what the executor throws.
    init(_ executor: any Executor, _ setting: BenchmarkSetting, prompts: [[Int32]], seed: UInt64)
        throws(ApusError)
    {
        self.executor = executor
        self.setting = setting
        self.prompts = prompts.flatMap { $0 }
        let batch = setting.batch
        row = [Int32](repeating: 0, count: batch * executor.limits.chunk)
        next = [Int32](repeating: 0, count: batch)
        new = next
        cached = next
        if setting.depth > 0 {
            let filler = Self.randomIDs(
                batch: batch, count: setting.depth, vocabularySize: executor.vocabularySize, seed: seed &+ 1)
            try prefill(filler.flatMap { $0 }, count: setting.depth, depth: 0)
        }
    }

    /// Seeded ids below the vocabulary's size, [batch][count].
    static func randomIDs(batch: Int, count: Int, vocabularySize: Int, seed: UInt64) -> [[Int32]] {
        var generator = SeededGenerator(seed: seed)
        return (0..<batch).map { _ in
            (0..<count).map { _ in Int32.random(in: 0..<Int32(max(vocabularySize, 1)), using: &generator) }
        }
    }

    /// Runs some generations untimed, then times `iterations` of them.
    func run(warmup: Int, iterations: Int) throws(ApusError) -> GenerationTimes {
        var times = GenerationTimes()
        for iteration in 0..<(warmup + iterations) {
            if Interruption.isRequested { throw ApusError(.cancelled, "interrupted") }
            let (first, total) = try generate()
            guard iteration >= warmup else { continue }
            times.firstToken.append(first)
            times.total.append(total)
        }
        return times
    }

    /// Runs one more generation with the time of every step: first of the passes over the prompt, then of those that
    /// decode; nil where the executor cannot tell.
    func profile() throws(ApusError) -> (prefill: StepProfile?, decode: StepProfile?) {
        guard let executor = executor as? any ProfilingExecutor else { return (nil, nil) }
        isProfiling = true
        defer { isProfiling = false }
        executor.startProfiling()
        try prefill(prompts, count: setting.inputLength, depth: setting.depth)
        let prefill = executor.stopProfiling()
        guard setting.outputLength > 1 else { return (prefill, nil) }
        executor.startProfiling()
        try decode()
        return (prefill, executor.stopProfiling())
    }

    /// One generation; what the caches hold beyond the depth is overwritten.
    private func generate() throws(ApusError) -> (first: Double, total: Double) {
        let clock = ContinuousClock()
        let start = clock.now
        try prefill(prompts, count: setting.inputLength, depth: setting.depth)
        let first = clock.now
        try decode()
        let end = clock.now
        return ((first - start) / .seconds(1), (end - start) / .seconds(1))
    }

    /// Feeds each token that was chosen, behind the prompt.
    private func decode() throws(ApusError) {
        for index in 0..<setting.batch { new[index] = 1 }
        if try loop() { return }
        for step in 0..<(setting.outputLength - 1) {
            let depth = Int32(setting.depth + setting.inputLength + step)
            for index in 0..<setting.batch { cached[index] = depth }
            try forward(next, width: 1)
        }
    }

    /// Has the device choose and feed all tokens, where it can; false where it cannot, or each step is to be timed.
    private func loop() throws(ApusError) -> Bool {
        guard !isProfiling, let executor = executor as? any TokenLoopExecutor, setting.outputLength > 1 else {
            return false
        }
        let request = TokenLoopRequest(
            tokens: next,
            cachedCounts: Array(repeating: Int32(setting.depth + setting.inputLength), count: setting.batch),
            choices: Array(repeating: .greedy, count: setting.batch), endTokens: [],
            stepCounts: Array(repeating: setting.outputLength - 1, count: setting.batch))
        guard executor.canLoop(request) else { return false }
        try executor.runLoop(request) { tokens throws(ApusError) in
            for index in next.indices { next[index] = tokens[index] }
            return true
        }
        return true
    }

    /// Feeds [batch, count] tokens in chunks behind `depth` tokens and chooses the token after each row.
    private func prefill(_ tokens: [Int32], count: Int, depth: Int) throws(ApusError) {
        var done = 0
        while done < count {
            let width = min(count - done, executor.limits.chunk)
            for sequence in 0..<setting.batch {
                for place in 0..<width {
                    row[sequence * width + place] = tokens[sequence * count + done + place]
                }
                new[sequence] = Int32(width)
                cached[sequence] = Int32(depth + done)
            }
            try forward(row, width: width)
            done += width
        }
    }

    private func forward(_ tokens: [Int32], width: Int) throws(ApusError) {
        let batch = setting.batch
        let logits = try tokens.withUnsafeBufferPointer { tokens throws(ApusError) in
            try new.withUnsafeBufferPointer { new throws(ApusError) in
                try cached.withUnsafeBufferPointer { cached throws(ApusError) in
                    try executor.forward(
                        tokens: UnsafeBufferPointer(rebasing: tokens[..<(batch * width)]), batch: batch,
                        width: width, newCounts: new, cachedCounts: cached)
                }
            }
        }
        let size = executor.vocabularySize
        for sequence in 0..<batch {
            let row = UnsafeBufferPointer(rebasing: logits[(sequence * size)..<((sequence + 1) * size)])
            next[sequence] = Int32(Self.argmax(row))
        }
    }

    /// The index of the largest value, the first of equals.
    static func argmax(_ values: UnsafeBufferPointer<Float>) -> Int {
        // Blocks of 64 are compared by their maxima, which the compiler turns into vector code.
        var best = 0
        var largest = -Float.infinity
        var start = 0
        while start < values.count {
            let end = min(start + 64, values.count)
            var maximum = -Float.infinity
            for index in start..<end { maximum = values[index] > maximum ? values[index] : maximum }
            if maximum > largest {
                largest = maximum
                best = (start..<end).first { values[$0] == maximum } ?? start
            }
            start = end
        }
        return best
    }
}
