public import ApusGraph
public import ApusSupport

/// A plugin's kernel for processors: says what it can serve and makes launches.
public protocol CPUKernel: Sendable {
    /// Nil if the kernel can serve the query, else the reason why not.
    func refusal(_ query: KernelQuery) -> String?

    /// The order in which the kernel reads a stored weight that is operand `operand`; nil, if not given, for row-major.
    ///
    /// The weight is packed when an engine is built, and stored so. An operand that a pass computes is never packed:
    /// ``KernelTensor/packing`` tells a launch what it was given.
    func packing(of operand: Int, for query: KernelQuery) -> (any WeightPacking)?

    /// Binds the kernel to one step of an engine; what the launch allocates, it allocates here.
    /// - Throws: Whatever keeps the step from running, `.outOfMemory` for instance.
    func makeLaunch(_ setup: CPUKernelSetup) throws(ApusError) -> any CPULaunch
}

extension CPUKernel {
    /// Row-major.
    public func packing(of operand: Int, for query: KernelQuery) -> (any WeightPacking)? { nil }
}

/// One step of an engine, bound to its memory.
///
/// A forward pass calls ``prepare()`` on one thread, then ``run(_:)`` on all workers at once for each phase, with a
/// barrier after every phase. Nothing may be allocated and no lock taken in either. A launch may call C: its pointers
/// are plain memory.
public protocol CPULaunch: AnyObject {
    /// Number of phases; a phase may read what all workers wrote in the one before. 1 if not given.
    var phaseCount: Int { get }

    /// Bytes of scratch that each worker needs in ``run(_:)``, the same at all times. 0 if not given.
    var scratchBytes: Int { get }

    /// Takes the sizes of the next passes; called before the first and when they change. It may allocate.
    func resize(_ shapes: KernelShapes)

    /// Called before every pass, on one thread: the place to check and to digest operands that are not computed in
    /// the pass itself (``KernelTensor/isComputed``). Does nothing if not given.
    /// - Throws: What is wrong with this pass; none of its steps is then run.
    func prepare() throws(ApusError)

    /// Does one worker's share of a phase.
    func run(_ worker: CPUWorker)
}

extension CPULaunch {
    /// One phase.
    public var phaseCount: Int { 1 }
    /// No scratch.
    public var scratchBytes: Int { 0 }
    /// Does nothing.
    public func prepare() throws(ApusError) {}
}

/// One of the threads that run a launch together.
public struct CPUWorker: Sendable {
    /// The phase, from 0.
    public let phase: Int
    /// Which worker this is, from 0.
    public let index: Int
    /// How many workers run the phase.
    public let count: Int
    /// The worker's own memory, aligned to 64 bytes, of ``CPULaunch/scratchBytes``; nil if the launch asked for none.
    public nonisolated(unsafe) let scratch: UnsafeMutableRawPointer?

    /// Describes a worker.
    public init(phase: Int, index: Int, count: Int, scratch: UnsafeMutableRawPointer?) {
        self.phase = phase
        self.index = index
        self.count = count
        self.scratch = scratch
    }

    /// The part of `items` items that falls to this worker, in multiples of `grain`.
    @inlinable
    public func share(of items: Int, grain: Int = 1) -> Range<Int> {
        let units = (items + grain - 1) / grain
        let lower = min(units * index / count * grain, items)
        let upper = min(units * (index + 1) / count * grain, items)
        return lower..<max(upper, lower)
    }
}

/// The sizes of a launch's tensors in the next passes.
public struct KernelShapes: Sendable, Hashable {
    /// Shapes of the operands; nil where an optional one is absent.
    public let operands: [[Int]?]
    /// Shapes of the results.
    public let results: [[Int]]

    /// Lists shapes.
    public init(operands: [[Int]?], results: [[Int]]) {
        self.operands = operands
        self.results = results
    }
}

/// One tensor that a launch reads or writes: dense, row-major unless it is packed, at one address as long as the launch
/// lives.
public struct KernelTensor {
    /// The value's name in the lowered graph.
    public let name: String
    /// Element type and symbolic shape.
    public let type: TensorType
    /// The largest sizes it will have.
    public let maximumShape: [Int]
    /// Whether a step of the pass computes it.
    ///
    /// If not, it holds its values when ``CPULaunch/prepare()`` is called.
    public let isComputed: Bool
    /// Name of the ``WeightPacking`` that its bytes are in; nil for row-major.
    public let packing: String?
    /// The first element.
    public let pointer: UnsafeMutableRawPointer

    /// Describes a tensor.
    public init(
        name: String, type: TensorType, maximumShape: [Int], isComputed: Bool, packing: String? = nil,
        pointer: UnsafeMutableRawPointer
    ) {
        self.name = name
        self.type = type
        self.maximumShape = maximumShape
        self.isComputed = isComputed
        self.packing = packing
        self.pointer = pointer
    }

    /// The elements of an f32 tensor.
    /// - Throws: `.mismatch` for another element type.
    public func floats() throws(ApusError) -> UnsafeMutablePointer<Float> {
        try require(.f32)
        return pointer.assumingMemoryBound(to: Float.self)
    }

    /// The elements of an i32 tensor.
    /// - Throws: `.mismatch` for another element type.
    public func integers() throws(ApusError) -> UnsafeMutablePointer<Int32> {
        try require(.i32)
        return pointer.assumingMemoryBound(to: Int32.self)
    }

    private func require(_ element: ElementType) throws(ApusError) {
        guard type.element == element else {
            throw ApusError(.mismatch, "tensor %\(name): expected \(element.rawValue), got \(type)")
        }
    }
}

/// What a kernel is given to make the launch of one step.
public struct CPUKernelSetup: AttributeReader {
    /// The operands; nil where an optional one is absent.
    public let operands: [KernelTensor?]
    /// The results; one that is updated in place has its operand's address.
    public let results: [KernelTensor]
    /// The op's attributes, with defaults filled in.
    public let attributes: [String: Attribute]
    /// Number of workers that will run the launch.
    public let workerCount: Int
    /// The instructions that kernels may use: `baseline`, `avx2`, `avxvnni`, `avx512`, `avx512vnni`, `avx512bf16` or
    /// `neon`.
    public let instructionSet: String

    /// Describes a step.
    public init(
        operands: [KernelTensor?], results: [KernelTensor], attributes: [String: Attribute], workerCount: Int,
        instructionSet: String
    ) {
        self.operands = operands
        self.results = results
        self.attributes = attributes
        self.workerCount = workerCount
        self.instructionSet = instructionSet
    }

    /// An attribute of the op.
    public func attribute(_ name: String) -> Attribute? { attributes[name] }

    /// An operand that must be there.
    /// - Throws: `.mismatch` if it is absent.
    public func operand(_ index: Int) throws(ApusError) -> KernelTensor {
        guard let tensor = optional(index) else {
            throw ApusError(.mismatch, "operand \(index) is absent, and the kernel needs it")
        }
        return tensor
    }

    /// An optional operand.
    public func optional(_ index: Int) -> KernelTensor? { index < operands.count ? operands[index] : nil }
}
