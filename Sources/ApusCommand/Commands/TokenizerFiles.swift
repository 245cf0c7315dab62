import Apus

/// The files of a tokenizer, on their way into a new folder.
struct TokenizerFiles {
    private let files: [(name: String, file: MappedFile)]

    /// Opens the files of a folder.
    /// - Throws: `.notFound` if there is no `tokenizer.json`.
    init(folder: String) throws(ApusError) {
        var files: [(name: String, file: MappedFile)] = []
        for name in Tokenizer.fileNames {
            let path = "\(folder)/\(name)"
            guard name == Tokenizer.fileNames[0] || OutputFile.exists(path) else { continue }
            files.append((name, try MappedFile(path: path)))
        }
        self.files = files
    }

    /// Writes the files into a folder.
    func copy(to folder: String) throws(ApusError) {
        for (name, source) in files {
            let target = try OutputFile(path: "\(folder)/\(name)")
            try source.withBytes { bytes throws(ApusError) in try target.write(bytes) }
            try target.finish()
        }
    }

    /// Writes a tokenizer whose tokens are the 256 bytes, and an end token if the model has room for one.
    static func writeByteLevel(to folder: String, vocabularySize: Int) throws(ApusError) {
        let special = vocabularySize > 256 ? ["<|endoftext|>"] : []
        let target = try OutputFile(path: "\(folder)/\(Tokenizer.fileNames[0])")
        try target.write(Tokenizer.byteLevelTokenizerJSON(specialTokens: special).text() + "\n")
        try target.finish()
    }
}
