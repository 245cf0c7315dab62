import ApusEngine
import ApusGraph
import CApusCPU

extension TensorView {
    /// The number of dimensions that kernels loop over.
    static let mostDimensions = Int(APUS_MOST_DIMENSIONS)
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
