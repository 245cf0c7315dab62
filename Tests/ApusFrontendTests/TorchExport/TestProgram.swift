import ApusSupport

@testable import ApusFrontend

/// A program of a few nodes, written as an archive: `x` f32[1, S, 4] and `ids` i64[1, S] in, the last node's first
/// result out.
struct TestProgram {
    /// The nodes as the archive spells them.
    var nodes: [String] = []
    /// Types of the nodes' results: number of the dtype, and sizes.
    var tensors: [String: String] = ["x": meta(7, "[1, S, 4]"), "ids": meta(5, "[1, S]")]
    var output = "y"
    var schema = 8
    var extra: [(String, [UInt8])] = []
    var format = "pt2"

    static let length = #"{"as_expr": {"expr_str": "Symbol('s7', integer=True)", "hint": null}}"#

    /// The metadata of a tensor; in `sizes` S is the length of the sequence.
    static func meta(_ dtype: Int, _ sizes: String) -> String {
        let list = sizes.dropFirst().dropLast().split(separator: ",").map { size -> String in
            let text = size.filter { $0 != " " }
            return text == "S" ? length : #"{"as_int": \#(text)}"#
        }
        return #"{"dtype": \#(dtype), "sizes": [\#(list.joined(separator: ","))], "device": {"type": "cpu"}}"#
    }

    /// A call with arguments spelled as in the archive, such as `("self", #"{"as_tensor": {"name": "x"}}"#)`.
    mutating func call(
        _ target: String, _ arguments: [(String, String)], to result: String? = "y", _ dtype: Int = 7,
        _ sizes: String = "[1, S, 4]"
    ) {
        let inputs = arguments.map { #"{"name": "\#($0.0)", "arg": \#($0.1), "kind": 1}"# }.joined(
            separator: ",")
        let outputs = result.map { #"{"as_tensor": {"name": "\#($0)"}}"# } ?? ""
        nodes.append(
            #"{"target": "torch.ops.\#(target)", "inputs": [\#(inputs)], "outputs": [\#(outputs)], "#
                + #""metadata": {}, "name": "\#(result ?? "node\(nodes.count)")"}"#)
        if let result { tensors[result] = Self.meta(dtype, sizes) }
    }

    /// The text of `model.json`.
    var json: String {
        let values = tensors.sorted { $0.key < $1.key }.map { #""\#($0.key)": \#($0.value)"# }.joined(
            separator: ",")
        let inputs = ["x", "ids"].map { #"{"as_tensor": {"name": "\#($0)"}}"# }
        let specs = inputs.map { #"{"user_input": {"arg": \#($0)}}"# }
        let result = #"{"as_tensor": {"name": "\#(output)"}}"#
        return
            #"{"graph_module": {"graph": {"inputs": [\#(inputs.joined(separator: ","))], "outputs": [\#(result)], "#
            + #""nodes": [\#(nodes.joined(separator: ","))], "tensor_values": {\#(values)}, "sym_int_values": {}}, "#
            + #""signature": {"input_specs": [\#(specs.joined(separator: ","))], "#
            + #""output_specs": [{"user_output": {"arg": \#(result)}}]}}, "schema_version": {"major": \#(schema), "#
            + #""minor": 99}, "torch_version": "2.99", "range_constraints": {"s7": {"min_val": 1, "max_val": 64}}}"#
    }

    /// The archive's bytes.
    func bytes(json: String? = nil) -> [UInt8] {
        var writer = ZipWriter()
        writer.add("model/archive_format", format)
        writer.add("model/archive_version", "0")
        writer.add("model/byteorder", "little")
        for (name, bytes) in extra { writer.add("model/\(name)", bytes) }
        writer.add("model/models/model.json", json ?? self.json)
        return writer.bytes()
    }

    /// Writes the archive and imports it.
    func load(_ converters: ConverterRegistry = .standard) throws -> ImportedModel {
        let folder = try TemporaryFolder()
        try folder.write("model.pt2", bytes())
        return try Importer.importProgram(path: "\(folder.path)/model.pt2", converters: converters)
    }

    /// What importing says is wrong.
    func failure() -> ApusError? {
        do {
            _ = try load()
            return nil
        } catch {
            return error as? ApusError
        }
    }
}
