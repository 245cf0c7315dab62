import ApusGraph
import ApusSupport

extension GenerationDefaults {
    /// Merges the two files.
    ///
    /// Defaults of transformers' config classes do not count: its `from_pretrained` passes over them too.
    static func read(
        config: ConfigReader, generation: ConfigReader?
    ) throws(ApusError) -> GenerationDefaults {
        var defaults = GenerationDefaults()
        // A key of generation_config.json, be it null, overrides config.json.
        func tokens(_ key: String) throws(ApusError) -> [Int32]? {
            if let found = try generation?.tokens(key) { return found }
            return try config.tokens(key)
        }
        defaults.endTokens = try tokens("eos_token_id") ?? []
        defaults.beginToken = (try tokens("bos_token_id"))?.first
        defaults.padToken = (try tokens("pad_token_id"))?.first
        // As in transformers, sampling keys of config.json count only if there is no other file.
        let source = generation ?? config
        defaults.doSample = try source.bool("do_sample", default: false)
        defaults.temperature = try source.optionalDouble("temperature")
        defaults.topK = try source.optionalInt("top_k", in: 0...1 << 31)
        defaults.topP = try source.optionalDouble("top_p")
        defaults.minP = try source.optionalDouble("min_p")
        defaults.repetitionPenalty = try source.optionalDouble("repetition_penalty")
        return defaults
    }
}
