import ApusEngine
import ApusGraph
import ApusSupport
import CApusCUDA

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Decode steps that follow one another on the GPU: a graph of the launches of a pass, of the choice of the tokens and of
/// the step forward, which the processor only launches again and again, some steps ahead of the tokens that it reads.
final class CUDATokenLoop: PlanLoop {
    /// The plan holds the loop, and not the other way round: what is on the device ends with the plan.
    private unowned let plan: CUDAPlan
    private let lists: [LaunchList]
    private let runtime: CUDARuntime
    private let frame: Frame
    private let limits: SessionLimits
    private let vocabularySize: Int
    private let cacheMode: CacheMode
    /// i32: step, then for each row its stop and its limit, the end tokens, and the tokens of all steps.
    private let state: CUDAMemory
    private let layout: Layout
    /// For each row, a word for each step: the step + 1 and the token.
    private let words: CUDAHostMemory
    private let sampling: SamplingMemory
    private var graphs: [Captured] = []

    /// End tokens that a device compares with.
    static let mostEndTokens = 32
    /// Steps that are launched before the tokens of the first of them are read.
    private static let stepsAhead = 8
    /// Steps of one graph: between two graphs the device pauses, and what comes after the end of a text is in vain.
    private static let stepsOfGraph = 4

    private struct Layout {
        let stop, limits, ends, out, count: Int
    }

    /// What a graph was captured for.
    private struct GraphKey: Equatable {
        let kind: PassKind
        /// Of the list of launches.
        let generation: Int
        let batch: Int
        let isGreedy: Bool
        let steps: Int
    }

    private final class Captured {
        let graph: CUDAGraph
        let key: GraphKey
        init(_ graph: consuming CUDAGraph, _ key: GraphKey) {
            self.graph = graph
            self.key = key
        }
    }

    init(
        _ plan: CUDAPlan, _ lists: [LaunchList], _ runtime: CUDARuntime, _ binding: PlanBinding,
        vocabularySize: Int
    ) throws(ApusError) {
        self.plan = plan
        self.lists = lists
        self.runtime = runtime
        self.vocabularySize = vocabularySize
        frame = binding.frame
        limits = binding.limits
        cacheMode = binding.plan.cacheMode
        let rows = limits.batch
        let stop = 1
        layout = Layout(
            stop: stop, limits: stop + rows, ends: stop + 2 * rows, out: stop + 2 * rows + Self.mostEndTokens,
            count: stop + 2 * rows + Self.mostEndTokens + rows * limits.capacity)
        state = try CUDAMemory(4 * layout.count, purpose: "the token loop", on: runtime.device)
        words = try CUDAHostMemory(8 * rows * limits.capacity, purpose: "tokens", on: runtime.device)
        sampling = try SamplingMemory(
            rows: rows, vocabularySize: vocabularySize, limits: limits, on: runtime.device)
    }

    func canRun(_ request: TokenLoopRequest) -> Bool {
        let batch = request.tokens.count
        guard let list = list(batch), list.isSteadyInLoops, batch <= limits.batch else { return false }
        // All parts of all rows that are drawn meet at barriers.
        let canDraw =
            (batch * SamplingMemory.slices <= runtime.device.processorCount
                && vocabularySize <= SamplingMemory.mostTokens)
            || request.choices.allSatisfy(\.isGreedy)
        return canDraw && request.endTokens.count <= Self.mostEndTokens
            && request.stepCounts.allSatisfy { $0 <= limits.capacity }
            && (cacheMode == .plugin || (cacheMode == .staticCache && batch == 1))
    }

    /// The launches for so many sequences.
    private func list(_ batch: Int) -> LaunchList? {
        lists.first { $0.kind == PassKind.of(batch: batch, width: 1) }
    }

    func run(
        _ request: TokenLoopRequest, onStep: (UnsafeBufferPointer<Int32>) throws(ApusError) -> Bool
    ) throws(ApusError) {
        let batch = request.tokens.count
        let steps = request.stepCounts.max() ?? 0
        guard steps > 0 else { return }
        let (device, driver) = (runtime.device, runtime.device.driver)
        try device.activate()
        let stream = plan.streamHandle
        try plan.beginLoop()
        try start(request, batch)
        let isGreedy = request.choices.allSatisfy(\.isGreedy)
        let single = try captured(batch, isGreedy: isGreedy, steps: 1)
        let several =
            steps >= Self.stepsOfGraph
            ? try captured(batch, isGreedy: isGreedy, steps: Self.stepsOfGraph) : single
        var launched = 0
        var tokens = [Int32](repeating: 0, count: batch)
        var failure: ApusError?
        step: for step in 0..<steps {
            while launched < min(steps, step + Self.stepsAhead) {
                let graph = steps - launched >= several.key.steps ? several : single
                try driver.check(driver.functions.graph_launch(graph.graph.handle, stream), "launching steps")
                launched += graph.key.steps
            }
            var isAlive = false
            for row in 0..<batch {
                let token = try wait(row, step, stream)
                tokens[row] = token
                if token == -2 {
                    failure = ApusError(
                        .invalidInput,
                        "the logits hold no largest number: a NaN or an infinity among them; check the weights, or choose "
                            + "a precision with more range")
                }
                if token >= 0, step + 1 < request.stepCounts[row], !request.endTokens.contains(token) {
                    isAlive = true
                }
            }
            if failure != nil { break }
            let goesOn = try finishing(stream) { () throws(ApusError) in
                try tokens.withUnsafeBufferPointer { tokens throws(ApusError) in try onStep(tokens) }
            }
            if !goesOn || !isAlive { break step }
        }
        try driver.check(driver.functions.stream_synchronize(stream), "ending the token loop")
        if let failure { throw failure }
    }

