internal import ApusSupport

extension Normalizer {
    init(_ key: ConfigKey) throws(ApusError) {
        let type = try key.required("type")
        switch try type.string() {
        case "Sequence":
            var steps: [Normalizer] = []
            for step in try key.required("normalizers").elements() { steps.append(try Normalizer(step)) }
            self = .sequence(steps)
        case "NFC": self = .form(.nfc)
        case "NFD": self = .form(.nfd)
        case "NFKC": self = .form(.nfkc)
        case "NFKD": self = .form(.nfkd)
        case "Lowercase": self = .lowercase
        case "Strip":
            self = .strip(
                left: try key.required("strip_left").bool(), right: try key.required("strip_right").bool())
        case "StripAccents": self = .stripAccents
        case "Prepend": self = .prepend(try key.required("prepend").bytes())
        case "Replace":
            self = .replace(
                try key.required("pattern").pattern(), content: try key.required("content").bytes())
        case "Nmt": self = .nmt
        case "ByteLevel": self = .byteLevel
        case "BertNormalizer", "Bert":
            let lowercases = try key.required("lowercase").bool()
            self = .bert(
                cleansText: try key.required("clean_text").bool(),
                spacesChinese: try key.required("handle_chinese_chars").bool(),
                stripsAccents: try key.optional("strip_accents")?.bool() ?? lowercases, lowercases: lowercases
            )
        case let name: throw type.failure(.unsupported, "normalizer \"\(name)\" is not supported")
        }
    }
}
