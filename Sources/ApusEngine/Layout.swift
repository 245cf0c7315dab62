public import ApusGraph

/// How a tensor's elements lie in the memory it shares: steps and first position, counted in elements.
///
/// The element at index (i₀, i₁, …) is offset + Σ iₙ·strides[n] elements after the first of the memory. Steps are
/// symbolic, because those of a view of [B, 2, H, C, D] mention C.
public struct Layout: Sendable, Hashable {
    /// Elements between neighbours along each dimension; 0 where a dimension repeats.
    public let strides: [Dimension]
    /// Elements before the first.
    public let offset: Dimension

    /// Describes a layout.
    public init(strides: [Dimension], offset: Dimension = 0) {
        self.strides = strides
        self.offset = offset
    }

    /// Row-major without gaps, from the start of the memory.
    public static func dense(_ shape: [Dimension]) -> Layout { Layout(strides: denseStrides(shape)) }

    /// Row-major without gaps, but with the dimensions in the memory in the order `order`, outermost first.
    public static func dense(_ shape: [Dimension], order: [Int]) -> Layout {
        let inner = denseStrides(order.map { shape[$0] })
        var strides = inner
        for (place, axis) in order.enumerated() { strides[axis] = inner[place] }
        return Layout(strides: strides)
    }

    private static func denseStrides(_ shape: [Dimension]) -> [Dimension] {
        var strides = [Dimension](repeating: 1, count: shape.count)
        for index in stride(from: shape.count - 2, through: 0, by: -1) {
            strides[index] = strides[index + 1] * shape[index + 1]
        }
        return strides
    }

    /// Whether the elements lie row-major without gaps; a dimension of size 1 may have any step.
    public func isContiguous(_ shape: [Dimension]) -> Bool {
        if shape.contains(0) { return true }
        return zip(zip(strides, Self.denseStrides(shape)), shape).allSatisfy { $0.0 == $0.1 || $1 == 1 }
    }

    /// Whether the elements lie as a kernel that knows no layouts expects them: contiguous, from a place that
    /// is known before a pass.
    public func isDense(_ shape: [Dimension]) -> Bool { offset.constant != nil && isContiguous(shape) }

    /// Whether neighbours along the last dimension lie side by side.
    public func hasDenseRows(_ shape: [Dimension]) -> Bool {
        shape.isEmpty || strides[shape.count - 1] == 1 || shape[shape.count - 1] == 1
    }
}

// MARK: Views

extension Layout {
    /// Dimension i of the view is dimension order[i].
    public func permuted(_ order: [Int]) -> Layout {
        Layout(strides: order.map { strides[$0] }, offset: offset)
    }

    /// The view from index `start` of a dimension on.
    public func sliced(_ axis: Int, from start: Dimension) -> Layout {
        Layout(strides: strides, offset: offset + start * strides[axis])
    }

    /// The view that repeats dimensions of size 1, and adds dimensions in front, to `target`.
    public func expanded(_ shape: [Dimension], to target: [Dimension]) -> Layout {
        let missing = target.count - shape.count
        let steps = target.indices.map { index -> Dimension in
            guard index >= missing else { return 0 }
            return shape[index - missing] == 1 && target[index] != 1 ? 0 : strides[index - missing]
        }
        return Layout(strides: steps, offset: offset)
    }

    /// The view with another shape and the same elements in row-major order; nil if no steps give it.
    public func reshaped(_ shape: [Dimension], to target: [Dimension]) -> Layout? {
        if isContiguous(shape) { return Layout(strides: Self.denseStrides(target), offset: offset) }
        // Dimensions of size 1 have no step that matters.
        let axes = shape.indices.filter { shape[$0] != 1 }
        var steps = [Dimension](repeating: 0, count: target.count)
        var place = target.count - 1
        var next = axes.count - 1
        while next >= 0 {
            // Dimensions that lie in each other without gaps are one run, which may be cut anew.
            let step = strides[axes[next]]
            var run = shape[axes[next]]
            next -= 1
            while next >= 0, strides[axes[next]] == run * step {
                run = run * shape[axes[next]]
                next -= 1
            }
            var covered: Dimension = 1
            while place >= 0, covered != run || target[place] == 1 {
                steps[place] = covered * step
                covered = covered * target[place]
                place -= 1
            }
            guard covered == run else { return nil }
        }
        return place < 0 ? Layout(strides: steps, offset: offset) : nil
    }
}

extension Layout: CustomStringConvertible {
    /// The text form: steps, then where the first element is if not at the start.
    public var description: String {
        let steps = "(\(strides.map(\.description).joined(separator: ", ")))"
        return offset == 0 ? steps : "\(steps) + \(offset)"
    }
}