    /// Calls back; whatever is thrown waits until the device is done.
    private func finishing(
        _ stream: apus_cu_stream, _ body: () throws(ApusError) -> Bool
    ) throws(ApusError) -> Bool {
        do throws(ApusError) {
            return try body()
        } catch {
            _ = runtime.device.driver.functions.stream_synchronize(stream)
            throw error
        }
    }

    /// The token that a row got in a step, as soon as it is there.
    private func wait(_ row: Int, _ step: Int, _ stream: apus_cu_stream) throws(ApusError) -> Int32 {
        let driver = runtime.device.driver
        let word = words.base + 8 * (row * limits.capacity + step)
        var polls = 0
        while true {
            let value = apus_load_acquire(word)
            if value >> 32 == UInt64(step + 1) { return Int32(truncatingIfNeeded: value) }
            polls += 1
            guard polls % 1024 == 0 else { continue }
            sched_yield()
            // A kernel that failed never writes; a stream that is done has written.
            let status = driver.functions.stream_query(stream)
            if status == APUS_CU_NOT_READY { continue }
            try driver.check(status, "running the token loop")
            guard apus_load_acquire(word) >> 32 == UInt64(step + 1) else {
                throw ApusError(.internal, "the token loop ended without the token of step \(step)")
            }
        }
    }

    /// Writes the state of the first step.
    private func start(_ request: TokenLoopRequest, _ batch: Int) throws(ApusError) {
        var initial = [Int32](repeating: 0, count: layout.out)
        for index in layout.ends..<layout.out { initial[index] = -1 }
        for row in 0..<batch {
            initial[layout.stop + row] = request.stepCounts[row] > 0 ? 0 : 2
            initial[layout.limits + row] = Int32(request.stepCounts[row])
        }
        for (index, token) in request.endTokens.enumerated() { initial[layout.ends + index] = token }
        words.base.initializeMemory(as: UInt8.self, repeating: 0, count: words.byteCount)
        let driver = runtime.device.driver
        let status = initial.withUnsafeBytes {
            driver.functions.copy_in(state.address, $0.baseAddress, $0.count, plan.streamHandle)
        }
        try driver.check(status, "starting the token loop")
        try sampling.load(request.choices, plan.streamHandle)
    }

    /// The graph of so many steps.
    private func captured(_ batch: Int, isGreedy: Bool, steps: Int) throws(ApusError) -> Captured {
        guard let list = list(batch) else { throw ApusError(.internal, "no launches for \(batch) sequences") }
        try list.prepare()
        let key = GraphKey(
            kind: list.kind, generation: list.generation, batch: batch, isGreedy: isGreedy, steps: steps)
        if let known = graphs.first(where: { $0.key == key }) { return known }
        graphs.removeAll { $0.key.kind == key.kind && $0.key.generation != key.generation }
        let tail = try tail(list, batch, isGreedy: isGreedy).map { call throws(ApusError) in
            try PreparedCall(call, runtime.kernels, on: runtime.device, overlaps: runtime.overlaps)
        }
        let stream = plan.streamHandle
        let made = Captured(
            try CUDAGraph(plan.stream, on: runtime.device) { () throws(ApusError) in
                for _ in 0..<steps {
                    try list.enqueueAll(stream)
                    for call in tail { try call.enqueue(stream) }
                }
            }, key)
        graphs.append(made)
        return made
    }

    /// What loops of a plan launch beside its steps.
    static func units(of plan: Plan) -> Set<KernelUnit> {
        guard plan.cacheMode != .recompute, let output = plan.outputs.first,
            let size = plan.tensors[output.tensor].type.shape.last?.constant
        else { return [] }
        return [advance, KernelUnit("argmax"), SamplingMemory.unit(vocabularySize: size)]
    }

    private static let advance = KernelUnit("advance", ["THREADS": "256"])

