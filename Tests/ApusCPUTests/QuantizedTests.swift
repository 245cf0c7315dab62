import ApusCPU
import ApusEngine
import ApusGraph
import ApusReference
import ApusSupport
import GraphCases
import TestNumbers
import Testing

@testable import ApusCompiler

@Suite struct QuantizedTests {
    /// Codes of 8 bits, scales and zero points by the element type that the graph asks for.
    private struct Codes: WeightSource {
        let types: [String: TensorType]

        init(_ graph: Graph) {
            var types: [String: TensorType] = [:]
            for node in graph.nodes where node.op == "parameter" {
                if case .string(let name)? = node.attributes["name"] {
                    types[name] = graph.type(of: node.result)
                }
            }
            self.types = types
        }

        func type(of name: String) -> TensorType? { types[name] }

        func withBytes(
            of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
        ) throws(ApusError) {
            let count = types[name]?.constantShape?.reduce(1, *) ?? 0
            var numbers = Numbers(seed: name.utf8.reduce(7) { $0 &* 31 &+ UInt64($1) })
            let bytes = (0..<count).flatMap { _ -> [UInt8] in
                let value = UInt8(numbers.below(256))
                guard types[name]?.element == .f32 else { return [value & 15] }
                let bits = ((Float(value) + 40) / 8192).bitPattern
                return (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) }
            }
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
            defer { memory.deallocate() }
            memory.copyBytes(from: bytes)
            try body(UnsafeRawBufferPointer(memory))
        }
    }

    private static func text(_ body: String) -> String {
        """
        graph @f(%input_ids: i64[B, S], %x: f32[B, S, 192])
            where B in 1...4, S in 0...160, C in 640...640 {
          %q = parameter() {name = "q"} : u8[70, 192]
          %s = parameter() {name = "s"} : f32[3, 70]
          %z = parameter() {name = "z"} : u8[3, 70]
          %b = parameter() {name = "b"} : f32[70]
          \(body)
          return %y
        }
        """
    }

    private func check(_ body: String, threads: Int, width: Int) throws -> [String] {
        let graph = try Graph(parsing: Self.text(body))
        let weights = Codes(graph)
        let count = 2 * width * 192
        let x = Tensor(
            .f32, [2, width, 192], floats: (0..<count).map { Float(($0 * 7919) % 257 - 128) / 64 })
        let ids = Tensor(.i64, [2, width], ints: [Int](repeating: 0, count: 2 * width))
        let run = try GraphRun(graph, weights: weights, threads: threads)
        try run.set("x", x)
        let got = try run.run(batch: 2, width: width)
        let want = try Interpreter(graph: graph, weights: weights).run(["x": x, "input_ids": ids])
        #expect(GraphCase.difference(want[0], got[0]) <= 1e-5)
        return run.plan.steps.map(\.op)
    }

    @Test(arguments: [1, 3], [1, 5, 70])
    func int8LinearIsThatOfTheInterpreter(threads: Int, width: Int) throws {
        for activations in ["int8", "f32"] {
            let attributes = "{group_size = 64, activations = \"\(activations)\"}"
            for operands in ["%x, %q, %s", "%x, %q, %s, %z, %b", "%x, %q, %s, none, %b"] {
                let steps = try check(
                    "%y = int8_linear(\(operands)) \(attributes) : f32[B, S, 70]", threads: threads,
                    width: width)
                #expect(steps == ["int8_linear"])
            }
        }
    }

    @Test func whatNoKernelReadsAsCodesIsDequantizedWhenItIsPacked() throws {
        let steps = try check(
            "%w = dequantize(%q, %s, %z) {bits = 8} : f32[70, 192] %y = linear(%x, %w, %b) : f32[B, S, 70]",
            threads: 1, width: 3)
        #expect(steps == ["linear"])
    }

    @Test func codesThatThePassComputesAreAnError() throws {
        let graph = try Graph(
            parsing: """
                graph @f(%input_ids: i64[B, S], %x: f32[B, S, 192], %q: u8[70, 192])
                    where B in 1...4, S in 0...160, C in 640...640 {
                  %s = parameter() {name = "s"} : f32[3, 70]
                  %y = int8_linear(%x, %q, %s) {group_size = 64} : f32[B, S, 70]
                  return %y
                }
                """)
        let error = #expect(throws: ApusError.self) { try GraphRun(graph, weights: Codes(graph)) }
        #expect(error?.message.contains("to be a stored weight") == true)
    }
}
