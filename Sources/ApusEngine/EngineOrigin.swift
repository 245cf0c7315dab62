/// How an engine came to be: what it was compiled for, and how its weights are made.
public struct EngineOrigin: Sendable, Hashable {
    /// Name of the backend that it was compiled for, such as `cpu`.
    public var device: String
    /// Version of the layout that this backend packs weights in.
    public var weightLayout: Int
    /// What attention became, such as `plugin`.
    public var attention: String
    /// Kind of the KV cache, such as `in_place`.
    public var cache: String
    /// What the compiler reported, one line for each attention layer.
    public var report: [String]
    /// Hash of the imported graph's text: a refit is for a model with the same one.
    public var importHash: UInt64
    /// Text of a graph without inputs whose outputs are the packed weights, in order, computed from named weights.
    public var sources: String

    /// Describes an engine; one that is only run needs none of this.
    public init(
        device: String = "", weightLayout: Int = 1, attention: String = "", cache: String = "",
        report: [String] = [], importHash: UInt64 = 0, sources: String = ""
    ) {
        self.device = device
        self.weightLayout = weightLayout
        self.attention = attention
        self.cache = cache
        self.report = report
        self.importHash = importHash
        self.sources = sources
    }
}
