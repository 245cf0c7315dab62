import ApusGraph
import ApusReference
import Testing

@Suite struct OpTests {
    @Test func everyStandardOpHasAFunction() {
        for spec in OpRegistry.standard.all {
            #expect(ReferenceFunctions.standard[spec.name] != nil, "\(spec.name)")
        }
    }

    @Test(
        arguments: [
            ("neg", "", [-1.5, 2]), ("exp", "", [4.4816890, 0.13533528]),
            ("silu", "", [1.2263617, -0.23840584]),
            ("sigmoid", "", [0.81757448, 0.11920292]), ("relu", "", [1.5, 0]),
            ("tanh", "", [0.90514825, -0.96402758]),
            ("sin", "", [0.99749499, -0.90929743]), ("cos", "", [0.070737202, -0.41614684]),
            ("erf", "", [0.96610515, -0.99532227]), ("pow", "exponent = 2.0", [2.25, 4]),
            ("gelu", "", [1.3997892, -0.045500264]),
            ("gelu", "approximate = \"tanh\"", [1.3995715, -0.045402306]),
        ] as [(String, String, [Float])])
    func unaryOpsMatchHandComputedValues(op: String, attributes: String, expected: [Float]) throws {
        #expect(near(try apply(op, [f32([2], [1.5, -2])], attributes: attributes, shape: [2]), expected))
    }

    @Test func rootsAndLogarithms() throws {
        let x = f32([2], [4, 0.25])
        #expect(try apply("sqrt", [x], shape: [2]) == [2, 0.5])
        #expect(try apply("rsqrt", [x], shape: [2]) == [0.5, 2])
        #expect(near(try apply("log", [x], shape: [2]), [1.3862944, -1.3862944]))
    }

