import Apus
import ArgumentParser
import Testing

@testable import ApusCommand

@Suite struct ArgumentTests {
    private func run(_ arguments: String...) throws -> RunCommand {
        try #require(try ApusTool.parseAsRoot(["run", "--model", "m"] + arguments) as? RunCommand)
    }

    private func bench(_ arguments: String...) throws -> BenchCommand {
        try #require(try ApusTool.parseAsRoot(["bench"] + arguments) as? BenchCommand)
    }

    /// What the user is told about arguments that are refused.
    private func refusal(_ arguments: String...) -> FailureReport? {
        do {
            _ = try ApusTool.parseAsRoot(arguments)
            return nil
        } catch {
            return FailureReport(error)
        }
    }

    @Test(arguments: ["-", "_"])
    func flagsOfRunLLMWorkWithHyphensAndUnderscores(mark: String) throws {
        let names = [
            "--model-precision", "fp16", "--num-tokens", "3", "--batch-size", "2", "--enable-pytorch-run",
            "--input-ids", "1,2", "--ignore-eos", "--context-length", "9", "--dump-logits", "x.npy",
        ]
        let arguments = names.map { name in
            name.hasPrefix("--") ? "--" + name.dropFirst(2).replacing("-", with: mark) : name
        }
        let command = try #require(
            try ApusTool.parseAsRoot(["run", "--model", "m"] + arguments) as? RunCommand)
        #expect(command.model.precision == .fp16)
        #expect(command.input.tokenCount == 3)
        #expect(command.input.batchSize == 2)
        #expect(command.comparison.runsPyTorch)
        #expect(command.input.inputIDs == ["1,2"])
        #expect(command.input.ignoresEndTokens)
        #expect(command.model.contextLength == 9)
        #expect(command.dumpLogits == "x.npy")
    }

    @Test func benchmarkFlagsAreThoseOfRunLLM() throws {
        let command = try run(
            "--tokenizer", "t", "--precision", "BF16", "--benchmark", "--isl", "7", "--iterations", "2",
            "--backend",
            "reference", "--cache", "none", "--debug")
        #expect(command.model.tokenizer == "t")
        #expect(command.model.precision == .bf16)
        #expect(command.comparison.benchmark)
        #expect(command.comparison.isl == 7)
        #expect(command.comparison.iterations == 2)
        #expect(
            try command.model.backends.variant() == Variant(backend: .reference, cache: .none))
        #expect(command.model.debug)
    }

    @Test(arguments: [("fp16", Precision.fp16), ("FP32", .fp32), ("Bf16", .bf16)])
    func precisionIsReadInAnyCase(text: String, expected: Precision) throws {
        #expect(try run("--prompt", "x", "--precision", text).model.precision == expected)
    }

    @Test func valuesMayBeginWithADash() throws {
        let command = try run("--prompt", "-1 + 1", "--stop", "--x", "--presence-penalty", "-0.5")
        #expect(command.input.prompt == ["-1 + 1"])
        #expect(command.input.stop == ["--x"])
        #expect(command.sampling.presencePenalty == -0.5)
    }

    @Test func cachesThatGoWithTheBackendAreAccepted() throws {
        func variant(_ arguments: String...) throws -> Variant {
            try #require(
                try ApusTool.parseAsRoot(["run", "--model", "m", "--prompt", "x"] + arguments) as? RunCommand
            ).model.backends.variant()
        }
        #expect(try variant("--cache", "") == Variant(backend: .plugin, cache: .inPlace))
        #expect(try variant("--cache", "in_place") == Variant(backend: .plugin, cache: .inPlace))
        #expect(try variant("--backend", "reference") == Variant(backend: .reference, cache: .none))
        #expect(try variant("--backend", "sdpa") == Variant(backend: .sdpa, cache: .none))
        #expect(
            try variant("--backend", "iattention", "--cache", "static_v2", "--no_alias_kv_cache")
                == Variant(backend: .iattention, cache: .staticV2, isAliased: false))
    }

    @Test func listsOfBackendsAndCachesAreAllPairsThatGoTogether() throws {
        func names(_ arguments: String...) throws -> [String] {
            try #require(
                try ApusTool.parseAsRoot(["run", "--model", "m", "--benchmark"] + arguments) as? RunCommand
            ).model.backends.variants().map(\.name)
        }
        #expect(
            try names("--backend", "all") == [
                "reference", "sdpa/none", "sdpa/static_v1", "sdpa/static_v2", "iattention/none",
                "iattention/static_v1", "iattention/static_v2", "plugin",
            ])
        #expect(
            try names("--backend", "all", "--cache", "static_v1", "--no-alias-kv-cache") == [
                "sdpa/static_v1, copied", "iattention/static_v1, copied",
            ])
        #expect(
            try names("--backend", "sdpa", "--cache", "none,static_v2") == ["sdpa/none", "sdpa/static_v2"])
        #expect(
            SummaryRun.rows([.init(backend: .sdpa, cache: .none), .init(backend: .sdpa, cache: .staticV1)])
                .map(\.name) == ["sdpa/none", "sdpa/static_v1", "sdpa/static_v1, copied"])
        let report = refusal("run", "--model", "m", "--prompt", "x", "--backend", "all")
        #expect(
            report?.diagnostics.hasPrefix(
                "error: --backend and --cache: expected one backend and one cache, got 8 pairs") == true)
    }

    @Test(arguments: [("plugin", "static_v1"), ("plugin", "none"), ("reference", "static_v2")])
    func otherPairsOfBackendAndCacheNameTheAllowedOnes(backend: String, cache: String) {
        let report = refusal("run", "--model", "m", "--prompt", "x", "--backend", backend, "--cache", cache)
        #expect(report?.status == ExitStatus.usage)
        #expect(
            report?.diagnostics.hasPrefix(
                "error: --backend \(backend) does not go with --cache \(cache). Allowed are --backend reference "
                    + "with none; --backend sdpa with none, static_v1, static_v2; --backend iattention with none, "
                    + "static_v1, static_v2; --backend plugin with in_place.\n"
            )
                == true)
    }

    @Test(arguments: [
        (["--precision", "int8"], "Please provide one of 'FP16', 'FP32' or 'BF16'."),
        (
            ["--backend", "cuda"],
            "Please provide one of 'reference', 'sdpa', 'iattention', 'plugin' or 'all'."
        ),
        (["--num-tokens", "0"], "--num-tokens: expected a count of at least 1, got 0."),
        (["--batch-size", "-1"], "--batch-size"),
        (["--top-p", "0"], "--top-p: expected a number above 0 and at most 1."),
        (["--temperature", "-1"], "--temperature: expected a number of at least 0."),
        (["--min-p", "2"], "--min-p: expected a number from 0 to 1."),
        (["--repetition-penalty", "0"], "--repetition-penalty: expected a number above 0."),
        (["--logit-bias", "3:1"], "The value '3:1' is invalid for '--logit-bias"),
        (["--stop", ""], "--stop: expected some text, got an empty one."),
        (["--prompt", ""], "--prompt: expected some text, got an empty one."),
        (["--input-ids", "1"], "Give either --prompt or --input-ids, not both."),
        (["--benchmark"], "--benchmark makes up its own ids; leave out --prompt and --input-ids."),
        (["--enable-pytorch-run", "--sample"], "--enable-pytorch-run compares greedy tokens"),
        (["--quant_format", "fp8"], "Unknown option '--quant_format'"),
    ])
    func wrongFlagsOfRunAreRefused(arguments: [String], message: String) throws {
        let report = try #require(
            { () -> FailureReport? in
                do {
                    _ = try ApusTool.parseAsRoot(["run", "--model", "m", "--prompt", "x"] + arguments)
                    return nil
                } catch { return FailureReport(error) }
            }())
        #expect(report.status == ExitStatus.usage)
        #expect(report.output.isEmpty)
        #expect(report.diagnostics.hasPrefix("error: "))
        #expect(report.diagnostics.contains(message), "\(report.diagnostics)")
    }

    @Test func samplingFlagsDecideWhetherTokensAreDrawn() throws {
        #expect(try run("--prompt", "x").sampling.isSampling == false)
        #expect(try run("--prompt", "x", "--top-k", "5").sampling.isSampling)
        #expect(try run("--prompt", "x", "--sample").sampling.isSampling)
        #expect(try run("--prompt", "x", "--sample", "--temperature", "0").sampling.isSampling == false)
        #expect(try run("--prompt", "x", "--presence-penalty", "1").sampling.isPlainGreedy == false)
    }

    @Test func samplingOptionsAreGreedyUnlessAskedFor() throws {
        var defaults = GenerationDefaults()
        defaults.doSample = true
        defaults.temperature = 0.6
        defaults.topK = 20
        #expect(try run("--prompt", "x").sampling.options(defaults).isGreedy)
        let sampled = try run("--prompt", "x", "--sample", "--top-p", "0.5").sampling.options(defaults)
        #expect(sampled.temperature == 0.6)
        #expect(sampled.topK == 20)
        #expect(sampled.topP == 0.5)
        let explicit = try run(
            "--prompt", "x", "--temperature", "2", "--logit-bias", "3=-1,4=2", "--logit-bias", "5=0.5",
            "--seed", "9"
        ).sampling.options(defaults)
        #expect(explicit.temperature == 2)
        #expect(explicit.topK == 0)
        #expect(explicit.logitBias == [3: -1, 4: 2, 5: 0.5])
        #expect(explicit.seed == 9)
    }

    @Test func listsGiveARowForEachCombination() throws {
        let command = try bench(
            "--config", "c.json", "--random-weights", "--depth", "0,2048", "--isl", "1, 5", "--batch-size",
            "2",
            "--precision", "fp16,fp32")
        #expect(command.precision?.values == [.plain(.fp16), .plain(.fp32)])
        let settings = BenchmarkTable(command).settings
        #expect(settings.map(\.inputLength) == [1, 1, 5, 5])
        #expect(settings.map(\.depth) == [0, 2048, 0, 2048])
        #expect(settings.allSatisfy { $0.batch == 2 && $0.outputLength == 128 })
    }

    @Test(arguments: [
        ([], "Give either --model, or --config with --random-weights."),
        (["--config", "c"], "--config has no weights: add --random-weights, or give --model."),
        (["--model", "m", "--random-weights"], "--random-weights goes with --config"),
        (["--model", "m", "--isl", "4,0"], "--isl: expected counts of at least 1, got 0."),
        (["--model", "m", "--depth", "1,x"], "The value '1,x' is invalid for '--depth"),
        (["--model", "m", "--warmup", "-1"], "--warmup"),
    ])
    func wrongFlagsOfBenchAreRefused(arguments: [String], message: String) {
        do {
            _ = try ApusTool.parseAsRoot(["bench"] + arguments)
            Issue.record("\(arguments) was accepted")
        } catch {
            #expect(FailureReport(error).diagnostics.contains(message), "\(FailureReport(error).diagnostics)")
        }
    }

    @Test func tokenizeTakesOneInput() {
        #expect(refusal("tokenize", "--model", "m")?.diagnostics.contains("Give one of --text") == true)
        #expect(refusal("tokenize", "--model", "m", "--text", "a", "--ids", "1")?.status == ExitStatus.usage)
        #expect(refusal("tokenize", "--model", "m", "--text", "a", "--decode")?.status == ExitStatus.usage)
        #expect(refusal("tokenize", "--model", "m", "--text", "") == nil)
    }

    @Test(
        arguments: [
            ["run", "--model", "m", "--prompt", "x"], ["bench", "--model", "m"], ["doctor"],
            ["eval", "--model", "m", "--text", "t"], ["quantize", "--model", "m", "--output", "o"],
            ["matrix", "--model", "m"],
        ], ["0", "-1", "1025", "9223372036854775807"])
    func numbersOfThreadsHaveBounds(command: [String], count: String) {
        var report: FailureReport?
        do {
            _ = try ApusTool.parseAsRoot(command + ["--threads=\(count)"])
        } catch {
            report = FailureReport(error)
        }
        #expect(report?.status == ExitStatus.usage)
        #expect(report?.diagnostics.hasPrefix("error: --threads: expected 1 to 1024, got \(count).") == true)
    }

    @Test func inspectTakesAModelOrAConfig() {
        #expect(refusal("inspect")?.status == ExitStatus.usage)
        #expect(
            refusal("inspect", "--model", "m", "--stage", "x")?.diagnostics.contains(
                "Please provide one of 'imported', 'lowered' or 'engine'.") == true)
    }
}
