import ApusGraph
import ApusSupport

/// Matrix products and table look-ups by weights.
extension ConverterRegistry {
    static let products: [String: Converter] = [
        "aten.linear.default": { call throws(ApusError) in
            [
                try call.add(
                    "linear",
                    [try call.tensor("input"), try call.tensor("weight"), try call.optionalTensor("bias")])
            ]
        },
        "aten.mm.default": { call throws(ApusError) in
            [try call.add("matmul", [try call.tensor("self"), try call.tensor("mat2")])]
        },
        "aten.bmm.default": { call throws(ApusError) in
            [try call.add("matmul", [try call.tensor("self"), try call.tensor("mat2")])]
        },
        "aten.matmul.default": { call throws(ApusError) in
            let (a, b) = (try call.tensor("self"), try call.tensor("other"))
            guard call.type(of: a).rank >= 2, call.type(of: b).rank >= 2 else {
                throw call.unsupported("a product with a vector")
            }
            return [try call.add("matmul", [a, b])]
        },
        "aten.addmm.default": { call throws(ApusError) in
            try requireUnitFactors(call)
            return [
                try call.add(
                    "addmm", [try call.tensor("self"), try call.tensor("mat1"), try call.tensor("mat2")])
            ]
        },
        "aten.baddbmm.default": { call throws(ApusError) in
            let product = try call.add("matmul", [try call.tensor("batch1"), try call.tensor("batch2")])
            let element = call.type(of: product).element
            var (sum, term) = (product, try call.tensor("self"))
            if let alpha = try call.number("alpha"), alpha != 1 {
                sum = try call.add("mul", [sum, call.scalar(alpha, element)])
            }
            let beta = try call.number("beta") ?? 1
            // beta = 0 takes nothing of self, not even a NaN.
            if beta == 0 { return [sum] }
            if beta != 1 { term = try call.add("mul", [term, call.scalar(beta, element)]) }
            return [try call.add("add", [term, sum])]
        },
        "aten.embedding.default": { call throws(ApusError) in
            [try call.add("embedding", [try call.tensor("weight"), try call.tensor("indices")])]
        },
    ]

    private static func requireUnitFactors(_ call: OperatorCall) throws(ApusError) {
        for name in ["alpha", "beta"] {
            if let factor = try call.number(name), factor != 1 {
                throw call.unsupported("\(name) = \(factor)")
            }
        }
    }
}
