internal import ApusSupport

extension Decoder {
    /// The steps of a decoder, sequences resolved.
    static func list(_ key: ConfigKey) throws(ApusError) -> [Decoder] {
        let type = try key.required("type")
        switch try type.string() {
        case "Sequence":
            var steps: [Decoder] = []
            for step in try key.required("decoders").elements() { steps += try list(step) }
            return steps
        case "ByteLevel": return [.byteLevel]
        case "ByteFallback": return [.byteFallback]
        case "Fuse": return [.fuse]
        case "Metaspace":
            let (replacement, scheme) = try PreTokenizer.metaspace(key)
            return [.metaspace(replacement: replacement.value, dropsFirst: scheme != .never)]
        case "Replace":
            return [
                .replace(try key.required("pattern").pattern(), content: try key.required("content").bytes())
            ]
        case "Strip":
            return [
                .strip(
                    content: try key.required("content").scalar().value,
                    start: try key.required("start").int(),
                    stop: try key.required("stop").int())
            ]
        case "WordPiece":
            return [
                .wordPiece(
                    prefix: try key.required("prefix").bytes(), cleansUp: try key.required("cleanup").bool())
            ]
        case "BPEDecoder": return [.bpe(suffix: try key.required("suffix").bytes())]
        case "CTC":
            return [
                .ctc(
                    pad: try key.required("pad_token").bytes(),
                    delimiter: try key.required("word_delimiter_token").bytes(),
                    cleansUp: try key.required("cleanup").bool())
            ]
        case let name: throw type.failure(.unsupported, "decoder \"\(name)\" is not supported")
        }
    }
}
