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
    /// How far the logit of a token may lie from that of the expected one, as a share of their spread, to count as
    /// equal; nil is what the precision rounds to.
    var tieLimit: Double?

    /// Lengths of the prompts of models that bring none.
    private static let promptLengths = [1, 7, 33]

    /// One model with one backend and cache.
    struct Cell {
        let variant: Variant
        /// Seconds that all generations took; nil if they did not come to an end.
        var seconds: Double?
        /// What differs, or went wrong; nil if all tokens are as expected, ties aside.
        var difference: String?
        /// Tokens other than those expected that the reference's logits cannot tell from them.
        var ties: [String] = []

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
            let loaded = try load(model, reference)
            cases = try zip(prompts, counts).map { prompt, count throws(ApusError) in
                ExpectedTokens(
                    name: "\(prompt.count) tokens", prompt: prompt,
                    tokens: try generate(loaded, prompt, count).tokens)
            }
        }
        let margins = ReferenceMargins(model, threads: threads)
        var cells: [Cell] = []
        for (index, variant) in columns.enumerated() {
            progress?.progress("\(path): \(variant.name)", completed: index, total: columns.count)
            if Interruption.isRequested { throw ApusError(.cancelled, "interrupted") }
            cells.append(cell(model, variant, cases ?? [], counts, margins))
        }
        return Row(
            // A program is told from others of its name by its folder.
            model: path.split(separator: "/").suffix(OutputFile.isFolder(path) ? 1 : 2).joined(
                separator: "/"),
            source: isKnown ? "transformers" : "reference", tokenCount: counts.reduce(0, +), cells: cells)
    }

    private func cell(
        _ model: ImportedModel, _ variant: Variant, _ cases: [ExpectedTokens], _ counts: [Int],
        _ margins: ReferenceMargins
    ) -> Cell {
        do {
            let model = try load(model, variant)
            var cell = Cell(variant: variant, seconds: 0, difference: nil)
            for (test, count) in zip(cases, counts) where cell.difference == nil {
                try compare(model, test, count, margins, &cell)
            }
            return cell
        } catch {
            return Cell(variant: variant, seconds: nil, difference: "\(error)")
        }
    }

    /// Compares token by token; after a tie the generation starts again behind the expected token.
    private func compare(
        _ model: LanguageModel, _ test: ExpectedTokens, _ count: Int, _ margins: ReferenceMargins,
        _ cell: inout Cell
    ) throws(ApusError) {
        var place = 0
        while place < count {
            let prompt = test.prompt + test.tokens[..<place]
            let (tokens, seconds) = try generate(model, prompt, count - place)
            cell.seconds = (cell.seconds ?? 0) + seconds
            let expected = test.tokens[place..<count]
            guard let index = zip(tokens, expected).enumerated().first(where: { $1.0 != $1.1 })?.offset
            else { return }
            place += index
            let margin = try margins.margin(
                between: test.tokens[place], and: tokens[index], after: test.prompt + test.tokens[..<place])
            let percent = Figures.decimal(100 * margin, 2)
            let text =
                "\(test.name): token \(place), \(percent) % of the spread of logits from the expected one"
            guard margin <= tieLimit ?? (precision ?? margins.precision).tieLimit else {
                cell.difference = text
                return
            }
            cell.ties.append(text)
            place += 1
        }
    }

    private func load(_ model: ImportedModel, _ variant: Variant) throws(ApusError) -> LanguageModel {
        try LanguageModel(
            model,
            options: variant.options(
                precision: variant.backend == .reference ? nil : precision?.element, threads: threads))
    }

    private func generate(
        _ model: LanguageModel, _ prompt: [Int32], _ count: Int
    ) throws(ApusError) -> (tokens: [Int32], seconds: Double) {
        let options = GenerationOptions(maxNewTokens: count, ignoreEnd: true)
        let result = try model.generate([prompt], options: options)[0]
        return (result.tokens, result.stats.timeToFirstToken + result.stats.decodeSeconds)
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
                (cell.agrees ? cell.ties.isEmpty ? "✓" : "✓ \(cell.ties.count) tie(s)," : "✗")
                    + (cell.seconds.map { " " + Figures.duration(seconds: $0) } ?? "")
            }
            table.append([row.model, "\(row.tokenCount)", row.source] + cells)
            for cell in row.cells {
                let name = "\(row.model), \(cell.variant.name)"
                for tie in cell.ties { notes += "\(name): a tie, \(tie)\n" }
                if let difference = cell.difference { notes += "\(name): \(difference)\n" }
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
            ("ties", .array(cell.ties.map { .string($0) })),
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
