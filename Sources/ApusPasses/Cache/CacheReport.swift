/// Whether a static cache is updated in place, and if not, why.
public struct CacheReport: Sendable, Hashable, CustomStringConvertible {
    /// Name of the cache's input.
    public let cache: String
    /// What kept it from being updated in place; nil if nothing did.
    public let reason: String?

    /// Makes a report.
    public init(cache: String, reason: String? = nil) {
        self.cache = cache
        self.reason = reason
    }

    /// The report on one line.
    public var description: String {
        "cache \(cache): " + (reason.map { "copied (\($0))" } ?? "in place")
    }
}
