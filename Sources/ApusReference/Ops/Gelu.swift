import ApusGraph

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension ReferenceFunctions {
    static let gelu: [String: ReferenceFunction] = [
        "gelu": { call in
            let isTanh = call.string("approximate") == "tanh"
            return [
                call.result(
                    call[0].floats.map {
                        let x = Double($0)
                        let gate =
                            isTanh
                            ? tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x))
                            : erf(x / 2.0.squareRoot())
                        return Float(x / 2 * (1 + gate))
                    })
            ]
        }
    ]
}
