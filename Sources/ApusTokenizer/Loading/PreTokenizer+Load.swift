internal import ApusSupport

extension PreTokenizer {
    init(_ key: ConfigKey) throws(ApusError) {
        let type = try key.required("type")
        switch try type.string() {
        case "Sequence":
            var steps: [PreTokenizer] = []
            for step in try key.required("pretokenizers").elements() { steps.append(try PreTokenizer(step)) }
            self = .sequence(steps)
        case "Split":
            self = .split(
                try key.required("pattern").pattern(), try key.required("behavior").choice(),
                inverts: try key.required("invert").bool())
        case "ByteLevel":
            self = .byteLevel(
                addsPrefixSpace: try key.required("add_prefix_space").bool(),
                usesPattern: try key.optional("use_regex")?.bool() ?? true)
        case "Metaspace":
            let (replacement, scheme) = try Self.metaspace(key)
            self = .metaspace(
                replacement: replacement, scheme: scheme, splits: try key.optional("split")?.bool() ?? true)
        case "Whitespace": self = .whitespace
        case "WhitespaceSplit": self = .whitespaceSplit
        case "Digits": self = .digits(individual: try key.required("individual_digits").bool())
        case "Punctuation": self = .punctuation(try key.optional("behavior")?.choice() ?? .isolated)
        case "BertPreTokenizer": self = .bert
        case "CharDelimiterSplit": self = .delimiter(try key.required("delimiter").scalar())
        case "FixedLength": self = .fixedLength(try key.optional("length")?.int(1...Int(Int32.max)) ?? 5)
        case let name: throw type.failure(.unsupported, "pre-tokenizer \"\(name)\" is not supported")
        }
    }

    /// The sign and scheme of a Metaspace; files from before `prepend_scheme` have `add_prefix_space`.
    static func metaspace(_ key: ConfigKey) throws(ApusError) -> (Unicode.Scalar, PrependScheme) {
        let replacement = try key.required("replacement").scalar()
        let addsSpace = try key.optional("add_prefix_space")?.bool() ?? true
        guard let declared = key.optional("prepend_scheme") else {
            return (replacement, addsSpace ? .always : .never)
        }
        let scheme: PrependScheme = try declared.choice()
        guard addsSpace || scheme == .never else {
            throw declared.failure(.invalidInput, "\"\(scheme)\" contradicts \"add_prefix_space\": false")
        }
        return (replacement, scheme)
    }
}
