import ApusFrontend
import ApusGraph
import ApusSupport
import TestNumbers
import Testing

@Suite struct SafetensorsTests {
    /// The message of the error that opening these bytes gives, without the folder.
    static func message(_ bytes: [UInt8]) throws -> String? {
        let folder = try TemporaryFolder()
        try folder.write("model.safetensors", bytes)
        do {
            _ = try Checkpoint(folder: folder.path)
            return nil
        } catch {
            return error.description.replacing("\(folder.path)/", with: "")
        }
    }

    @Test func readsTypesShapesAndBytes() throws {
        let folder = try TemporaryFolder()
        var bytes = safetensors(
            #"{"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,1],"data_offsets":[4,8]},"#
                + #""a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"#
                + #""e":{"dtype":"F32","shape":[0,3],"data_offsets":[8,8]},"#
                + #""x":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[8,11]}}  "#, data: 11)
        bytes[bytes.count - 6] = 0x3F
        try folder.write("model.safetensors", bytes)
        let checkpoint = try Checkpoint(folder: folder.path)
        #expect(checkpoint.names == ["a", "b", "e", "x"])
        #expect(checkpoint.type(of: "a") == TensorType(.f32, [Int]()))
        #expect(checkpoint.type(of: "b") == TensorType(.bf16, [2, 1]))
        // A type that no graph holds is listed but is no error until a graph asks for it.
        #expect(checkpoint.type(of: "x") == nil)
        #expect(checkpoint.storedType(of: "x") == "F8_E4M3[3]")
        for _ in 0..<2 {
            var read: [UInt8] = []
            try checkpoint.withBytes(of: "b") { read = Array($0) }
            #expect(read == [0, 0x3F, 0, 0])
            checkpoint.release("b")
        }
        let error = #expect(throws: ApusError.self) { try checkpoint.withBytes(of: "c") { _ in } }
        #expect(error?.code == .notFound)
    }

    @Test(arguments: [
        ("", 8, "the tensors take 0 bytes, the file has 8"),
        (#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#, 4, "do not lie in the file's 4 bytes"),
        (#""a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}"#, 8, "data_offsets [8, 0] do not lie"),
        (
            #""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}"#,
            8, "tensor 'b' overlaps another: expected it to start at 8, got 4"
        ),
        (
            #""a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}"#, 8,
            "tensor 'a' leaves a hole before it: expected it to start at 0, got 4"
        ),
        (
            #""a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#, 8,
            "the tensors take 4 bytes, the file has 8"
        ),
        (
            #""a":{"dtype":"F16","shape":[2],"data_offsets":[0,8]}"#, 8,
            "F16 of shape [2] takes 4 bytes, data_offsets give 8"
        ),
        (
            #""a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,8]}"#, 8,
            "is too large"
        ),
        (
            #""a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}"#, 8,
            "expected integers of at least 0 in 'shape'"
        ),
        (#""a":{"dtype":"F32","shape":[2]}"#, 8, "expected a list for 'data_offsets'"),
        (#""a":{"dtype":4,"shape":[2],"data_offsets":[0,8]}"#, 8, "expected a string for 'dtype'"),
        (#""a":7"#, 8, "expected a string for 'dtype'"),
        (
            #""a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}"#,
            8, "tensor 'a' is described twice"
        ),
        (#""a":{"#, 8, "line 1"),
    ])
    func headersThatAreWrongAreErrors(header: String, data: Int, message: String) throws {
        let found = try Self.message(safetensors("{\(header)}", data: data))
        #expect(found?.hasPrefix("model.safetensors: ") == true)
        #expect(found?.contains(message) == true, "\(found ?? "no error")")
    }

    @Test func truncatedFilesAndLongHeadersAreErrors() throws {
        let whole = safetensors(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, data: 8)
        #expect(try Self.message(whole) == nil)
        for count in 0..<whole.count { #expect(try Self.message(Array(whole[..<count])) != nil) }
        var long = whole
        for byte in [UInt8(0x7F), 0xFF] {
            long[7] = byte
            #expect(try Self.message(long)?.contains("the header is said to have") == true)
        }
        #expect(try Self.message(safetensors("[1]", data: 0))?.contains("expected an object") == true)
    }

    @Test func mutatedHeadersNeverCrash() throws {
        let header = Array(
            #"{"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[4],"data_offsets":[8,16]}}"#
                .utf8)
        var random = Numbers(seed: 7)
        var accepted = 0
        for _ in 0..<400 {
            var bytes = safetensors(String(decoding: header, as: UTF8.self), data: 16)
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let index = Int.random(in: 0..<8 + header.count, using: &random)
                let pool = Array(#"0123456789[]{}",:-eFabU"#.utf8)
                bytes[index] =
                    index < 8
                    ? UInt8.random(in: 0...255, using: &random) : pool.randomElement(using: &random) ?? 0
            }
            if try Self.message(bytes) == nil { accepted += 1 }
        }
        #expect(accepted < 400)
    }

    @Test func indexesAreChecked() throws {
        let folder = try TemporaryFolder()
        func index(_ map: String) throws -> String? {
            try folder.write("model.safetensors.index.json", map)
            do {
                _ = try Checkpoint(folder: folder.path)
                return nil
            } catch { return error.description.replacing("\(folder.path)/", with: "") }
        }
        try folder.write(
            "a.safetensors", safetensors(#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, data: 4))
        #expect(try index(#"{"weight_map":{"a":"a.safetensors"}}"#) == nil)
        let name = "model.safetensors.index.json"
        #expect(try index(#"{"map":1}"#) == "\(name): expected an object for 'weight_map'")
        #expect(
            try index(#"{"weight_map":{"a":"a.safetensors","b":"a.safetensors"}}"#)
                == "\(name): names weights that are missing: 'b' in a.safetensors")
        #expect(
            try index(#"{"weight_map":{"a":"b.safetensors"}}"#)
                == "\(name): b.safetensors: no such file; check the path")
        #expect(
            try index(#"{"weight_map":{"a":"../a.safetensors"}}"#)
                == "\(name): weight 'a': expected the name of a file in the folder")
        #expect(try index("{")?.contains("line 1, column 2") == true)
    }

    @Test func foldersWithoutWeightsAreErrors() throws {
        let missing = #expect(throws: ApusError.self) { try Checkpoint(folder: "/no/such") }
        #expect(missing?.description == "/no/such: no such folder; check the path")
        let folder = try TemporaryFolder()
        let empty = #expect(throws: ApusError.self) { try Checkpoint(folder: folder.path) }
        #expect(empty?.code == .notFound)
        try folder.write("pytorch_model.bin", "x")
        let pickled = #expect(throws: ApusError.self) { try Checkpoint(folder: folder.path) }
        #expect(pickled?.code == .unsupported)
    }
}
