import ApusGraph
import ApusReference
import ApusSupport
import Testing

@testable import ApusFrontend

/// What cannot be imported says why; what a user adds can be.
@Suite struct ImportErrorTests {
    private let x = ("self", #"{"as_tensor": {"name": "x"}}"#)

    private var valid: TestProgram {
        var program = TestProgram()
        program.call("aten.mul.Tensor", [x, ("other", #"{"as_float": 2.0}"#)])
        return program
    }

    @Test func aSmallProgramIsImported() throws {
        let model = try valid.load()
        #expect(model.graph.symbols == [Symbol("S", 1...64)])
        #expect(model.info.vocabularySize == 4 && model.info.modelType == "exported")
    }

    @Test func anotherSchemaIsRefused() {
        var program = valid
        program.schema = 9
        let error = program.failure()
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("expected schema version 8, got 9 (written by 2.99)") == true)
    }

    @Test func otherArchivesAreRefused() throws {
        var program = valid
        program.format = "aoti"
        #expect(program.failure()?.message.contains("archive format pt2") == true)
        program = valid
        program.extra = [("models/other.json", Array("{}".utf8))]
        #expect(program.failure()?.message.contains("expected one program in models/, got 2") == true)
        let folder = try TemporaryFolder()
        var foreign = ZipWriter()
        foreign.add("word/document.xml", "<xml/>")
        try folder.write("foreign.zip", foreign.bytes())
        var error = #expect(throws: ApusError.self) {
            try Importer.importProgram(path: "\(folder.path)/foreign.zip")
        }
        #expect(error?.message.contains("saved by torch.export.save") == true)
        var old = ZipWriter()
        old.add("version", "2.3")
        old.add("serialized_exported_program.json", "{}")
        try folder.write("old.pt2", old.bytes())
        error = #expect(throws: ApusError.self) { try Importer.importProgram(path: "\(folder.path)/old.pt2") }
        #expect(error?.message.contains("torch 2.7 or earlier; load it with torch 2.8") == true)
    }

    /// All of them at once, with counts and the names of nodes.
    @Test func unsupportedOperatorsAreListedTogether() throws {
        var program = TestProgram()
        for index in 0..<6 { program.call("mylib.twist.default", [x], to: "twist_\(index)") }
        program.call("aten.view.dtype", [x, ("dtype", #"{"as_int": 4}"#)], to: "viewed")
        program.call("aten.nonzero.default", [x], to: "places", 5, "[4, 3]")
        program.call(
            "aten.dropout.default",
            [("input", x.1), ("p", #"{"as_float": 0.5}"#), ("train", #"{"as_bool": true}"#)])
        let error = try #require(program.failure())
        #expect(error.code == .unsupported)
        for line in [
            "mylib.twist.default: 6 nodes (twist_0, twist_1, twist_2, twist_3, …)",
            "aten.view.dtype: 1 node (viewed)",
            "aten.nonzero.default: depends on the values of tensors",
            "aten.dropout.default: dropout in training mode",
        ] {
            #expect(error.message.contains(line), "\(error.message)")
        }
    }

    @Test func aUserAddsAConverter() throws {
        var program = TestProgram()
        program.call("mylib.triple.default", [("t", x.1), ("times", #"{"as_int": 3}"#)])
        #expect(program.failure()?.message.contains("mylib.triple.default: 1 node (y)") == true)
        var converters = ConverterRegistry.standard
        try converters.register("mylib.triple.default") { call throws(ApusError) in
            let value = try call.tensor("t")
            let factor = call.scalar(Double(try call.int("times")), call.type(of: value).element)
            return [try call.add("mul", [value, factor])]
        }
        let model = try program.load(converters)
        let numbers: [Float] = [1, 2, 3, 4]
        let outputs = try Interpreter(graph: model.graph, weights: model.weights).run([
            "x": Tensor(.f32, [1, 1, 4], floats: numbers), "ids": Tensor(.i64, [1, 1], ints: [0]),
        ])
        #expect(outputs[0].floats == [3, 6, 9, 12])
        #expect(throws: ApusError.self) {
            try converters.register("mylib.triple.default") { _ throws(ApusError) in [] }
        }
        converters.replace("aten.mul.Tensor") { call throws(ApusError) in [try call.tensor("self")] }
        #expect(try valid.load(converters).graph.nodes.isEmpty)
    }

    /// A converter that is wrong about a type is found out by what the exporter recorded.
    @Test func wrongTypesAreNoticed() throws {
        var program = TestProgram()
        program.call("aten.mul.Tensor", [x, ("other", #"{"as_float": 2.0}"#)], to: "y", 6)
        #expect(
            program.failure()?.message.contains(
                "the program says f16[1, S, 4], the import gives f32[1, S, 4]") == true)
        program = TestProgram()
        program.call("aten.mul.Tensor", [x, ("other", #"{"as_float": 2.0}"#)], to: "y", 7, "[1, S, 5]")
        #expect(program.failure()?.code == .mismatch)
    }

    @Test func brokenProgramsAreRefused() {
        var program = valid
        program.output = "z"
        #expect(program.failure()?.message.contains("tensor 'z' is used, but nothing defines it") == true)
        program = valid
        program.call("aten.add.Tensor", [("self", #"{"as_tensor": {"name": "y"}}"#)], to: "w")
        #expect(program.failure()?.code == .unsupported)
        program = TestProgram()
        program.call("aten.transpose.int", [x, ("dim0", #"{"as_int": 1}"#), ("dim1", #"{"as_int": 7}"#)])
        #expect(program.failure()?.message.contains("dimension 7 is out of range for rank 3") == true)
        program = TestProgram()
        program.call("aten.sum.dim_IntList", [x, ("dim", #"{"as_ints": [0, 1, 2]}"#)], to: "y", 7, "[]")
        #expect(program.failure()?.message.contains("expected logits") == true)
    }

    /// Dtypes that no graph holds are refused with their names.
    @Test func otherTypesAreRefused() {
        var program = TestProgram()
        program.call("aten.to.dtype", [x, ("dtype", #"{"as_scalar_type": 8}"#)], to: "y", 8)
        #expect(program.failure()?.message.contains("element type float64") == true)
    }
}
