import Apus
import ArgumentParser

/// `apus tokenize`: text to token ids and back.
struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize",
        abstract: "Turn text into token ids, or ids into text.",
        discussion: """
            Prints the ids of --text with spaces between them, or the text of --ids. A folder with only the \
            tokenizer's files is enough, and so is an engine. With --jsonl each line holds a JSON string and gives one line of JSON, an \
            array of ids; with --decode each line holds an array of ids and gives a string.

              apus tokenize --model FOLDER --text "Hello world"
              apus tokenize --model FOLDER --ids 9906,1917
              apus tokenize --model FOLDER --jsonl texts.jsonl > ids.jsonl
            """)

    @Option(help: ArgumentHelp("Folder with tokenizer.json, or an engine.", valueName: "path"))
    var model: String

    @Option(parsing: .unconditional, help: ArgumentHelp("Text to encode.", valueName: "text"))
    var text: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Ids to decode: 1,2,3 or @file.json with an array of ids.", valueName: "ids"))
    var ids: String?

    @Option(help: ArgumentHelp("File with one JSON value a line; - is standard input.", valueName: "file"))
    var jsonl: String?

    @Flag(help: "Read ids and write text; --ids does so by itself.")
    var decode = false

    @Flag(help: "Write JSON: an array of ids, or a string.")
    var json = false

    @Flag(help: "Add no special tokens when encoding; leave them out of the text when decoding.")
    var noSpecialTokens = false

    mutating func validate() throws {
        let count = [text, ids, jsonl].filter { $0 != nil }.count
        guard count == 1 else {
            throw ValidationError(
                "Give one of --text, --ids and --jsonl\(count == 0 ? "" : ", not \(count)").")
        }
        if decode, text != nil {
            throw ValidationError("--decode reads ids; use it with --ids or --jsonl, not with --text.")
        }
    }

    func run() throws {
        let tokenizer = try Tokenizer.load(path: model)
        let output = ByteOutput.standardOutput
        if let text {
            let ids = try tokenizer.encode(text, addSpecialTokens: !noSpecialTokens)
            let line = json ? JSONValue.ids(ids).text() : ids.map(String.init).joined(separator: " ")
            try output.line(line)
        } else if let ids {
            for sequence in try TokenList.sequences(ids, flag: "--ids") {
                let text = try self.text(of: sequence, tokenizer)
                try output.line(json ? JSONValue.string(text).text() : text)
            }
        } else if let jsonl {
            try Self.convertLines(of: LineReader(path: jsonl), to: output) { line, source in
                try convert(line, source, tokenizer)
            }
        }
        try output.flush()
    }

    /// One line of JSON for one line of JSON.
    private func convert(_ line: [UInt8], _ source: String, _ tokenizer: Tokenizer) throws -> String {
        let value = try JSON.parse(line, source: source)
        if decode {
            let text = try text(of: TokenList.ids(value, source: source), tokenizer)
            return JSONValue.string(text).text()
        }
        guard let text = value.string else {
            throw ApusError(
                .invalidInput,
                "\(source): expected a JSON string, got \(value.kind); --decode reads arrays of ids")
        }
        return JSONValue.ids(try tokenizer.encode(text, addSpecialTokens: !noSpecialTokens)).text()
    }

    private func text(of ids: [Int32], _ tokenizer: Tokenizer) throws(ApusError) -> String {
        try tokenizer.decode(strict: ids, skipSpecialTokens: noSpecialTokens)
    }

    /// Writes what `convert` makes of each line that is not blank; its second argument names the place.
    static func convertLines(
        of reader: LineReader, to output: ByteOutput, convert: ([UInt8], String) throws -> String
    ) throws {
        var number = 0
        while let line = try reader.next() {
            number += 1
            if line.allSatisfy({ $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }) { continue }
            try output.line(convert(line, "\(reader.name): line \(number)"))
        }
    }
}
