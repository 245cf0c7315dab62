public import ApusSupport

/// Reads a `config.json` key by key and remembers which keys were read.
///
/// In the end ``requireNothingElse()`` refuses a file with keys that nobody read and that are not known to be
/// harmless: what is not understood is never ignored.
public final class ConfigReader {
    private let json: JSON
    /// The file and the keys on the way to this object.
    private let place: String
    private var readKeys: Set<String> = []

    /// Reads an object.
    /// - Throws: `.invalidInput` if the JSON is not an object.
    public convenience init(_ json: JSON) throws(ApusError) {
        try self.init(json, place: json.source)
    }

    private init(_ json: JSON, place: String) throws(ApusError) {
        guard json.kind == .object else {
            throw ApusError(.invalidInput, "\(place): expected an object, got \(json.kind.rawValue)")
        }
        self.json = json
        self.place = place
    }

    /// The value of a key; nil if it is missing or null.
    public func value(_ key: String) -> JSON? {
        readKeys.insert(key)
        guard let value = json[key], !value.isNull else { return nil }
        return value
    }

    /// Whether the key is there, be it null.
    public func has(_ key: String) -> Bool { json[key] != nil }

    /// An error about a key: `config.json: key: message`.
    public func error(_ key: String, _ message: String, _ code: ApusError.Code = .invalidInput) -> ApusError {
        ApusError(code, "\(key): \(message)", context: [place])
    }

    private func wrong(_ key: String, _ expected: String, _ value: JSON?) -> ApusError {
        error(key, "expected \(expected), got \(value.map { JSONValue($0).text() } ?? "null")")
    }

    /// Whether a key that has a default is null, which is an error except where the default itself is.
    private func given(_ key: String, _ expected: String) throws(ApusError) -> JSON? {
        let value = value(key)
        if value == nil && has(key) { throw wrong(key, expected, nil) }
        return value
    }

    /// An integer in a range; `fallback` if the key is missing.
    public func int(
        _ key: String, default fallback: Int, in range: ClosedRange<Int> = 1...1 << 24
    ) throws(ApusError) -> Int {
        guard try given(key, "an integer") != nil else { return fallback }
        return try optionalInt(key, in: range) ?? fallback
    }

    /// An integer in a range; nil if the key is missing or null.
    public func optionalInt(
        _ key: String, in range: ClosedRange<Int> = 1...1 << 24
    ) throws(ApusError) -> Int? {
        guard let value = value(key) else { return nil }
        guard let number = value.int, range.contains(number) else {
            throw wrong(key, "an integer in \(range.lowerBound)...\(range.upperBound)", value)
        }
        return number
    }

    /// A finite number; `fallback` if the key is missing.
    public func double(_ key: String, default fallback: Double) throws(ApusError) -> Double {
        guard try given(key, "a number") != nil else { return fallback }
        return try optionalDouble(key) ?? fallback
    }

    /// A finite number; nil if the key is missing or null.
    public func optionalDouble(_ key: String) throws(ApusError) -> Double? {
        guard let value = value(key) else { return nil }
        guard let number = value.double, number.isFinite else { throw wrong(key, "a finite number", value) }
        return number
    }

    /// A number above 0; nil if the key is missing or null.
    public func optionalPositive(_ key: String) throws(ApusError) -> Double? {
        guard let number = try optionalDouble(key) else { return nil }
        guard number > 0 else { throw wrong(key, "a number above 0", value(key)) }
        return number
    }

    /// `true` or `false`; `fallback` if the key is missing.
    public func bool(_ key: String, default fallback: Bool) throws(ApusError) -> Bool {
        guard let value = try given(key, "true or false") else { return fallback }
        guard let flag = value.bool else { throw wrong(key, "true or false", value) }
        return flag
    }

    /// A string; nil if the key is missing or null.
    public func optionalString(_ key: String) throws(ApusError) -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.string else { throw wrong(key, "a string", value) }
        return text
    }

    /// A string; `fallback` if the key is missing.
    public func string(_ key: String, default fallback: String) throws(ApusError) -> String {
        guard try given(key, "a string") != nil else { return fallback }
        return try optionalString(key) ?? fallback
    }

    /// A list of strings; nil if the key is missing or null.
    public func optionalStrings(_ key: String) throws(ApusError) -> [String]? {
        guard let value = value(key) else { return nil }
        let strings = value.elements.compactMap(\.string)
        guard value.kind == .array, strings.count == value.count else {
            throw wrong(key, "a list of strings", value)
        }
        return strings
    }

    /// Token ids, written as one integer or a list; nil if the key is missing, empty if it is null.
    ///
    /// Negative ids, which some files use for "none", are left out.
    public func tokens(_ key: String) throws(ApusError) -> [Int32]? {
        guard has(key) else { return nil }
        guard let value = value(key) else { return [] }
        var tokens: [Int32] = []
        for element in value.kind == .array ? Array(value.elements) : [value] {
            guard let token = element.int.flatMap({ Int32(exactly: $0) }) else {
                throw wrong(key, "a token id or a list of them", value)
            }
            if token >= 0 { tokens.append(token) }
        }
        return tokens
    }

    /// A nested object; nil if the key is missing, null or an empty object.
    public func object(_ key: String) throws(ApusError) -> ConfigReader? {
        guard let value = value(key) else { return nil }
        guard value.kind == .object else { throw wrong(key, "an object", value) }
        return value.count == 0 ? nil : try ConfigReader(value, place: "\(place): \(key)")
    }

    /// Throws one error that names every key nobody has read, but for those that `isHarmless` lets pass.
    ///
    /// A key that is null says nothing and passes.
    public func requireNothingElse(
        _ isHarmless: (String, JSON) -> Bool = HarmlessKeys.contains
    ) throws(ApusError) {
        let unknown = json.members.filter { key, value in
            !readKeys.contains(key) && !value.isNull && !isHarmless(key, value)
        }
        guard !unknown.isEmpty else { return }
        let list = unknown.map { "'\($0.key)' = \(Self.short(JSONValue($0.value).text()))" }
        throw ApusError(
            .unsupported,
            "\(list.joined(separator: ", ")): not understood, and it may change what the model computes; "
                + "remove a key only if you know that it does not", context: [place])
    }

    private static func short(_ text: String) -> String {
        text.count > 60 ? text.prefix(60) + "…" : text
    }
}