    /// The choice of the tokens and the step forward.
    private func tail(_ list: LaunchList, _ batch: Int, isGreedy: Bool) throws(ApusError) -> [KernelCall] {
        func word(_ index: Int) -> KernelArgument { .pointer(state.base + 4 * index) }
        func input(_ name: String) -> KernelArgument { .pointer(frame.address(of: name)) }
        let counters: [KernelArgument] = [
            input(Bindings.inputIDs), input(Bindings.positionIDs),
            input(cacheMode == .plugin ? Bindings.contextLengths : Bindings.endIndex),
            input(Bindings.kvCacheStartIndex), word(0), word(layout.stop), word(layout.limits),
            word(layout.ends),
            .int32(Self.mostEndTokens), word(layout.out), .int32(limits.capacity), .pointer(nil), .int32(0),
            .pointer(UnsafeRawPointer(bitPattern: UInt(words.address))), .pointer(nil),
        ]
        let unit = Self.advance
        var calls: [KernelCall] = []
        if isGreedy {
            let best = list.context.bestLogits
            if best.parts == 0 {
                let parts = DeviceScratch.mostBestParts
                calls.append(
                    KernelCall(
                        KernelUnit("argmax"), "argmax_parts", grid: .init(parts, batch), block: .init(256),
                        [
                            .pointer(plan.logitsAddress(list)), .int32(vocabularySize), .pointer(best.values),
                            .pointer(best.indices),
                        ]))
            }
            let parts = best.parts == 0 ? DeviceScratch.mostBestParts : best.parts
            calls.append(
                KernelCall(
                    unit, "advance_greedy", grid: .init(1), block: .init(256),
                    [.pointer(best.values), .pointer(best.indices), .int32(parts), .int32(batch)] + counters))
        } else {
            calls.append(
                sampling.call(plan.logitsAddress(list), batch: batch, step: state.base, runtime.device))
            calls.append(
                KernelCall(
                    unit, "advance", grid: .init(1), block: .init(256),
                    [.pointer(sampling.chosen), .int32(batch)] + counters))
        }
        return calls
    }
}

/// What drawing tokens needs on the device.
final class SamplingMemory {
    private let rows: Int
    private let vocabularySize: Int
    private let capacity: Int
    private let device: CUDADevice
    private var memory: CUDAMemory?

    /// Blocks of a row.
    static let slices = 32
    /// Logits that the blocks of a row hold in shared memory.
    static let mostTokens = 9600 * slices
    private static let bins = 2048
    private var scratchBytes: Int { 8 * (2 + 2 * Self.slices + 6 * Self.bins) * rows }
    private var optionBytes: Int { 4 * 8 * rows }
    private var uniformBytes: Int { 8 * capacity * rows }

    init(rows: Int, vocabularySize: Int, limits: SessionLimits, on device: CUDADevice) throws(ApusError) {
        self.rows = rows
        self.vocabularySize = vocabularySize
        capacity = limits.capacity
        self.device = device
    }

    /// i32 [rows]: the tokens drawn.
    var chosen: UnsafeMutableRawPointer? {
        memory.map { $0.base + scratchBytes + uniformBytes + optionBytes }
    }

    /// Uploads options and uniform numbers; nothing where all take the largest.
    func load(_ choices: [TokenChoice], _ stream: apus_cu_stream) throws(ApusError) {
        guard !choices.allSatisfy(\.isGreedy) else { return }
        let (driver, functions) = (device.driver, device.driver.functions)
        let held: CUDAMemory
        if let memory {
            held = memory
        } else {
            held = try CUDAMemory(
                scratchBytes + uniformBytes + optionBytes + 4 * rows, purpose: "sampling", on: device)
            try driver.check(functions.fill(held.address, 0, held.byteCount, stream), "clearing memory")
            memory = held
        }
        var options: [Float] = []
        var uniforms: [Double] = []
        for choice in choices {
            options += [choice.temperature, Float(choice.topK), choice.topP, choice.minP, 1, 0, 0, 0]
            uniforms += choice.uniforms.prefix(capacity)
            uniforms += Array(repeating: 0, count: capacity - min(choice.uniforms.count, capacity))
        }
        for (bytes, offset) in [
            (uniforms.withUnsafeBytes { Array($0) }, scratchBytes),
            (options.withUnsafeBytes { Array($0) }, scratchBytes + uniformBytes),
        ] {
            let status = bytes.withUnsafeBytes {
                functions.copy_in(held.address + UInt64(offset), $0.baseAddress, $0.count, stream)
            }
            try driver.check(status, "copying options of sampling")
        }
    }

    static func unit(vocabularySize: Int) -> KernelUnit {
        KernelUnit("sample", ["V": "\(vocabularySize)", "SLICES": "\(slices)", "THREADS": "512"])
    }

    /// The launch that draws a token for each row.
    func call(
        _ logits: UnsafeRawPointer?, batch: Int, step: UnsafeRawPointer, _ device: CUDADevice
    ) -> KernelCall {
        let base = memory?.base
        // All slices of all rows wait for each other.
        return KernelCall(
            Self.unit(vocabularySize: vocabularySize), "sample",
            grid: .init(Self.slices, batch), block: .init(512),
            [
                .pointer(logits), .pointer(base.map { $0 + scratchBytes + uniformBytes }),
                .pointer(base.map { $0 + scratchBytes }), .int32(capacity), .pointer(step), .pointer(nil),
                .pointer(nil), .pointer(nil), .pointer(nil), .int32(0), .pointer(nil), .pointer(base),
                .pointer(chosen),
            ])
    }
}
