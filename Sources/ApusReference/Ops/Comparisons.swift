import ApusGraph
import ApusSupport

extension ReferenceFunctions {
    static let comparisons: [String: ReferenceFunction] = [
        "eq": comparison({ $0 == $1 }, { $0 == $1 }), "ne": comparison({ $0 != $1 }, { $0 != $1 }),
        "lt": comparison({ $0 < $1 }, { $0 < $1 }), "le": comparison({ $0 <= $1 }, { $0 <= $1 }),
        "gt": comparison({ $0 > $1 }, { $0 > $1 }), "ge": comparison({ $0 >= $1 }, { $0 >= $1 }),
        "logical_and": connective { $0 && $1 }, "logical_or": connective { $0 || $1 },
        "logical_xor": connective { $0 != $1 },
        "logical_not": { call in [call.result(ints: call[0].ints.map { $0 == 0 ? 1 : 0 })] },
        "where": { call in
            let shape = call.shapes[0]
            let places = (0..<3).map { Strides.offsets(shape, Strides.broadcast(call[$0].shape, to: shape)) }
            let condition = places[0].map { call[0].ints[$0] != 0 }
            func choose<T>(_ a: [T], _ b: [T]) -> [T] {
                condition.indices.map { condition[$0] ? a[places[1][$0]] : b[places[2][$0]] }
            }
            if call.elements[0].isFloat { return [call.result(choose(call[1].floats, call[2].floats))] }
            return [call.result(ints: choose(call[1].ints, call[2].ints))]
        },
    ]

    private static func comparison(
        _ float: @escaping @Sendable (Float, Float) -> Bool, _ integer: @escaping @Sendable (Int, Int) -> Bool
    ) -> ReferenceFunction {
        { call in
            let (a, b) = (call[0], call[1])
            let shape = call.shapes[0]
            let x = Strides.offsets(shape, Strides.broadcast(a.shape, to: shape))
            let y = Strides.offsets(shape, Strides.broadcast(b.shape, to: shape))
            let bits = zip(x, y).map { i, j in
                a.element.isFloat ? float(a.floats[i], b.floats[j]) : integer(a.ints[i], b.ints[j])
            }
            return [call.result(ints: bits.map { $0 ? 1 : 0 })]
        }
    }

    private static func connective(
        _ function: @escaping @Sendable (Bool, Bool) -> Bool
    ) -> ReferenceFunction {
        comparison({ _, _ in false }, { function($0 != 0, $1 != 0) })
    }
}
