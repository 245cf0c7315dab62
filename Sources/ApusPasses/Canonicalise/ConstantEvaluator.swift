import ApusGraph

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Evaluates single nodes on literals.
enum ConstantEvaluator {
    /// Largest number of elements that are worth writing into the graph.
    static let elementLimit = 1 << 20

    /// The value of the node's result; nil if the op is not one that is folded, or the result is too large.
    static func evaluate(_ node: NodeView, _ operands: [TensorLiteral]) -> TensorLiteral? {
        guard let shape = node.type.constantShape, let count = elementCount(shape), count <= elementLimit,
            let first = operands.first
        else { return nil }
        if let values = map(node, operands) { return values }
        if operands.allSatisfy({ $0.values.count == 1 && $0.values == first.values }),
            movers.contains(node.node.op)
        {
            return TensorLiteral(node.type, first.values)
        }
        guard let gather = source(node, operands, shape) else { return nil }
        var values: [Double] = []
        values.reserveCapacity(count)
        var index = [Int](repeating: 0, count: shape.count)
        for _ in 0..<count {
            values.append(gather(index))
            for axis in shape.indices.reversed() {
                index[axis] += 1
                if index[axis] < shape[axis] { break }
                index[axis] = 0
            }
        }
        return TensorLiteral(node.type, values)
    }

    private static let movers: Set<String> = [
        "view", "unsqueeze", "expand", "transpose", "permute", "slice", "cat",
    ]

    private static func elementCount(_ shape: [Int]) -> Int? {
        var count = 1
        for size in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: size)
            if overflow { return nil }
            count = product
        }
        return count
    }

    // MARK: Arithmetic

    private static func unary(_ node: NodeView) -> ((Double) -> Double)? {
        switch node.node.op {
        case "neg": return { -$0 }
        case "exp": return { exp($0) }
        case "log": return { log($0) }
        case "sqrt": return { $0.squareRoot() }
        case "rsqrt": return { 1 / $0.squareRoot() }
        case "sin": return { sin($0) }
        case "cos": return { cos($0) }
        case "tanh": return { tanh($0) }
        case "sigmoid": return { 1 / (1 + exp(-$0)) }
        case "silu": return { $0 / (1 + exp(-$0)) }
        case "relu": return { max($0, 0) }
        case "erf": return { erf($0) }
        case "pow":
            guard let exponent = node.float("exponent") else { return nil }
            return { pow($0, exponent) }
        case "to": return { $0 }
        default: return nil
        }
    }

    private static func binary(_ op: String, isInteger: Bool) -> ((Double, Double) -> Double)? {
        switch op {
        case "add": return { $0 + $1 }
        case "sub": return { $0 - $1 }
        case "mul": return { $0 * $1 }
        case "div" where !isInteger: return { $0 / $1 }
        default: return nil
        }
    }

    private static func map(_ node: NodeView, _ operands: [TensorLiteral]) -> TensorLiteral? {
        let element = node.type.element
        // Half precision is left to the kernels: constants are FP32 when this runs.
        guard element != .f16, element != .bf16 else { return nil }
        if operands.count == 1, let function = unary(node) {
            // A conversion between kinds of number has rules of its own (truncation, wrapping).
            let isPlain = node.node.op != "to" || element.isFloat
            guard isPlain else { return nil }
            return TensorLiteral(node.type, operands[0].values.map { round(function($0), to: element) })
        }
        guard operands.count == 2, element.isFloat || element.isInteger,
            let function = binary(node.node.op, isInteger: element.isInteger),
            let shape = node.type.constantShape
        else { return nil }
        let (a, b) = (operands[0], operands[1])
        if a.values.count == 1, b.values.count == 1 {
            return TensorLiteral(node.type, [round(function(a.values[0], b.values[0]), to: element)])
        }
        guard let left = broadcast(a, to: shape), let right = broadcast(b, to: shape) else { return nil }
        return TensorLiteral(node.type, zip(left, right).map { round(function($0, $1), to: element) })
    }

    private static func round(_ value: Double, to element: ElementType) -> Double {
        element == .f32 ? Double(Float(value)) : value
    }

    // MARK: Moving elements

    private static func strides(_ shape: [Int]) -> [Int] {
        var strides = [Int](repeating: 1, count: shape.count)
        for axis in shape.indices.dropLast().reversed() {
            strides[axis] = strides[axis + 1] * shape[axis + 1]
        }
        return strides
    }

    private static func element(_ literal: TensorLiteral, _ offset: Int) -> Double {
        literal.values.count == 1 ? literal.values[0] : literal.values[offset]
    }

    private static func broadcast(_ literal: TensorLiteral, to shape: [Int]) -> [Double]? {
        guard let reader = reader(literal, broadcastTo: shape) else { return nil }
        var values: [Double] = []
        var index = [Int](repeating: 0, count: shape.count)
        for _ in 0..<shape.reduce(1, *) {
            values.append(reader(index))
            for axis in shape.indices.reversed() {
                index[axis] += 1
                if index[axis] < shape[axis] { break }
                index[axis] = 0
            }
        }
        return values
    }

    private static func reader(_ literal: TensorLiteral, broadcastTo shape: [Int]) -> (([Int]) -> Double)? {
        guard let own = literal.type.constantShape, own.count <= shape.count else { return nil }
        let steps = zip(own, strides(own)).map { $0 == 1 ? 0 : $1 }
        let skipped = shape.count - own.count
        return { index in
            element(literal, zip(index.dropFirst(skipped), steps).reduce(0) { $0 + $1.0 * $1.1 })
        }
    }

    /// Which element stands at an index of the result.
    private static func source(
        _ node: NodeView, _ operands: [TensorLiteral], _ shape: [Int]
    ) -> (([Int]) -> Double)? {
        let literal = operands[0]
        guard let own = literal.type.constantShape else { return nil }
        let steps = strides(own)
        func read(_ index: some Sequence<Int>) -> Double {
            element(literal, zip(index, steps).reduce(0) { $0 + $1.0 * $1.1 })
        }
        switch node.node.op {
        case "view", "unsqueeze":
            let flat = strides(shape)
            return { element(literal, zip($0, flat).reduce(0) { $0 + $1.0 * $1.1 }) }
        case "expand": return reader(literal, broadcastTo: shape)
        case "transpose":
            guard let a = node.axis("dim0"), let b = node.axis("dim1") else { return nil }
            return { index in
                var index = index
                index.swapAt(a, b)
                return read(index)
            }
        case "permute":
            guard let order = node.dimensions("dims")?.compactMap(\.constant) else { return nil }
            return { index in
                var source = index
                for (position, axis) in order.enumerated() { source[axis] = index[position] }
                return read(source)
            }
        case "slice":
            guard let slice = node.slice else { return nil }
            return { index in
                var index = index
                index[slice.axis] += slice.range.lowerBound
                return read(index)
            }
        case "cat": return catSource(node, operands)
        default: return nil
        }
    }

    private static func catSource(_ node: NodeView, _ operands: [TensorLiteral]) -> (([Int]) -> Double)? {
        guard let axis = node.axis("dim") else { return nil }
        let shapes = operands.compactMap(\.type.constantShape)
        guard shapes.count == operands.count else { return nil }
        let steps = shapes.map(strides)
        return { index in
            var index = index
            for (part, literal) in operands.enumerated() {
                if index[axis] < shapes[part][axis] {
                    return element(literal, zip(index, steps[part]).reduce(0) { $0 + $1.0 * $1.1 })
                }
                index[axis] -= shapes[part][axis]
            }
            return 0
        }
    }
}
