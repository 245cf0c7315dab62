import ApusGraph
import ApusSupport

/// Finds what an element of a tensor is as a function of its coordinates, from how the tensor is computed.
///
/// The graph is read from the element that is asked for backwards: each op tells which elements of its operands it
/// looks at. Integers are polynomials in coordinates and sizes, floating-point numbers are constants that depend on
/// conditions, booleans are conditions. What is not understood is an element of unknown contents.
///
/// The runtime's contract: `position_ids[b, t]` is the position of the batch's first token plus t.
final class MaskAnalysis {
    /// What an element is: a truth value or a number.
    enum Element {
        case truth(Formula)
        case number(Pieces)
    }

    let editor: GraphEditor
    let tables: ConstantTables
    /// Names of the inputs whose elements rise by one along the last dimension.
    let positionInputs: Set<String>
    /// What is known of coordinates and sizes.
    private(set) var domain: IndexDomain
    /// The first value that could not be understood, as reports mention it.
    private(set) var obstacle: String?
    /// The input for which the contract on positions was used.
    private(set) var usedPositions: String?

    private struct Key: Hashable {
        let value: Value
        let place: [Dimension]
    }
    private var known: [Key: Element] = [:]
    private var depth = 0
    private var freshCount = 0

    /// Longer chains than any mask has; what lies deeper is taken as not understood.
    private static let depthLimit = 200

    init(
        _ editor: GraphEditor, tables: ConstantTables,
        positionInputs: Set<String> = [RotaryAnalysis.positionInput]
    ) {
        self.editor = editor
        self.tables = tables
        self.positionInputs = positionInputs
        domain = IndexDomain(editor.graph)
    }

    /// Makes a coordinate known: it runs from 0 to `size` less 1.
    func declare(_ name: String, _ size: Dimension) -> Dimension {
        domain.sizes[name] = size
        return .symbol(name)
    }

    /// A coordinate of its own.
    func freshCoordinate(_ size: Dimension) -> Dimension {
        freshCount += 1
        return declare("#\(freshCount)", size)
    }

    // MARK: Elements

    /// The element of a tensor at a place, one coordinate a dimension.
    func element(_ value: Value, at place: [Dimension]) throws(ApusError) -> Element {
        let value = editor.resolve(value)
        // A dimension of size 1 has the one coordinate 0.
        let place = zip(place, editor.type(of: value).shape).map { $1 == 1 ? Dimension(0) : $0 }
        let key = Key(value: value, place: place)
        if let element = known[key] { return element }
        guard depth < Self.depthLimit else { return opaque(value, place) }
        depth += 1
        defer { depth -= 1 }
        let element = try compute(value, place) ?? opaque(value, place)
        known[key] = element
        return element
    }

    /// The element as a number; a truth value counts as 1 or 0.
    func number(_ value: Value, at place: [Dimension]) throws(ApusError) -> Pieces {
        switch try element(value, at: place) {
        case .number(let pieces): return pieces
        case .truth(let formula):
            return Pieces(formula, domain) ?? Pieces(.element(editor.resolve(value), place))
        }
    }

    /// When the element is true, or not 0.
    func truth(_ value: Value, at place: [Dimension]) throws(ApusError) -> Formula {
        switch try element(value, at: place) {
        case .truth(let formula): return formula
        case .number(let pieces):
            let isFloat = editor.type(of: value).element.isFloat
            return domain.simplified(
                pieces.holds { TermArithmetic.compare("ne", $0, .integer(0), isFloat: isFloat) })
        }
    }

    /// A number of unknown contents.
    private func unknownTerm(_ value: Value, _ place: [Dimension]) -> Term {
        if obstacle == nil { obstacle = editor.describe(value) }
        return .element(value, place)
    }

    /// An element of unknown contents.
    private func opaque(_ value: Value, _ place: [Dimension]) -> Element {
        let term = unknownTerm(value, place)
        guard editor.type(of: value).element == .bool else { return .number(Pieces(term)) }
        return .truth(.unknown(Unknown(relation: .isTrue, left: term, right: nil), isNegated: false))
    }

    private func compute(_ value: Value, _ place: [Dimension]) throws(ApusError) -> Element? {
        guard let node = editor.producer(of: value) else { return position(value, place) }
        guard node.result == value else { return nil }
        let view = NodeView(node, editor)
        if let element = try moved(view, place) { return element }
        if let element = try generated(view, place) { return element }
        if let element = try reduced(view, place) { return element }
        return try elementwise(view, place)
    }

