internal import ApusSupport

extension BPEModel {
    /// Reads a model; `followsByteLevel` tells that its input comes out of a ByteLevel pre-tokenizer.
    convenience init(_ key: ConfigKey, followsByteLevel: Bool) throws(ApusError) {
        if let type = key.optional("type"), try type.string() != "BPE" {
            throw type.failure(
                .unsupported, "model \"\(try type.string())\" is not supported; expected \"BPE\"")
        }
        if let dropout = key.optional("dropout"), dropout.json.double != 0 {
            throw dropout.failure(
                .unsupported, "dropout makes encoding random; set it to null to use the tokenizer")
        }
        let options = try Options(key, followsByteLevel: followsByteLevel)
        let tokens = try Self.vocabulary(try key.required("vocab"))
        if let unknown = options.unknownToken, tokens.id(of: Array(unknown.utf8)) == nil {
            throw key.failure(.invalidInput, "unk_token \"\(unknown)\" is not in the vocabulary")
        }
        let (pairs, cut) = try Self.merges(try key.required("merges"), tokens, options)
        self.init(tokens: tokens, pairs: pairs, options: options, cut: cut)
    }

    private static func vocabulary(_ key: ConfigKey) throws(ApusError) -> TokenTable {
        let json = try key.object().json
        var table = TokenTable(capacity: json.count)
        for (name, value) in json.memberViews {
            guard let id = value.int, id >= 0, id <= TokenTable.maximumID else {
                throw ConfigKey(value, path: "\(key.path).\(name.string ?? "")").failure(
                    .invalidInput, "expected an id from 0 to \(TokenTable.maximumID)")
            }
            _ = name.withUTF8 { table.insert($0, id: Int32(id)) }
        }
        // An id that a second token has taken over no longer leads back to the first.
        guard table.hasUniqueIDs else {
            throw key.failure(.invalidInput, "two tokens have the same id")
        }
        return table
    }

    private static func merges(_ key: ConfigKey, _ tokens: TokenTable, _ options: Options) throws(ApusError)
        -> (PairTable, WordStartCut?)
    {
        guard key.json.kind == .array else {
            throw key.failure(.invalidInput, "expected an array, got a value of kind \(key.json.kind)")
        }
        var reader = MergeReader(tokens: tokens, options: options, count: key.json.count)
        for (rank, merge) in key.json.elements.enumerated() {
            if let problem = reader.read(merge, rank: UInt32(rank)) {
                throw ConfigKey(merge, path: "\(key.path)[\(rank)]").failure(.invalidInput, problem)
            }
        }
        return (reader.pairs, reader.cut)
    }
}

extension BPEModel.Options {
    fileprivate init(_ key: ConfigKey, followsByteLevel: Bool) throws(ApusError) {
        unknownToken = try key.optional("unk_token")?.string()
        prefix = try key.optional("continuing_subword_prefix")?.bytes() ?? []
        suffix = try key.optional("end_of_word_suffix")?.bytes() ?? []
        fusesUnknown = try key.optional("fuse_unk")?.bool() ?? false
        hasByteFallback = try key.optional("byte_fallback")?.bool() ?? false
        ignoresMerges = try key.optional("ignore_merges")?.bool() ?? false
        isByteLevel = followsByteLevel && prefix.isEmpty && suffix.isEmpty && !hasByteFallback
    }
}

/// Reads merges one by one and finds out where texts may be cut.
private struct MergeReader {
    let tokens: TokenTable
    let pairs: PairTable
    private let prefixCount: Int
    private let unknown: [UInt8]?
    private let canCut: Bool
    private var joined: Set<UInt32> = []
    private var joinsOther = false
    private var buffer: [UInt8] = []
    private var next: Int32 = 0

    init(tokens: TokenTable, options: BPEModel.Options, count: Int) {
        self.tokens = tokens
        pairs = PairTable(capacity: count)
        prefixCount = options.prefix.count
        unknown = options.unknownToken.map { Array($0.utf8) }
        canCut =
            options.prefix.isEmpty && options.suffix.isEmpty && !options.isByteLevel
            && tokens.id(of: WordStartCut.sign) != nil
    }

    var cut: WordStartCut? { canCut && !joinsOther ? WordStartCut(joined: joined) : nil }

    /// Reads a merge, as `"a b"` or `["a", "b"]`; what is wrong with it, or nil.
    mutating func read(_ merge: JSON, rank: UInt32) -> String? {
        buffer.removeAll(keepingCapacity: true)
        if merge.kind == .array {
            guard merge.count == 2, let left = merge[0], let right = merge[1], left.kind == .string,
                right.kind == .string
            else { return "expected two strings" }
            _ = left.withUTF8 { buffer.append(contentsOf: $0) }
            let split = buffer.count
            _ = right.withUTF8 { buffer.append(contentsOf: $0) }
            return add(split, rank)
        }
        guard merge.withUTF8({ buffer.append(contentsOf: $0) }) != nil else {
            return "expected a string \"a b\" or an array of two, got a value of kind \(merge.kind)"
        }
        if buffer.starts(with: "#version".utf8) { return nil }
        guard let space = buffer.firstIndex(of: 32), buffer.lastIndex(of: 32) == space else {
            return "expected two tokens with one space between them"
        }
        buffer.remove(at: space)
        return add(space, rank)
    }

    private mutating func add(_ split: Int, _ rank: UInt32) -> String? {
        let (left, right) = buffer.withUnsafeBufferPointer { all in
            (
                tokens.id(of: UnsafeBufferPointer(rebasing: all[..<split])),
                tokens.id(of: UnsafeBufferPointer(rebasing: all[split...]))
            )
        }
        guard let left else { return missing(buffer[..<split]) }
        guard let right else { return missing(buffer[split...]) }
        noteCut(split)
        guard buffer.count - split >= prefixCount else {
            return "the second token is shorter than continuing_subword_prefix"
        }
        if prefixCount > 0 { buffer.removeSubrange(split..<split + prefixCount) }
        guard let merged = merged() else { return missing(buffer[...]) }
        next = merged &+ 1
        pairs.insert(left, right, rank: rank, id: merged)
        return nil
    }

    /// The id of the token in the buffer.
    ///
    /// Most vocabularies number tokens in the order of their merges: the id after the last one is tried first, which
    /// lies in the cache where a look-up would not.
    private func merged() -> Int32? {
        buffer.withUnsafeBufferPointer { token in
            let isNext = tokens.withBytes(ofID: next) { bytes in
                bytes.count == token.count && bytes.elementsEqual(token)
            }
            return isNext == true ? next : tokens.id(of: token)
        }
    }

    private func missing(_ token: ArraySlice<UInt8>) -> String {
        "token \"\(String(decoding: token, as: UTF8.self))\" is not in the vocabulary"
    }

    private mutating func noteCut(_ split: Int) {
        guard canCut, split > 0, buffer[split...].starts(with: WordStartCut.sign) else { return }
        // A token that stands for a byte or the unknown joins in front of any scalar for all that is known.
        if ByteFallback.byte(Array(buffer[..<split])) != nil
            || buffer[..<split].elementsEqual(unknown ?? [0xFF])
        {
            joinsOther = true
        }
        var start = split - 1
        while start > 0, buffer[start] & 0xC0 == 0x80 { start -= 1 }
        let scalar = buffer.withUnsafeBufferPointer { $0.baseAddress.map { decodeScalar($0, start).scalar } }
        if let scalar { joined.insert(scalar) }
    }
}
