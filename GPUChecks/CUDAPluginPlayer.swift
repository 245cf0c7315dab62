import Apus
import ApusCUDA
import ApusCompiler
import ApusEngine
import ApusGraph
import ApusSupport
import AttentionCases
import GraphCases

/// The op of the AttentionPlugin on a GPU, as a graph of its own for the shapes of each call.
///
/// The state goes from call to call through the processor: the cache is an input whose update is an output.
final class CUDAPluginPlayer: PluginPlayer {
    private let script: Script
    private let backend: CUDABackend
    private var operands: [Tensor?]
    private var results: [Tensor] = []
    /// What the last call has compiled, which serves as long as shapes stay: its second run captures a graph where it
    /// can, and the third replays it.
    private var compiled: (types: [TensorType?], run: CUDAPlanRun)?

    /// - Parameter cache: The type of the cache.
    init(_ script: Script, _ cache: ElementType, on backend: CUDABackend) {
        (self.script, self.backend) = (script, backend)
        operands = Array(repeating: nil, count: script.operandTypes(cache).count)
    }

    func write(_ tensor: Tensor, to operand: Int) throws(ApusError) {
        guard operands.indices.contains(operand), tensor.isComplete else {
            throw ApusError(
                .mismatch, "operand \(operand): expected one of \(operands.count), complete, got \(tensor)")
        }
        operands[operand] = tensor
    }

    func run() throws(ApusError) {
        let types = operands.map { $0.map { TensorType($0.element, $0.shape) } }
        guard let packed = operands[0], packed.shape.count == 3 else {
            throw ApusError(.mismatch, "expected packed_qkv [B, S, (Hq+2Hkv)·D], got nothing of that rank")
        }
        let (batch, width) = (packed.shape[0], packed.shape[1])
        let run = try planRun(types, batch: batch, width: width)
        for (name, element) in run.inputTypes {
            let index = operands.indices.first { Script.inputName($0) == name }
            guard let index, let tensor = operands[index], let memory = run.memory(of: name) else {
                throw ApusError(.internal, "input '\(name)' has no memory")
            }
            tensor.write(as: element, to: memory)
        }
        results = try run.run(batch: batch, width: width).map {
            Tensor($0.element, $0.shape, bytes: $0.bytes)
        }
        guard results.count == 2 else {
            throw ApusError(.mismatch, "expected an output and a cache, got \(results)")
        }
        operands[1] = results[1]
    }

    private func planRun(
        _ types: [TensorType?], batch: Int, width: Int
    ) throws(ApusError) -> CUDAPlanRun {
        if let compiled, compiled.types == types { return compiled.run }
        let engine = try Compiler.compile(
            asItStands: try script.graph(types), weights: NoWeights(), plugins: .standard, backend: backend)
        let limits = SessionLimits(batch: batch, chunk: width, capacity: max(script.capacity, width))
        let run = try CUDAPlanRun(engine, limits: limits, on: backend)
        compiled = (types, run)
        return run
    }

    func result(_ index: Int) throws(ApusError) -> Tensor {
        guard results.indices.contains(index) else {
            throw ApusError(.invalidInput, "result \(index): there are \(results.count)")
        }
        return results[index]
    }

    func operand(_ index: Int) throws(ApusError) -> Tensor {
        guard operands.indices.contains(index), let tensor = operands[index] else {
            throw ApusError(.invalidInput, "operand \(index) was not written")
        }
        return tensor
    }
}
