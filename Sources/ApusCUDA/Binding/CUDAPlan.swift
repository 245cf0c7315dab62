import ApusEngine
import ApusGraph
import ApusSupport
import CApusCUDA

/// A plan bound to the memory of a GPU: every launch knows its addresses.
///
/// There are two lists of launches, one for passes of one token a sequence, which is replayed as a graph, and one for
/// prompts. Each is prepared anew where sizes have changed.
final class CUDAPlan: RunnablePlan {
    let binding: PlanBinding
    private let shared: DeviceScratch
    private let runtime: CUDARuntime
    private let weights: CUDAWeights
    private let lists: [LaunchList]
    let stream: CUDAStream
    private let output: CUDAHostMemory?
    private let faults: CUDAHostMemory
    private let outputBytes: Size?
    private let outputTensor: Int
    private var isSized = false
    private var hasRun = false
    private var tokenLoop: CUDATokenLoop?
    /// Why there is no token loop, if it could not be made.
    private var loopWarning: String?
    var profile: StepProfile?

    init(_ binding: PlanBinding, _ runtime: CUDARuntime) throws(ApusError) {
        self.binding = binding
        self.runtime = runtime
        let device = runtime.device
        runtime.kernels.add(binding.engine.kernels)
        let weights = try runtime.weights(of: binding.engine.weights)
        let regions = binding.engine.weights.regions
        self.weights = weights
        func addresses(_ binding: PlanBinding) -> [UnsafeMutableRawPointer] {
            binding.places.map { place in
                switch place {
                case .weight(let region): weights.memory.base + regions[region].offset
                case .address(let address): address
                }
            }
        }
        stream = try CUDAStream(on: device)
        shared = try DeviceScratch(rows: binding.limits.batch, on: device)
        var lists: [LaunchList] = []
        for kind in PassKind.allCases {
            let list = try PhaseTimes.measure("plan of \(kind)") { [shared] () throws(ApusError) in
                let plan = kind.fused(binding.plan)
                let buffers = try BufferPlan(
                    plan, limits: kind.limits(binding.limits), held: binding.heldTensors)
                let own = PlanBinding(binding, plan: plan, buffers: buffers)
                let context = try DeviceContext(own, kind, addresses: addresses(own), shared, runtime)
                return LaunchList(kind, try LaunchSchedule(plan, context), own, context, runtime)
            }
            lists.append(list)
        }
        self.lists = lists
        try shared.reserve(lists.flatMap(\.steps).reduce(0) { max($0, $1.scratchBytes) })
        if let output = binding.plan.outputs.first, binding.plan.tensors[output.tensor].type.element == .f32 {
            let type = binding.plan.tensors[output.tensor].type
            guard let most = binding.bounds.upperBound(of: type.elementCount) else {
                throw ApusError(.internal, "no bound for the size of the logits \(type)")
            }
            self.output = try CUDAHostMemory(4 * most, purpose: "logits", on: device)
            outputBytes = try binding.symbols.size(type.elementCount)
            outputTensor = output.tensor
        } else {
            (self.output, outputBytes, outputTensor) = (nil, nil, 0)
        }
        faults = try CUDAHostMemory(4, purpose: "faults", on: device)
    }

    var plan: Plan { binding.plan }

    var warnings: [String] { lists.flatMap(\.warnings) + [loopWarning].compactMap { $0 } }

    /// The token loop, made when it is first asked for.
    var loop: (any PlanLoop)? {
        if let tokenLoop { return tokenLoop }
        guard loopWarning == nil, let output = plan.outputs.first,
            let size = plan.tensors[output.tensor].type.shape.last?.constant
        else { return nil }
        do throws(ApusError) {
            tokenLoop = try CUDATokenLoop(self, lists, runtime, binding, vocabularySize: size)
        } catch {
            loopWarning =
                "the GPU decodes token by token, not in a loop of its own, which is slower: \(error.message)"
        }
        return tokenLoop
    }

    /// The stream as the driver knows it.
    var streamHandle: apus_cu_stream { stream.handle }

    /// Where a list's logits are on the device.
    func logitsAddress(_ list: LaunchList) -> UnsafeRawPointer? {
        output == nil ? nil : UnsafeRawPointer(list.context.addresses[outputTensor])
    }

    /// Takes the sizes of the frame's pass and copies its inputs to the device.
    func beginLoop() throws(ApusError) {
        try updateSizes()
        try copyInputs()
    }

    private func copyInputs() throws(ApusError) {
        guard let mirror = binding.frame.mirror else { return }
        let driver = runtime.device.driver
        try driver.check(
            driver.functions.copy_in(
                apus_cu_address(UInt(bitPattern: mirror.base)), binding.frame.bytes.baseAddress,
                binding.frame.bytes.count, stream.handle), "copying the inputs")
    }

    var scratchBytes: Int { shared.byteCount }

    func logits() throws(ApusError) -> UnsafeMutablePointer<Float> {
        guard let output else { throw ApusError(.internal, "the engine's first output is not f32 logits") }
        return output.base.assumingMemoryBound(to: Float.self)
    }

