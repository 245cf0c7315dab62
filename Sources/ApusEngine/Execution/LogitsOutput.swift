import ApusSupport

/// The logits that a bound plan leaves behind: those of the last token of each row, or of all tokens.
///
/// Of the latter, the last valid token of each row is picked out, so that a session sees the same either way.
struct LogitsOutput {
    private let source: UnsafeMutablePointer<Float>
    private let hasAllTokens: Bool
    private let vocabularySize: Int
    /// [rows, V] memory for the last tokens of a plan that gives all; nil where they need not be picked out.
    private let picked: Picked?

    private final class Picked {
        let memory: UnsafeMutablePointer<Float>
        init(count: Int) {
            memory = .allocate(capacity: count)
            memory.initialize(repeating: 0, count: count)
        }
        deinit { memory.deallocate() }
    }

    /// - Parameter rows: Rows that ``lastTokens(of:)`` is asked for.
    /// - Throws: `.internal` if the plan's first output is not f32.
    init(_ plan: any RunnablePlan, vocabularySize: Int, rows: Int) throws(ApusError) {
        source = try plan.logits()
        hasAllTokens = plan.plan.hasAllLogits
        self.vocabularySize = vocabularySize
        picked = hasAllTokens ? Picked(count: rows * vocabularySize) : nil
    }

    /// Logits whose last tokens are only copied; allocates nothing.
    /// - Parameter hasAllTokens: Whether the plan gives those of all tokens, which is told from it once.
    init(_ source: UnsafeMutablePointer<Float>, vocabularySize: Int, hasAllTokens: Bool) {
        self.source = source
        self.hasAllTokens = hasAllTokens
        self.vocabularySize = vocabularySize
        picked = nil
    }

    /// The logits [batch, width, V] of the pass that the frame describes, nil if the plan has them of last tokens only.
    func allTokens(of frame: Frame) -> UnsafeBufferPointer<Float>? {
        guard hasAllTokens else { return nil }
        return UnsafeBufferPointer(start: source, count: frame.batch * frame.width * vocabularySize)
    }

    /// The logits [batch, V] of the last token of each row.
    func lastTokens(of frame: Frame) -> UnsafeBufferPointer<Float> {
        let count = frame.batch * vocabularySize
        guard let picked else { return UnsafeBufferPointer(start: source, count: count) }
        copyLastTokens(of: frame, to: picked.memory)
        return UnsafeBufferPointer(start: picked.memory, count: count)
    }

    /// Writes the logits [batch, V] of the last token of each row.
    func copyLastTokens(of frame: Frame, to destination: UnsafeMutablePointer<Float>) {
        for row in 0..<frame.batch {
            let token = hasAllTokens ? row * frame.width + Int(frame.lastTokens[row]) : row
            (destination + row * vocabularySize).update(
                from: source + token * vocabularySize, count: vocabularySize)
        }
    }
}
