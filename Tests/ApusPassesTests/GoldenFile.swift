import ApusGraph
import ApusPasses
import ApusSupport
import Foundation

/// A text file with a graph before and after a pass.
///
/// Lines `// key: value` come first: `pass` (or `pipeline`), `case`, and if needed `precision`, `kv-cache`,
/// `backend`, `cache` and `alias` (`off`) of a pipeline, `tolerance` (of the largest value), `compare` (`prefill`: do
/// not try a decode step; `logits`: the first output alone), `weights` (`seeded`: the pass sees values). Then `// --- before`, the graph, and
/// `// --- after` with the graph or `// --- after: unchanged`.
struct GoldenFile: Sendable, CustomStringConvertible {
    let path: String
    let header: [String: String]
    let headerLines: [String]
    let before: String
    /// Nil if the pass must leave the graph as it is.
    let after: String?

    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Golden")

    /// The files under `Golden`, those in `invalid` apart.
    static func paths(invalid: Bool) -> [String] {
        let all = (FileManager.default.enumerator(atPath: folder.path)?.allObjects as? [String]) ?? []
        return all.filter { $0.hasSuffix(".ir") && $0.hasPrefix("invalid/") == invalid }.sorted()
    }

    init(_ path: String) throws {
        self.path = path
        let text = try String(contentsOf: Self.folder.appendingPathComponent(path), encoding: .utf8)
        var header: [String: String] = [:]
        var headerLines: [String] = []
        var parts: [[Substring]] = []
        var isUnchanged = false
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line == "// --- before" || line.hasPrefix("// --- after") {
                isUnchanged = line == "// --- after: unchanged"
                parts.append([])
            } else if parts.isEmpty {
                headerLines.append(String(line))
                let pair = line.dropFirst(3).split(separator: ":", maxSplits: 1)
                if pair.count == 2 {
                    header[String(pair[0])] = pair[1].trimmingCharacters(in: .whitespaces)
                }
            } else {
                parts[parts.count - 1].append(line)
            }
        }
        guard parts.count == 2 else {
            throw ApusError(.invalidInput, "\(path): expected '// --- before' and '// --- after'")
        }
        self.header = header
        self.headerLines = headerLines
        before = parts[0].joined(separator: "\n")
        after = isUnchanged ? nil : parts[1].joined(separator: "\n")
    }

    var description: String { path }

    var tolerance: Double { header["tolerance"].flatMap { Double($0) } ?? 1e-5 }

    /// Runs the named pass, or the pipeline, on a graph through the manager, which verifies.
    var passes: [any Pass] {
        get throws {
            let name = header["pass"] ?? ""
            if name == "pipeline" {
                let element: ElementType = header["precision"] == "f16" ? .f16 : .f32
                let backend = header["backend"].flatMap(BackendKind.init) ?? .plugin
                return Pipeline.standard(
                    PipelineOptions(
                        precision: element, kvCache: element, backend: backend,
                        cache: try backend.cache(header["cache"].flatMap(CacheKind.init)),
                        aliasKVCache: header["alias"] != "off"))
            }
            guard let pass = Pipeline.all[name] else {
                throw ApusError(.notFound, "\(path): there is no pass '\(name)'")
            }
            return [pass]
        }
    }

    /// Writes the file anew with another graph after the pass.
    func record(_ text: String?) throws {
        let end = text.map { "// --- after\n" + $0 } ?? "// --- after: unchanged\n"
        let content = headerLines.joined(separator: "\n") + "\n// --- before\n" + before + "\n" + end
        try content.write(to: Self.folder.appendingPathComponent(path), atomically: true, encoding: .utf8)
    }
}
