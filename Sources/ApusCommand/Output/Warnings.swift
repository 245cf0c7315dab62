import Apus

/// What a user should hear of though nothing failed, on standard error.
enum Warnings {
    /// Writes a line for each.
    static func tell(_ warnings: [String]) {
        guard !warnings.isEmpty else { return }
        // Standard error may be closed; that is no reason to stop.
        for warning in warnings { try? ByteOutput.standardError.line("warning: \(warning)") }
        try? ByteOutput.standardError.flush()
    }
}
