import ApusGraph

/// What a mask lets a query see.
public enum MaskClass: Sendable, Hashable, CustomStringConvertible {
    /// Its own position and all before.
    case causal
    /// Its own position and the last so many, itself counted.
    case slidingWindow(Int)
    /// As causal, except for keys that an input [batch, key] hides.
    case leftPadded
    /// Keys of its own block only: the sequence it was packed with, or a chunk of positions.
    case block
    /// All keys.
    case allVisible
    /// Anything else.
    case general

    /// The name of the class, which `scaled_dot_product_attention` has as its attribute `mask_class`.
    public var name: String {
        switch self {
        case .causal: "causal"
        case .slidingWindow: "sliding-window"
        case .leftPadded: "left-padded"
        case .block: "block"
        case .allVisible: "all-visible"
        case .general: "general"
        }
    }

    /// The name, with the size of a window.
    public var description: String {
        if case .slidingWindow(let size) = self { "\(name) \(size)" } else { name }
    }

    /// Whether an attention op computes the mask by itself.
    public var isBuiltIn: Bool {
        switch self {
        case .causal, .slidingWindow, .allVisible: true
        case .leftPadded, .block, .general: false
        }
    }
}
