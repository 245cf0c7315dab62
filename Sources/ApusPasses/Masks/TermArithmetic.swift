import ApusGraph
import ApusSupport

/// Arithmetic and comparisons of terms, exact or not at all.
enum TermArithmetic {
    /// a op b, rounded to `element`; nil if it is not known exactly.
    static func compute(_ op: String, _ a: Term, _ b: Term, _ element: ElementType) -> Term? {
        if case .integer(let x) = a, case .integer(let y) = b, let result = polynomial(op, x, y, element) {
            return result
        }
        if let same = unchanged(op, a, b) { return same }
        guard let x = a.constant, let y = b.constant else { return nil }
        switch op {
        case "add": return converted(x + y, element)
        case "sub": return converted(x - y, element)
        case "mul": return converted(x * y, element)
        case "div" where element.isFloat: return converted(x / y, element)
        case "minimum": return x.isNaN || y.isNaN ? .number(.nan) : Term(min(x, y))
        case "maximum": return x.isNaN || y.isNaN ? .number(.nan) : Term(max(x, y))
        default: return nil
        }
    }

    /// What adding 0 or multiplying by 1 leaves as it is.
    private static func unchanged(_ op: String, _ a: Term, _ b: Term) -> Term? {
        switch (op, a, b) {
        case ("add", let x, .integer(0)), ("add", .integer(0), let x), ("sub", let x, .integer(0)),
            ("mul", let x, .integer(1)), ("mul", .integer(1), let x):
            x
        default: nil
        }
    }

    private static func polynomial(
        _ op: String, _ x: Dimension, _ y: Dimension, _ element: ElementType
    ) -> Term? {
        // Sums of positions are exact in FP32 as in integers, but not in half precision.
        guard element.isInteger || element == .f32 else { return nil }
        switch op {
        case "add": return bounded(x + y)
        case "sub": return bounded(x - y)
        case "mul": return bounded(x * y)
        case "floor_divide" where element.isInteger:
            guard let divisor = y.constant, divisor > 0 else { return nil }
            if divisor == 1 { return .integer(x) }
            if let value = x.constant {
                return .integer(Dimension(value / divisor - (value % divisor < 0 ? 1 : 0)))
            }
            return .quotient(x, divisor)
        case "remainder" where element.isInteger:
            guard let divisor = y.constant, divisor > 0, let value = x.constant else { return nil }
            return .integer(Dimension((value % divisor + divisor) % divisor))
        default: return nil
        }
    }

    /// A polynomial whose coefficients are small enough to compute on with.
    private static func bounded(_ p: Dimension) -> Term? {
        p.sortedTerms.allSatisfy { Double($0.coefficient.magnitude) <= Term.limit } ? .integer(p) : nil
    }

    /// A constant as an element of that type; nil where the conversion has rules of its own.
    static func converted(_ value: Double, _ element: ElementType) -> Term? {
        switch element {
        case .f32: Term(Double(Float(value)))
        case .f16: Term(Double(Half(Float(value)).float))
        case .bf16: Term(Double(BFloat16(Float(value)).float))
        case .i64: inRange(value, -Term.limit...Term.limit)
        case .i32: inRange(value, Double(Int32.min)...Double(Int32.max))
        case .i8: inRange(value, -128...127)
        case .u8: inRange(value, 0...255)
        case .bool: Term(value == 0 ? 0 : 1)
        }
    }

    private static func inRange(_ value: Double, _ range: ClosedRange<Double>) -> Term? {
        range.contains(value) ? Term(value.rounded(.towardZero)) : nil
    }

    /// A term converted to another element type; nil if it is not known exactly.
    static func converted(_ term: Term, _ element: ElementType) -> Term? {
        if let value = term.constant { return converted(value, element) }
        guard case .integer = term, element == .i64 || element == .i32 || element == .f32 else { return nil }
        return term
    }

    // MARK: Comparisons

    /// When a op b holds, for op in eq, ne, lt, le, gt, ge.
    static func compare(_ op: String, _ a: Term, _ b: Term, isFloat: Bool) -> Formula {
        switch op {
        case "ne": compare("eq", a, b, isFloat: isFloat).negated
        case "gt": compare("lt", b, a, isFloat: isFloat)
        case "ge": compare("le", b, a, isFloat: isFloat)
        case "eq": equal(a, b, isFloat: isFloat)
        case "lt": ordered(a, b, isStrict: true)
        default: ordered(a, b, isStrict: false)
        }
    }

    private static func equal(_ a: Term, _ b: Term, isFloat: Bool) -> Formula {
        switch (a, b) {
        case (.integer(let x), .integer(let y)): return .isZero(x - y)
        case (.integer(let x), .number(let y)), (.number(let y), .integer(let x)):
            return x.constant.map { .constant(Double($0) == y) } ?? .never
        case (.number(let x), .number(let y)): return .constant(x == y)
        default:
            // A number that may be NaN does not equal itself.
            if a == b, !isFloat { return .always }
            // One way of writing for both orders.
            let pair = "\(a)" <= "\(b)" ? (a, b) : (b, a)
            return .unknown(
                Unknown(relation: .equal, left: pair.0, right: pair.1), isNegated: false)
        }
    }

    private static func ordered(_ a: Term, _ b: Term, isStrict: Bool) -> Formula {
        switch (a, b) {
        case (.integer(let x), .integer(let y)): return .isAtLeastZero(y - x - (isStrict ? 1 : 0))
        case (.number(let x), .number(let y)): return .constant(isStrict ? x < y : x <= y)
        case (.integer(let x), .number(let y)):
            if let value = x.constant { return .constant(isStrict ? Double(value) < y : Double(value) <= y) }
            if y.isNaN { return .never }
            // No polynomial reaches a number that large; a fraction is rounded to the integer that decides.
            guard abs(y) <= Term.limit else { return .constant(y > 0) }
            return .isAtLeastZero(Dimension(Int(y.rounded(.down))) - x)
        case (.number(let x), .integer(let y)):
            if let value = y.constant { return .constant(isStrict ? x < Double(value) : x <= Double(value)) }
            if x.isNaN { return .never }
            guard abs(x) <= Term.limit else { return .constant(x < 0) }
            return .isAtLeastZero(y - Dimension(Int(x.rounded(.up))))
        default:
            return .unknown(
                Unknown(relation: isStrict ? .less : .lessOrEqual, left: a, right: b), isNegated: false)
        }
    }
}
