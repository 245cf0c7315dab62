import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// A tensor as a launch reads or writes it: its memory, and sizes and steps that follow the symbols.
struct TensorView {
    /// The number of dimensions that kernels loop over.
    static let mostDimensions = Int(APUS_MOST_DIMENSIONS)

    /// Element type in memory.
    let element: ElementType
    /// The graph's shape.
    let type: TensorType
    private let memory: UnsafeMutableRawPointer
    private let offset: Size
    private let shape: [Size]
    private let strides: [Size]
    private let symbols: SymbolValues

    init(
        _ tensor: Plan.Tensor, _ memory: UnsafeMutableRawPointer, _ symbols: SymbolValues
    ) throws(ApusError) {
        self.memory = memory
        self.symbols = symbols
        type = tensor.type
        element = tensor.type.element
        offset = try symbols.size(tensor.layout.offset)
        var (shape, strides): ([Size], [Size]) = ([], [])
        for dimension in tensor.type.shape { shape.append(try symbols.size(dimension)) }
        for step in tensor.layout.strides { strides.append(try symbols.size(step)) }
        self.shape = shape
        self.strides = strides
    }

    /// Number of dimensions.
    var rank: Int { shape.count }

    /// The first element in the current pass.
    var pointer: UnsafeMutableRawPointer { memory + symbols.value(offset) * element.byteCount }

    /// The first element of an f32 tensor.
    var floats: UnsafeMutablePointer<Float> { pointer.assumingMemoryBound(to: Float.self) }

    /// Size of a dimension in the current pass; negative counts from the last.
    func size(_ axis: Int) -> Int { symbols.value(shape[axis < 0 ? axis + shape.count : axis]) }

    /// Elements between neighbours along a dimension; negative counts from the last.
    func stride(_ axis: Int) -> Int { symbols.value(strides[axis < 0 ? axis + strides.count : axis]) }

    /// The step along dimension `axis` of a tensor of `rank` dimensions that this one broadcasts to.
    func stride(_ axis: Int, broadcastTo rank: Int) -> Int {
        let own = axis - (rank - shape.count)
        guard own >= 0, type.shape[own] != 1 else { return 0 }
        return stride(own)
    }

    /// Number of elements in the current pass.
    var count: Int {
        var count = 1
        var axis = 0
        while axis < shape.count {
            count *= size(axis)
            axis += 1
        }
        return count
    }
}

extension apus_nest {
    /// The loops over the elements of `result`, the first view, and of operands that broadcast to it.
    init(_ result: TensorView, _ a: TensorView? = nil, _ b: TensorView? = nil, _ c: TensorView? = nil) {
        self.init(result, rank: result.rank, a, b, c)
    }

    /// The same over the first `rank` dimensions only.
    init(
        _ result: TensorView, rank: Int, _ a: TensorView? = nil, _ b: TensorView? = nil,
        _ c: TensorView? = nil
    ) {
        self.init()
        apus_nest_begin(&self)
        let full = result.rank
        var axis = 0
        while axis < rank {
            apus_nest_add(
                &self, result.size(axis), result.stride(axis), a?.stride(axis, broadcastTo: full) ?? 0,
                b?.stride(axis, broadcastTo: full) ?? 0, c?.stride(axis, broadcastTo: full) ?? 0)
            axis += 1
        }
        apus_nest_end(&self)
    }
}

extension apus_nest {
    /// The step of a view along the first loop.
    func step(_ view: Int) -> Int { view == 0 ? strides.0.0 : strides.1.0 }
}

extension ElementType {
    /// The type as kernels know it.
    var code: apus_element {
        switch self {
        case .f32: APUS_ELEMENT_F32
        case .f16: APUS_ELEMENT_F16
        case .bf16: APUS_ELEMENT_BF16
        case .i64: APUS_ELEMENT_I64
        case .i32: APUS_ELEMENT_I32
        case .i8: APUS_ELEMENT_I8
        case .u8: APUS_ELEMENT_U8
        case .bool: APUS_ELEMENT_BOOL
        }
    }
}

extension KernelQuery {
    /// Why loops over strided tensors cannot serve a query: too many dimensions.
    var rankRefusal: String? {
        let rank = (operands.compactMap { $0?.rank } + results.map(\.rank)).max() ?? 0
        return rank > TensorView.mostDimensions
            ? "rank \(rank) exceeds the \(TensorView.mostDimensions) dimensions of strided loops" : nil
    }
}
