/// The names of the sections of an engine file.
///
/// A reader passes over sections that it does not know.
public enum EngineSection {
    /// JSON: what the model is, how it wants to be sampled, how it was compiled.
    public static let info = "info"
    /// JSON: symbols, tensors, steps and outputs of the plan, and the places of the weights.
    public static let plan = "plan"
    /// Text of a graph that tells how each packed weight is computed from weights of the checkpoint.
    public static let source = "source"
    /// Text that names everything that decided the content; only an engine in a cache has it.
    public static let key = "key"
    /// The packed weights as kernels read them.
    public static let weights = "weights"
    /// Followed by the name of a GPU architecture, such as `sm_90a`: its compiled kernels.
    public static let kernelsPrefix = "cubin:"
    /// Followed by the name of a GPU architecture: the algorithms of products that were timed on a GPU of it.
    public static let productsPrefix = "products:"
    /// Followed by the name of a file: that file of the tokenizer, byte for byte.
    public static let tokenizerPrefix = "tokenizer/"
}
