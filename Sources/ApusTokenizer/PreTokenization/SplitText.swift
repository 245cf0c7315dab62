internal import ApusSupport

/// The input on its way to the model: one text, cut into pieces.
struct SplitText {
    /// A part of the text, or an added token in place of one.
    struct Piece {
        var start: Int
        var end: Int
        /// How many leading bytes come from the input's first character; see ``NormalizedText``.
        var originBytes: Int = 0
        /// The id of an added token, -1 for text.
        var token: Int32 = -1
    }

    /// Bytes behind the text that can be read, so that a word can be loaded whole.
    static let padding = 32

    private(set) var bytes: [UInt8]
    private(set) var pieces: [Piece]
    /// Set when the pieces are raw bytes that stand for their characters of the byte-level alphabet.
    var isByteLevel = false

    init(_ text: UnsafeBufferPointer<UInt8>) {
        bytes = [UInt8](unsafeUninitializedCapacity: text.count + Self.padding) { buffer, count in
            count = text.count + Self.padding
            _ = buffer.update(fromContentsOf: text)
            buffer[text.count...].update(repeating: 0)
        }
        let first = text.isEmpty ? 0 : utf8Length(text[0])
        pieces = text.isEmpty ? [] : [Piece(start: 0, end: text.count, originBytes: first)]
    }

    /// Cuts each piece of text; `cut` is given the piece and calls back with its parts, in order.
    mutating func split(
        _ cut: (UnsafeBufferPointer<UInt8>, Piece, inout [Piece]) throws(ApusError) -> Void
    ) throws(ApusError) {
        var result: [Piece] = []
        result.reserveCapacity(pieces.count)
        try bytes.withUnsafeBufferPointer { bytes throws(ApusError) in
            for piece in pieces {
                if piece.token >= 0 {
                    result.append(piece)
                } else {
                    try cut(UnsafeBufferPointer(rebasing: bytes[piece.start..<piece.end]), piece, &result)
                }
            }
        }
        pieces = result
    }

    /// Replaces the text of each piece that `needsRewrite` tells; nothing is copied if there is none.
    mutating func rewrite(
        where needsRewrite: (UnsafeBufferPointer<UInt8>) -> Bool,
        _ transform: (inout NormalizedText) throws(ApusError) -> Void
    ) throws(ApusError) {
        let isNeeded = bytes.withUnsafeBufferPointer { bytes in
            pieces.contains {
                $0.token < 0 && needsRewrite(UnsafeBufferPointer(rebasing: bytes[$0.start..<$0.end]))
            }
        }
        guard isNeeded else { return }
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count + bytes.count / 4)
        var result: [Piece] = []
        result.reserveCapacity(pieces.count)
        for piece in pieces {
            guard piece.token < 0 else {
                result.append(piece)
                continue
            }
            var text = NormalizedText(
                bytes: Array(bytes[piece.start..<piece.end]), originBytes: piece.originBytes)
            try transform(&text)
            guard !text.bytes.isEmpty else { continue }
            let start = output.count
            output += text.bytes
            result.append(Piece(start: start, end: output.count, originBytes: text.originBytes))
        }
        output.append(contentsOf: repeatElement(0, count: Self.padding))
        bytes = output
        pieces = result
    }
}

/// What becomes of the matches of a pattern when a text is split at them.
enum SplitBehavior: String, Sendable, CaseIterable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"
}

/// Turns matches and the gaps between them into pieces, as they come.
struct SplitCollector {
    private let piece: SplitText.Piece
    private let behavior: SplitBehavior
    private let inverts: Bool
    private var gapStart = 0
    private var pending: (start: Int, end: Int)?
    private var wasMatch = false

    init(_ piece: SplitText.Piece, _ behavior: SplitBehavior, inverts: Bool = false) {
        self.piece = piece
        self.behavior = behavior
        self.inverts = inverts
    }

    /// Takes a match, by its offsets in the piece.
    @inline(__always) mutating func match(_ start: Int, _ end: Int, _ output: inout [SplitText.Piece]) {
        if gapStart < start { part(gapStart, start, inverts, &output) }
        part(start, end, !inverts, &output)
        gapStart = end
    }

    /// Takes what is left behind the last match.
    mutating func finish(_ output: inout [SplitText.Piece]) {
        let count = piece.end - piece.start
        if gapStart < count { part(gapStart, count, inverts, &output) }
        flush(&output)
    }

    @inline(__always) private mutating func part(
        _ start: Int, _ end: Int, _ isMatch: Bool, _ output: inout [SplitText.Piece]
    ) {
        switch behavior {
        case .isolated: emit(start, end, &output)
        case .removed: if !isMatch { emit(start, end, &output) }
        case .contiguous: merge(start, end, isMatch, if: isMatch == wasMatch, &output)
        case .mergedWithPrevious: merge(start, end, isMatch, if: isMatch && !wasMatch, &output)
        case .mergedWithNext: merge(start, end, isMatch, if: wasMatch && !isMatch, &output)
        }
    }

    private mutating func merge(
        _ start: Int, _ end: Int, _ isMatch: Bool, if merges: Bool, _ output: inout [SplitText.Piece]
    ) {
        if merges, let open = pending {
            pending = (open.start, end)
        } else {
            flush(&output)
            pending = (start, end)
        }
        wasMatch = isMatch
    }

    private mutating func flush(_ output: inout [SplitText.Piece]) {
        if let open = pending { emit(open.start, open.end, &output) }
        pending = nil
    }

    @inline(__always) private func emit(_ start: Int, _ end: Int, _ output: inout [SplitText.Piece]) {
        guard end > start else { return }
        output.append(
            SplitText.Piece(
                start: piece.start &+ start, end: piece.start &+ end,
                originBytes: piece.originBytes > start ? piece.originBytes - start : 0))
    }
}
