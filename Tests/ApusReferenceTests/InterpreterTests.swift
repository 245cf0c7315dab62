import ApusGraph
import ApusReference
import ApusSupport
import Testing

@Suite struct InterpreterTests {
    static let text = """
        graph @f(%x: f32[B, S], %y: f32[B, S + T]) where B in 1...2, S in 1...4, T in 0...3 {
          %z = cat(%x, %y) {dim = 1} : f32[B, 2*S + T]
          return %z, %x
        }
        """

    @Test func symbolsGetTheirValuesFromTheInputs() throws {
        let results = try evaluate(Self.text, ["x": f32([1, 2], [1, 2]), "y": f32([1, 3], [3, 4, 5])])
        #expect(results == [f32([1, 5], [1, 2, 3, 4, 5]), f32([1, 2], [1, 2])])
    }

    @Test(
        arguments: [
            (["x": f32([1, 1], [1])], "input 'y' (f32[B, S + T]) is missing"),
            (
                ["x": f32([1, 1], [1]), "y": f32([1, 1], [1]), "z": f32([], [1])],
                "input 'z': the graph has none of that name; it has x, y"
            ),
            (
                ["x": f32([3, 1], [1, 2, 3]), "y": f32([3, 1], [1, 2, 3])],
                "symbol 'B': expected 1...2, got 3"
            ),
            (
                ["x": f32([1, 1], [1]), "y": f32([1, 5], [1, 2, 3, 4, 5])],
                "symbol 'T': expected 0...3, got 4"
            ),
            (["x": f32([1, 2], [1, 2]), "y": f32([1, 1], [1])], "symbol 'T': expected 0...3, got -1"),
            (
                ["x": f32([1, 1], [1]), "y": f32([2, 1], [1, 2])],
                "input 'y': expected f32[B, S + T], here f32[1, 1], got f32[2, 1]"
            ),
            (
                ["x": Tensor(.i32, [1, 1], ints: [1]), "y": f32([1, 1], [1])],
                "input 'x': expected f32[B, S], got i32[1, 1]"
            ),
            (
                ["x": f32([1, 2], [1]), "y": f32([1, 2], [1, 2])], "input 'x': f32[1, 2] was given 1 elements"
            ),
        ] as [([String: Tensor], String)])
    func wrongInputsAreErrorsThatNameThem(inputs: [String: Tensor], message: String) throws {
        let error = #expect(throws: (any Error).self) { try evaluate(Self.text, inputs) }
        #expect(error.map { "\($0)" } == message)
    }

    @Test func weightsAreConvertedToTheTypeOfTheGraph() throws {
        let text = """
            graph @f() {
              %w = parameter() {name = "w"} : f32[2]
              %h = parameter() {name = "w"} : bf16[2]
              return %w, %h
            }
            """
        // 1.5 and 0.333… as f16.
        let weights = Weights(table: ["w": (TensorType(.f16, [2]), [0x00, 0x3E, 0x55, 0x35])])
        let results = try evaluate(text, [:], weights: weights)
        #expect(results[0].floats == [1.5, 0.33325195])
        #expect(results[1].floats == [1.5, 0.33398438])
        let wrong = Weights(table: ["w": (TensorType(.f16, [3]), [0, 0, 0, 0, 0, 0])])
        let error = #expect(throws: (any Error).self) { try evaluate(text, [:], weights: wrong) }
        #expect(error.map { "\($0)" } == "%w = parameter: weight 'w': expected f32[2], got f16[3]")
        let missing = #expect(throws: (any Error).self) { try evaluate(text, [:]) }
        #expect(missing.map { "\($0)" } == "%w = parameter: weight 'w' is missing")
    }

    @Test func resultsAreRoundedToTheirType() throws {
        let x = Tensor(.f16, [1], floats: [2048])
        let sum = try apply("add", [x, Tensor(.f16, [1], floats: [1])], results: TensorType(.f16, [1]))
        #expect(sum[0].floats == [2048])
    }
}
