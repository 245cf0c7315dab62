import ApusGraph
import ApusSupport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension ReferenceFunctions {
    static let elementwise: [String: ReferenceFunction] = [
        "neg": unary { -$0 },
        "exp": unary { exp($0) },
        "log": unary { log($0) },
        "sqrt": unary { $0.squareRoot() },
        "rsqrt": unary { 1 / $0.squareRoot() },
        "sin": unary { sin($0) },
        "cos": unary { cos($0) },
        "tanh": unary { tanh($0) },
        "sigmoid": unary(sigmoid),
        "silu": unary { $0 * sigmoid($0) },
        "relu": unary { $0 < 0 ? 0 : $0 },
        "erf": unary { erf($0) },
        "pow": { call in
            let exponent = call.float("exponent")
            return [call.result(Loops.map(call[0].floats) { Float(pow(Double($0), exponent)) })]
        },
        "add": binary({ $0 + $1 }, { a, b throws(ApusError) in a &+ b }),
        "sub": binary({ $0 - $1 }, { a, b throws(ApusError) in a &- b }),
        "mul": binary({ $0 * $1 }, { a, b throws(ApusError) in a &* b }),
        "div": binary(
            { $0 / $1 },
            { a, b throws(ApusError) in
                let (quotient, overflow) = a.dividedReportingOverflow(by: b)
                guard b != 0, !overflow else {
                    throw ApusError(.invalidInput, "\(a) divided by \(b) is no integer")
                }
                return quotient
            }),
        "minimum": binary({ min($0, $1) }, { a, b throws(ApusError) in min(a, b) }),
        "maximum": binary({ max($0, $1) }, { a, b throws(ApusError) in max(a, b) }),
        "floor_divide": binary({ ($0 / $1).rounded(.down) }, floorDivide),
        "remainder": binary(
            { $0 - $1 * ($0 / $1).rounded(.down) },
            { a, b throws(ApusError) in a &- b &* (try floorDivide(a, b)) }),
        "to": { call in
            let x = call[0]
            let element = call.elements[0]
            switch (x.element.isFloat, element.isFloat) {
            case (true, true): return [call.result(x.floats)]
            case (false, true): return [call.result(x.ints.map { Float($0) })]
            case (true, false):
                return [call.result(ints: x.floats.map { Tensor.integer(Double($0), element) })]
            case (false, false): return [call.result(ints: x.ints)]
            }
        },
    ]

    @Sendable private static func floorDivide(_ a: Int, _ b: Int) throws(ApusError) -> Int {
        let (quotient, overflow) = a.dividedReportingOverflow(by: b)
        guard b != 0, !overflow else {
            throw ApusError(.invalidInput, "\(a) divided by \(b) is no integer")
        }
        return quotient - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0)
    }

    /// 1/(1 + e^-x), without overflow on either side.
    static func sigmoid(_ x: Double) -> Double {
        if x >= 0 { return 1 / (1 + exp(-x)) }
        let e = exp(x)
        return e / (1 + e)
    }

    private static func unary(_ function: @escaping @Sendable (Double) -> Double) -> ReferenceFunction {
        { call in [call.result(Loops.map(call[0].floats) { Float(function(Double($0))) })] }
    }

    private static func binary(
        _ function: @escaping @Sendable (Float, Float) -> Float,
        _ integer: @escaping @Sendable (Int, Int) throws(ApusError) -> Int
    ) -> ReferenceFunction {
        { call throws(ApusError) in
            let (x, y) = (call[0], call[1])
            let a = Strides.offsets(call.shapes[0], Strides.broadcast(x.shape, to: call.shapes[0]))
            let b = Strides.offsets(call.shapes[0], Strides.broadcast(y.shape, to: call.shapes[0]))
            if call.elements[0].isFloat {
                return [call.result(Loops.map(x.floats, a, y.floats, b, function))]
            }
            var ints: [Int] = []
            for (i, j) in zip(a, b) { ints.append(try integer(x.ints[i], y.ints[j])) }
            return [call.result(ints: ints)]
        }
    }
}
