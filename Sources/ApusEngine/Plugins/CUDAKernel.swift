public import ApusGraph
public import ApusSupport

/// A plugin's kernel for CUDA devices: source text that is compiled when an engine is built, and how it is launched.
public struct CUDAKernel: Sendable {
    /// Whether the backend has kernels of its own for the plugin's op.
    public let isNative: Bool
    /// CUDA C++ with one or more `extern "C" __global__` functions.
    public let source: String
    /// Nil if the kernel can serve the query, else the reason why not.
    public let refusal: @Sendable (KernelQuery) -> String?
    /// Macros to define when the source is compiled for a query, so that sizes known then become constants.
    public let definitions: @Sendable (KernelQuery) -> [String: String]
    /// Bytes of device memory that the launches of a call share; what it holds at first is undefined.
    public let scratchBytes: @Sendable (CUDACall) -> Int
    /// The launches of a call, in order.
    public let launches: @Sendable (CUDACall) throws(ApusError) -> [CUDALaunch]

    /// The kernels that come with the CUDA backend, for the plugins of Apus.
    package static let native = CUDAKernel()

    private init() {
        isNative = true
        source = ""
        refusal = { _ in nil }
        definitions = { _ in [:] }
        scratchBytes = { _ in 0 }
        launches = { _ throws(ApusError) in [] }
    }

    /// Declares a kernel.
    public init(
        source: String, refusal: @escaping @Sendable (KernelQuery) -> String? = { _ in nil },
        definitions: @escaping @Sendable (KernelQuery) -> [String: String] = { _ in [:] },
        scratchBytes: @escaping @Sendable (CUDACall) -> Int = { _ in 0 },
        launches: @escaping @Sendable (CUDACall) throws(ApusError) -> [CUDALaunch]
    ) {
        isNative = false
        self.source = source
        self.refusal = refusal
        self.definitions = definitions
        self.scratchBytes = scratchBytes
        self.launches = launches
    }
}

/// The sizes and attributes that launches are chosen by.
public struct CUDACall: Sendable, AttributeReader {
    /// Shapes of operands and results in this call.
    public let shapes: KernelShapes
    /// The op's attributes, with defaults filled in.
    public let attributes: [String: Attribute]
    /// Streaming multiprocessors of the device.
    public let processorCount: Int

    /// Describes a call.
    public init(shapes: KernelShapes, attributes: [String: Attribute], processorCount: Int) {
        self.shapes = shapes
        self.attributes = attributes
        self.processorCount = processorCount
    }

    /// An attribute of the op.
    public func attribute(_ name: String) -> Attribute? { attributes[name] }
}

/// One launch of a function of a plugin's source.
public struct CUDALaunch: Sendable, Hashable {
    /// Three sizes, of a grid or of a block.
    public struct Size: Sendable, Hashable {
        /// The sizes along each axis.
        public let x, y, z: Int

        /// Makes sizes.
        public init(_ x: Int, _ y: Int = 1, _ z: Int = 1) {
            self.x = x
            self.y = y
            self.z = z
        }
    }

    /// One argument of the function, in the order of its parameters.
    public enum Argument: Sendable, Hashable {
        /// The address of an operand; null where an optional one is absent.
        case operand(Int)
        /// The address of a result.
        case result(Int)
        /// The address of the scratch memory, this many bytes in.
        case scratch(Int)
        case int32(Int32)
        case int64(Int64)
        case float(Float)
    }

    /// Name of the function in the source.
    public let function: String
    /// Blocks of the grid.
    public let grid: Size
    /// Threads of a block.
    public let block: Size
    /// Bytes of dynamic shared memory of a block.
    public let sharedBytes: Int
    /// The arguments.
    public let arguments: [Argument]

    /// Describes a launch.
    public init(function: String, grid: Size, block: Size, sharedBytes: Int = 0, arguments: [Argument]) {
        self.function = function
        self.grid = grid
        self.block = block
        self.sharedBytes = sharedBytes
        self.arguments = arguments
    }
}