    /// The launches for the frame's pass.
    var list: LaunchList {
        let kind = PassKind.of(batch: binding.frame.batch, width: binding.frame.width)
        return lists.first { $0.kind == kind } ?? lists[0]
    }

    /// Takes the sizes of the frame's pass.
    private func updateSizes() throws(ApusError) {
        let frame = binding.frame
        guard try binding.update(isFirst: !isSized, free: { frame.value(of: $0) }) else { return }
        isSized = true
        binding.symbols.settle()
    }

    /// What is launched in the frame's pass.
    func outline() throws(ApusError) -> PassOutline {
        try updateSizes()
        return try list.outline()
    }

    func run() throws(ApusError) {
        guard hasRun else {
            hasRun = true
            return try PhaseTimes.measure("first pass") { () throws(ApusError) in try runPass() }
        }
        try runPass()
    }

    private func runPass() throws(ApusError) {
        let device = runtime.device
        try device.activate()
        try updateSizes()
        let list = list
        let (driver, functions) = (device.driver, device.driver.functions)
        try copyInputs()
        if profile != nil {
            // Passes of one kind are one profile.
            if profile?.passCount == 0 { profile = StepProfile(list.context.plan) }
            try list.runTimed(stream) { profile?.add($1, steps: $0.positions, kernel: $0.step.kernel) }
            profile?.endPass()
        } else {
            try list.run(stream)
        }
        if let output, let outputBytes {
            try driver.check(
                functions.copy_out(
                    output.base, apus_cu_address(UInt(bitPattern: list.context.addresses[outputTensor])),
                    4 * binding.symbols.value(outputBytes), stream.handle), "copying the logits")
        }
        try driver.check(
            functions.copy_out(faults.base, shared.fault.address, 4, stream.handle), "copying faults")
        try driver.check(functions.stream_synchronize(stream.handle), "running a pass")
        let fault = Int(faults.base.load(as: Int32.self))
        guard fault > 0 else { return }
        try driver.check(functions.fill(shared.fault.address, 0, 4, stream.handle), "clearing faults")
        guard let launch = list.steps.first(where: { $0.positions.contains(fault - 1) }) else {
            throw ApusError(
                .internal, "a kernel reports a fault of step \(fault - 1), which is not in the pass")
        }
        let name = launch.step.results.first.map { plan.tensors[$0].name } ?? ""
        throw ApusError(.invalidInput, "\(launch.step.op) (\(name)): \(launch.faultReason)")
    }
}

/// What a pass is like.
enum PassKind: CaseIterable {
    /// One token of a few sequences: weights are read once, and everything else must stay out of the way.
    case decode
    /// Many rows: products of matrices.
    case prefill

    /// Rows up to which a product is a walk over the weights.
    static let mostDecodeRows = 8

    /// How often sizes must have come again before a graph of the launches pays: prompts of one size are rarely many, and
    /// capturing one takes as long as some of them gain.
    var passesBeforeGraph: Int {
        switch self {
        case .decode: 1
        case .prefill: 2
        }
    }

    /// The plan that computes a plan's results in passes of this kind.
    func fused(_ plan: Plan) -> Plan { draft(plan).plan }

    /// What became of the attentions of a plan, each note with the number of those that it is about.
    func notes(_ plan: Plan) -> [String] {
        var notes: [(text: String, count: Int)] = []
        for note in draft(plan).notes {
            if let index = notes.firstIndex(where: { $0.text == note }) {
                notes[index].count += 1
            } else {
                notes.append((note, 1))
            }
        }
        return notes.map { "\($0.count) × \($0.text)" }
    }

    private func draft(_ plan: Plan) -> PlanDraft {
        switch self {
        case .decode: DecodeFusion.fused(plan)
        case .prefill: PrefillFusion.fused(plan)
        }
    }

    /// The largest sizes of a pass of this kind; kernels of few rows compute as many as they are made for.
    func limits(_ limits: SessionLimits) -> SessionLimits {
        switch self {
        case .decode:
            SessionLimits(
                batch: Self.rowCount(min(limits.batch, Self.mostDecodeRows)), chunk: 1,
                capacity: limits.capacity)
        case .prefill: limits
        }
    }

    /// The rows that kernels for few rows are made for: a power of two.
    static func rowCount(_ rows: Int) -> Int { rows <= 1 ? 1 : rows <= 2 ? 2 : rows <= 4 ? 4 : 8 }

    /// How kernels for few rows, which compute as many as they are made for, share out `count` rows of buffers that end behind
    /// the first `most`: one launch where there is room for what it computes behind the last row, else several.
    static func rowRuns(_ count: Int, most: Int) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        var first = 0
        while first < count {
            let left = count - first
            let rows = first + rowCount(left) <= most ? rowCount(left) : left >= 4 ? 4 : left >= 2 ? 2 : 1
            runs.append(first..<(first + rows))
            first += rows
        }
        return runs
    }

    static func of(batch: Int, width: Int) -> PassKind {
        width == 1 && batch <= mostDecodeRows ? .decode : .prefill
    }
}
