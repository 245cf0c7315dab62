import ApusSupport

/// A section that lists named bytes, sorted by name: for each the bytes of name and contents as little-endian 32-bit
/// integers, then both.
enum NamedBytes {
    static func encoded(_ entries: [String: [UInt8]]) -> [UInt8] {
        var bytes: [UInt8] = []
        func append(_ count: Int) {
            for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: count >> shift)) }
        }
        for (name, contents) in entries.sorted(by: { $0.key < $1.key }) {
            append(name.utf8.count)
            append(contents.count)
            bytes += Array(name.utf8) + contents
        }
        return bytes
    }

    /// Reads what ``encoded(_:)`` wrote.
    /// - Parameter what: What an entry is, for errors, such as `a kernel's name and image`.
    /// - Throws: `.invalidInput` for bytes that it cannot have written.
    static func read(_ bytes: [UInt8], _ what: String, source: String) throws(ApusError) -> [String: [UInt8]]
    {
        var entries: [String: [UInt8]] = [:]
        var (place, last) = (0, "")
        func count(at place: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[place + $1]) << (8 * $1) } }
        while place < bytes.count {
            let rest = bytes.count - place
            guard rest >= 8 else {
                throw damaged(source, "\(what), 8 bytes of sizes or more, at byte \(place)", "\(rest) bytes")
            }
            let (name, contents) = (count(at: place), count(at: place + 4))
            guard name > 0, name + contents <= rest - 8 else {
                throw damaged(
                    source, "\(what) within \(rest - 8) bytes at byte \(place)",
                    "sizes of \(name) and \(contents) bytes")
            }
            let start = place + 8
            let text = String(decoding: bytes[start..<start + name], as: UTF8.self)
            guard last < text else {
                throw damaged(source, "\(what) in order at byte \(place)", "another name")
            }
            entries[text] = Array(bytes[(start + name)..<(start + name + contents)])
            (place, last) = (start + name + contents, text)
        }
        return entries
    }

    static func damaged(_ source: String, _ expected: String, _ got: String) -> ApusError {
        ApusError(.invalidInput, "\(source): expected \(expected), got \(got); compile the model anew")
    }
}
