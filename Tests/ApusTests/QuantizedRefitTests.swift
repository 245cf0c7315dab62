import Foundation
import Testing

@testable import Apus

/// Engines of quantised checkpoints that get the weights of another one.
@Suite struct QuantizedRefitTests {
    private func compile(_ model: ImportedModel, isExact: Bool = false) throws -> Engine {
        try Compiler.compile(
            model.graph, weights: model.weights, info: model.info,
            options: CompileOptions(exactActivations: isExact), backend: CPUBackend(threads: 1))
    }

    private func refit(_ engine: Engine, with folder: String) throws -> Engine {
        try Compiler.refit(
            engine.blueprint, with: Importer.importCheckpoint(folder: folder), plugins: .standard,
            backend: CPUBackend(threads: 1))
    }

    private func bytes(_ engine: Engine) throws -> [UInt8] {
        let buffer = try engine.weights.buffer()
        return withExtendedLifetime(buffer) {
            Array(UnsafeRawBufferPointer(start: buffer.base, count: buffer.byteCount))
        }
    }

    /// Other codes, and where they are signed bytes or words does not matter; scales change places.
    private func change(_ checkpoint: EditedCheckpoint) {
        let codes = ["qweight", "weight_packed", "_proj.weight", "lm_head.weight"]
        for (name, tensor) in checkpoint.tensors {
            if tensor.dtype == "I32" || tensor.dtype == "I8", codes.contains(where: name.hasSuffix) {
                checkpoint.tensors[name]?.bytes = tensor.bytes.map { $0 ^ 0x35 }
            } else if name.hasSuffix("scale") || name.hasSuffix("scales") || name.hasSuffix("SCB") {
                let size = tensor.dtype == "F32" ? 4 : 2
                checkpoint.tensors[name]?.bytes = Array(tensor.bytes[size...] + tensor.bytes[..<size])
            }
        }
    }

    @Test(
        arguments: [
            "awq-int4", "bnb-int8", "ct-int4", "ct-int4-ordered", "ct-int8", "ct-int8-packed", "gptq-beside",
            "gptq-int4", "gptq-int8",
        ], [true, false])
    func givesWhatCompilingGives(name: String, isExact: Bool) throws {
        let old = try Importer.importCheckpoint(folder: "\(EditedCheckpoint.quantised)/\(name)")
        let engine = try compile(old, isExact: isExact)
        let other = try EditedCheckpoint(name)
        change(other)
        try other.write()
        let refitted = try refit(engine, with: other.folder)
        let fresh = try compile(Importer.importCheckpoint(folder: other.folder), isExact: isExact)
        #expect(try bytes(refitted) == bytes(fresh))
        #expect(try bytes(refitted) != bytes(engine))
        // And back, from the file, which has been through text.
        let path = "\(other.folder)/model.apus"
        try EngineFile.write(refitted, generation: old.generation, to: path)
        let blueprint = try EngineFile(path: path).blueprint(for: CPUBackend(threads: 1))
        let back = try Compiler.refit(
            blueprint, with: old, plugins: .standard, backend: CPUBackend(threads: 1))
        #expect(try bytes(back) == bytes(engine))
    }

    /// An order of columns decides what is gathered, and zero points decide which kernels' operands there are.
    @Test func anotherOrderOrZeroPointsAreRefused() throws {
        let model = try Importer.importCheckpoint(folder: "\(EditedCheckpoint.quantised)/gptq-int4")
        let engine = try compile(model)
        let order = try EditedCheckpoint("gptq-int4")
        let index = try order.name("q_proj.g_idx")
        let groups = try #require(order.tensors[index]?.bytes)
        let other = try #require(stride(from: 4, to: groups.count, by: 4).first { groups[$0] != groups[0] })
        order.tensors[index]?.bytes[0] = groups[other]
        order.tensors[index]?.bytes[other] = groups[0]
        let zeros = try EditedCheckpoint("gptq-int4")
        try zeros.patch("q_proj.qzeros", [0x12])
        let plain = try EditedCheckpoint("gptq-int4")
        for name in plain.tensors.keys where name.hasSuffix("down_proj.g_idx") {
            for column in 0..<256 {
                plain.tensors[name]?.bytes.replaceSubrange(
                    4 * column..<4 * column + 4, with: [UInt8(column / 32), 0, 0, 0])
            }
        }
        for checkpoint in [order, zeros, plain] {
            try checkpoint.write()
            let error = #expect(throws: ApusError.self) { try refit(engine, with: checkpoint.folder) }
            #expect(error?.code == .mismatch)
            let message = error?.message ?? ""
            #expect(
                message.contains("quantised otherwise") || message.contains("do not fit the engine"),
                "\(message)")
        }
    }

    /// An engine of plain weights does not take codes, nor the other way round.
    @Test func plainWeightsAreAnotherModel() throws {
        let packed = "\(EditedCheckpoint.quantised)/../packed/symmetric/plain"
        let output = try ScratchFolder()
        let folder = output.path + "/int4"
        _ = try Quantizer.quantize(
            folder: packed, output: folder, recipe: QuantizationRecipe(format: .int4(groupSize: 32)))
        let (plain, codes) = (
            try Importer.importCheckpoint(folder: packed), try Importer.importCheckpoint(folder: folder)
        )
        for (engine, other) in [(try compile(plain), codes), (try compile(codes), plain)] {
            let error = #expect(throws: ApusError.self) {
                try Compiler.refit(
                    engine.blueprint, with: other, plugins: .standard, backend: CPUBackend(threads: 1))
            }
            #expect(error?.code == .mismatch)
            #expect(error?.message.contains("is missing") == true, "\(error?.message ?? "")")
        }
    }
}
