import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Where in a tensor the elements lie that index tensors name; filled in by all workers before they are used.
final class IndexPositions {
    private let indices: [(view: TensorView, axis: Int)]
    private let x: TensorView
    private let buffer: HugeBuffer
    private var nests: [apus_nest]
    private var shape: [Int] = []

    /// Indices along the given dimensions of `x`, which broadcast to a common shape of at most `mostCount` elements.
    init(
        _ x: TensorView, _ indices: [(view: TensorView, axis: Int)], rank: Int, mostCount: Int
    ) throws(ApusError) {
        self.x = x
        self.indices = indices
        shape = [Int](repeating: 1, count: rank)
        nests = indices.map { _ in apus_nest() }
        buffer = try HugeBuffer(byteCount: mostCount * MemoryLayout<Int>.size, purpose: "indices")
    }

    /// The position, in elements of `x`, of each index.
    var pointer: UnsafeMutablePointer<Int> { buffer.base.assumingMemoryBound(to: Int.self) }

    /// Number of positions.
    private(set) var count = 0

    /// Takes the sizes of the pass; `size` gives those of the common shape.
    func resize(_ size: (Int) -> Int) {
        count = 1
        var axis = 0
        while axis < shape.count {
            shape[axis] = size(axis)
            count *= shape[axis]
            axis += 1
        }
        var index = 0
        while index < indices.count {
            apus_nest_begin(&nests[index])
            var inner = count
            var axis = 0
            while axis < shape.count {
                inner = shape[axis] == 0 ? 0 : inner / shape[axis]
                apus_nest_add(
                    &nests[index], shape[axis], inner,
                    indices[index].view.stride(axis, broadcastTo: shape.count), 0, 0)
                axis += 1
            }
            apus_nest_end(&nests[index])
            index += 1
        }
    }

    /// Computes a worker's share; returns whether all indices are in range.
    func compute(worker: Int, workers: Int) -> Bool {
        let range = share(count, worker, workers)
        var isValid = true
        var index = 0
        while index < indices.count {
            var nest = nests[index]
            let (view, axis) = indices[index]
            let fault = apus_index_positions(
                view.element.code, view.pointer, x.size(axis), x.stride(axis), index > 0 ? 1 : 0, pointer,
                &nest, range.lowerBound, range.upperBound)
            if fault != 0 { isValid = false }
            index += 1
        }
        return isValid
    }
}

/// Picks elements by index tensors over the leading dimensions, or along one dimension; workers share the indices.
final class IndexLaunch: Launch {
    static let entries = ["index", "index_select"].map { op in
        KernelEntry(
            op: op, kernel: "cpu.\(op)", forms: [.strided, .strided.orNarrow]
        ) { $0.rankRefusal }
    }

    private let x: TensorView
    private let y: TensorView
    private let faults: Faults
    private let positions: IndexPositions
    /// First dimension of the result that the indices give, and how many they give.
    private let axis: Int
    private let commonRank: Int
    /// How many dimensions of x they replace.
    private let indexedRank: Int
    private var rest = apus_nest()

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        faults = context.faults
        x = try context.view(step.operands[0])
        y = try context.view(step.results[0])
        var indices: [(view: TensorView, axis: Int)] = []
        if step.op == "index_select" {
            axis = step.int("dim") < 0 ? step.int("dim") + x.rank : step.int("dim")
            indices.append((try context.view(step.operands[1]), axis))
        } else {
            axis = 0
            for (position, operand) in step.operands.dropFirst().enumerated() {
                indices.append((try context.view(operand), position))
            }
        }
        indexedRank = indices.count
        commonRank = y.rank - (x.rank - indices.count)
        let common = TensorType(.i64, Array(y.type.shape[axis..<axis + commonRank]))
        positions = try IndexPositions(
            x, indices, rank: commonRank, mostCount: try context.mostBytes(common) / 8)
        super.init(step)
    }

    override var phaseCount: Int { 2 }

    override var faultReason: String { "an index is outside the dimension" }

    override func resize() {
        positions.resize { y.size(axis + $0) }
        apus_nest_begin(&rest)
        var dimension = 0
        while dimension < x.rank {
            if dimension < axis || dimension >= axis + indexedRank {
                let place = dimension < axis ? dimension : dimension - indexedRank + commonRank
                apus_nest_add(&rest, x.size(dimension), y.stride(place), x.stride(dimension), 0, 0)
            }
            dimension += 1
        }
        apus_nest_end(&rest)
    }

    override func run(phase: Int, worker: Int, workers: Int) {
        if phase == 0 {
            if !positions.compute(worker: worker, workers: workers) { faults.report(index) }
            return
        }
        guard faults.step == nil else { return }
        var rest = rest
        let bytes = y.element.byteCount
        // Indices of the common shape lie this far apart in the result.
        let step = commonRank == 0 ? 0 : y.stride(axis + commonRank - 1)
        for position in share(positions.count, worker, workers) {
            apus_copy(
                bytes, x.pointer + positions.pointer[position] * bytes, y.pointer + position * step * bytes,
                &rest, 0, rest.count)
        }
    }
}

/// Copies a tensor and replaces what an index names; workers share the elements beside the index.
final class IndexCopyLaunch: Launch {
    static let entry = KernelEntry(
        op: "index_copy", kernel: "cpu.index_copy", forms: [.strided, .strided.orNarrow, .strided]
    ) { $0.rankRefusal }

    private let x: TensorView
    private let source: TensorView
    private let y: TensorView
    private let axis: Int
    private let faults: Faults
    private let positions: IndexPositions
    private var all = apus_nest()
    private var rest = apus_nest()

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        faults = context.faults
        x = try context.view(step.operands[0])
        source = try context.view(step.operands[2])
        y = try context.view(step.results[0])
        axis = step.int("dim") < 0 ? step.int("dim") + x.rank : step.int("dim")
        let index = try context.view(step.operands[1])
        let most = try context.mostBytes(TensorType(.i64, index.type.shape)) / 8
        positions = try IndexPositions(y, [(index, axis)], rank: 1, mostCount: most)
        super.init(step)
    }

    override var phaseCount: Int { 2 }

    override var faultReason: String { "an index is outside the dimension" }

    override func resize() {
        all = apus_nest(y, x)
        positions.resize { _ in source.size(axis) }
        apus_nest_begin(&rest)
        var dimension = 0
        while dimension < y.rank {
            if dimension != axis {
                apus_nest_add(
                    &rest, y.size(dimension), y.stride(dimension), source.stride(dimension), 0, 0)
            }
            dimension += 1
        }
        apus_nest_end(&rest)
    }

    override func run(phase: Int, worker: Int, workers: Int) {
        let bytes = y.element.byteCount
        if phase == 0 {
            var all = all
            let range = share(all.count, worker, workers, grain: UnaryLaunch.grain)
            apus_copy(bytes, x.pointer, y.pointer, &all, range.lowerBound, range.upperBound)
            if !positions.compute(worker: worker, workers: workers) { faults.report(index) }
            return
        }
        guard faults.step == nil else { return }
        var rest = rest
        let range = share(rest.count, worker, workers)
        // Of two indices that are equal, the later wins: each worker goes through them in order.
        for position in 0..<positions.count {
            apus_copy(
                bytes, source.pointer + position * source.stride(axis) * bytes,
                y.pointer + positions.pointer[position] * bytes, &rest, range.lowerBound, range.upperBound)
        }
    }
}
