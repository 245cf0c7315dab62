/// The one error of Apus: what went wrong, in words that say what, expected, got, and what to do.
///
/// Context is added once a layer with ``within(_:_:)``, so that a message reads from the outside in:
/// `config.json: rope_scaling: expected a number for "factor", got a string`.
public struct ApusError: Error, Sendable, Hashable {
    /// What kind of failure this is; decides the exit code of the command line.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String, Sendable {
            case invalidInput, unsupported, mismatch, notFound, io, outOfMemory, device, cancelled, `internal`
        }
        private let kind: Kind

        /// A value, file or flag that is wrong in itself.
        public static let invalidInput = Code(kind: .invalidInput)
        /// Something well formed that Apus does not do.
        public static let unsupported = Code(kind: .unsupported)
        /// Two things that must agree and do not.
        public static let mismatch = Code(kind: .mismatch)
        /// A file, key or name that is missing.
        public static let notFound = Code(kind: .notFound)
        /// The operating system refused to read or write.
        public static let io = Code(kind: .io)
        /// Memory could not be had.
        public static let outOfMemory = Code(kind: .outOfMemory)
        /// A device, its driver or its libraries failed.
        public static let device = Code(kind: .device)
        /// The caller asked for the work to stop.
        public static let cancelled = Code(kind: .cancelled)
        /// A defect in Apus itself: please report it.
        public static let `internal` = Code(kind: .internal)

        /// The code's name, as in `invalidInput`.
        public var description: String { kind.rawValue }
    }

    /// What kind of failure this is.
    public let code: Code
    /// What went wrong: what, expected, got, what to do.
    public let message: String
    /// Where, from the outermost layer to the innermost.
    public private(set) var context: [String]

    /// Makes an error.
    public init(_ code: Code, _ message: String, context: [String] = []) {
        self.code = code
        self.message = message
        self.context = context
    }

    /// The same error with one more layer of context in front.
    public func within(_ layer: String) -> ApusError {
        var copy = self
        copy.context.insert(layer, at: 0)
        return copy
    }

    /// Runs `body`, adding `layer` to the context of the error it throws.
    public static func within<T>(_ layer: @autoclosure () -> String, _ body: () throws(ApusError) -> T)
        throws(ApusError) -> T
    {
        do { return try body() } catch { throw error.within(layer()) }
    }
}

extension ApusError: CustomStringConvertible {
    /// The context and the message on one line.
    public var description: String { (context + [message]).joined(separator: ": ") }
}
