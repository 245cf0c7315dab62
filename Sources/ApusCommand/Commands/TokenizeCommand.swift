import Apus
import ArgumentParser

/// `apus tokenize`: text to token ids and back.
struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize",
        abstract: "Turn text into token ids, or ids into text.",
        discussion: """
            Prints the ids of --text with spaces between them, or the text of --ids. A folder with only the \
            tokenizer's files is enough. With --jsonl each line holds a JSON string and gives one line of JSON, an \
            array of ids; with --decode each line holds an array of ids and gives a string.

              apus tokenize --model FOLDER --text "Hello world"
              apus tokenize --model FOLDER --ids 9906,1917
              apus tokenize --model FOLDER --jsonl texts.jsonl > ids.jsonl
            """)

    @Option(help: ArgumentHelp("Folder with tokenizer.json.", valueName: "folder"))
    var model: String

    @Option(parsing: .unconditional, help: ArgumentHelp("Text to encode.", valueName: "text"))
    var text: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Ids to decode: 1,2,3 or @file.json with an array of ids; an empty value is no ids.",
            valueName: "ids"))
    var ids: String?

    @Option(help: ArgumentHelp("File with one JSON value a line; - is standard input.", valueName: "file"))
    var jsonl: String?

    @Flag(help: "Read ids and write text; --ids does so by itself.")
    var decode = false

    @Flag(help: "Write JSON: an array of ids, or a string.")
    var json = false

    @Flag(help: "Encode without begin and end tokens around the text; decode without special tokens.")
    var noSpecialTokens = false

    mutating func validate() throws {
        let count = [text, ids, jsonl].filter { $0 != nil }.count
        guard count == 1 else {
            throw ValidationError(
                "Give one of --text, --ids and --jsonl\(count == 0 ? "." : ", not \(count).")")
        }
        if decode, text != nil {
            throw ValidationError("--decode reads ids; use it with --ids or --jsonl, not with --text.")
        }
    }

    func run() throws {
        throw ApusError(.internal, "not wired yet")
    }
}
