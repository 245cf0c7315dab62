import Apus

/// Greedy tokens of models under every backend and cache, against those expected.
struct CorrectnessMatrix {
    /// What each cell of a row runs.
    let columns: [Variant]
    /// Type of the weights; nil is each checkpoint's own.
    ///
    /// The reference backend computes in FP32.
    var precision: Precision?
    /// Most tokens of a prompt to compare.
    var tokenCount: Int
    var threads: Int?
    /// Seed of the prompts of models that bring none.
    var seed: UInt64

    /// Lengths of the prompts of models that bring none.
    private static let promptLengths = [1, 7, 33]

    /// One model with one backend and cache.
    struct Cell {
        let variant: Variant
        /// Seconds that all generations took; nil if they did not come to an end.
        var seconds: Double?
        /// What differs, or went wrong; nil if all tokens are as expected.
        var difference: String?

        var agrees: Bool { difference == nil }
    }

    /// One model.
    struct Row {
        let model: String
        /// Where the expected tokens are from: a file, or the reference backend.
        let source: String
        /// Number of tokens compared in each cell.
        let tokenCount: Int
        let cells: [Cell]
    }

    /// Runs a model with every backend and cache.
    /// - Parameter expected: A file with prompts and tokens; nil is `cases.json` in the folder, or beside the
    ///   program, if it is there.
    /// - Throws: what reading model and file throws; what goes wrong in a cell is told there.
    func row(_ path: String, expected file: String?, progress: ProgressBar?) throws(ApusError) -> Row {
        let model = try ModelSource(path: path).importedModel()
        var cases = try ExpectedTokens.cases(file, folder: path)
        let isKnown = cases != nil
        let prompts =
            cases?.map(\.prompt)
            ?? Self.promptLengths.flatMap {
                GenerationBenchmark.randomIDs(
                    batch: 1, count: $0, vocabularySize: model.info.vocabularySize, seed: seed)
            }
        let counts = cases?.map { min($0.tokens.count, tokenCount) } ?? prompts.map { _ in tokenCount }
        if cases == nil {
            let reference = Variant(backend: .reference, cache: .none)
            let (tokens, _) = try generate(model, reference, prompts, counts)
            cases = zip(prompts, tokens).map { prompt, tokens in
                ExpectedTokens(name: "\(prompt.count) tokens", prompt: prompt, tokens: tokens)
            }
        }
        var cells: [Cell] = []
        for (index, variant) in columns.enumerated() {
            progress?.progress("\(path): \(variant.name)", completed: index, total: columns.count)
            if Interruption.isRequested { throw ApusError(.cancelled, "interrupted") }
            cells.append(cell(model, variant, cases ?? [], counts))
        }
        return Row(
            // A program is told from others of its name by its folder.
            model: path.split(separator: "/").suffix(OutputFile.isFolder(path) ? 1 : 2).joined(
                separator: "/"),
            source: isKnown ? "transformers" : "reference", tokenCount: counts.reduce(0, +), cells: cells)
    }

    private func cell(
        _ model: ImportedModel, _ variant: Variant, _ cases: [ExpectedTokens], _ counts: [Int]
    ) -> Cell {
        do {
            let (tokens, seconds) = try generate(model, variant, cases.map(\.prompt), counts)
            var difference: String?
            for (got, test) in zip(tokens, cases) where difference == nil {
                let index = zip(got, test.tokens).enumerated().first { $0.element.0 != $0.element.1 }?.offset
                difference = index.map { "\(test.name): token \($0)" }
            }
            return Cell(variant: variant, seconds: seconds, difference: difference)
        } catch {
            return Cell(variant: variant, seconds: nil, difference: "\(error)")
        }
    }

    /// The tokens of each prompt by itself, and the seconds of all.
    private func generate(
        _ model: ImportedModel, _ variant: Variant, _ prompts: [[Int32]], _ counts: [Int]
    ) throws(ApusError) -> (tokens: [[Int32]], seconds: Double) {
        let options = variant.options(
            precision: variant.backend == .reference ? nil : precision?.element, threads: threads)
        let model = try LanguageModel(model, options: options)
        var tokens: [[Int32]] = []
        var seconds = 0.0
        for (prompt, count) in zip(prompts, counts) {
            let options = GenerationOptions(maxNewTokens: count, ignoreEnd: true)
            let result = try model.generate([prompt], options: options)[0]
            tokens.append(result.tokens)
            seconds += result.stats.timeToFirstToken + result.stats.decodeSeconds
        }
        return (tokens, seconds)
    }

