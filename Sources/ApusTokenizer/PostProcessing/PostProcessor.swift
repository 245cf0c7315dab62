/// What is put around the ids of a text.
///
/// Source: tokenizers, src/processors.
struct PostProcessor: Sendable {
    /// The template: the text and the ids around it.
    private let body: [Part]

    enum Part: Sendable, Equatable {
        case text
        case ids([Int32])
    }

    /// The ids added to a text.
    var addedCount: Int {
        body.reduce(0) { if case .ids(let ids) = $1 { $0 + ids.count } else { $0 } }
    }

    init(_ parts: [Part] = [.text]) { body = parts }

    /// This template with its text replaced by another one's whole.
    func wrapping(_ inner: PostProcessor) -> PostProcessor {
        PostProcessor(body.flatMap { $0 == .text ? inner.body : [$0] })
    }

    /// The text in its template.
    func apply(_ ids: [Int32], addsSpecialTokens: Bool) -> [Int32] {
        if body == [.text] { return ids }
        var result: [Int32] = []
        result.reserveCapacity(ids.count + addedCount)
        for part in body {
            switch part {
            case .text: result += ids
            case .ids(let added): if addsSpecialTokens { result += added }
            }
        }
        return result
    }
}

/// How ids beyond a number are cut off.
///
/// Source: tokenizers, src/utils/truncation.rs.
struct Truncation: Sendable {
    var maximum: Int
    var cutsLeft: Bool

    func apply(_ ids: inout [Int32], reserving added: Int) {
        let kept = max(0, maximum - added)
        guard ids.count > kept else { return }
        if cutsLeft { ids.removeFirst(ids.count - kept) } else { ids.removeLast(ids.count - kept) }
    }
}

/// How ids are filled up to a length.
///
/// Source: tokenizers, src/utils/padding.rs.
struct Padding: Sendable {
    /// The length to fill up to, 0 for the text's own.
    var length: Int
    var multiple: Int
    var id: Int32
    var isLeft: Bool

    func apply(_ ids: inout [Int32]) {
        var target = length > 0 ? length : ids.count
        if multiple > 0, target % multiple > 0 { target += multiple - target % multiple }
        guard target > ids.count else { return }
        let filling = [Int32](repeating: id, count: target - ids.count)
        ids = isLeft ? filling + ids : ids + filling
    }
}
