import ApusEngine
import ApusGraph
import ApusSupport
import CApusCUDA

/// The launches of one kind of pass, prepared for the sizes of the last one.
final class LaunchList {
    let kind: PassKind
    let steps: [DeviceStep]
    let context: DeviceContext
    private let runtime: CUDARuntime
    /// For each step, the symbols that its launches follow, by index.
    private let dependencies: [[Int]]
    /// Whether launches stay the same while positions advance: kernels read all that changes on the device.
    let isSteadyInLoops: Bool
    private var prepared: [[Prepared]?]
    /// For each step, the values of its symbols that its launches are for.
    private var sizes: [[Int]]
    /// Goes up whenever a launch has changed.
    private(set) var generation = 0
    private var graph: CapturedGraph?
    /// Passes in a row whose sizes were those of the pass before.
    private var samePasses = 0
    /// What the engine knows of products on this GPU.
    private let algorithms: StoredAlgorithms?

    private enum Prepared {
        case kernel(PreparedCall)
        case product(PreparedProduct)
    }

    private final class CapturedGraph {
        let graph: CUDAGraph
        init(_ graph: consuming CUDAGraph) { self.graph = graph }
    }

    init(
        _ kind: PassKind, _ steps: [DeviceStep], _ binding: PlanBinding, _ context: DeviceContext,
        _ runtime: CUDARuntime
    ) {
        self.context = context
        self.kind = kind
        self.steps = steps
        self.runtime = runtime
        algorithms = runtime.algorithms(of: binding.engine.kernels)
        prepared = Array(repeating: nil, count: steps.count)
        sizes = Array(repeating: [], count: steps.count)
        // What a fused plan lets a step read, it depends on.
        let all = binding.dependencies
        dependencies = steps.map { step in
            let ignored = Set(binding.symbols.indices(of: step.deviceSymbols))
            return Array(Set(step.positions.flatMap { all[$0] }).subtracting(ignored)).sorted()
        }
        // What does not follow from batch, width and capacity follows from a position.
        let free = Set(
            binding.symbols.indices(of: Set(binding.plan.symbols.filter { $0.definition == nil }.map(\.name)))
        )
        isSteadyInLoops = dependencies.allSatisfy { free.isSuperset(of: $0) }
    }

    /// Prepares what has no launches for the sizes of the pass; returns whether there was any such.
    ///
    /// Sizes are compared with those of the list's own last pass: prompts and decode steps take turns.
    @discardableResult
    func prepare() throws(ApusError) -> Bool {
        var isFresh = false
        defer {
            if isFresh {
                graph = nil
                generation += 1
            }
        }
        var fresh: [(index: Int, work: [DeviceWork])] = []
        for index in steps.indices where !isPrepared(index) {
            prepared[index] = nil
            isFresh = true
            fresh.append((index, try steps[index].work()))
        }
        guard isFresh else { return false }
        try PhaseTimes.measure("launches of \(kind)") { () throws(ApusError) in try prepare(fresh) }
        return true
    }

    private func prepare(_ fresh: [(index: Int, work: [DeviceWork])]) throws(ApusError) {
        let calls = fresh.flatMap(\.work).compactMap { work in
            if case .kernel(let call) = work { call } else { nil }
        }
        try PhaseTimes.measure("kernels of \(kind)") { () throws(ApusError) in
            try runtime.kernels.prepare(Set(calls.map(\.unit)))
            for call in calls {
                _ = try runtime.kernels.function(call.unit, call.function, sharedBytes: call.sharedBytes)
            }
        }
        let products = fresh.flatMap(\.work).compactMap { work in
            if case .product(let product) = work { product } else { nil }
        }
        let chosen = products.isEmpty ? [:] : try choose(products)
        for (index, work) in fresh {
            var list: [Prepared] = []
            for work in work {
                switch work {
                case .kernel(let call):
                    let overlaps =
                        runtime.overlaps && !(index == 0 && list.isEmpty)
                        && steps[index].mayOverlap && context.plan.mayStartEarly(steps[index].step)
                    list.append(
                        .kernel(
                            try PreparedCall(
                                call, runtime.kernels, on: runtime.device, overlaps: overlaps,
                                sharesProcessors: context.stagesWeights)))
                case .product(let product):
                    guard let algorithm = chosen[product.size] else {
                        throw ApusError(.internal, "no algorithm was chosen for \(product)")
                    }
                    list.append(
                        .product(try PreparedProduct(product, try runtime.products(), algorithm)))
                }
            }
            prepared[index] = list
            sizes[index] = dependencies[index].map { context.symbols[$0] }
        }
    }

