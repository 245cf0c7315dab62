public import ApusSupport

/// Turns the tokens of one sequence into text as they come.
public protocol TextStream: AnyObject {
    /// The text that became certain with this token; whole characters only, and empty while one is incomplete.
    func append(_ id: Int32) throws(ApusError) -> String

    /// The text that is left when no token follows.
    /// - Throws: What decoding the last tokens throws.
    func finish() throws(ApusError) -> String
}
