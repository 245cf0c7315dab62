import ApusGraph
import ApusSupport

/// Tensors put together along a dimension.
extension ConverterRegistry {
    static let joins: [String: Converter] = [
        "aten.cat.default": { call throws(ApusError) in
            let parts = try promotedParts(call)
            let rank = parts.map { call.type(of: $0).rank }.max() ?? 0
            let axis = try call.axis(try call.int("dim", default: 0), rank: rank)
            return [parts.count == 1 ? parts[0] : try call.add("cat", parts, ["dim": .int(axis)])]
        },
        "aten.stack.default": { call throws(ApusError) in
            let parts = try promotedParts(call)
            let rank = call.type(of: parts[0]).rank + 1
            let axis = try call.axis(try call.int("dim", default: 0), rank: rank)
            var rows: [Value] = []
            for part in parts { rows.append(try call.add("unsqueeze", [part], ["dim": .int(axis)])) }
            return [rows.count == 1 ? rows[0] : try call.add("cat", rows, ["dim": .int(axis)])]
        },
    ]

    /// The tensors in their common type; those of shape [0], which PyTorch joins with anything, are left out.
    private static func promotedParts(_ call: OperatorCall) throws(ApusError) -> [Value] {
        let all = try call.tensors("tensors")
        let common = Promotion.type(of: all.map { .tensor($0) }, call)
        let filled = all.filter { call.type(of: $0).shape != [0] }
        var parts: [Value] = []
        for value in filled.isEmpty ? Array(all.prefix(1)) : filled {
            parts.append(try call.converted(value, to: common))
        }
        guard !parts.isEmpty else { throw ApusError(.invalidInput, "expected at least one tensor") }
        return parts
    }
}
