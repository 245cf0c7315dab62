import ApusGraph
import Testing

@Suite struct VerifierTests {
    @Test func listsEveryProblemWithItsLabel() throws {
        let graph = try Graph(
            parsing: """
                graph @f(%x: f32[2, 8], %w: f32[7]) {
                  %a = rms_norm(%x, %w) {eps = 1e-05} : f32[2, 8]
                  %b = linear(%x, %w) : f32[2, 7]
                  %c = frobnicate(%x) : f32[2, 8]
                  %d = silu(%x) {alpha = 1} : f32[2, 8]
                  %e = neg(%x) : f32[T, 8]
                  %g = pow(%x) : f32[2, 8]
                  return %a
                }
                """)
        let found = graph.diagnostics().map(\.description)
        #expect(
            found == [
                "rms_norm.C2 at %a: expected a weight of shape [8], got f32[7]",
                "linear.C2 at %b: expected a weight of rank 2, got f32[7]",
                "graph.unknown-op at %c: unknown op 'frobnicate'",
                "silu.attributes at %d: unknown attribute 'alpha'",
                "neg.result at %e: expected result f32[2, 8], got f32[T, 8]",
                "graph.undeclared-symbol at %e: symbol 'T' is not declared",
                "pow.attributes at %g: attribute 'exponent' (float) is missing",
            ])
    }

    @Test func builderRefusesWhatDoesNotFit() throws {
        var builder = GraphBuilder(name: "f")
        let x = builder.input("x", TensorType(.f32, [2, 8]))
        let w = builder.parameter("w", TensorType(.f32, [4, 6]))
        let error = #expect(throws: (any Error).self) { try builder.add("linear", [x, w]) }
        #expect(
            error.map { "\($0)" }
                == "linear.C3: x f32[2, 8] and weight f32[4, 6] differ in their last dimension")
    }
}
