import ApusGraph
import ApusSupport

/// Arithmetic of sizes. The program holds the value of each result as an expression over symbols, which is read where
/// the result is used.
extension ConverterRegistry {
    static let sizes: [String: Converter] = {
        let targets = [
            "aten.sym_size.int", "aten.sym_numel.default", "aten.sym_stride.int", "_operator.add",
            "_operator.sub",
            "_operator.mul", "_operator.floordiv", "_operator.mod", "_operator.neg", "_operator.pow",
            "torch.sym_max", "torch.sym_min", "_operator.eq", "_operator.ne", "_operator.lt", "_operator.le",
            "_operator.gt", "_operator.ge", "torch.sym_not", "_operator.and_", "_operator.or_",
        ]
        return Dictionary(
            targets.map { target in (target, { _ throws(ApusError) in [] } as Converter) },
            uniquingKeysWith: { first, _ in first })
    }()
}