    /// An input that holds positions.
    private func position(_ value: Value, _ place: [Dimension]) -> Element? {
        let type = editor.type(of: value)
        guard let name = editor.graph.name(of: value), positionInputs.contains(name), type.element.isInteger,
            let step = place.last, type.rank <= 2
        else { return nil }
        usedPositions = name
        let batch = type.rank == 2 ? place[0].description : ""
        return .number(Pieces(.integer(IndexDomain.start(of: name, batch: batch) + step)))
    }

    // MARK: Elementwise ops

    /// The place in an operand that is broadcast to the result's shape.
    private func operandPlace(_ operand: Value, _ place: [Dimension]) -> [Dimension] {
        Array(place.suffix(editor.type(of: operand).rank))
    }

    private func elementwise(_ node: NodeView, _ place: [Dimension]) throws(ApusError) -> Element? {
        let operands = node.operands.compactMap { $0 }
        guard let a = operands.first else { return nil }
        let element = node.type.element
        func truth(_ value: Value) throws(ApusError) -> Formula {
            try self.truth(value, at: operandPlace(value, place))
        }
        func number(_ value: Value) throws(ApusError) -> Pieces {
            try self.number(value, at: operandPlace(value, place))
        }
        switch (node.node.op, operands.count) {
        case ("logical_not", 1): return .truth(try truth(a).negated)
        case ("logical_and", 2):
            return .truth(domain.simplified(.all(of: [try truth(a), try truth(operands[1])])))
        case ("logical_or", 2):
            return .truth(domain.simplified(.any(of: [try truth(a), try truth(operands[1])])))
        case ("logical_xor", 2):
            let (x, y) = (try truth(a), try truth(operands[1]))
            return .truth(
                domain.simplified(
                    .any(of: [.all(of: [x, y.negated]), .all(of: [x.negated, y])])))
        case ("eq", 2), ("ne", 2), ("lt", 2), ("le", 2), ("gt", 2), ("ge", 2):
            let (x, y) = (try number(a), try number(operands[1]))
            let isFloat = editor.type(of: a).element.isFloat
            return .truth(
                domain.simplified(
                    x.holds { left in
                        y.holds { TermArithmetic.compare(node.node.op, left, $0, isFloat: isFloat) }
                    }))
        case ("where", 3):
            let condition = try truth(a)
            if element == .bool {
                let (x, y) = (try truth(operands[1]), try truth(operands[2]))
                return .truth(
                    domain.simplified(
                        .any(of: [.all(of: [condition, x]), .all(of: [condition.negated, y])])))
            }
            return Pieces.choose(condition, try number(operands[1]), try number(operands[2]), domain)
                .map(Element.number)
        case ("to", 1):
            if element == .bool { return .truth(try truth(a)) }
            let pieces = try number(a)
            return Pieces(
                pieces.pieces.map { piece in
                    let term = TermArithmetic.converted(piece.term, element)
                    return .init(
                        condition: piece.condition, term: term ?? unknownTerm(node.node.result, place))
                }, domain
            ).map(Element.number)
        case ("neg", 1):
            return Pieces.combine(Pieces(.integer(0)), try number(a), domain) {
                TermArithmetic.compute("sub", $0, $1, element)
            }.map(Element.number)
        case ("minimum", 2), ("maximum", 2):
            return try extremum(node, number(a), number(operands[1]))
        case ("add", 2), ("sub", 2), ("mul", 2), ("div", 2), ("floor_divide", 2), ("remainder", 2):
            // A product of booleans is their conjunction.
            if element == .bool { return nil }
            return Pieces.combine(try number(a), try number(operands[1]), domain) {
                TermArithmetic.compute(node.node.op, $0, $1, element) ?? unknownTerm(node.node.result, place)
            }.map(Element.number)
        default: return nil
        }
    }

    private func extremum(_ node: NodeView, _ a: Pieces, _ b: Pieces) -> Element? {
        let constant = Pieces.combine(a, b, domain) {
            TermArithmetic.compute(node.node.op, $0, $1, node.type.element)
        }
        if let constant { return .number(constant) }
        guard let x = a.single, let y = b.single, !node.type.element.isFloat else { return nil }
        let isFirst = TermArithmetic.compare(node.node.op == "minimum" ? "le" : "ge", x, y, isFloat: false)
        return Pieces.choose(isFirst, a, b, domain).map(Element.number)
    }
}
