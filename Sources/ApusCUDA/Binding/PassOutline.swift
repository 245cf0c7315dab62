/// What one pass launches.
struct PassOutline {
    /// The launches as text.
    let launches: [String]
    /// What is compiled for them.
    let units: Set<KernelUnit>
    /// What cuBLASLt multiplies in it.
    let products: [LinearProduct]
    /// What became of the layers of a decode step, and why.
    let notes: [String]
    /// Whether they stay the same while positions advance.
    let isSteadyInLoops: Bool
}
