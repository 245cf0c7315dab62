internal import ApusSupport

/// A token that is found in the text itself, before the model sees it.
struct AddedToken: Sendable {
    var content: [UInt8]
    var isSingleWord = false
    var stripsLeft = false
    var stripsRight = false
    var isNormalized = true
    var isSpecial = false
}

/// The added tokens of a tokenizer.
///
/// Source: tokenizers, src/tokenizer/added_vocabulary.rs.
struct AddedTokens: Sendable {
    /// The tokens by id.
    private(set) var byID: [Int32: AddedToken] = [:]
    private(set) var idByContent: [[UInt8]: Int32] = [:]
    /// What a token is written as when it is decoded: as the normalizer leaves it.
    private(set) var written: [Int32: [UInt8]] = [:]
    private(set) var skipped: Set<Int32> = []
    private var special: Set<[UInt8]> = []
    private var rawTrie = ByteTrie()
    private var normalizedTrie = ByteTrie()

    /// Whether some token is looked for in the normalized text.
    var hasNormalized: Bool { !normalizedTrie.isEmpty }

    init(_ tokens: [AddedToken], model: TokenTable, normalizer: Normalizer?) throws(ApusError) {
        // As the reference does, a token that the model lacks gets the next free id, whatever the file says.
        var nextID = Int32(model.count)
        for token in tokens where !token.content.isEmpty {
            let id: Int32
            if let known = idByContent[token.content] ?? model.id(of: token.content) {
                id = known
            } else {
                id = nextID
                nextID += 1
            }
            if token.isNormalized, let normalizer {
                var text = NormalizedText(bytes: token.content, originBytes: 0)
                try normalizer.apply(&text)
                written[id] = text.bytes
            }
            idByContent[token.content] = id
            byID[id] = token
            if token.isSpecial { special.insert(token.content) }
        }
        for (id, token) in byID {
            let pattern = token.isNormalized ? written[id] ?? token.content : token.content
            if special.contains(written[id] ?? token.content) { skipped.insert(id) }
            if token.isNormalized { normalizedTrie.insert(pattern, id) } else { rawTrie.insert(pattern, id) }
        }
    }

    /// Cuts the added tokens out of the text.
    func split(_ text: inout SplitText, normalized: Bool) throws(ApusError) {
        let trie = normalized ? normalizedTrie : rawTrie
        if trie.isEmpty { return }
        try text.split { bytes, piece, output throws(ApusError) in
            cut(trie, bytes, piece, &output)
        }
    }

    private func cut(
        _ trie: ByteTrie, _ text: UnsafeBufferPointer<UInt8>, _ piece: SplitText.Piece,
        _ output: inout [SplitText.Piece]
    ) {
        guard let base = text.baseAddress else { return }
        var from = 0
        func addText(_ start: Int, _ end: Int) {
            guard start < end else { return }
            output.append(
                SplitText.Piece(
                    start: piece.start + start, end: piece.start + end,
                    originBytes: max(0, piece.originBytes - start)))
        }
        var at = 0
        while let match = trie.firstMatch(in: text, from: at) {
            at = match.end
            guard let token = byID[match.id] else { continue }
            var (start, end) = (match.start, match.end)
            if token.isSingleWord, Self.touchesWord(base, start, end, text.count) { continue }
            if token.stripsLeft { start = max(TextSpace.start(base, start, from: 0), from) }
            if token.stripsRight { end = TextSpace.end(base, end, text.count) }
            addText(from, start)
            output.append(
                SplitText.Piece(start: piece.start + start, end: piece.start + end, token: match.id))
            from = end
        }
        addText(from, text.count)
    }

    private static func touchesWord(_ text: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ count: Int)
        -> Bool
    {
        if end < count, UnicodeProperty.regexWord.contains(decodeScalar(text, end).scalar) { return true }
        guard start > 0 else { return false }
        var before = start - 1
        while before > 0, text[before] & 0xC0 == 0x80 { before -= 1 }
        return UnicodeProperty.regexWord.contains(decodeScalar(text, before).scalar)
    }
}

/// A trie over bytes that finds the leftmost match, of several the longest.
struct ByteTrie: Sendable {
    private struct Node: Sendable {
        var children: [UInt8: Int32] = [:]
        var id: Int32 = -1
    }

    private var nodes = [Node()]
    private var isFirst = [Bool](repeating: false, count: 256)

    var isEmpty: Bool { nodes.count == 1 }

    mutating func insert(_ pattern: [UInt8], _ id: Int32) {
        guard let first = pattern.first else { return }
        isFirst[Int(first)] = true
        var at = 0
        for byte in pattern {
            if let child = nodes[at].children[byte] {
                at = Int(child)
            } else {
                nodes.append(Node())
                nodes[at].children[byte] = Int32(nodes.count - 1)
                at = nodes.count - 1
            }
        }
        nodes[at].id = id
    }

    func firstMatch(in text: UnsafeBufferPointer<UInt8>, from: Int) -> (start: Int, end: Int, id: Int32)? {
        isFirst.withUnsafeBufferPointer { isFirst in
            var start = from
            while start < text.count {
                if isFirst[Int(text[start])], let (end, id) = longest(text, start) { return (start, end, id) }
                start &+= 1
            }
            return nil
        }
    }

    private func longest(_ text: UnsafeBufferPointer<UInt8>, _ start: Int) -> (end: Int, id: Int32)? {
        var node = 0
        var at = start
        var best: (end: Int, id: Int32)?
        while at < text.count, let child = nodes[node].children[text[at]] {
            node = Int(child)
            at += 1
            if nodes[node].id >= 0 { best = (at, nodes[node].id) }
        }
        return best
    }
}
