import ApusEngine
import ApusFrontend
import ApusGraph
import ApusReference
import ApusSupport

/// Computes sequences with the imported graph, before any pass, in the reference interpreter: FP32, one at a time.
final class ReferenceComputer: SequenceComputer {
    private let interpreter: Interpreter

    /// - Parameter interpreter: Holds a graph with inputs `input_ids` and `position_ids`, i64[B, S], and the
    ///   logits f32[B, S, V] as its first output.
    init(_ interpreter: Interpreter) { self.interpreter = interpreter }

    var batchLimit: Int { 1 }

    /// The interpreter frees what it computes with.
    var workingBytes: Int { 0 }

    func compute(
        _ tokens: UnsafeBufferPointer<Int32>, count: Int, length: Int,
        into logits: UnsafeMutableBufferPointer<Float>
    ) throws(ApusError) {
        let outputs = try interpreter.run([
            Bindings.inputIDs: Tensor(.i64, [1, length], ints: tokens.map(Int.init)),
            Bindings.positionIDs: Tensor(.i64, [1, length], ints: Array(0..<length)),
        ])
        guard let output = outputs.first, output.floats.count == length * logits.count else {
            throw ApusError(
                .internal,
                "expected logits f32[1, \(length), \(logits.count)], got "
                    + (outputs.first.map { "\($0)" } ?? "nothing"))
        }
        output.floats.withUnsafeBufferPointer { source in
            _ = logits.update(from: source.suffix(logits.count))
        }
    }
}
