public import ApusGraph
public import ApusSupport

/// A device that engines are compiled for and run on.
public protocol Backend: Sendable {
    /// The name that `--device` takes, such as `cpu`.
    var name: String { get }

    /// The device and what is used of it, for people, such as `avx512 kernels, 2 threads`.
    var summary: String { get }

    /// Tokens of a prompt that one pass takes, unless a user chooses: enough to keep the device busy.
    var promptChunk: Int { get }

    /// Version of the layout that the backend's kernels read weights in; an engine of another one does not run.
    var weightLayout: Int { get }

    /// The kernels that the compiler may choose.
    var catalog: KernelCatalog { get }

    /// The kernel by which this backend runs a plugin's op, or why it cannot.
    func choose(_ plugin: any Plugin, for query: KernelQuery) -> KernelCatalog.Choice

    /// Compiles what an engine must carry so that the backend can run it without a compiler.
    /// - Throws: `.notFound` if there is no compiler.
    func compileKernels(for plan: Plan, _ plugins: PluginRegistry) throws(ApusError) -> KernelStore

    /// What passes of a plan launch on the device, as text; empty where steps are launches.
    func launches(of plan: Plan, _ plugins: PluginRegistry) throws(ApusError) -> [PassListing]

    /// Converts `count` elements from one floating-point type to another, rounding to nearest even.
    ///
    /// Source and destination need no alignment and do not overlap.
    func convert(
        _ source: UnsafeRawPointer, _ sourceType: ElementType, _ destination: UnsafeMutableRawPointer,
        _ destinationType: ElementType, count: Int)

    /// What takes the weights of an engine file straight to the device; nil where kernels read the processor's memory.
    /// - Parameters:
    ///   - engine: What the weights are of: the device may begin to prepare it.
    ///   - byteCount: Size of all weights.
    /// - Throws: `.outOfMemory`.
    func receiveWeights(of engine: EngineBlueprint, byteCount: Int) throws(ApusError) -> (
        any WeightReceiver
    )?

    /// Prepares an engine to run: plans buffers, allocates KV caches, binds every kernel to its pointers.
    /// - Throws: `.outOfMemory`, `.mismatch` if the engine was compiled for another backend, `.notFound` if it needs
    ///   a plugin that ``Engine/plugins`` lacks.
    func makeExecutor(_ engine: Engine, limits: SessionLimits) throws(ApusError) -> any Executor
}

extension Backend {
    /// 512: all cores are busy, and little memory is needed.
    public var promptChunk: Int { 512 }

    /// Nothing: the backend's kernels are part of the program.
    public func compileKernels(
        for plan: Plan, _ plugins: PluginRegistry
    ) throws(ApusError) -> KernelStore { KernelStore() }

    /// None: kernels read the processor's memory.
    public func receiveWeights(
        of engine: EngineBlueprint, byteCount: Int
    ) throws(ApusError) -> (any WeightReceiver)? { nil }

    /// None: every step is a launch.
    public func launches(of plan: Plan, _ plugins: PluginRegistry) throws(ApusError) -> [PassListing] { [] }
}

/// What one pass of a plan launches on a device, for people.
public struct PassListing: Sendable {
    /// The pass and the device.
    public let title: String
    /// The launches in order.
    public let launches: [String]
    /// What became of the attentions of the plan, and why.
    public let notes: [String]

    /// Describes a pass.
    public init(title: String, launches: [String], notes: [String]) {
        self.title = title
        self.launches = launches
        self.notes = notes
    }
}

/// A model that is ready to run forward passes over a batch of sequences, each with its own KV cache.
///
/// Not thread safe: one caller at a time.
public protocol Executor: AnyObject {
    /// The sizes this executor was prepared for.
    var limits: SessionLimits { get }

    /// Number of logits of a token.
    var vocabularySize: Int { get }

    /// Bytes held for activations and KV caches.
    var workingBytes: Int { get }

    /// What a user should hear of though nothing failed, of the passes so far.
    var warnings: [String] { get }

    /// The logits of all tokens of the last pass, [batch, width, V], those of padding without meaning.
    ///
    /// Nil where the engine computes those of the last tokens only, and where rows were not computed together. Valid
    /// until the next pass.
    var tokenLogits: UnsafeBufferPointer<Float>? { get }

    /// Runs one forward pass and returns the logits of the last new token of each sequence, [batch, V].
    ///
    /// The result is valid until the next call.
    /// - Parameters:
    ///   - tokens: [batch, width] token ids, each row padded on the right with any valid id.
    ///   - batch: Number of sequences, up to `limits.batch`.
    ///   - width: Tokens a row, up to `limits.chunk`.
    ///   - newCounts: [batch] valid tokens of each row, 1…width.
    ///   - cachedCounts: [batch] tokens of each sequence that the cache holds already.
    /// - Throws: `.invalidInput` for counts or ids out of range.
    func forward(
        tokens: UnsafeBufferPointer<Int32>, batch: Int, width: Int, newCounts: UnsafeBufferPointer<Int32>,
        cachedCounts: UnsafeBufferPointer<Int32>
    ) throws(ApusError) -> UnsafeBufferPointer<Float>
}

extension Executor {
    /// None.
    public var warnings: [String] { [] }

    /// None.
    public var tokenLogits: UnsafeBufferPointer<Float>? { nil }
}

/// Reports how far a long piece of work has come.
public protocol ProgressReporter: Sendable {
    /// A stage called `name` has done `completed` of `total` units (bytes, steps).
    func progress(_ name: String, completed: Int, total: Int)
}
