import ApusGraph
public import ApusSupport

/// The largest sizes a session runs with; its memory is planned for them once.
public struct SessionLimits: Sendable, Hashable {
    /// Sequences in one batch.
    public var batch: Int
    /// New tokens a sequence may have in one forward pass; longer prompts run in chunks.
    public var chunk: Int
    /// Tokens of one sequence that the KV cache holds.
    public var capacity: Int

    /// Makes limits; each is at least 1.
    public init(batch: Int, chunk: Int, capacity: Int) {
        self.batch = max(batch, 1)
        self.chunk = max(chunk, 1)
        self.capacity = max(capacity, 1)
    }

    /// The value a plan's symbol has at these limits.
    public func value(of symbol: String) -> Int? {
        switch symbol {
        case Bindings.batchSymbol, Bindings.startSymbol: batch
        case Bindings.tokensSymbol: chunk
        case Bindings.capacitySymbol: capacity
        default: nil
        }
    }
}

/// Offsets of all activations in one arena, so that nothing is allocated while a model runs.
///
/// Two tensors share bytes only if no step needs both. Larger tensors are placed first, each at the lowest offset
/// that is free during its whole life.
public struct BufferPlan: Sendable {
    /// Offset in bytes of each tensor that owns activation memory; nil for all others.
    public let offsets: [Int?]
    /// Size of the arena in bytes.
    public let byteCount: Int

    /// Every tensor starts at a multiple of this many bytes.
    static let alignment = 64

    private struct Interval {
        let tensor: Int
        let bytes: Int
        let first: Int
        let last: Int
    }

    /// Plans the activations of `plan` for sessions within `limits`.
    /// - Parameters:
    ///   - plan: The plan.
    ///   - limits: The largest sizes.
    ///   - held: Activations whose memory lies elsewhere, such as the updates of caches.
    /// - Throws: `.internal` if a shape mentions a symbol that limits do not bound.
    public init(_ plan: Plan, limits: SessionLimits, held: Set<Int> = []) throws(ApusError) {
        let bounds = SizeBounds(plan.symbols, limits: limits)
        var intervals: [Interval] = []
        for (index, tensor) in plan.tensors.enumerated()
        where tensor.storage == .activation && !held.contains(index) {
            let (first, last) = Self.life(of: index, in: plan)
            // What steps computed that others have taken over needs no memory.
            if first > last { continue }
            guard let count = bounds.upperBound(of: tensor.type.elementCount),
                (0...Plan.mostElements).contains(count)
            else {
                throw ApusError(
                    .internal, "tensor \(tensor.name): no bound for the size of \(tensor.type)")
            }
            let bytes = max(count * tensor.type.element.byteCount, 1)
            intervals.append(Interval(tensor: index, bytes: bytes, first: first, last: last))
        }
        intervals.sort { ($0.bytes, $1.first) > ($1.bytes, $0.first) }

        var offsets = [Int?](repeating: nil, count: plan.tensors.count)
        var placed: [(interval: Interval, offset: Int)] = []
        var top = 0
        for interval in intervals {
            let rivals = placed.filter {
                $0.interval.first <= interval.last && interval.first <= $0.interval.last
            }
            .sorted { $0.offset < $1.offset }
            var offset = 0
            for rival in rivals where offset + interval.bytes > rival.offset {
                offset = max(offset, Self.aligned(rival.offset + rival.interval.bytes))
            }
            offsets[interval.tensor] = offset
            placed.append((interval, offset))
            top = max(top, offset + interval.bytes)
        }
        self.offsets = offsets
        byteCount = Self.aligned(top)
    }

    private static func aligned(_ offset: Int) -> Int { (offset + alignment - 1) / alignment * alignment }

    /// First and last step that touch the bytes of a tensor; outputs live to the end.
    private static func life(of tensor: Int, in plan: Plan) -> (first: Int, last: Int) {
        var first = plan.steps.count
        var last = -1
        for (position, step) in plan.steps.enumerated() {
            let touches =
                step.results.contains { plan.root(of: $0) == tensor }
                || step.operands.contains { $0.map(plan.root(of:)) == tensor }
            if touches {
                first = min(first, position)
                last = max(last, position)
            }
        }
        if plan.outputs.contains(where: { plan.root(of: $0.tensor) == tensor }) { last = plan.steps.count }
        return (first, last)
    }
}
