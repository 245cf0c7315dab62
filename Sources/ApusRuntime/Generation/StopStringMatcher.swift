/// Finds the first stop string in a text that comes in pieces, and holds back what may become one.
///
/// The text compares byte for byte in UTF-8: a stop string ends the text no matter how tokens cut it.
struct StopStringMatcher {
    private let stops: [[UInt8]]
    /// Bytes that were not given out yet; after each piece, a proper prefix of a stop string.
    private var held: [UInt8] = []
    /// Whether a stop string was found; no text comes after it.
    private(set) var isStopped = false

    init(_ stops: [String]) { self.stops = stops.map { Array($0.utf8) } }

    /// Takes a piece and returns the text that is certain to lie before any stop string.
    mutating func append(_ piece: String) -> String {
        guard !isStopped else { return "" }
        guard !stops.isEmpty else { return piece }
        let known = held.count
        held.append(contentsOf: piece.utf8)
        // The stop string that is complete first counts, so that it does not matter how tokens cut the text.
        for end in known..<held.count {
            let matches = stops.filter {
                held[...end].count >= $0.count && held[...end].suffix($0.count) == $0[...]
            }
            guard let longest = matches.map(\.count).max() else { continue }
            isStopped = true
            return release(end + 1 - longest)
        }
        return release(held.indices.first(where: canStart) ?? held.count)
    }

    /// Returns what is held back, since no text follows.
    mutating func finish() -> String { isStopped ? "" : release(held.count) }

    /// Whether all text from `start` on begins a stop string.
    private func canStart(_ start: Int) -> Bool {
        let rest = held[start...]
        return stops.contains { rest.count < $0.count && $0.starts(with: rest) }
    }

    private mutating func release(_ count: Int) -> String {
        let text = String(decoding: held[..<count], as: UTF8.self)
        held.removeFirst(count)
        return text
    }
}
