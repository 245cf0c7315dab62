import Apus
import ArgumentParser

/// `apus doctor`: what this machine offers and what apus makes of it.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Show what this machine offers and which kernels are chosen.",
        discussion: """
            Prints the processor and its features, the instruction set in use (APUS_CPU=baseline, avx2, avxvnni, \
            avx512, avx512vnni, avx512bf16 or neon chooses another), cores, memory, huge pages, the measured read \
            bandwidth, and any GPU.
            """)

    @Option(help: ArgumentHelp("Threads that read (default: one for each physical core).", valueName: "n"))
    var threads: Int?

    @Flag(help: "Print one JSON object.")
    var json = false

    mutating func validate() throws {
        try Counts.checkThreads(threads)
    }

    func run() throws {
        let machine = try Machine(CPUBackend(threads: threads))
        try ByteOutput.standardOutput.line(json ? machine.json.text() : Self.report(machine))
        try ByteOutput.standardOutput.flush()
    }

    /// What there is of CUDA: the driver, each GPU, and each library with where it was found or looked for.
    static func cuda(_ cuda: CUDAInstallation) -> [(String, String)] {
        var facts = [("NVIDIA driver", cuda.driver)]
        facts += cuda.gpus.map { ("GPU cuda:\($0.ordinal)", $0.description) }
        if cuda.gpus.isEmpty { facts.append(("GPU", "none found; models compute on the processor")) }
        for library in cuda.libraries where library.search.library != .driver {
            let name = library.search.library == .nvrtc ? "NVRTC" : "cuBLASLt"
            if let path = library.search.path {
                facts.append((name, "\(library.version ?? ""), \(path)"))
            } else {
                let use =
                    library.search.library == .nvrtc
                    ? "engines for GPUs cannot be compiled here"
                    : "kernels of Apus multiply for prompts, slower"
                facts.append((name, "not found; \(use); looked in:"))
                facts += library.search.tried.map { ("", $0) }
            }
        }
        return facts
    }

    /// The report, one fact a line.
    static func report(_ machine: Machine) -> String {
        let forced = "APUS_CPU chooses another"
        let facts =
            [
                ("apus", ApusTool.version),
                ("processor", machine.processor),
                ("features", machine.features),
                ("kernels", machine.instructionSet),
                ("available", machine.availableInstructionSets.joined(separator: ", ") + "; \(forced)"),
                ("cores", "\(machine.physicalCores) physical, \(machine.threads) threads used"),
                ("memory", Figures.bytes(machine.memoryBytes)),
                ("huge pages", machine.hugePageStatus),
                ("read bandwidth", "\(Figures.decimal(machine.readBandwidth / 1e9, 1)) GB/s"),
            ] + cuda(machine.cuda)
        return facts.map { name, value in
            name + String(repeating: " ", count: max(16 - name.count, 1)) + value
        }.joined(separator: "\n")
    }
}