    /// The Markdown table, and below it what differs.
    func text(_ rows: [Row]) -> String {
        let titles = columns.map { MarkdownTable.Column(title: $0.name, isNumber: false) }
        var table = MarkdownTable(
            [
                MarkdownTable.Column(title: "model", isNumber: false),
                MarkdownTable.Column(title: "tokens", isNumber: true),
                MarkdownTable.Column(title: "expected from", isNumber: false),
            ] + titles)
        var notes = ""
        for row in rows {
            let cells = row.cells.map { cell in
                (cell.agrees ? "✓" : "✗")
                    + (cell.seconds.map { " " + Figures.duration(seconds: $0) } ?? "")
            }
            table.append([row.model, "\(row.tokenCount)", row.source] + cells)
            for cell in row.cells {
                if let difference = cell.difference {
                    notes += "\(row.model), \(cell.variant.name): \(difference)\n"
                }
            }
        }
        return table.text + (notes.isEmpty ? "" : "\n" + notes)
    }

    /// The object of `--json`.
    func json(_ rows: [Row]) -> JSONValue {
        .object([
            ("columns", .array(columns.map { .string($0.name) })),
            (
                "rows",
                .array(
                    rows.map { row in
                        .object([
                            ("model", .string(row.model)), ("tokens", .int(row.tokenCount)),
                            ("expected_from", .string(row.source)), ("cells", .array(row.cells.map(json))),
                        ])
                    })
            ),
        ])
    }

    private func json(_ cell: Cell) -> JSONValue {
        .object([
            ("backend", .string(cell.variant.backend.rawValue)), ("cache", .string(cell.variant.cacheName)),
            ("agrees", .bool(cell.agrees)), ("seconds", cell.seconds.map { .double($0) } ?? .null),
            ("difference", cell.difference.map { .string($0) } ?? .null),
        ])
    }
}

/// One prompt, and the greedy tokens that belong to it.
struct ExpectedTokens {
    let name: String
    let prompt: [Int32]
    let tokens: [Int32]

    /// Reads `{"cases": [{"name", "prompt", "tokens"}]}`.
    /// - Parameters:
    ///   - path: The file; nil is `cases.json` in the folder.
    ///   - folder: The model's folder, or an exported program.
    /// - Returns: At least one case; nil if no file was named and the folder has none.
    /// - Throws: `.invalidInput` for another form, `.notFound` for a file that was named.
    static func cases(_ path: String?, folder: String) throws(ApusError) -> [ExpectedTokens]? {
        let parent = folder.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        let place = OutputFile.isFolder(folder) ? folder : parent.joined(separator: "/")
        let file = path ?? (place.isEmpty ? "cases.json" : "\(place)/cases.json")
        let json: JSON
        do {
            json = try JSON.parse(contentsOfFile: file)
        } catch {
            guard path == nil, error.code == .notFound else { throw error }
            return nil
        }
        var cases: [ExpectedTokens] = []
        if let list = json["cases"], list.kind == .array {
            for (index, element) in list.elements.enumerated() {
                guard let prompt = element["prompt"], let tokens = element["tokens"] else { continue }
                let name = element["name"]?.string ?? "case \(index)"
                cases.append(
                    ExpectedTokens(
                        name: name, prompt: try TokenList.ids(prompt, source: "\(file): \(name)"),
                        tokens: try TokenList.ids(tokens, source: "\(file): \(name)")))
            }
        }
        guard !cases.isEmpty, cases.allSatisfy({ !$0.prompt.isEmpty && !$0.tokens.isEmpty }) else {
            throw ApusError(
                .invalidInput,
                "\(file): expected {\"cases\": [{\"name\", \"prompt\": [ids], \"tokens\": [ids]}]} with at least one "
                    + "case, and ids in each")
        }
        return cases
    }
}
