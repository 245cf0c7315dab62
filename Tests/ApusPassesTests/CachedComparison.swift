import ApusGraph
import ApusReference
import ApusSupport
import Testing

/// Compares a graph without a cache to the same with one, or with the logits of the last token only: inputs are
/// mapped, and the tokens are given at once, then again as a prefill, a chunk and a decode step.
struct CachedComparison {
    let before: Graph
    let after: Graph
    let tolerance: Double
    let hasCache: Bool
    let isLastOnly: Bool
    /// Names of the caches in the order of the outputs that update them.
    let cacheNames: [String]
    let steps: Int

    init(_ before: Graph, _ after: Graph, tolerance: Double) {
        self.before = before
        self.after = after
        self.tolerance = tolerance
        hasCache = ["context_lengths", "start_idx"].contains {
            before.input(named: $0) == nil && after.input(named: $0) != nil
        }
        cacheNames = after.inputs.compactMap(after.name(of:)).filter { $0.contains("_cache_") }
        isLastOnly =
            before.input(named: "last_token_ids") == nil && after.input(named: "last_token_ids") != nil
        steps = Seeded.sizes(before)["S"] ?? 1
    }

    func run(isDecoding: Bool) throws {
        let weights = SeededWeights(before)
        let inputs = try Seeded.inputs(before)
        let expected = try Interpreter(graph: before, weights: weights).run(inputs)
        let interpreter = try Interpreter(graph: after, weights: weights)
        try compare(expected, interpreter, inputs, cuts: [steps], "whole prompt")
        if hasCache, isDecoding, steps >= 4 {
            try compare(expected, interpreter, inputs, cuts: [steps - 1, steps], "decode step")
            try compare(expected, interpreter, inputs, cuts: [1, steps - 1, steps], "chunk")
        }
    }

    /// Gives the tokens piece by piece, up to each cut, and compares the outputs of each piece.
    private func compare(
        _ expected: [Tensor], _ interpreter: Interpreter, _ inputs: [String: Tensor], cuts: [Int],
        _ label: String
    ) throws {
        var caches: [String: Tensor] = [:]
        var start = 0
        for end in cuts {
            let outputs = try interpreter.run(
                try pieceInputs(inputs, start..<end, caches))
            for (index, value) in before.outputs.enumerated() {
                var reference = expected[index]
                if let axis = tokenAxis(before.type(of: value)) {
                    let range = isLastOnly && index == 0 ? end - 1..<end : start..<end
                    reference = reference.slice(axis, range)
                }
                let error = difference(reference, outputs[index])
                #expect(error <= tolerance, "\(label), output \(index), tokens \(start)..<\(end)")
            }
            for (name, tensor) in zip(cacheNames, outputs.dropFirst(before.outputs.count)) {
                caches[name] = tensor
            }
            start = end
        }
    }

    private func tokenAxis(_ type: TensorType) -> Int? { type.shape.firstIndex(of: .symbol("S")) }

    private func pieceInputs(
        _ inputs: [String: Tensor], _ range: Range<Int>, _ caches: [String: Tensor]
    ) throws -> [String: Tensor] {
        var piece: [String: Tensor] = [:]
        let batch = Seeded.sizes(before)["B"] ?? 1
        for value in after.inputs {
            let name = after.name(of: value) ?? ""
            let type = after.type(of: value)
            if let tensor = inputs[name] {
                piece[name] = tokenAxis(type).map { tensor.slice($0, range) } ?? tensor
            } else if let cache = caches[name] {
                piece[name] = cache
            } else if name == "context_lengths" {
                let isDecode = range.lowerBound > 0 && range.count == 1
                piece[name] = Tensor(
                    .i32, [batch],
                    ints: .init(repeating: isDecode ? range.upperBound : range.count, count: batch))
            } else if name == "kvcache_start_index" {
                let count = range.lowerBound == 0 ? 0 : batch
                piece[name] = Tensor(.i32, [count], ints: .init(repeating: range.lowerBound, count: count))
            } else if name == "start_idx" || name == "end_idx" {
                let index = name == "start_idx" ? range.lowerBound : range.upperBound
                piece[name] = Tensor(type.element, [], ints: [index])
            } else if name == "last_token_ids" {
                piece[name] = Tensor(.i32, [batch], ints: .init(repeating: range.count - 1, count: batch))
            } else {
                // What a cache holds before it is written must not matter.
                piece[name] = try Seeded.input(name, type, after, Seeded.sizes(after))
            }
        }
        return piece
    }
}
