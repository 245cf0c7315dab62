import ApusGraph
import ApusSupport

/// Ops that make elements from their coordinates, and ops that sum elements up.
extension MaskAnalysis {
    func generated(_ node: NodeView, _ place: [Dimension]) throws(ApusError) -> Element? {
        switch node.node.op {
        case "arange":
            guard let start = node.size("start"), node.type.element == .f32 || node.type.element.isInteger
            else { return nil }
            return .number(Pieces(.integer(start + place[0])))
        case "size":
            return node.size("value").map { .number(Pieces(.integer($0))) }
        case "full":
            guard let value = node.float("value") else { return nil }
            if node.type.element == .bool { return .truth(.constant(value != 0)) }
            return TermArithmetic.converted(value, node.type.element).map { .number(Pieces($0)) }
        case "constant", "parameter":
            return try tables.element(node, place, domain)
        case "triu", "tril":
            guard let x = node.operand(0), let diagonal = node.int("diagonal"), place.count >= 2 else {
                return nil
            }
            let distance = place[place.count - 1] - place[place.count - 2] - Dimension(diagonal)
            let isKept = domain.simplified(
                node.node.op == "triu" ? .isAtLeastZero(distance) : .isAtLeastZero(0 - distance))
            if node.type.element == .bool {
                return .truth(domain.simplified(.all(of: [isKept, try truth(x, at: place)])))
            }
            return Pieces.choose(isKept, try number(x, at: place), Pieces(.integer(0)), domain)
                .map(Element.number)
        default: return nil
        }
    }

    func reduced(_ node: NodeView, _ place: [Dimension]) throws(ApusError) -> Element? {
        guard let x = node.operand(0), let source = node.types[0], let axis = node.axis("dim") else {
            return nil
        }
        var inner = place
        switch node.node.op {
        case "cumsum":
            // The sum of equal numbers up to a coordinate.
            inner[axis] = freshCoordinate(source.shape[axis])
            guard node.type.element.isInteger,
                case .integer(let value)? = try number(x, at: inner).single, let term = value.constant
            else { return nil }
            return TermArithmetic.compute(
                "mul", .integer(Dimension(term)), .integer(place[axis] + 1), node.type.element
            ).map { .number(Pieces($0)) }
        case "any":
            let coordinate = freshCoordinate(source.shape[axis])
            if node.bool("keepdim") { inner[axis] = coordinate } else { inner.insert(coordinate, at: axis) }
            let formula = try truth(x, at: inner)
            // Over no elements it is false.
            guard case .constant(let isAny) = formula,
                !isAny || domain.range(of: source.shape[axis]).lowerBound > 0
            else { return nil }
            return .truth(formula)
        default: return nil
        }
    }
}
