import Apus
import ApusCPU
import ApusEngine
import ApusGraph
import ApusSupport
import Testing

/// Numbers and shapes that do not fit: the kernel and the reference function say the same.
@Suite struct ErrorTests {
    /// What a call is given; a capacity of 8 and a rotary table of 6 positions.
    struct Call: CustomTestStringConvertible, Sendable {
        var lengths: [Int]
        var start: [Int] = []
        var tokens = 2
        var positions: [Int]?
        var mask: [Int]?
        var message: String
        var testDescription: String { message }
    }

    static let calls = [
        Call(
            lengths: [3], message: "sequence 0: context length 3 from position 0 does not fit 2 rows"),
        Call(
            lengths: [-1], message: "sequence 0: context length -1 from position 0 does not fit 2 rows"),
        Call(lengths: [2], start: [7], message: "sequence 0: 9 tokens do not fit a cache of 8"),
        Call(lengths: [2], start: [5], message: "sequence 0: 7 tokens exceed the 6 rotary positions"),
        Call(
            lengths: [2], start: [-1],
            message: "sequence 0: context length 2 from position -1 does not fit 2 rows"),
        Call(lengths: [2], start: [0, 0], message: "kvcache_start_index: expected 0 or 1 elements, got 2"),
        Call(
            lengths: [4], start: [4], tokens: 1,
            message:
                "sequence 0: expected context length 4 + 1, which kvcache_start_index and the new tokens make, "
                + "got 4"),
        Call(
            lengths: [6], start: [3], positions: [3, 4], mask: [1, 3],
            message:
                "sequence 0: expected context length 3 + 2, which kvcache_start_index and the new tokens make, "
                + "got 6"),
        Call(
            lengths: [9], start: [7], positions: [3, 4], mask: [1, 3],
            message: "sequence 0: 9 tokens do not fit a cache of 8"),
        Call(
            lengths: [5], start: [3], positions: [3, 6], mask: [1, 3],
            message: "sequence 0, tree token 1: expected a position in 0..<6, or -1 for padding, got 6"),
        Call(
            lengths: [5], start: [3], positions: [-2, 3], mask: [1, 3],
            message: "sequence 0, tree token 0: expected a position in 0..<6, or -1 for padding, got -2"),
        Call(
            lengths: [5], start: [3], positions: [3, 4, 5], mask: [1, 3],
            message: "attention_pos_ids: expected [1, 2] for a tree or [1, 1] for a chunk, got [1, 3]"),
        Call(
            lengths: [5], start: [3], positions: [3, 4], mask: [1, 3, 0],
            message:
                "attention_mask: expected [1, 2, 1], a bit for each pair of tokens of the tree, got [1, 3, 1]"
        ),
    ]

    private static func attributes(isTree: Bool) -> [String: Attribute] {
        [
            "num_q_heads": 2, "num_kv_heads": 1, "head_size": 8, "attention_scale": 0.5,
            "enable_tree_attention": .bool(isTree),
        ]
    }

    private static func operands(_ call: Call) -> [Tensor?] {
        let table = [Float](repeating: 0.5, count: 6 * 8)
        var operands: [Tensor?] = [
            Tensor(.f32, [1, call.tokens, 32], floats: Array(repeating: 0, count: call.tokens * 32)),
            Tensor(.f16, [1, 2, 1, 8, 8], floats: Array(repeating: 0, count: 128)),
            Tensor(.i32, [1], ints: call.lengths), Tensor(.f32, [1, 6, 8], floats: table),
            Tensor(.i32, [call.start.count], ints: call.start), nil, nil,
        ]
        if let mask = call.mask, let positions = call.positions {
            operands.append(Tensor(.i32, [1, mask.count, 1], ints: mask))
            operands.append(Tensor(.i32, [1, positions.count], ints: positions))
        }
        return operands
    }

    @Test(arguments: calls) func theKernelSaysWhatDoesNotFit(call: Call) throws {
        let operands = Self.operands(call)
        let runner = try PluginRunner(
            AttentionPlugin(), operands: operands.map { $0.map { TensorType($0.element, $0.shape) } },
            attributes: Self.attributes(isTree: call.mask != nil), backend: try CPUBackend(threads: 1))
        for (index, operand) in operands.enumerated() {
            if let operand { try runner.write(operand, to: index) }
        }
        let error = #expect(throws: ApusError.self) { try runner.run() }
        #expect(error?.message == call.message)
        // The cache is as it was.
        #expect(try runner.operand(1).floats.allSatisfy { $0 == 0 })
    }

    @Test(arguments: calls) func theReferenceSaysTheSame(call: Call) throws {
        let plugin = AttentionPlugin()
        let operands = Self.operands(call)
        let node = Node(
            op: plugin.op.name, operands: [], attributes: Self.attributes(isTree: call.mask != nil),
            results: [])
        let error = #expect(throws: ApusError.self) {
            try plugin.reference(
                ReferenceCall(
                    node: node, spec: plugin.op, operands: operands, elements: [.f32, .f16],
                    shapes: [[1, call.tokens, 2, 8], [1, 2, 1, 8, 8]]))
        }
        #expect(error?.message == call.message)
    }

    @Test func typesThatNoKernelReadsAreRefused() throws {
        var types = Self.operands(Call(lengths: [1], message: "")).map {
            $0.map { TensorType($0.element, $0.shape) }
        }
        func message() -> String? {
            do throws(ApusError) {
                _ = try PluginRunner(
                    AttentionPlugin(), operands: types, attributes: Self.attributes(isTree: false),
                    backend: try CPUBackend(threads: 1))
                return nil
            } catch {
                return error.message
            }
        }
        #expect(message() == nil)
        types[0] = TensorType(.f16, [1, 2, 32])
        #expect(message() == "plugin AttentionPlugin 2: packed_qkv is not f32")
        types[0] = TensorType(.f32, [1, 2, 33])
        #expect(message() == "attention_plugin.C2: expected packed_qkv [B, S, 32], got f32[1, 2, 33]")
    }
}
