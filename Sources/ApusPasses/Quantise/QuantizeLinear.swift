import ApusGraph
import ApusSupport

/// Multiplies with codes as they are stored, instead of with the numbers that they stand for.
///
///     %y = linear(%x, dequantize(%codes, %scales) {bits = 4}, %bias)
///         →     %y = int4_groupwise_gemm(%x, %codes, %scales, none, %bias) {group_size = 128}
///     %y = linear(%x, cat(dequantize(%a, %s) {bits = 8}, dequantize(%b, %t) {bits = 8}))
///         →     %y = int8_linear(%x, cat(%a, %b), cat(%s, %t)) {group_size = 128}
///
/// Zero points that are missing beside present ones are written out. Groups of inputs must be whole words of codes (8
/// with 4 bits, 4 with 8), or all of the inputs; other weights, and those that no linear reads, are dequantized when
/// weights are packed.
struct QuantizeLinear: Pass {
    var name: String { "quantize-linear-int\(bits)" }
    /// Bits of a code, 4 or 8; weights with other codes are left to the other pass.
    let bits: Int
    /// Whether inputs stay FP32; else they are rounded to 8 bits for each row and group.
    let hasExactActivations: Bool

    func run(_ graph: inout Graph, _ notes: inout PassNotes) throws(ApusError) {
        let editor = GraphEditor(graph, registry: notes.registry)
        var counts: [Int: Int] = [:]
        for (position, node) in graph.nodes.enumerated() where node.op == "linear" {
            guard let x = node.operands[0], let weight = node.operands[1],
                let codes = QuantizedWeight(weight, editor), codes.form.bits == bits
            else { continue }
            let form = codes.form
            let columns = graph.type(of: weight).shape[1].constant
            guard form.groupSize % (bits == 4 ? 8 : 4) == 0 || form.groupSize == columns else {
                let name = graph.name(of: weight) ?? "a weight"
                notes.remarks.append(
                    "\(name): groups of \(form.groupSize) inputs have no kernel; dequantized when it is packed"
                )
                continue
            }
            editor.anchor = position
            var operands: [Value?] = [x]
            operands += try codes.operands(editor, name: graph.name(of: weight))
            operands.append(node.operands.count > 2 ? node.operands[2] : nil)
            let y = try editor.add(
                bits == 4 ? "int4_groupwise_gemm" : "int8_linear",
                Array(operands[...(operands.lastIndex { $0 != nil } ?? 0)]),
                [
                    "group_size": .int(form.groupSize),
                    "activations": .string(hasExactActivations ? "f32" : "int8"),
                ],
                name: graph.name(of: node.result))
            editor.replace(node.result, with: y)
            counts[form.groupSize, default: 0] += 1
        }
        for (groupSize, count) in counts.sorted(by: { $0.key < $1.key }) {
            notes.remarks.append(
                "\(count) linear(s) of \(bits)-bit codes, \(groupSize) to a scale, activations "
                    + (hasExactActivations ? "FP32" : "INT8"))
        }
        graph = try editor.commit()
    }
}
