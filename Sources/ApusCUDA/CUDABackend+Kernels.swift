public import ApusEngine
import ApusGraph
public import ApusSupport

extension CUDABackend {
    /// Compiles every kernel that a plan may launch, for the device or for the architectures that were asked for, and times
    /// the products of prompts if the device is there.
    ///
    /// What these are is asked of the launches themselves, at one size of each kind of pass: no kernel is specialised by
    /// sizes of a session.
    /// - Throws: `.notFound` without NVRTC.
    public func compileKernels(for plan: Plan, _ plugins: PluginRegistry) throws(ApusError) -> KernelStore {
        var store = KernelStore()
        var targets: [KernelCompiler.Target] = []
        for architecture in architectures {
            targets += try Self.units(of: plan, plugins, architecture, stacksLayers: runtime.stacksLayers)
                .sorted { $0.id < $1.id }
                .map { KernelCompiler.Target(unit: $0, architecture: architecture) }
        }
        let images = try PhaseTimes.measure("compiling kernels") { () throws(ApusError) in
            try KernelCompiler.system().compile(targets)
        }
        for (target, image) in zip(targets, images) {
            store.add(image, target.unit.id, for: target.architecture.description)
        }
        if let algorithms = try timeProducts(of: plan, plugins) {
            store.add(algorithms, for: runtime.device.architecture.description)
        }
        return store
    }

    /// What passes of a plan launch.
    static func units(
        of plan: Plan, _ plugins: PluginRegistry, _ architecture: CUDAArchitecture,
        stacksLayers: Bool? = nil
    ) throws(ApusError) -> Set<KernelUnit> {
        var units: Set<KernelUnit> = []
        var batch = 1
        // A chunk of a few tokens and a long one take different kernels.
        var passes = [(1, 2), (1, 512)]
        while batch <= (plan.hasSymbolicBatch ? AttentionShape.mostBatches : 1) {
            passes.append((batch, 1))
            batch *= 2
        }
        for (batch, width) in passes {
            for capacity in [2 * width + 254, 2 * AttentionShape.longCapacity] {
                units.formUnion(
                    try outline(
                        of: plan, plugins, architecture, batch: batch, width: width, capacity: capacity,
                        stacksLayers: stacksLayers
                    )
                    .units)
            }
        }
        // The token loop's own.
        return units.union(CUDATokenLoop.units(of: plan))
    }

    /// What a decode step and a prompt of 512 tokens launch, for the device or the first architecture asked for.
    public func launches(of plan: Plan, _ plugins: PluginRegistry) throws(ApusError) -> [PassListing] {
        guard let architecture = architectures.first else { return [] }
        var passes: [PassListing] = []
        for (title, width) in [("decode of 1 token", 1), ("prompt of 512 tokens", 512)] {
            let outline = try Self.outline(
                of: plan, plugins, architecture, batch: 1, width: width, stacksLayers: runtime.stacksLayers)
            passes.append(
                PassListing(
                    title: "\(title) on \(architecture)", launches: outline.launches,
                    notes: PassKind.of(batch: 1, width: width).notes(plan) + outline.notes))
        }
        return passes
    }

    /// What one pass of a plan launches on a GPU of an architecture.
    static func outline(
        of plan: Plan, _ plugins: PluginRegistry, _ architecture: CUDAArchitecture, batch: Int, width: Int,
        capacity: Int = 2048, stacksLayers: Bool? = nil
    ) throws(ApusError) -> PassOutline {
        let (bound, caches) = try bound(
            plan, plugins, architecture, batch: batch, width: width, capacity: capacity,
            stacksLayers: stacksLayers)
        return try withExtendedLifetime(caches) { () throws(ApusError) in try bound.outline() }
    }

    /// A plan bound to a GPU of an architecture that need not be there, with the inputs of a pass, and its caches.
    static func bound(
        _ plan: Plan, _ plugins: PluginRegistry, _ architecture: CUDAArchitecture, batch: Int, width: Int,
        capacity: Int, driver: CUDADriver = .null, stacksLayers: Bool? = nil
    ) throws(ApusError) -> (plan: CUDAPlan, caches: [any DeviceMemory]) {
        let runtime = CUDARuntime(
            CUDADevice(imitating: architecture, driver: driver), stacksLayers: stacksLayers)
        let device = CUDAPlanDevice(runtime: runtime)
        let limits = SessionLimits(batch: batch, chunk: width, capacity: capacity)
        let info = ModelInfo(
            modelType: "", vocabularySize: 1, maxPositions: limits.capacity, layerCount: 0, precision: .f32)
        let engine = Engine(
            info: info, plan: plan,
            weights: try placeholders(of: plan),
            precision: .f32, plugins: plugins)
        let frame = try Frame(limits: limits, mirror: device.allocateMirror)
        var caches: [any DeviceMemory] = []
        let binding = try PlanBinding(engine, frame: frame, limits: limits, on: device) {
            name, type throws(ApusError) in
            guard Bindings.kvCacheLayer(name) != nil else { return nil }
            let cache = try device.allocate(1, purpose: "the KV cache")
            caches.append(cache)
            return cache.base
        }
        let bound = try CUDAPlan(binding, runtime)
        let (tokens, counts) = (
            [Int32](repeating: 0, count: batch * width), [Int32](repeating: Int32(width), count: batch)
        )
        let cached = [Int32](repeating: width == 1 ? 64 : 0, count: batch)
        try tokens.withUnsafeBufferPointer { tokens throws(ApusError) in
            try counts.withUnsafeBufferPointer { counts throws(ApusError) in
                try cached.withUnsafeBufferPointer { cached throws(ApusError) in
                    try frame.load(
                        tokens: tokens, batch: batch, width: width, newCounts: counts, cachedCounts: cached,
                        vocabularySize: 1, maxPositions: limits.capacity)
                }
            }
        }
        return (bound, caches)
    }

    /// Weights of which nothing but places is there.
    private static func placeholders(of plan: Plan) throws(ApusError) -> WeightStore {
        var regions: [Int: WeightStore.Region] = [:]
        for tensor in plan.tensors {
            guard case .weight(let index) = tensor.storage else { continue }
            regions[index] = WeightStore.Region(
                name: tensor.name, type: tensor.type, offset: index << 12, byteCount: 0,
                packing: tensor.packing)
        }
        let count = (regions.keys.max() ?? -1) + 1
        let none = TensorType(.u8, [Dimension]())
        return try WeightStore(
            regions: (0..<count).map {
                regions[$0] ?? WeightStore.Region(name: "", type: none, offset: 0, byteCount: 0)
            }, byteCount: 64)
    }
}
