import ApusGraph
import ApusSupport

/// Checks that tensors which look at other tensors' memory stay within it.
///
/// Places and steps are polynomials in the sizes of a pass, of degree one in each; so is the place of the last
/// element. Such a function is largest and smallest at corners: it is enough to look at the smallest and largest value
/// of every symbol, the capacity counted from the tokens that it has to hold.
struct LayoutCheck {
    private let plan: Plan
    private let corners: [[String: Int]]

    /// Larger sizes give nothing new, and would leave the range of arithmetic.
    private static let mostSize = 1 << 16

    init(_ plan: Plan) {
        self.plan = plan
        var corners: [[String: Int]] = [[:]]
        for symbol in plan.symbols where symbol.definition?.symbols.isEmpty ?? true {
            let lower = min(symbol.range.lowerBound, Self.mostSize)
            let values = Set([lower, min(symbol.range.upperBound, Self.mostSize)])
            corners = corners.flatMap { corner in
                values.map { corner.merging([symbol.name: $0], uniquingKeysWith: { _, new in new }) }
            }
        }
        self.corners = corners.map { corner in
            var corner = corner
            if let extra = corner[Bindings.capacitySymbol] {
                // The runtime sees to it that a pass ends within the capacity.
                let tokens = corner[Bindings.tokensSymbol] ?? 0
                let cached = plan.symbols.first { $0.definition == .input(Bindings.startIndex) }
                corner[Bindings.capacitySymbol] = extra + tokens + (cached.flatMap { corner[$0.name] } ?? 0)
            }
            for symbol in plan.symbols where corner[symbol.name] == nil {
                corner[symbol.name] = symbol.definition?.evaluate(symbol: { corner[$0] }, input: { _ in nil })
            }
            return corner
        }
    }

    /// What is wrong with the place of a tensor, nil if nothing is.
    func problem(_ index: Int) -> (expected: String, got: String)? {
        let tensor = plan.tensors[index]
        let root = plan.tensors[plan.root(of: index)]
        guard tensor.layout.strides.count == tensor.type.rank else {
            return ("\(tensor.type.rank) steps", "\(tensor.layout)")
        }
        guard tensor.type.element == root.type.element else {
            return ("\(root.type.element)", "\(tensor.type)")
        }
        for corner in corners {
            func value(_ dimension: Dimension) -> Int? { dimension.evaluate { corner[$0] } }
            guard let count = value(root.type.elementCount), let offset = value(tensor.layout.offset) else {
                return ("sizes that can be counted", "\(tensor.type) in \(tensor.layout)")
            }
            var last = offset
            var isEmpty = false
            for (size, step) in zip(tensor.type.shape, tensor.layout.strides) {
                guard let size = value(size), let step = value(step), step >= 0, size <= 1 << 32,
                    step <= 1 << 40
                else { return ("steps of at least 0", "\(tensor.layout)") }
                isEmpty = isEmpty || size <= 0
                last += max(size - 1, 0) * step
            }
            guard isEmpty || (offset >= 0 && last < count) else {
                return (
                    "a place in the \(count) elements of '\(root.name)'", "\(tensor.layout) up to \(last)"
                )
            }
        }
        return nil
    }
}

/// Ops that only plans have: the compiler adds them where a kernel wants an operand in another form.
enum PlanOps {
    static let all = [
        OpSpec("copy", .engine, "y = x, row-major without gaps", operands: [.one("x")]) { c in [c[0]] },
        OpSpec(
            "mask_bias", .engine, "y = 0 where x is true, else −∞; f32", operands: [.one("x")]
        ) { c in
            c.require(c[0].element == .bool, "C1", "expected booleans, got \(c[0])")
            return [TensorType(.f32, c[0].shape)]
        },
    ]
}
