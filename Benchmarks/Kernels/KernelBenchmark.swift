import ArgumentParser
import CApusCPU

/// Times every kernel on one core and sets it against what the core can read and compute.
///
///     swift run -c release --package-path Benchmarks Kernels --filter linear
@main
struct KernelBenchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "Kernels",
        abstract: "Time kernels on one core, in GB/s and per cent of the core's peaks.",
        discussion: """
            Times are processor time of one thread, the least of many runs. Weights and KV caches are other \
            memory in every run, out of more than the processor's caches hold. The peaks are measured in the same run.
            """)

    @Option(help: "Instruction set (default: the best of this processor).")
    var isa: String?

    @Option(help: "Only kernels whose name or shape contains this text.")
    var filter: String?

    @Option(help: "Seconds for each case.")
    var seconds = 0.3

    func run() throws {
        let kernels = try chosenKernels()
        let peaks = try Peaks(kernels)
        print("\(String(cString: apus_isa_name(kernels.isa))), one core: \(peaks.description)\n")
        print("| kernel | shape | µs | GB/s | % of read | Gop/s | % of peak |")
        print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
        let workspace = Workspace(kernels)
        let cases =
            LinearCases(workspace: workspace).all + AttentionCases(workspace: workspace).all
            + RowCases(workspace: workspace).all
        for test in cases where filter.map({ "\(test.kernel) \(test.shape)".contains($0) }) ?? true {
            print(row(test, leastSeconds(budget: seconds, try test.prepare()), peaks))
        }
    }

    /// A line of the table; a dash where memory or arithmetic is not what bounds a kernel.
    private func row(_ test: KernelCase, _ time: Double, _ peaks: Peaks) -> String {
        func cells(_ amount: Int, _ peak: Double) -> [String] {
            guard amount > 0 else { return ["–", "–"] }
            let rate = Double(amount) / time
            return [decimal(rate / 1e9), decimal(rate / peak * 100)]
        }
        let all =
            [test.kernel, test.shape, decimal(time * 1e6)] + cells(test.bytes, peaks.read)
            + cells(test.operations, peaks.operations(test.peak))
        return "| \(all.joined(separator: " | ")) |"
    }

    private func chosenKernels() throws -> apus_kernels {
        let all = (0..<16).map { apus_isa(rawValue: $0) }.filter { apus_kernels_for($0) != nil }
        let names = all.map { String(cString: apus_isa_name($0)) }
        let wanted = isa ?? String(cString: apus_isa_name(apus_best_isa()))
        guard let index = names.firstIndex(of: wanted), let table = apus_kernels_for(all[index]) else {
            throw ValidationError("--isa: expected one of \(names.joined(separator: ", ")), got \(wanted).")
        }
        return table.pointee
    }

    private func decimal(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}

/// What one core can read and compute.
struct Peaks: CustomStringConvertible {
    /// Bytes a second from memory.
    let read: Double
    private let multiplyAdd: Double
    private let byteDot: Double

    /// Measures them.
    init(_ kernels: apus_kernels) throws {
        let memory = try Memory(byteCount: 768 << 20)
        read =
            Double(memory.byteCount)
            / leastSeconds(budget: 1) { _ in
                _ = kernels.stream_read(memory.base, memory.byteCount)
            }
        func rate(_ probe: @escaping (Int) -> UInt64) -> Double {
            let iterations = 100_000
            return Double(probe(iterations)) / leastSeconds(budget: 0.5) { _ in _ = probe(iterations) }
        }
        multiplyAdd = rate { kernels.fma_probe($0) }
        byteDot = rate { kernels.dot_probe($0) }
    }

    /// Operations a second of the instruction that bounds a kernel.
    func operations(_ peak: KernelCase.Peak) -> Double {
        switch peak {
        case .multiplyAdd: multiplyAdd
        case .byteDot: byteDot
        }
    }

    var description: String {
        func billions(_ value: Double) -> Int { Int((value / 1e9).rounded()) }
        return "reads \(billions(read)) GB/s, \(billions(multiplyAdd)) GFLOP/s of FP32 multiply-adds, "
            + "\(billions(byteDot)) Gop/s of 8-bit products"
    }
}
