import ApusGraph
import ApusSupport

/// An operand of an element-wise operator: a tensor, a Python number, or a symbolic integer.
enum PointwiseOperand {
    case tensor(Value)
    case number(Double, ElementType)
    case size(Dimension)
}

/// The element type that an operator computes in, as torch.result_type finds it: tensors with dimensions decide, a
/// scalar tensor counts only if its kind is higher (bool < integer < float), a Python number only if its kind is
/// higher still.
enum Promotion {
    private static func category(_ element: ElementType) -> Int {
        element == .bool ? 0 : element.isFloat ? 2 : 1
    }

    /// The type that holds values of both.
    static func join(_ a: ElementType, _ b: ElementType) -> ElementType {
        if a == b { return a }
        if category(a) != category(b) { return category(a) > category(b) ? a : b }
        if a.isFloat { return .f32 }
        let (small, large) = a.byteCount < b.byteCount ? (a, b) : (b, a)
        // An unsigned and a signed byte share none of their types.
        return large.byteCount > small.byteCount ? large : .i32
    }

    private static func combine(_ higher: ElementType?, _ lower: ElementType?) -> ElementType? {
        guard let higher else { return lower }
        guard let lower else { return higher }
        if higher.isFloat { return higher }
        if higher == .bool || lower.isFloat { return join(higher, lower) }
        return higher
    }

    /// The result type of operands.
    static func type(of operands: [PointwiseOperand], _ call: OperatorCall) -> ElementType {
        var (tensors, scalars, numbers): (ElementType?, ElementType?, ElementType?)
        for operand in operands {
            switch operand {
            case .tensor(let value):
                let type = call.type(of: value)
                if type.rank > 0 {
                    tensors = tensors.map { join($0, type.element) } ?? type.element
                } else {
                    scalars = scalars.map { join($0, type.element) } ?? type.element
                }
            case .number(_, let element): numbers = numbers.map { join($0, element) } ?? element
            case .size: numbers = numbers.map { join($0, .i64) } ?? .i64
            }
        }
        return combine(tensors, combine(scalars, numbers)) ?? .f32
    }
}

extension OperatorCall {
    /// An operand of an element-wise operator.
    func operand(_ name: String) throws(ApusError) -> PointwiseOperand {
        switch argument(name) {
        case .tensor(let tensor)?: return .tensor(try context.value(of: tensor))
        case .int(let value)?: return .number(Double(value), .i64)
        case .float(let value)?: return .number(value, .f32)
        case .bool(let value)?: return .number(value ? 1 : 0, .bool)
        case .symInt(let reference)?:
            let size = try context.dimension(reference)
            return size.constant.map { .number(Double($0), .i64) } ?? .size(size)
        default:
            throw unsupported(
                "argument '\(name)': expected a tensor or a number, got \(argument(name)?.kind ?? "nothing")")
        }
    }

    /// The value of an operand in an element type.
    func value(_ operand: PointwiseOperand, as element: ElementType) throws(ApusError) -> Value {
        switch operand {
        case .tensor(let value): return try converted(value, to: element)
        case .number(let number, _): return scalar(number, element)
        case .size(let size):
            return try converted(try add("size", [], ["value": .size(size)]), to: element)
        }
    }

    /// The values of operands in their common type, or the given one, and lined up under vmap.
    func promoted(
        _ operands: [PointwiseOperand], as element: ElementType? = nil
    ) throws(ApusError) -> [Value] {
        let common = element ?? Promotion.type(of: operands, self)
        var values: [Value] = []
        for operand in operands { values.append(try value(operand, as: common)) }
        return values
    }

    /// Adds an element-wise node; the result has the vmap levels of all operands.
    func pointwise(
        _ op: String, _ operands: [Value], _ attributes: [String: Attribute] = [:]
    ) throws(ApusError) -> Value {
        let (aligned, levels) = try aligned(operands)
        let result = try add(op, aligned, attributes)
        context.setLevels(of: result, to: levels)
        return result
    }
}
