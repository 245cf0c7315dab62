public import ApusGraph
public import ApusRuntime

extension SamplingOptions {
    /// How a checkpoint wants to be sampled, with what transformers takes for settings it leaves out.
    public init(_ defaults: GenerationDefaults, seed: UInt64? = nil) {
        self.init(repetitionPenalty: Float(defaults.repetitionPenalty ?? 1), seed: seed)
        guard defaults.doSample else {
            temperature = 0
            return
        }
        temperature = Float(defaults.temperature ?? 1)
        topK = defaults.topK ?? 50
        topP = Float(defaults.topP ?? 1)
        minP = Float(defaults.minP ?? 0)
    }
}
