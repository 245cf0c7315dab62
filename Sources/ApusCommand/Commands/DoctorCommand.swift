import Apus
import ArgumentParser

/// `apus doctor`: what this machine offers and what apus makes of it.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Show what this machine offers and which kernels are chosen.",
        discussion: """
            Prints the processor and its features, the instruction set in use (APUS_CPU=baseline, avx2, avx512 or \
            neon chooses another), cores, memory, huge pages, the measured read bandwidth, and any GPU.
            """)

    @Option(help: ArgumentHelp("Threads that read (default: one for each physical core).", valueName: "n"))
    var threads: Int?

    @Flag(help: "Print one JSON object.")
    var json = false

    mutating func validate() throws {
        if let threads, threads < 1 {
            throw ValidationError("--threads: expected a count of at least 1, got \(threads).")
        }
    }

    func run() throws {
        throw ApusError(.internal, "not wired yet")
    }
}
