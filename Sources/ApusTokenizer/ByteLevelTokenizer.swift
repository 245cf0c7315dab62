public import ApusSupport

extension Tokenizer {
    /// A minimal byte-level `tokenizer.json`: a token for each byte, no merges, and special tokens behind them.
    ///
    /// It encodes any text, a token a byte; ids 0 to 255 are the bytes, from 256 on the special tokens in order.
    public static func byteLevelTokenizerJSON(specialTokens: [String] = ["<|endoftext|>"]) -> JSONValue {
        let vocabulary = (UInt8(0)...255).map { byte in
            (String(decoding: ByteAlphabet.utf8(byte), as: UTF8.self), JSONValue.int(Int(byte)))
        }
        let added = specialTokens.enumerated().map { offset, token -> JSONValue in
            [
                "id": .int(256 + offset), "content": .string(token), "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            ]
        }
        let byteLevel: JSONValue = [
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
        ]
        return [
            "version": "1.0", "truncation": nil, "padding": nil, "added_tokens": .array(added),
            "normalizer": nil, "pre_tokenizer": byteLevel, "post_processor": nil, "decoder": byteLevel,
            "model": [
                "type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil,
                "end_of_word_suffix": nil, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": .object(vocabulary), "merges": [],
            ],
        ]
    }
}
