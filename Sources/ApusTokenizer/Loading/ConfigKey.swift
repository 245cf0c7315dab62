internal import ApusSupport

/// A value of a tokenizer file with the way to it, so that errors name both.
struct ConfigKey {
    let json: JSON
    let path: String

    init(_ json: JSON, path: String = "") {
        self.json = json
        self.path = path
    }

    private var place: String { path.isEmpty ? json.source : "\(json.source): \(path)" }

    /// An error about this value.
    func failure(_ code: ApusError.Code = .invalidInput, _ message: String) -> ApusError {
        ApusError(code, "\(place): \(message)")
    }

    private func mismatch(_ expected: String) -> ApusError {
        failure(
            .invalidInput,
            "expected \(expected), got \(json.kind == .null ? "null" : "a value of kind \(json.kind)")")
    }

    private func path(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

    /// A member, nil if it is missing or null.
    func optional(_ name: String) -> ConfigKey? {
        guard let value = json[name], !value.isNull else { return nil }
        return ConfigKey(value, path: path(name))
    }

    /// A member that has to be there.
    func required(_ name: String) throws(ApusError) -> ConfigKey {
        guard json.kind == .object else { throw mismatch("an object") }
        guard let value = json[name] else { throw failure(.invalidInput, "key \"\(name)\" is missing") }
        return ConfigKey(value, path: path(name))
    }

    /// The value as an object.
    func object() throws(ApusError) -> ConfigKey {
        guard json.kind == .object else { throw mismatch("an object") }
        return self
    }

    func string() throws(ApusError) -> String {
        guard let value = json.string else { throw mismatch("a string") }
        return value
    }

    func bytes() throws(ApusError) -> [UInt8] {
        guard let value = json.withUTF8({ Array($0) }) else { throw mismatch("a string") }
        return value
    }

    func bool() throws(ApusError) -> Bool {
        guard let value = json.bool else { throw mismatch("true or false") }
        return value
    }

    /// A whole number within a range.
    func int(_ range: ClosedRange<Int> = 0...Int(Int32.max)) throws(ApusError) -> Int {
        guard let value = json.int else { throw mismatch("a whole number") }
        guard range.contains(value) else {
            throw failure(
                .invalidInput,
                "expected a number from \(range.lowerBound) to \(range.upperBound), got \(value)")
        }
        return value
    }

    func id() throws(ApusError) -> Int32 { Int32(try int(0...TokenTable.maximumID)) }

    /// A string of one character.
    func scalar() throws(ApusError) -> Unicode.Scalar {
        let scalars = try string().unicodeScalars
        guard scalars.count == 1, let scalar = scalars.first else {
            throw failure(.invalidInput, "expected a string of one character, got \(scalars.count)")
        }
        return scalar
    }

    func elements() throws(ApusError) -> [ConfigKey] {
        guard json.kind == .array else { throw mismatch("an array") }
        return json.elements.enumerated().map { ConfigKey($0.element, path: "\(path)[\($0.offset)]") }
    }

    /// A string that is one of the cases of an enumeration.
    func choice<T: RawRepresentable & CaseIterable>(_: T.Type = T.self) throws(ApusError) -> T
    where T.RawValue == String {
        let text = try string()
        guard let value = T(rawValue: text) else {
            let names = T.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
            throw failure(.invalidInput, "expected one of \(names), got \"\(text)\"")
        }
        return value
    }

    /// `{"String": …}` or `{"Regex": …}`.
    func pattern() throws(ApusError) -> TextPattern {
        if let literal = optional("String") { return .literal(try literal.bytes()) }
        let expression = try required("Regex")
        let text = try expression.string()
        return try ApusError.within(json.source) { () throws(ApusError) in
            try ApusError.within(expression.path) { () throws(ApusError) in try TextPattern.expression(text) }
        }
    }
}
