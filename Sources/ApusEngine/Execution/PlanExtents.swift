import ApusGraph
package import ApusSupport

/// Checks in each pass whose sizes have changed that every view lies in its memory.
///
/// A slice that ends at a symbol may end beyond its tensor, which only the symbol's value tells.
package struct PlanExtents {
    private struct Extent {
        let tensor: Int
        let shape: [Size]
        let strides: [Size]
        let offset: Size
        /// Elements of the memory.
        let count: Size
    }

    private let plan: Plan
    private let extents: [Extent]

    package init(_ plan: Plan, _ symbols: SymbolValues) throws(ApusError) {
        self.plan = plan
        var extents: [Extent] = []
        for (index, tensor) in plan.tensors.enumerated() {
            let root = plan.tensors[plan.root(of: index)]
            let isWhole =
                tensor.layout == .dense(tensor.type.shape)
                && tensor.type.elementCount == root.type.elementCount
            let mayBeNegative = tensor.type.shape.contains { $0.monomials.contains { $0.coefficient < 0 } }
            if isWhole && !mayBeNegative { continue }
            var (shape, strides): ([Size], [Size]) = ([], [])
            for dimension in tensor.type.shape { shape.append(try symbols.size(dimension)) }
            for step in tensor.layout.strides { strides.append(try symbols.size(step)) }
            extents.append(
                Extent(
                    tensor: index, shape: shape, strides: strides,
                    offset: try symbols.size(tensor.layout.offset),
                    count: try symbols.size(root.type.elementCount)))
        }
        self.extents = extents
    }

    /// - Throws: `.invalidInput` with the first view that does not lie in its memory.
    package func check(_ symbols: SymbolValues) throws(ApusError) {
        var index = 0
        while index < extents.count {
            if !fits(extents[index], symbols) {
                let tensor = plan.tensors[extents[index].tensor]
                throw ApusError(
                    .invalidInput,
                    "%\(tensor.name): \(tensor.type) does not fit its memory in a pass of these sizes")
            }
            index += 1
        }
    }

    private func fits(_ extent: Extent, _ symbols: SymbolValues) -> Bool {
        var last = symbols.value(extent.offset)
        guard last >= 0 else { return false }
        var isEmpty = false
        var axis = 0
        while axis < extent.shape.count {
            let (size, step) = (symbols.value(extent.shape[axis]), symbols.value(extent.strides[axis]))
            guard size >= 0, step >= 0 else { return false }
            if size == 0 { isEmpty = true }
            last &+= (size &- 1) &* step
            axis += 1
        }
        return isEmpty || (last >= 0 && last < symbols.value(extent.count))
    }
}