    private func choose(
        _ products: [LinearProduct]
    ) throws(ApusError) -> [ProductSize: apus_blaslt_algorithm] {
        try PhaseTimes.measure("algorithms of \(kind)") { () throws(ApusError) in
            try runtime.products().choose(products, stored: algorithms)
        }
    }

    /// Whether a step's launches are those for the sizes of the pass.
    private func isPrepared(_ index: Int) -> Bool {
        guard prepared[index] != nil else { return false }
        var place = 0
        while place < dependencies[index].count {
            if sizes[index][place] != context.symbols[dependencies[index][place]] { return false }
            place += 1
        }
        return true
    }

    private func enqueue(_ list: [Prepared]?, _ stream: apus_cu_stream) throws(ApusError) {
        for entry in list ?? [] {
            switch entry {
            case .kernel(let call): try call.enqueue(stream)
            case .product(let product): try product.enqueue(stream)
            }
        }
    }

    /// Puts all launches into a stream: as a graph where the sizes have been the same before.
    func run(_ stream: borrowing CUDAStream) throws(ApusError) {
        samePasses = try prepare() ? 0 : samePasses + 1
        if samePasses >= kind.passesBeforeGraph, !runtime.device.driver.isNull {
            if graph == nil {
                let handle = stream.handle
                graph = CapturedGraph(
                    try CUDAGraph(stream, on: runtime.device) { () throws(ApusError) in try enqueueAll(handle)
                    })
            }
            if let graph {
                let driver = runtime.device.driver
                try driver.check(
                    driver.functions.graph_launch(graph.graph.handle, stream.handle), "launching a graph")
                return
            }
        }
        try enqueueAll(stream.handle)
    }

    /// Puts all launches into a stream, one by one.
    func enqueueAll(_ stream: apus_cu_stream) throws(ApusError) {
        for list in prepared { try enqueue(list, stream) }
    }

    /// Runs all launches one after another with events around each step.
    func runTimed(
        _ stream: borrowing CUDAStream, _ note: (Int, Duration) -> Void
    ) throws(ApusError) {
        try prepare()
        let (driver, functions) = (runtime.device.driver, runtime.device.driver.functions)
        var events: [TimedEvent] = [TimedEvent(try CUDAEvent(on: runtime.device))]
        try driver.check(functions.event_record(events[0].event.handle, stream.handle), "recording an event")
        for list in prepared {
            try enqueue(list, stream.handle)
            let event = TimedEvent(try CUDAEvent(on: runtime.device))
            try driver.check(functions.event_record(event.event.handle, stream.handle), "recording an event")
            events.append(event)
        }
        try driver.check(functions.stream_synchronize(stream.handle), "running a pass")
        for index in steps.indices {
            var milliseconds: Float = 0
            try driver.check(
                functions.event_elapsed(
                    &milliseconds, events[index].event.handle, events[index + 1].event.handle),
                "reading an event")
            note(steps[index].positions.last ?? 0, .seconds(Double(milliseconds) / 1000))
        }
    }

    private final class TimedEvent {
        let event: CUDAEvent
        init(_ event: consuming CUDAEvent) { self.event = event }
    }

    /// What is launched at the sizes of the pass, and what is compiled for it.
    func outline() throws(ApusError) -> PassOutline {
        var launches: [String] = []
        var units: Set<KernelUnit> = []
        var products: [LinearProduct] = []
        for step in steps {
            for work in try step.work() {
                switch work {
                case .kernel(let call):
                    launches.append(call.description)
                    units.insert(call.unit)
                case .product(let product):
                    launches.append(product.description)
                    products.append(product)
                }
            }
        }
        return PassOutline(
            launches: launches, units: units, products: products, isSteadyInLoops: isSteadyInLoops)
    }
}

/// What one pass launches.
struct PassOutline {
    /// The launches as text.
    let launches: [String]
    /// What is compiled for them.
    let units: Set<KernelUnit>
    /// What cuBLASLt multiplies in it.
    let products: [LinearProduct]
    /// Whether they stay the same while positions advance.
    let isSteadyInLoops: Bool
}
