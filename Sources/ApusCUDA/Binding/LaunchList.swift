import ApusEngine
import ApusGraph
import ApusSupport
import CApusCUDA

/// The launches of one kind of pass, prepared for the sizes of the last one.
final class LaunchList {
    let kind: PassKind
    let steps: [DeviceStep]
    let context: DeviceContext
    /// What became of the layers of a decode step, and why.
    private let notes: [String]
    private let runtime: CUDARuntime
    /// For each step, the symbols that its launches follow, by index.
    private let dependencies: [[Int]]
    /// Whether launches stay the same while positions advance: kernels read all that changes on the device.
    let isSteadyInLoops: Bool
    private var prepared: [[PreparedPart]?]
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

    /// The launches of a part of a step.
    private struct PreparedPart {
        let step: DeviceStep
        var launches: [Prepared] = []
    }

    /// The work of a part of a step.
    private struct Part {
        let step: DeviceStep
        let work: [DeviceWork]
    }

    private final class CapturedGraph {
        let graph: CUDAGraph
        init(_ graph: consuming CUDAGraph) { self.graph = graph }
    }

    init(
        _ kind: PassKind, _ schedule: LaunchSchedule, _ binding: PlanBinding, _ context: DeviceContext,
        _ runtime: CUDARuntime
    ) {
        self.context = context
        self.kind = kind
        let steps = schedule.steps
        self.steps = steps
        notes = schedule.notes
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
        var fresh: [(index: Int, parts: [Part])] = []
        for index in steps.indices where !isPrepared(index) {
            prepared[index] = nil
            isFresh = true
            let parts = try steps[index].parts().map { step throws(ApusError) in
                Part(step: step, work: try step.work())
            }
            fresh.append((index, parts))
        }
        guard isFresh else { return false }
        try PhaseTimes.measure("launches of \(kind)") { () throws(ApusError) in try prepare(fresh) }
        return true
    }

    private func prepare(_ fresh: [(index: Int, parts: [Part])]) throws(ApusError) {
        let all = fresh.flatMap(\.parts).flatMap(\.work)
        let calls = all.compactMap { work in
            if case .kernel(let call) = work { call } else { nil }
        }
        try PhaseTimes.measure("kernels of \(kind)") { () throws(ApusError) in
            try runtime.kernels.prepare(Set(calls.map(\.unit)))
            for call in calls {
                _ = try runtime.kernels.function(call.unit, call.function, sharedBytes: call.sharedBytes)
            }
        }
        let products = all.compactMap { work in
            if case .product(let product) = work { product } else { nil }
        }
        let chosen = products.isEmpty ? [:] : try choose(products)
        for (index, parts) in fresh {
            prepared[index] = try parts.enumerated().map { place, part throws(ApusError) in
                try prepare(part, isFirst: index == 0 && place == 0, chosen)
            }
            sizes[index] = dependencies[index].map { context.symbols[$0] }
        }
    }

    private func prepare(
        _ part: Part, isFirst: Bool, _ chosen: [ProductSize: apus_blaslt_algorithm]
    ) throws(ApusError) -> PreparedPart {
        var prepared = PreparedPart(step: part.step)
        for work in part.work {
            switch work {
            case .kernel(let call):
                let overlaps =
                    runtime.overlaps && !(isFirst && prepared.launches.isEmpty)
                    && part.step.mayOverlap && context.plan.mayStartEarly(part.step.step)
                prepared.launches.append(
                    .kernel(
                        try PreparedCall(
                            call, runtime.kernels, on: runtime.device, overlaps: overlaps,
                            sharesProcessors: context.stagesWeights)))
            case .product(let product):
                guard let algorithm = chosen[product.size] else {
                    throw ApusError(.internal, "no algorithm was chosen for \(product)")
                }
                prepared.launches.append(
                    .product(try PreparedProduct(product, try runtime.products(), algorithm)))
            }
        }
        return prepared
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

    private func enqueue(_ part: PreparedPart, _ stream: apus_cu_stream) throws(ApusError) {
        for entry in part.launches {
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
        for parts in prepared {
            for part in parts ?? [] { try enqueue(part, stream) }
        }
    }

    /// Runs all launches one after another with events around each step, or each part of one.
    func runTimed(
        _ stream: borrowing CUDAStream, _ note: (DeviceStep, Duration) -> Void
    ) throws(ApusError) {
        try prepare()
        let (driver, functions) = (runtime.device.driver, runtime.device.driver.functions)
        var events: [TimedEvent] = [TimedEvent(try CUDAEvent(on: runtime.device))]
        try driver.check(functions.event_record(events[0].event.handle, stream.handle), "recording an event")
        let parts = prepared.flatMap { $0 ?? [] }
        for part in parts {
            try enqueue(part, stream.handle)
            let event = TimedEvent(try CUDAEvent(on: runtime.device))
            try driver.check(functions.event_record(event.event.handle, stream.handle), "recording an event")
            events.append(event)
        }
        try driver.check(functions.stream_synchronize(stream.handle), "running a pass")
        for (index, part) in parts.enumerated() {
            var milliseconds: Float = 0
            try driver.check(
                functions.event_elapsed(
                    &milliseconds, events[index].event.handle, events[index + 1].event.handle),
                "reading an event")
            note(part.step, .seconds(Double(milliseconds) / 1000))
        }
    }

    private final class TimedEvent {
        let event: CUDAEvent
        init(_ event: consuming CUDAEvent) { self.event = event }
    }

    /// What a user should hear of though nothing failed.
    var warnings: [String] { steps.flatMap(\.warnings) }

    /// What is launched at the sizes of the pass, and what is compiled for it.
    func outline() throws(ApusError) -> PassOutline {
        var launches: [String] = []
        var units: Set<KernelUnit> = []
        var products: [LinearProduct] = []
        for step in steps {
            let parts = try step.parts()
            // Kernels of a GPU that cannot do all at once, or of other sizes, are compiled too.
            for other in step.alternatives where !parts.contains(where: { $0 === other }) {
                for case .kernel(let call) in try other.work() { units.insert(call.unit) }
            }
            let lists = try parts.map { part throws(ApusError) in try part.work() }
            for work in lists.joined() {
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
            launches: launches, units: units, products: products, notes: notes,
            isSteadyInLoops: isSteadyInLoops)
    }
}
