package import ApusGraph
package import ApusSupport

/// What executors ask of a device: memory, and plans bound to it.
package protocol PlanDevice {
    /// Memory for activations or caches; all zero.
    /// - Throws: `.outOfMemory` that names the purpose.
    func allocate(_ byteCount: Int, purpose: String) throws(ApusError) -> any DeviceMemory

    /// Bytes of activations that the plans need which the device makes of a plan; nil where it runs the plan itself.
    func arenaBytes(_ plan: Plan, limits: SessionLimits, held: Set<Int>) throws(ApusError) -> Int?

    /// Memory for a copy of a frame of so many bytes; nil where kernels read the frame itself.
    func allocateMirror(_ byteCount: Int) throws(ApusError) -> (any DeviceMemory)?

    /// Binds a plan to memory.
    func bind(_ binding: PlanBinding) throws(ApusError) -> any RunnablePlan
}

extension PlanDevice {
    /// None: the device runs the plan itself.
    package func arenaBytes(_ plan: Plan, limits: SessionLimits, held: Set<Int>) throws(ApusError) -> Int? {
        nil
    }
}

/// A plan whose kernels know their pointers: a pass over all of them allocates nothing.
package protocol RunnablePlan: AnyObject {
    /// The plan.
    var plan: Plan { get }
    /// Decode steps without the processor between them; nil where there is no such thing.
    var loop: (any PlanLoop)? { get }
    /// What a user should hear of though nothing failed.
    var warnings: [String] { get }
    /// Bytes held beside activations and caches.
    var scratchBytes: Int { get }
    /// Where the times of steps go; nil while nobody asks.
    var profile: StepProfile? { get set }
    /// The logits of the last pass, [B, V] or [B, S, V], in memory that the processor reads; fixed for all passes.
    /// - Throws: `.internal` if the plan's first output is not f32.
    func logits() throws(ApusError) -> UnsafeMutablePointer<Float>
    /// Runs all steps on the inputs as they are, with the sizes of the frame.
    /// - Throws: `.invalidInput` if a symbol's value exceeds what memory was planned for, or a step's data has no
    ///   answer, such as an index outside a table.
    func run() throws(ApusError)
}

extension RunnablePlan {
    /// None.
    package var loop: (any PlanLoop)? { nil }
    /// None.
    package var warnings: [String] { [] }
}

/// Decode steps of a plan that a device runs by itself.
package protocol PlanLoop: AnyObject {
    /// Whether the loop can serve a request.
    func canRun(_ request: TokenLoopRequest) -> Bool
    /// Runs the steps; the frame holds the inputs of the first.
    func run(
        _ request: TokenLoopRequest, onStep: (UnsafeBufferPointer<Int32>) throws(ApusError) -> Bool
    ) throws(ApusError)
}

