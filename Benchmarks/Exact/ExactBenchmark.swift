import Apus
import CAllocationCounter

/// Figures that do not depend on the machine: they are as recorded in `exact.json`, or something has changed.
///
///     swift run -c release --package-path Benchmarks Exact            compares
///     swift run -c release --package-path Benchmarks Exact --record   records
///
/// Allocations are those of the calling thread, which does all that a worker does; where they cannot be counted, they
/// are left out.
@main
enum ExactBenchmark {
    static func main() throws {
        let isRecording = CommandLine.arguments.dropFirst() == ["--record"]
        guard isRecording || CommandLine.arguments.count == 1 else {
            print(
                "expected --record or nothing, got \(CommandLine.arguments.dropFirst().joined(separator: " "))"
            )
            throw Difference()
        }
        let folder = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2)
            .joined(separator: "/")
        let path = "\(folder)/exact.json"
        let figures = try Figure.all(root: "\(folder)/..")
        if isRecording {
            // A line for each, so that a change shows which it was.
            let lines = figures.map { "  \(JSONValue.string($0.name).text()): \($0.value)" }
            let file = try OutputFile(path: path)
            try file.write("{\n\(lines.joined(separator: ",\n"))\n}\n")
            try file.finish()
            return
        }
        let recorded = try JSON.parse(contentsOfFile: path)
        var differences = 0
        for figure in figures {
            let expected = recorded[figure.name]?.int
            let isSame = expected == figure.value
            if !isSame { differences += 1 }
            print(
                "\(isSame ? "  " : "✗ ")\(figure.name): \(figure.value)"
                    + (isSame ? "" : ", expected \(expected.map(String.init) ?? "nothing")"))
        }
        if differences > 0 { throw Difference() }
    }

    /// What ends the program with a failure; the lines above it say why.
    struct Difference: Error, CustomStringConvertible {
        var description: String { "figures differ: record them anew if they are meant to" }
    }
}
