import ApusGraph
import ApusSupport

/// Ops that move elements: where an element of the result comes from.
extension MaskAnalysis {
    func moved(_ node: NodeView, _ place: [Dimension]) throws(ApusError) -> Element? {
        guard let x = node.operand(0), let source = node.types[0] else { return nil }
        switch node.node.op {
        case "detach", "clone", "assert_element": return try element(x, at: place)
        case "expand": return try element(x, at: Array(place.suffix(source.rank)))
        case "unsqueeze":
            guard let axis = node.axis("dim", rank: source.rank + 1) else { return nil }
            var place = place
            place.remove(at: axis)
            return try element(x, at: place)
        case "view":
            guard let place = viewed(place, node.type.shape, source.shape) else { return nil }
            return try element(x, at: place)
        case "transpose":
            guard let a = node.axis("dim0"), let b = node.axis("dim1") else { return nil }
            var place = place
            place.swapAt(a, b)
            return try element(x, at: place)
        case "permute":
            guard let order = node.dimensions("dims")?.compactMap(\.constant), order.count == place.count
            else { return nil }
            var moved = place
            for (position, axis) in order.enumerated() { moved[axis] = place[position] }
            return try element(x, at: moved)
        case "slice":
            guard let axis = node.axis("dim"), let start = node.size("start") else { return nil }
            var place = place
            place[axis] = place[axis] + start
            return try element(x, at: place)
        case "pad": return try padded(node, x, source, place)
        case "cat": return try concatenated(node, place)
        case "index": return try gathered(node, x, source, place)
        case "index_select":
            guard let axis = node.axis("dim"), let index = node.operand(1) else { return nil }
            guard let coordinate = try coordinate(index, [place[axis]], source.shape[axis]) else {
                return nil
            }
            var place = place
            place[axis] = coordinate
            return try element(x, at: place)
        default: return nil
        }
    }

    /// The place before a view: dimensions of size 1 come and go; a single long dimension takes the whole offset.
    private func viewed(_ place: [Dimension], _ shape: [Dimension], _ source: [Dimension]) -> [Dimension]? {
        let kept = shape.indices.filter { shape[$0] != 1 }
        let wanted = source.indices.filter { source[$0] != 1 }
        var result = [Dimension](repeating: 0, count: source.count)
        if kept.map({ shape[$0] }) == wanted.map({ source[$0] }) {
            for (from, to) in zip(kept, wanted) { result[to] = place[from] }
            return result
        }
        guard wanted.count == 1 else { return nil }
        var offset = Dimension(0)
        for (coordinate, size) in zip(place, shape) { offset = offset * size + coordinate }
        result[wanted[0]] = offset
        return result
    }

    /// Elements in front of and behind those of `x` are the padding.
    private func padded(
        _ node: NodeView, _ x: Value, _ source: TensorType, _ place: [Dimension]
    ) throws(ApusError) -> Element? {
        guard let axis = node.axis("dim"), let before = node.size("before"), let value = node.float("value")
        else { return nil }
        var inner = place
        inner[axis] = place[axis] - before
        let isInside = domain.simplified(
            .all(of: [.isAtLeastZero(inner[axis]), .isAtLeastZero(source.shape[axis] - 1 - inner[axis])]))
        if isInside == .always { return try element(x, at: inner) }
        if source.element == .bool {
            let padding = Formula.constant(value != 0)
            return .truth(
                domain.simplified(
                    .any(of: [
                        .all(of: [isInside, try truth(x, at: inner)]), .all(of: [isInside.negated, padding]),
                    ])))
        }
        guard let padding = TermArithmetic.converted(value, source.element) else { return nil }
        return Pieces.choose(isInside, try number(x, at: inner), Pieces(padding), domain).map(Element.number)
    }

    /// The part that a coordinate falls into, counted from that part's start.
    private func concatenated(_ node: NodeView, _ place: [Dimension]) throws(ApusError) -> Element? {
        guard let axis = node.axis("dim") else { return nil }
        var end = Dimension(0)
        var isBefore = Formula.always
        var truths: [Formula] = []
        var numbers: [Pieces.Piece] = []
        for (operand, type) in zip(node.operands, node.types) {
            guard let operand, let type else { return nil }
            var inner = place
            inner[axis] = place[axis] - end
            end = end + type.shape[axis]
            let isLast = end == node.type.shape[axis]
            let isInside = domain.simplified(
                .all(of: [isBefore, isLast ? .always : .isAtLeastZero(end - 1 - place[axis])]))
            isBefore = domain.simplified(.all(of: [isBefore, .isAtLeastZero(place[axis] - end)]))
            if isInside == .never { continue }
            if type.element == .bool {
                truths.append(.all(of: [isInside, try truth(operand, at: inner)]))
            } else {
                numbers += try number(operand, at: inner).pieces.map {
                    Pieces.Piece(condition: .all(of: [isInside, $0.condition]), term: $0.term)
                }
            }
        }
        if node.type.element == .bool { return .truth(domain.simplified(.any(of: truths))) }
        return Pieces(numbers, domain).map(Element.number)
    }

    /// Integer tensors, broadcast together, tell the leading coordinates.
    private func gathered(
        _ node: NodeView, _ x: Value, _ source: TensorType, _ place: [Dimension]
    ) throws(ApusError) -> Element? {
        let indices = node.operands.dropFirst().compactMap { $0 }
        let common = place.count - (source.rank - indices.count)
        guard common >= 0 else { return nil }
        var inner: [Dimension] = []
        for (axis, index) in indices.enumerated() {
            let own = Array(place[..<common].suffix(editor.type(of: index).rank))
            guard let coordinate = try coordinate(index, own, source.shape[axis]) else { return nil }
            inner.append(coordinate)
        }
        return try element(x, at: inner + place[common...])
    }

    /// An index as a coordinate of a dimension of that size; negative ones count from the end.
    private func coordinate(
        _ index: Value, _ place: [Dimension], _ size: Dimension
    ) throws(ApusError) -> Dimension? {
        guard case .integer(let value)? = try number(index, at: place).single else { return nil }
        let range = domain.range(of: value)
        if range.lowerBound >= 0 { return value }
        return range.upperBound < 0 ? value + size : nil
    }
}
