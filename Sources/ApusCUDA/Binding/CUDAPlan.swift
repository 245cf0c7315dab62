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
    let context: DeviceContext
    private let runtime: CUDARuntime
    private let weights: CUDAWeights
    private let lists: [LaunchList]
    private let stream: CUDAStream
    private let output: CUDAHostMemory?
    private let faults: CUDAHostMemory
    private let outputBytes: Size?
    private let outputAddress: UnsafeMutableRawPointer?
    private var isSized = false
    var profile: StepProfile?
    /// Told of every entry of a stream, as text; for tests.
    var trace: ((String) -> Void)?

    init(_ binding: PlanBinding, _ runtime: CUDARuntime) throws(ApusError) {
        self.binding = binding
        self.runtime = runtime
        let device = runtime.device
        runtime.kernels.add(binding.engine.kernels)
        let weights = try runtime.weights(of: binding.engine.weights)
        self.weights = weights
        let addresses = binding.places.map { place in
            switch place {
            case .weight(let region): weights.address(of: region)
            case .address(let address): address
            }
        }
        stream = try CUDAStream(on: device)
        context = try DeviceContext(binding, addresses: addresses, on: device)
        var lists: [LaunchList] = []
        for kind in [PassKind.decode, .prefill] {
            let steps = try LaunchSchedule(binding.plan, kind, context, runtime).steps
            lists.append(LaunchList(kind, steps, binding, runtime))
        }
        self.lists = lists
        try context.reserveScratch(lists.flatMap(\.steps).reduce(0) { max($0, $1.scratchBytes) })
        if let output = binding.plan.outputs.first, binding.plan.tensors[output.tensor].type.element == .f32 {
            let type = binding.plan.tensors[output.tensor].type
            let most = try context.most(type.elementCount)
            self.output = try CUDAHostMemory(4 * most, purpose: "logits", on: device)
            outputBytes = try context.size(type.elementCount)
            outputAddress = addresses[output.tensor]
        } else {
            (output, outputBytes, outputAddress) = (nil, nil, nil)
        }
        faults = try CUDAHostMemory(4, purpose: "faults", on: device)
    }

    var plan: Plan { binding.plan }

    var scratchBytes: Int { context.scratchBytes }

    func logits() throws(ApusError) -> UnsafeMutablePointer<Float> {
        guard let output else { throw ApusError(.internal, "the engine's first output is not f32 logits") }
        return output.base.assumingMemoryBound(to: Float.self)
    }

    func run() throws(ApusError) {
        let (device, frame) = (runtime.device, binding.frame)
        try device.activate()
        let hasChanged = try binding.update(isFirst: !isSized) { frame.value(of: $0) }
        let list = lists[PassKind.of(batch: frame.batch, width: frame.width) == .decode ? 0 : 1]
        if hasChanged {
            for list in lists { list.noteChanges(binding.symbols) }
            isSized = true
            binding.symbols.settle()
        }
        let (driver, functions) = (device.driver, device.driver.functions)
        if let mirror = frame.mirror {
            try driver.check(
                functions.copy_in(
                    apus_cu_address(UInt(bitPattern: mirror.base)), frame.bytes.baseAddress, frame.bytes.count,
                    stream.handle), "copying the inputs")
        }
        if let trace {
            try list.trace(trace)
        } else if profile != nil {
            try list.runTimed(stream) { profile?.add($1, step: $0) }
            profile?.endPass()
        } else {
            try list.run(stream)
        }
        if let output, let outputBytes, let outputAddress {
            try driver.check(
                functions.copy_out(
                    output.base, apus_cu_address(UInt(bitPattern: outputAddress)),
                    4 * binding.symbols.value(outputBytes), stream.handle), "copying the logits")
        }
        try driver.check(
            functions.copy_out(faults.base, context.fault.address, 4, stream.handle), "copying faults")
        try driver.check(functions.stream_synchronize(stream.handle), "running a pass")
        let fault = Int(faults.base.load(as: Int32.self))
        guard fault > 0 else { return }
        try driver.check(functions.fill(context.fault.address, 0, 4, stream.handle), "clearing faults")
        let step = plan.steps[min(fault, plan.steps.count) - 1]
        let name = step.results.first.map { plan.tensors[$0].name } ?? ""
        let reason = list.steps.first { $0.positions.contains(fault - 1) }?.faultReason ?? ""
        throw ApusError(.invalidInput, "\(step.op) (\(name)): \(reason)")
    }
}

/// What a pass is like.
enum PassKind {
    /// One token of a few sequences: weights are read once, and everything else must stay out of the way.
    case decode
    /// Many rows: products of matrices.
    case prefill

    /// Rows up to which a product is a walk over the weights.
    static let mostDecodeRows = 8

    static func of(batch: Int, width: Int) -> PassKind {
        width == 1 && batch <= mostDecodeRows ? .decode : .prefill
    }
}
