import Apus
import Testing

@testable import ApusCommand

@Suite struct ReportTests {
    private func result(_ tokens: [Int32], text: String? = nil, reason: FinishReason = .length)
        -> GenerationResult
    {
        GenerationResult(
            tokens: tokens, text: text, finishReason: reason,
            stats: GenerationStats(
                promptTokens: 2, generatedTokens: tokens.count, timeToFirstToken: 0.5, decodeSeconds: 0.25))
    }

    private func report(_ results: [GenerationResult]) -> RunReport {
        RunReport(
            sequences: results.map { RunReport.Sequence(prompt: [1, 2], result: $0) }, precision: .fp16,
            variant: Variant(backend: .plugin, cache: .inPlace), threads: 2, loadSeconds: 0.1,
            buildSeconds: 0.2, peakMemoryBytes: 1 << 30)
    }

    private func keys(_ value: JSONValue) -> [String] {
        if case .object(let members) = value { members.map(\.0) } else { [] }
    }

    @Test func jsonOfARunHasItsKeysInOrder() {
        let json = report([result([3, 4], text: "a\"b")]).json
        #expect(keys(json) == ["prompt_ids", "token_ids", "text", "finish_reason", "stats"])
        #expect(
            json.text().hasPrefix(
                #"{"prompt_ids":[1,2],"token_ids":[3,4],"text":"a\"b","finish_reason":"length","stats":{"prompt_tokens":2,"#
            ))
        #expect(report([result([3])]).json.text().contains(#""text":null"#))
    }

    @Test func jsonOfABatchHoldsEverySequence() {
        let json = report([result([3, 4]), result([5], reason: .endToken)]).json
        #expect(keys(json).last == "sequences")
        #expect(json.text().contains(#""token_ids":[5],"text":null,"finish_reason":"stop""#))
    }

    @Test func figuresStandOnOneLine() {
        #expect(
            report([result([3, 4])]).figures
                == "[2 prompt tokens, TTFT 500 ms, 2 new tokens, 4.00 tokens/s, peak memory 1.00 GiB]")
        #expect(
            report([result([3, 4]), result([5, 6, 7])]).figures
                == "[2 sequences, 4 prompt tokens, TTFT 500 ms, 5 new tokens, 12.0 tokens/s, peak memory 1.00 GiB]"
        )
        #expect(
            report([result([3])]).figures
                == "[2 prompt tokens, TTFT 500 ms, 1 new tokens, peak memory 1.00 GiB]")
    }

    private func row(outputLength: Int) -> BenchmarkRow {
        BenchmarkRow(
            model: "m", device: "cpu", precision: "FP16", backend: "plugin", cache: "in_place",
            setting: BenchmarkSetting(batch: 2, inputLength: 10, outputLength: outputLength, depth: 4),
            threads: 2,
            times: GenerationTimes(firstToken: [0.1, 0.1], total: [0.5, 0.5]), bytesPerStep: 2e9,
            bandwidth: 40e9,
            peakMemoryBytes: 1 << 20, buildSeconds: 1.5, loadSeconds: 0.5)
    }

    @Test func benchmarkRowsFollowTheirFormulae() {
        #expect(
            row(outputLength: 5).json.text()
                == #"{"model":"m","device":"cpu","precision":"FP16","backend":"plugin","cache":"in_place","#
                + #""batch_size":2,"isl":10,"osl":5,"depth":4,"threads":2,"ttft_ms":100.0,"tpot_ms":100.0,"#
                + #""prefill_tokens_per_second":200.0,"decode_tokens_per_second":20.0,"#
                + #""gigabytes_per_second":20.0,"read_floor_percent":50.0,"total_ms_median":500.0,"#
                + #""total_ms_p99":500.0,"peak_memory_bytes":1048576,"build_seconds":1.5,"load_seconds":0.5}"#
        )
        #expect(row(outputLength: 5).cells.count == BenchmarkRow.columns.count)
    }

    @Test func aPromptAloneHasNoDecodeFigures() {
        let text = row(outputLength: 1).json.text()
        for key in ["tpot_ms", "decode_tokens_per_second", "gigabytes_per_second", "read_floor_percent"] {
            #expect(text.contains("\"\(key)\":null"))
        }
        #expect(row(outputLength: 1).cells[11] == "–")
    }

    @Test func summaryHasTheNamesOfRunLLM() {
        let summary = SummaryRun.Summary(
            backend: "plugin", cache: "in_place", precision: .fp16, weights: "FP16",
            setting: BenchmarkSetting(batch: 2, inputLength: 8, outputLength: 3, depth: 0),
            times: GenerationTimes(firstToken: [0.1], total: [0.5]), compileSeconds: nil)
        for line in [
            "Backend: plugin", "Cache: in_place", "Model Precision: FP16", "Batch size: 2",
            "Median(FPS): 4.000",
            "Mean(FPS): 4.000",
            "Median-Latency(ms): 500.000", "Mean-Latency(ms): 500.000", "Latency-StdDev(ms): 0.000",
            "Compile Time(s): –", "TTFT(ms): 100.000", "TPOT(ms): 200.000",
        ] {
            #expect(summary.text.contains(line + "\n"), "\(line)")
        }
    }

    @Test func answersOfPyTorchAreReadAndCompared() throws {
        let json = try JSON.parse(
            Array(
                """
                {"torch": "2.9", "transformers": "5.0",
                 "with_cache": {"token_ids": [[3, 4]], "ttft_ms": [10.0], "total_ms": [30.0]},
                 "without_cache": {"token_ids": [[3, 5]], "ttft_ms": [10.0], "total_ms": [50.0]}}
                """.utf8), source: "test")
        let comparison = try PyTorchComparison(json)
        let ours = result([3, 4])
        #expect(comparison.cached.times == GenerationTimes(firstToken: [0.01], total: [0.03]))
        #expect(PyTorchComparison.firstDifference(ours, [3, 4]) == nil)
        #expect(PyTorchComparison.firstDifference(ours, [3, 5]) == 1)
        #expect(PyTorchComparison.firstDifference(ours, [3]) == 1)
        #expect(PyTorchComparison.firstDifference(result([3], reason: .stopString), [3, 4]) == nil)
        let report = try comparison.report(beside: ours, tokenizer: nil)
        #expect(
            report.contains("| PyTorch, KV cache |    10.0 |     50.0 |     30.0 | the same               |"))
        #expect(
            report.contains("| PyTorch, no cache |    10.0 |     25.0 |     50.0 | differ from token 1 on |"))
        #expect(
            comparison.json(beside: ours).text().contains(
                #""without_cache":{"token_ids":[3,5],"tokens_agree":false,"ttft_ms":10.0,"total_ms":50.0"#))
    }

    @Test func scriptsTellHowTheyEnd() throws {
        // `sh -c` takes a script as Python does.
        let shell = PythonProcess(interpreter: "sh", showsDiagnostics: false)
        #expect(try shell.run("cat; echo x >&2", input: "ab\nc") == .output("ab\nc"))
        #expect(try shell.run("exit 3", input: "") == .failed("ended with status 3"))
        #expect(try shell.run("kill -9 $$", input: "") == .failed("was ended by signal 9"))
        #expect(
            try PythonProcess(interpreter: "no-such-python", showsDiagnostics: false).run("", input: "")
                == .notFound)
        #expect(PythonProcess.candidates(environment: "/opt/python") == ["/opt/python", "python3", "python"])
        #expect(PythonProcess.candidates(environment: "") == ["python3", "python"])
    }
}
