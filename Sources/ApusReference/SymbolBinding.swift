import ApusGraph
import ApusSupport

/// The values of a graph's symbols in one run, found from the shapes of its inputs and, where a definition says so,
/// from their elements.
struct SymbolBinding {
    private var values: [String: Int] = [:]

    init(
        _ symbols: [Symbol], _ inputs: [(name: String, type: TensorType, shape: [Int])],
        firstElement: (String) -> Int?
    ) throws(ApusError) {
        for symbol in symbols {
            if case .input(let input)? = symbol.definition { values[symbol.name] = firstElement(input) }
        }
        // A dimension that is a bare symbol tells its value; sums such as `S + T` then give what is left.
        var isComplete = false
        while !isComplete {
            isComplete = true
            for input in inputs {
                for (dimension, size) in zip(input.type.shape, input.shape) where solve(dimension, size) {
                    isComplete = false
                }
            }
        }
        for symbol in symbols {
            guard let definition = symbol.definition, values[symbol.name] == nil else { continue }
            values[symbol.name] = definition.evaluate(symbol: { values[$0] }, input: { _ in nil })
        }
        for symbol in symbols {
            guard let value = values[symbol.name], !symbol.range.contains(value) else { continue }
            throw ApusError(
                .invalidInput,
                "symbol '\(symbol.name)': expected \(symbol.range.lowerBound)...\(symbol.range.upperBound), "
                    + "got \(value)")
        }
        for input in inputs {
            let expected = try shape(of: input.type)
            guard expected == input.shape else {
                let got = TensorType(input.type.element, input.shape)
                let wanted = TensorType(input.type.element, expected)
                throw ApusError(
                    .mismatch, "input '\(input.name)': expected \(input.type), here \(wanted), got \(got)")
            }
        }
    }

    /// Finds the one unknown symbol of a dimension that is linear in it; returns whether it did.
    private mutating func solve(_ dimension: Dimension, _ size: Int) -> Bool {
        let unknown = dimension.symbols.filter { values[$0] == nil }
        guard unknown.count == 1 else { return false }
        let name = unknown[0]
        func at(_ value: Int) -> Int? { dimension.evaluate { $0 == name ? value : values[$0] } }
        guard let zero = at(0), let one = at(1), one != zero, (size - zero) % (one - zero) == 0 else {
            return false
        }
        values[name] = (size - zero) / (one - zero)
        return true
    }

    /// The value of a dimension, nil if it mentions a symbol without one.
    @Sendable func value(of dimension: Dimension) -> Int? { dimension.evaluate { values[$0] } }

    /// The shape of a type as numbers.
    func shape(of type: TensorType) throws(ApusError) -> [Int] {
        var shape: [Int] = []
        for dimension in type.shape {
            guard let size = dimension.evaluate({ values[$0] }), size >= 0 else {
                throw ApusError(
                    .mismatch, "dimension '\(dimension)' of \(type) has no size with these inputs")
            }
            shape.append(size)
        }
        return shape
    }
}
