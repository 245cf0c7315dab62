public import ApusGraph

/// What an engine runs: steps in order, and where each tensor lives.
///
/// Shapes stay symbolic, so that one plan serves prefill, chunks and decode at every batch size; a ``BufferPlan``
/// gives the offsets for the limits of one session.
public struct Plan: Sendable {
    /// Where the bytes of a tensor are.
    public enum Storage: Sendable, Hashable {
        /// A region of the engine's weights, by index.
        case weight(Int)
        /// An input that the runtime fills in, by name.
        case input(String)
        /// Memory that steps share, by liveness.
        case activation
        /// In the memory of another tensor, by index.
        case alias(Int)
    }

    /// One tensor of the plan.
    public struct Tensor: Sendable {
        /// The value's name in the lowered graph.
        public let name: String
        /// Element type and symbolic shape.
        public let type: TensorType
        /// Where its bytes are.
        public let storage: Storage
        /// How its elements lie in the memory of its root.
        public let layout: Layout
        /// Name of the ``WeightPacking`` of a stored weight, whose kernels read no layout then; nil for row-major.
        public let packing: String?

        /// Describes a tensor; it is dense unless a layout is given.
        public init(
            name: String, type: TensorType, storage: Storage, layout: Layout? = nil, packing: String? = nil
        ) {
            self.name = name
            self.type = type
            self.storage = storage
            self.layout = layout ?? .dense(type.shape)
            self.packing = packing
        }
    }

    /// One launch of a kernel.
    public struct Step: Sendable, AttributeReader {
        /// The op that the kernel computes.
        public let op: String
        /// The kernel, by its name in the backend's catalog.
        public let kernel: String
        /// Indices of the operands' tensors; nil where an optional operand is absent.
        public let operands: [Int?]
        /// Indices of the results' tensors.
        public let results: [Int]
        /// The op's attributes, with defaults filled in.
        public let attributes: [String: Attribute]
        /// The plugin whose kernel it is; nil for a kernel of the backend.
        public let plugin: PluginID?

        /// An attribute of the op.
        public func attribute(_ name: String) -> Attribute? { attributes[name] }

        /// Describes a launch.
        public init(
            op: String, kernel: String, operands: [Int?], results: [Int], attributes: [String: Attribute],
            plugin: PluginID? = nil
        ) {
            self.op = op
            self.kernel = kernel
            self.operands = operands
            self.results = results
            self.attributes = attributes
            self.plugin = plugin
        }
    }

    /// The symbolic dimensions and their ranges.
    public let symbols: [Symbol]
    /// All tensors.
    public let tensors: [Tensor]
    /// The kernel launches in order.
    public let steps: [Step]
    /// Names and tensors of the outputs.
    public let outputs: [(name: String, tensor: Int)]

    /// Makes a plan.
    public init(
        symbols: [Symbol], tensors: [Tensor], steps: [Step], outputs: [(name: String, tensor: Int)]
    ) {
        self.symbols = symbols
        self.tensors = tensors
        self.steps = steps
        self.outputs = outputs
    }

    /// The tensor whose memory a tensor shares, itself if it has its own.
    public func root(of tensor: Int) -> Int {
        var current = tensor
        while case .alias(let next) = tensors[current].storage { current = next }
        return current
    }

    /// Bytes of a tensor in a session within `limits`; nil if nothing bounds it, or no memory could hold it.
    public func byteCount(of tensor: Int, limits: SessionLimits) -> Int? {
        let type = tensors[tensor].type
        guard let count = type.elementCount.evaluate(limits.value(of:)),
            (0...Self.mostElements).contains(count)
        else { return nil }
        return count * type.element.byteCount
    }

    /// More elements than any machine holds, and few enough that sums of their bytes stay in range.
    static let mostElements = 1 << 48

    /// The inputs that are KV caches, by layer.
    public var kvCaches: [(layer: Int, tensor: Int)] {
        tensors.enumerated().compactMap { index, tensor -> (layer: Int, tensor: Int)? in
            guard case .input(let name) = tensor.storage, let layer = Bindings.kvCacheLayer(name) else {
                return nil
            }
            return (layer, index)
        }.sorted { $0.layer < $1.layer }
    }
}
