import Apus

/// The part of `apus run` that writes text: prompts in, streamed text and a report out.
struct TextRun {
    let command: RunCommand
    private let output = ByteOutput.standardOutput

    /// Runs the command.
    init(_ command: RunCommand) { self.command = command }

    /// Writes text, or the JSON object, to standard output.
    func run() throws {
        let input = command.input
        let variant = try command.model.backends.variant(of: command.model.model)
        let given = try input.sequences()
        let loader = try ModelLoader(command.model, [variant], requiresTokenizer: given == nil)
        if command.comparison.runsPyTorch { try loader.requireFolder(for: "--enable-pytorch-run") }
        let prompts = try input.batch(given ?? encodedPrompts(loader))
        let options = try options(loader, prompts)
        try check(prompts, options, loader.info)
        let dump = try command.dumpLogits.map { path throws(ApusError) in
            try NPYWriter(path: path, columns: loader.info.vocabularySize)
        }
        let model = try loader.load(
            variant, batchSize: prompts.count, contextLength: command.model.contextLength)
        let results = try generate(model, prompts, options, dump)
        try dump?.finish()
        Warnings.tell(model.runWarnings)
        if command.model.debug { PhaseListing.tell() }
        var report = RunReport(
            sequences: zip(prompts, results).map { RunReport.Sequence(prompt: $0, result: $1) },
            precision: Precision(model.precision) ?? .fp32, variant: variant,
            threads: model.threadCount, loadSeconds: model.loadSeconds,
            buildSeconds: model.buildSeconds, peakMemoryBytes: ProcessMemory.peakBytes())
        if !command.json { try output.line(report.figures) }
        try output.flush()
        if command.comparison.runsPyTorch { try compare(&report, model, options) }
        if command.json { try output.line(report.json.text()) }
        try output.flush()
    }

    private func encodedPrompts(_ loader: ModelLoader) throws(ApusError) -> [[Int32]] {
        var prompts: [[Int32]] = []
        for text in command.input.prompt {
            guard let ids = try loader.tokenizer?.encode(text), !ids.isEmpty else {
                throw ApusError(.invalidInput, "--prompt: the tokenizer makes no tokens of '\(text)'")
            }
            prompts.append(ids)
        }
        return prompts
    }

    /// Refuses what the model cannot serve, before anything is compiled, and names the flag.
    private func check(_ prompts: [[Int32]], _ options: GenerationOptions, _ info: ModelInfo)
        throws(ApusError)
    {
        let limit = min(command.model.contextLength ?? .max, info.maxPositions)
        let (what, remedy) =
            limit == info.maxPositions
            ? ("the model's \(limit) positions", "")
            : ("--context-length \(limit)", ", choose a longer context")
        for (index, prompt) in prompts.enumerated() where prompt.count + options.maxNewTokens > limit {
            let room = limit - prompt.count
            throw ApusError(
                .invalidInput,
                "--num-tokens: the \(prompt.count) tokens of prompt \(index) and \(options.maxNewTokens) new ones "
                    + "exceed \(what); "
                    + (room > 0 ? "ask for at most \(room) new tokens" : "shorten the prompt") + remedy)
        }
        let flag = command.input.inputIDs.isEmpty ? "--prompt" : "--input-ids"
        try ApusError.within(flag) { () throws(ApusError) in try options.validate(prompts, for: info) }
    }

    private func options(_ loader: ModelLoader, _ prompts: [[Int32]]) throws(ApusError) -> GenerationOptions {
        let input = command.input
        let longest = prompts.reduce(0) { max($0, $1.count) }
        let room = min(command.model.contextLength ?? .max, loader.info.maxPositions) - longest
        guard input.stop.isEmpty || loader.tokenizer != nil else {
            throw ApusError(
                .notFound,
                "--stop: \(command.model.model) has no tokenizer.json to make text with; add --tokenizer")
        }
        return GenerationOptions(
            // Without --num-tokens a short context is no error, unless it is full already.
            maxNewTokens: input.tokenCount ?? max(min(InputFlags.defaultTokenCount, room), 1),
            sampling: command.sampling.options(loader.source.generation), ignoreEnd: input.ignoresEndTokens,
            stopStrings: input.stop)
    }

    /// Generates; streams a single sequence, and shows those of a batch one after the other at the end.
    private func generate(
        _ model: LanguageModel, _ prompts: [[Int32]], _ options: GenerationOptions, _ dump: NPYWriter?
    ) throws -> [GenerationResult] {
        let streams = !command.json && prompts.count == 1
        let hasText = model.tokenizer != nil
        // The library's callback throws only its own error; one of the output waits here.
        var outputFailure: (any Error)?
        let results: [GenerationResult]
        do {
            results = try Interruption.deferred {
                try model.generate(prompts, options: options) { token throws(ApusError) in
                    if Interruption.isRequested { throw ApusError(.cancelled, "interrupted") }
                    if token.sequence == 0 { try dump?.append(token.logits) }
                    guard streams else { return }
                    do {
                        try output.write(hasText ? token.text : (token.index == 0 ? "" : " ") + "\(token.id)")
                        try output.flush()
                    } catch {
                        outputFailure = error
                        throw ApusError(.cancelled, "the output was closed")
                    }
                }
            }
        } catch let error as ApusError where error.code == .cancelled {
            if let outputFailure { throw outputFailure }
            if streams { try output.line("") }
            try output.flush()
            throw error
        }
        if streams {
            try output.line("")
        } else if !command.json {
            for (index, result) in results.enumerated() {
                let ids = result.tokens.map(String.init).joined(separator: " ")
                try output.line("[\(index)]\(result.text ?? " \(ids)")")
            }
        }
        return results
    }

    private func compare(
        _ report: inout RunReport, _ model: LanguageModel, _ options: GenerationOptions
    ) throws {
        guard let first = report.sequences.first else { return }
        let request = PyTorchComparison.Request(
            model: command.model.model, precision: report.precision, prompts: [first.prompt],
            tokenCount: options.maxNewTokens, endTokens: options.ignoreEnd ? [] : model.info.endTokens,
            threads: report.threads, iterations: 1)
        let outcome = try PyTorchComparison.run(request, showsDiagnostics: command.model.debug)
        report.pytorch = outcome
        switch outcome {
        case .unavailable(let reason):
            try ByteOutput.standardError.line("--enable-pytorch-run: \(reason)")
            try ByteOutput.standardError.flush()
        case .compared(let comparison):
            guard !command.json else { return }
            try output.write("\n" + comparison.report(beside: first.result, tokenizer: model.tokenizer))
        }
    }
}

extension SamplingFlags {
    /// The library's options for these flags and a checkpoint's own defaults.
    func options(_ defaults: GenerationDefaults) -> SamplingOptions {
        var options = SamplingOptions.greedy
        if sample {
            var sampled = defaults
            sampled.doSample = true
            options = SamplingOptions(sampled)
        } else if isSampling {
            options = SamplingOptions()
        }
        options.seed = seed
        if let temperature { options.temperature = temperature }
        if let topK { options.topK = topK }
        if let topP { options.topP = topP }
        if let minP { options.minP = minP }
        if let repetitionPenalty { options.repetitionPenalty = repetitionPenalty }
        if let presencePenalty { options.presencePenalty = presencePenalty }
        if let frequencyPenalty { options.frequencyPenalty = frequencyPenalty }
        for pair in logitBias.flatMap(\.pairs) { options.logitBias[pair.token] = pair.value }
        return options
    }
}
