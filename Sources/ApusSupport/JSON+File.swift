extension JSON {
    /// Reads and parses a file.
    ///
    /// - Throws: `.notFound` if there is no such file, `.io` if it cannot be read, `.invalidInput` if it is not
    ///   JSON; each names the path.
    public static func parse(contentsOfFile path: String) throws(ApusError) -> JSON {
        try parse(try WholeFile.bytes(path: path), source: path)
    }
}
