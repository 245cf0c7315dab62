extension Tokenizer {
    /// The files that a tokenizer may consist of in a model's folder; all but the first may be absent.
    public static let fileNames = [
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja",
    ]
}
