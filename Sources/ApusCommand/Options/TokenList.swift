import Apus

/// Reads token ids as flags give them.
enum TokenList {
    /// Ids with commas or spaces between them, or `@file.json` that holds an array of ids or an array of such
    /// arrays, one for each sequence.
    /// - Throws: `.invalidInput`; for a file also `.notFound`, `.io`.
    static func sequences(_ text: String, flag: String) throws(ApusError) -> [[Int32]] {
        guard text.hasPrefix("@") else { return [try ids(text, flag: flag)] }
        let path = String(text.dropFirst())
        let json = try JSON.parse(contentsOfFile: path)
        let elements = Array(json.elements)
        guard json.kind == .array, !elements.isEmpty else {
            throw ApusError(.invalidInput, "\(path): expected an array of token ids with at least one id")
        }
        if elements.allSatisfy({ $0.kind == .array }) {
            var sequences: [[Int32]] = []
            for element in elements { sequences.append(try ids(element, source: path)) }
            return sequences
        }
        return [try ids(json, source: path)]
    }

    /// Ids with commas or spaces between them.
    /// - Throws: `.invalidInput`.
    static func ids(_ text: String, flag: String) throws(ApusError) -> [Int32] {
        var ids: [Int32] = []
        for part in text.split(whereSeparator: { ", \t\n[]".contains($0) }) {
            guard let id = Int32(part), id >= 0 else {
                throw ApusError(
                    .invalidInput, "\(flag): expected token ids such as 1,2,3, got '\(part)'")
            }
            ids.append(id)
        }
        return ids
    }

    /// The ids of a JSON array.
    /// - Throws: `.invalidInput`.
    static func ids(_ json: JSON, source: String) throws(ApusError) -> [Int32] {
        guard json.kind == .array else {
            throw ApusError(.invalidInput, "\(source): expected an array of token ids, got a \(json.kind)")
        }
        var ids: [Int32] = []
        ids.reserveCapacity(json.count)
        for element in json.elements {
            guard let value = element.int, let id = Int32(exactly: value), id >= 0 else {
                throw ApusError(
                    .invalidInput, "\(source): expected token ids, got \(JSONValue(element).text())")
            }
            ids.append(id)
        }
        return ids
    }
}
