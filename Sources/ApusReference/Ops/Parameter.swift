import ApusGraph

extension ReferenceFunctions {
    /// `constant`; `parameter`, its sibling, is answered by the interpreter, which owns the weights.
    static let constants: [String: ReferenceFunction] = [
        "constant": { call in
            guard case .literal(let literal)? = call.attribute("value") else { return [] }
            let count = call.shapes[0].reduce(1, *)
            let isSplat = literal.values.count == 1 && count != 1
            let numbers = isSplat ? Array(repeating: literal.values[0], count: count) : literal.values
            return [Tensor(call.elements[0], call.shapes[0], numbers: numbers)]
        }
    ]
}
