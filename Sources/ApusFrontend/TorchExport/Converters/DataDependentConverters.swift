import ApusSupport

/// Operators whose result's size, or the program's way, depends on the values of tensors: no graph can hold them.
extension ConverterRegistry {
    static let dataDependent: [String: Converter] = {
        let targets = [
            "aten.item.default", "aten._local_scalar_dense.default", "aten.nonzero.default",
            "aten.masked_select.default", "aten.unique_consecutive.default", "aten._unique2.default",
            "higher_order.cond", "higher_order.while_loop",
        ]
        return Dictionary(
            targets.map { target in
                (
                    target,
                    { call throws(ApusError) in
                        throw call.unsupported("depends on the values of tensors, which no graph can hold")
                    } as Converter
                )
            }, uniquingKeysWith: { first, _ in first })
    }()
}