    @Test func binaryOpsBroadcastFromTheRight() throws {
        let a = f32([2, 1, 2], [1, 2, 3, 4])
        let b = f32([3, 1], [10, 20, 40])
        #expect(
            try apply("add", [a, b], shape: [2, 3, 2]) == [11, 12, 21, 22, 41, 42, 13, 14, 23, 24, 43, 44])
        #expect(try apply("sub", [a, f32([], [1])], shape: [2, 1, 2]) == [0, 1, 2, 3])
        #expect(try apply("mul", [f32([2], [2, 3]), a], shape: [2, 1, 2]) == [2, 6, 6, 12])
        #expect(try apply("div", [a, f32([2], [2, 4])], shape: [2, 1, 2]) == [0.5, 0.5, 1.5, 1])
        let ints = Tensor(.i32, [2], ints: [Int(Int32.max), 7])
        let sum = try apply("add", [ints, Tensor(.i32, [], ints: [1])], results: TensorType(.i32, [2]))
        #expect(sum[0].ints == [Int(Int32.min), 8])
        #expect(throws: (any Error).self) {
            try apply("div", [ints, Tensor(.i32, [], ints: [0])], results: TensorType(.i32, [2]))
        }
    }

    @Test func conversionsRoundAndCut() throws {
        let x = f32([3], [1.0009765, -2.7, 70000])
        let half = try apply("to", [x], attributes: "element = f16", results: TensorType(.f16, [3]))
        #expect(half[0].floats == [1.0009766, -2.6992188, .infinity])
        let brain = try apply("to", [x], attributes: "element = bf16", results: TensorType(.bf16, [3]))
        #expect(brain[0].floats == [1, -2.703125, 70144])
        let ints = try apply("to", [x], attributes: "element = i64", results: TensorType(.i64, [3]))
        #expect(ints[0].ints == [1, -2, 70000])
        #expect(
            try apply("to", [Tensor(.bool, [2], ints: [1, 0])], attributes: "element = f32", shape: [2]) == [
                1, 0,
            ])
    }

    @Test func constantsAndEmbedding() throws {
        let text = """
            graph @f(%i: i64[3]) {
              %t = constant() {value = dense<[1.0, 2.0, 3.0, 4.0]> : f16[2, 2]} : f16[2, 2]
              %s = constant() {value = dense<[7.0]> : i32[2]} : i32[2]
              %e = embedding(%t, %i) {widen = true} : f32[3, 2]
              return %e, %s
            }
            """
        let results = try evaluate(text, ["i": Tensor(.i64, [3], ints: [1, 0, 1])])
        #expect(results[0] == f32([3, 2], [3, 4, 1, 2, 3, 4]))
        #expect(results[1].ints == [7, 7])
        let error = #expect(throws: (any Error).self) {
            try evaluate(text, ["i": Tensor(.i64, [3], ints: [1, 2, 1])])
        }
        #expect(error.map { "\($0)" } == "%e = embedding: index 2 is outside the table's rows 0..<2")
    }

    @Test func matrixProducts() throws {
        let x = f32([2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
        let w = f32([2, 5], [1, 0, 0, 0, 1, 0, 1, 0, -1, 0])
        #expect(try apply("linear", [x, w], shape: [2, 2]) == [6, -2, 16, -2])
        #expect(try apply("linear", [x, w, f32([2], [1, 2])], shape: [2, 2]) == [7, 0, 17, 0])
        let t = f32([5, 2], [1, 0, 0, 1, 0, 0, 0, -1, 1, 0])
        #expect(try apply("addmm", [f32([2], [1, 2]), x, t], shape: [2, 2]) == [7, 0, 17, 0])
        let a = f32([2, 1, 2], [1, 2, 3, 4])
        let b = f32([2, 2, 1], [1, 1, 2, 0])
        #expect(try apply("matmul", [a, b], shape: [2, 1, 1]) == [3, 6])
        #expect(try apply("matmul", [a, f32([2, 2], [1, 2, 3, 4])], shape: [2, 1, 2]) == [7, 10, 15, 22])
    }

    @Test func reductions() throws {
        let x = f32([2, 3], [1, 2, 6, 0, 0, 0])
        #expect(try apply("mean", [x], shape: [2, 1]) == [3, 0])
        #expect(try apply("mean", [x], attributes: "dim = 0, keepdim = false", shape: [3]) == [0.5, 1, 3])
        let third: Float = 1.0 / 3
        #expect(
            near(
                try apply("softmax", [x], shape: [2, 3]),
                [0.0065733, 0.01786794, 0.97555876, third, third, third]))
    }

    @Test func norms() throws {
        let x = f32([1, 2], [3, 4])
        let w = f32([2], [1, 2])
        #expect(
            near(
                try apply("rms_norm", [x, w], attributes: "eps = 0.5", shape: [1, 2]),
                [0.83205029, 2.2188008]))
        #expect(
            near(
                try apply("layer_norm", [x, w, f32([2], [1, 1])], attributes: "eps = 0.75", shape: [1, 2]),
                [0.5, 2]))
        let half = f32([1, 2], [1, 2])
        for (op, bias) in [("add_rms_norm", []), ("add_layer_norm", [f32([2], [1, 1])])] {
            let type = TensorType(.f32, [1, 2])
            let results = try apply(
                op, [half, f32([1, 2], [2, 2]), w] + bias, attributes: "eps = 0.5", results: type, type)
            #expect(results[0].floats == [3, 4])
            let plain = String(op.dropFirst(4))
            #expect(
                results[1].floats
                    == (try apply(plain, [x, w] + bias, attributes: "eps = 0.5", shape: [1, 2])))
        }
    }

    @Test func shapesChangeWithoutTheElements() throws {
        let x = f32([2, 3], [1, 2, 3, 4, 5, 6])
        #expect(try apply("view", [x], attributes: "shape = [3, 2]", shape: [3, 2]) == x.floats)
        #expect(try apply("unsqueeze", [x], attributes: "dim = -1", shape: [2, 3, 1]) == x.floats)
        #expect(
            try apply("transpose", [x], attributes: "dim0 = 0, dim1 = -1", shape: [3, 2]) == [
                1, 4, 2, 5, 3, 6,
            ])
        let cube = f32([1, 2, 3], x.floats)
        #expect(
            try apply("permute", [cube], attributes: "dims = [2, 0, 1]", shape: [3, 1, 2]) == [
                1, 4, 2, 5, 3, 6,
            ])
        #expect(
            try apply("expand", [f32([2, 1], [1, 2])], attributes: "shape = [2, 2, 2]", shape: [2, 2, 2])
                == [1, 1, 2, 2, 1, 1, 2, 2])
        #expect(try apply("slice", [x], attributes: "dim = 1, start = 1", shape: [2, 2]) == [2, 3, 5, 6])
        #expect(try apply("slice", [x], attributes: "dim = 0, end = 1", shape: [1, 3]) == [1, 2, 3])
        #expect(
            try apply("cat", [x, f32([2, 1], [8, 9])], attributes: "dim = 1", shape: [2, 4])
                == [1, 2, 3, 8, 4, 5, 6, 9])
    }

    @Test func gatedUnitAndLastToken() throws {
        #expect(
            near(
                try apply("swiglu", [f32([1, 4], [1.5, -2, 2, 3])], shape: [1, 2]), [2.4527235, -0.7152175]))
        let x = f32([2, 2, 1], [1, 2, 3, 4])
        #expect(
            try apply("gather_last_token", [x, Tensor(.i32, [2], ints: [1, 0])], shape: [2, 1, 1]) == [2, 3])
        #expect(throws: (any Error).self) {
            try apply("gather_last_token", [x, Tensor(.i32, [2], ints: [1, 2])], shape: [2, 1, 1])
        }
    }

    @Test func rotaryEmbeddingTurnsPairsAndLeavesTheRest() throws {
        let x = f32([1, 2, 5], [1, 2, 3, 4, 5, 1, 2, 3, 4, 5])
        let cosines = f32([2, 4], [0, 1, 0, 1, 1, 1, 1, 1])
        let sines = f32([2, 4], [1, 0, 1, 0, 0, 0, 0, 0])
        #expect(
            try apply("rope", [x, cosines, sines], shape: [1, 2, 5]) == [-3, 2, 1, 4, 5, 1, 2, 3, 4, 5])
        let table = try apply(
            "rope_table", [f32([2], [1, 0.5])], attributes: "positions = 2, scaling = 2.0", shape: [1, 2, 4])
        #expect(near(table, [2, 2, 0, 0, 1.0806046, 1.7551651, 1.682942, 0.95885108]))
    }
}