/// Where each tensor of a plan lies, and what its sizes follow.
package struct PlanBinding {
    /// The engine that the plan is of.
    package let engine: Engine
    /// The plan: the engine's, or one that computes the same.
    package let plan: Plan
    /// The inputs of a pass.
    package let frame: Frame
    /// The largest sizes.
    package let limits: SessionLimits
    /// Activations, maybe shared with other bindings of the plan.
    package let memory: PlanMemory
    /// First byte of the memory of each tensor that is no weight; of a weight, nothing that may be used.
    package private(set) var places: [Place] = []
    /// The values that sizes and positions are computed from.
    package let symbols: SymbolValues
    /// How large sizes may become.
    package let bounds: SizeBounds
    /// What every pass of new sizes is checked with.
    package let extents: PlanExtents

    private let held: [Int: UnsafeMutableRawPointer]
    private let given: [String: UnsafeMutableRawPointer]

    /// Where the memory of a tensor is.
    package enum Place {
        /// In a region of the engine's weights, wherever the device holds them.
        case weight(Int)
        /// At an address of the device.
        case address(UnsafeMutableRawPointer)
    }

    /// Binds a plan.
    /// - Parameters:
    ///   - memory: Activations, planned for no less than `limits`; nil allocates them.
    ///   - held: The memory of activations that lie elsewhere, such as updates of caches.
    ///   - input: The memory of an input, by name and type, which must outlive the plan; nil is the frame's own.
    /// - Throws: `.outOfMemory`, and whatever `input` throws.
    package init(
        _ engine: Engine, frame: Frame, limits: SessionLimits, on device: any PlanDevice,
        memory: PlanMemory? = nil, held: [Int: UnsafeMutableRawPointer] = [:],
        input: (String, TensorType) throws(ApusError) -> UnsafeMutableRawPointer? = {
            _, _ throws(ApusError) in nil
        }
    ) throws(ApusError) {
        self.engine = engine
        plan = engine.plan
        self.held = held
        self.frame = frame
        self.limits = limits
        let own: PlanMemory
        if let memory {
            own = memory
        } else {
            own = try PlanMemory(engine.plan, limits: limits, held: Set(held.keys), on: device)
        }
        self.memory = own
        var given: [String: UnsafeMutableRawPointer] = [:]
        for (index, tensor) in engine.plan.tensors.enumerated() {
            switch tensor.storage {
            case .weight(let region): places.append(.weight(region))
            case .activation:
                places.append(.address(held[index] ?? own.arena.base + (own.buffers.offsets[index] ?? 0)))
            case .alias(let owner): places.append(places[owner])
            case .input(let name):
                given[name] = try input(name, tensor.type)
                guard let address = given[name] ?? frame.address(of: name) else {
                    throw ApusError(
                        .internal, "the engine has an input '\(name)' that the runtime does not know")
                }
                places.append(.address(address))
            }
        }
        self.given = given
        symbols = try SymbolValues(engine.plan.symbols, limits: limits) { name in
            (given[name] ?? frame.pointer(of: name)).map {
                UnsafePointer($0.assumingMemoryBound(to: Int32.self))
            }
        }
        bounds = SizeBounds(engine.plan.symbols, limits: limits)
        extents = try PlanExtents(engine.plan, symbols)
        frame.symbols = symbols
    }

    /// The binding of a plan of the same tensors and inputs that other steps compute: it shares all memory but the places
    /// of activations, for which ``memory`` must have room.
    /// - Parameters:
    ///   - plan: Its tensors begin with those of this plan, each with the same symbols.
    ///   - buffers: Where its activations lie.
    package init(_ other: PlanBinding, plan: Plan, buffers: BufferPlan) {
        engine = other.engine
        self.plan = plan
        (frame, limits, memory) = (other.frame, other.limits, other.memory)
        (held, given) = (other.held, other.given)
        (symbols, bounds, extents) = (other.symbols, other.bounds, other.extents)
        for index in plan.tensors.indices {
            let root = plan.root(of: index)
            switch plan.tensors[root].storage {
            case .weight, .input: places.append(other.places[root])
            default:
                places.append(.address(held[root] ?? memory.arena.base + (buffers.offsets[root] ?? 0)))
            }
        }
    }

    /// The activations whose memory lies elsewhere.
    package var heldTensors: Set<Int> { Set(held.keys) }

    /// For each step, the symbols that its sizes, steps and attributes mention, by index.
    package var dependencies: [[Int]] {
        plan.steps.map { step in
            var names: Set<String> = []
            for tensor in step.operands.compactMap({ $0 }) + step.results {
                let tensor = plan.tensors[tensor]
                for dimension in tensor.type.shape + tensor.layout.strides + [tensor.layout.offset] {
                    names.formUnion(dimension.symbols)
                }
            }
            for attribute in step.attributes.values {
                switch attribute {
                case .dimension(let dimension): names.formUnion(dimension.symbols)
                case .dimensions(let list): names.formUnion(list.flatMap(\.symbols))
                default: break
                }
            }
            return symbols.indices(of: names)
        }
    }

    /// Takes the sizes of a pass.
    /// - Parameter free: The values of the symbols that do not follow from others.
    /// - Returns: Whether any has changed since the last pass settled.
    /// - Throws: `.invalidInput` if a symbol's value exceeds what memory was planned for.
    package func update(isFirst: Bool, free: (String) -> Int?) throws(ApusError) -> Bool {
        // Several bindings may share a frame.
        frame.symbols = symbols
        try symbols.update(free: free)
        let hasChanged = isFirst || symbols.hasChanged
        if hasChanged { try extents.check(symbols) }
        return hasChanged
    }
}
