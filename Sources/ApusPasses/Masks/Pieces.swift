import ApusGraph

/// A number that depends on conditions: exactly one of the conditions holds, and its term is the number.
struct Pieces {
    struct Piece {
        var condition: Formula
        var term: Term
    }
    private(set) var pieces: [Piece]

    /// More pieces than any mask has; what grows beyond is taken as not understood.
    static let limit = 12

    init(_ term: Term) { pieces = [Piece(condition: .always, term: term)] }

    /// Pieces of which those that never hold are dropped and those of equal term are joined; nil if too many.
    init?(_ parts: [Piece], _ domain: IndexDomain) {
        pieces = []
        for part in parts {
            let condition = domain.simplified(part.condition)
            if condition == .never { continue }
            if let place = pieces.firstIndex(where: { $0.term == part.term }) {
                pieces[place].condition = domain.simplified(
                    .any(of: [pieces[place].condition, condition]))
            } else {
                pieces.append(Piece(condition: condition, term: part.term))
            }
        }
        if pieces.count == 1 { pieces[0].condition = .always }
        guard !pieces.isEmpty, pieces.count <= Self.limit else { return nil }
    }

    /// 1 where a condition holds, else 0.
    init?(_ condition: Formula, _ domain: IndexDomain) {
        self.init(
            [
                Piece(condition: condition, term: .integer(1)),
                Piece(condition: condition.negated, term: .integer(0)),
            ], domain)
    }

    /// The term, if there is but one.
    var single: Term? { pieces.count == 1 ? pieces[0].term : nil }

    /// A function of two numbers; nil if the function is for some pair of pieces.
    static func combine(
        _ a: Pieces, _ b: Pieces, _ domain: IndexDomain, _ function: (Term, Term) -> Term?
    ) -> Pieces? {
        var parts: [Piece] = []
        for x in a.pieces {
            for y in b.pieces {
                let condition = domain.simplified(.all(of: [x.condition, y.condition]))
                if condition == .never { continue }
                guard let term = function(x.term, y.term) else { return nil }
                parts.append(Piece(condition: condition, term: term))
            }
        }
        return Pieces(parts, domain)
    }

    /// `a` where the condition holds, else `b`.
    static func choose(_ condition: Formula, _ a: Pieces, _ b: Pieces, _ domain: IndexDomain) -> Pieces? {
        let parts =
            a.pieces.map { Piece(condition: .all(of: [condition, $0.condition]), term: $0.term) }
            + b.pieces.map { Piece(condition: .all(of: [condition.negated, $0.condition]), term: $0.term) }
        return Pieces(parts, domain)
    }

    /// When a condition on the terms holds.
    func holds(_ condition: (Term) -> Formula) -> Formula {
        .any(of: pieces.map { .all(of: [$0.condition, condition($0.term)]) })
    }
}
