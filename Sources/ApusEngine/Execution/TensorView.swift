package import ApusGraph
package import ApusSupport

/// A tensor as a launch reads or writes it: its memory, and sizes and steps that follow the symbols.
package struct TensorView {
    /// Element type in memory.
    package let element: ElementType
    /// The graph's shape.
    package let type: TensorType
    private let memory: UnsafeMutableRawPointer
    private let offset: Size
    private let shape: [Size]
    private let strides: [Size]
    /// For each dimension, whether it is 1 at all times, so that it may be repeated.
    private let isSingle: [Bool]
    private let symbols: SymbolValues

    package init(
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
        isSingle = tensor.type.shape.map { $0 == 1 }
    }

    /// Number of dimensions.
    package var rank: Int { shape.count }

    /// The first element in the current pass.
    package var pointer: UnsafeMutableRawPointer { memory + symbols.value(offset) * element.byteCount }

    /// The first element of an f32 tensor.
    package var floats: UnsafeMutablePointer<Float> { pointer.assumingMemoryBound(to: Float.self) }

    /// Size of a dimension in the current pass; negative counts from the last.
    package func size(_ axis: Int) -> Int { symbols.value(shape[axis < 0 ? axis + shape.count : axis]) }

    /// Elements between neighbours along a dimension; negative counts from the last.
    package func stride(_ axis: Int) -> Int { symbols.value(strides[axis < 0 ? axis + strides.count : axis]) }

    /// The step along dimension `axis` of a tensor of `rank` dimensions that this one broadcasts to.
    package func stride(_ axis: Int, broadcastTo rank: Int) -> Int {
        let own = axis - (rank - shape.count)
        guard own >= 0, !isSingle[own] else { return 0 }
        return stride(own)
    }

    /// Number of elements in the current pass.
    package var count: Int {
        var count = 1
        var axis = 0
        while axis < shape.count {
            count *= size(axis)
            axis += 1
        }
        return count
    }
}
