import ApusFrontend
import ApusGraph
import ApusReference
import ApusSupport
import Testing

/// A program of `Tests/Fixtures/programs` and what transformers computes from the same checkpoint.
struct ProgramFixture: CustomTestStringConvertible, Sendable {
    struct Case: Sendable {
        let name: String
        let prompt: [Int]
        let spread: Float
        /// The logits of all positions, row by row.
        let logits: [Float]
    }

    let folder: String
    let file: String
    let dtype: String
    let form: String
    let attention: String
    let cache: String
    /// Positions in the cache that is passed to a program with a dynamic one.
    let past: Int
    let cases: [Case]

    var path: String { "\(folder)/\(file)" }
    var testDescription: String { path.split(separator: "/").suffix(2).joined(separator: "/") }

    static let root = "\(Fixtures.folder)/programs"

    /// All programs, by checkpoint and name.
    static let all: [ProgramFixture] = ["gpt2", "llama", "mistral", "qwen2", "qwen3"].flatMap { name in
        (try? read("\(root)/\(name)")) ?? []
    }

    private static func read(_ folder: String) throws -> [ProgramFixture] {
        let json = try JSON.parse(contentsOfFile: "\(folder)/cases.json")
        var fixtures: [ProgramFixture] = []
        for program in json["programs"].map({ Array($0.elements) }) ?? [] {
            let dtype = program["dtype"]?.string ?? ""
            var cases: [Case] = []
            for entry in json["cases"].map({ Array($0.elements) }) ?? [] {
                let name = entry["name"]?.string ?? ""
                cases.append(
                    Case(
                        name: name, prompt: entry["prompt"].map { $0.elements.compactMap(\.int) } ?? [],
                        spread: Float(entry["spread"]?.double ?? 0),
                        logits: try Fixtures.matrix("\(folder)/\(name).\(dtype).npy").values))
            }
            fixtures.append(
                ProgramFixture(
                    folder: folder, file: program["file"]?.string ?? "", dtype: dtype,
                    form: program["form"]?.string ?? "", attention: program["attention"]?.string ?? "",
                    cache: program["cache"]?.string ?? "", past: json["past"]?.int ?? 0, cases: cases))
        }
        return fixtures
    }
}

extension ImportedModel {
    /// The logits of a prompt by the reference interpreter; state begins as zeros, and `past` is what a dynamic cache
    /// holds of the first positions.
    func logits(_ prompt: [Int], past: (count: Int, values: [Float])? = nil) throws -> [Float] {
        let start = past?.count ?? 0
        let ids = Array(prompt[start...])
        let positions = Array(start..<prompt.count)
        var feeds: [String: Tensor] = [:]
        var used = 0
        for input in graph.inputs {
            let name = graph.name(of: input) ?? ""
            let type = graph.type(of: input)
            switch name {
            case "input_ids": feeds[name] = Tensor(.i64, [1, ids.count], ints: ids)
            case "position_ids": feeds[name] = Tensor(.i64, [1, ids.count], ints: positions)
            case "cache_position": feeds[name] = Tensor(.i64, [ids.count], ints: positions)
            default:
                var shape: [Int] = []
                for size in type.shape {
                    shape.append(try #require(size.constant ?? (past == nil ? nil : start)))
                }
                let count = shape.reduce(1, *)
                if let past, type.constantShape == nil {
                    feeds[name] = Tensor(
                        type.element, shape, floats: Array(past.values[used..<used + count]))
                    used += count
                } else {
                    feeds[name] = Tensor(
                        type.element, shape, numbers: [Double](repeating: 0, count: count))
                }
            }
        }
        let outputs = try Interpreter(graph: graph, weights: weights).run(feeds)
        #expect(outputs.count == graph.outputs.count)
        return try #require(outputs.first).floats
    }
}
