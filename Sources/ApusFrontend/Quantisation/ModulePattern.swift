import ApusSupport

/// A target or an exception of compressed-tensors: a module's name, its class, or `re:` and a regular expression that
/// the beginning of its name matches, as Python's `re.match` has it.
struct ModulePattern: Sendable {
    private let text: String

    /// Checks a pattern of the list under `key`.
    /// - Throws: `.invalidInput` for a regular expression that is malformed.
    init(_ text: String, _ config: ConfigReader, _ key: String) throws(ApusError) {
        self.text = text
        guard text.hasPrefix("re:") else { return }
        do { _ = try Regex(String(text.dropFirst(3))) } catch {
            throw config.error(key, "'\(text)' is not a regular expression: \(error)")
        }
    }

    /// How closely the pattern names a module, 0 the closest; nil if it does not.
    func rank(of module: LinearModule) -> Int? {
        if text.hasPrefix("re:") {
            // An expression cannot be kept, since it cannot be shared between threads.
            guard let expression = try? Regex(String(text.dropFirst(3))),
                (try? expression.prefixMatch(in: module.name)) != nil
            else { return nil }
            return 1
        }
        if text == module.name { return 0 }
        return text == module.kind.rawValue ? 2 : nil
    }
}
