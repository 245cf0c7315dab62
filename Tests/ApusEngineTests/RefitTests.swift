import Apus
import ApusCompiler
import ApusEngine
import ApusFrontend
import ApusGraph
import ApusSupport
import TestNumbers
import Testing

@Suite struct RefitTests {
    /// A model of a fixture's shapes with random weights.
    private func random(_ fixture: String, seed: UInt64, edit: (String) -> String = { $0 }) throws
        -> ImportedModel
    {
        let text = String(
            decoding: try InputFile(path: "\(Sample.fixtures)/\(fixture)/config.json").bytes(), as: UTF8.self)
        let json = try JSON.parse(Array(edit(text).utf8), source: "config.json")
        return try Importer.importConfig(json, seed: seed, element: .bf16)
    }

    @Test(arguments: ["gpt2", "llama2", "llama-biases", "qwen2", "qwen3"], [ElementType.f32, .f16, .bf16])
    func givesWhatCompilingGives(fixture: String, precision: ElementType) throws {
        let (old, new) = (try random(fixture, seed: 1), try random(fixture, seed: 2))
        let engine = try Sample.compile(old, precision: precision)
        let refitted = try Compiler.refit(engine.blueprint, with: new, backend: Sample.backend())
        let fresh = try Sample.compile(new, precision: precision)
        #expect(try Sample.weights(refitted) == Sample.weights(fresh))
        #expect(try Sample.weights(refitted) != Sample.weights(engine))
        let files = [TemporaryFile(), TemporaryFile()]
        try EngineFile.write(refitted, generation: new.generation, to: files[0].path)
        try EngineFile.write(fresh, generation: new.generation, to: files[1].path)
        #expect(try files[0].bytes() == files[1].bytes())
        // And once more from the file, which has been through text.
        let again = try EngineFile(path: files[0].path).blueprint(for: Sample.backend())
        let back = try Compiler.refit(again, with: old, backend: Sample.backend())
        #expect(try Sample.weights(back) == Sample.weights(engine))
    }

    /// Weights as another source has them, with some left out and others of another shape.
    private struct Spoiled: WeightSource {
        let source: any WeightSource
        let missing: Set<String>
        let reshaped: Set<String>

        func type(of name: String) -> TensorType? {
            if missing.contains(name) { return nil }
            return reshaped.contains(name) ? TensorType(.f32, [3, 5]) : source.type(of: name)
        }

        func withBytes(of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void)
            throws(ApusError)
        { try source.withBytes(of: name, body) }
    }

    @Test func everyWeightThatDoesNotFitIsNamed() throws {
        var model = try random("qwen3", seed: 1)
        let blueprint = try Sample.compile(model).blueprint
        model.weights = Spoiled(
            source: model.weights, missing: ["model.norm.weight", "model.layers.1.mlp.up_proj.weight"],
            reshaped: ["model.embed_tokens.weight"])
        let error = #expect(throws: ApusError.self) {
            try Compiler.refit(blueprint, with: model, backend: Sample.backend())
        }
        #expect(error?.code == .mismatch)
        let message = error?.message ?? ""
        #expect(message.hasPrefix("refit: 3 weight(s) do not fit the engine; compile the model anew:\n"))
        #expect(message.contains("'model.norm.weight' [48] is missing"))
        #expect(message.contains("'model.layers.1.mlp.up_proj.weight' [88, 48] is missing"))
        #expect(message.contains("'model.embed_tokens.weight': expected shape [271, 48], got f32[3, 5]"))
    }

    /// The same shapes and another epsilon or rope base: the plan would compute something else.
    @Test(arguments: [("1e-06", "1e-05"), ("1000000", "10000")])
    func aModelThatComputesSomethingElseIsRefused(old: String, new: String) throws {
        let blueprint = try Sample.compile(random("qwen3", seed: 1)).blueprint
        let other = try random("qwen3", seed: 1) { $0.replacing(old, with: new) }
        let error = #expect(throws: ApusError.self) {
            try Compiler.refit(blueprint, with: other, backend: Sample.backend())
        }
        #expect(error?.message.contains("config.json differs in what is computed") == true)
    }

    @Test(arguments: [
        "", "graph @weights() {\n  return\n}\n",
        "graph @weights(%x: f32[2]) {\n  return %x\n}\n",
        "graph @weights() {\n  %0 = parameter() {name = \"w\"} : f32[9223372036854775807]\n  return %0\n}\n",
    ])
    func sourcesThatAreNoneAreAnError(text: String) throws {
        let model = try random("qwen3", seed: 1)
        var blueprint = try Sample.compile(model).blueprint
        blueprint.origin.sources = text
        let error = #expect(throws: ApusError.self) {
            try Compiler.refit(blueprint, with: model, backend: Sample.backend())
        }
        #expect(error?.code == .invalidInput)
        #expect(error?.context.first == "source")
    }

    /// Numbers of the sources are exchanged at random: an error or a refit, never a crash.
    @Test func randomSourcesNeverCrash() throws {
        let model = try random("qwen3", seed: 1)
        var blueprint = try Sample.compile(model).blueprint
        let good = Array(blueprint.origin.sources.utf8)
        let digits = good.indices.filter { (48...57).contains(good[$0]) }
        let words: [[UInt8]] = ["0", "9", "-1", "4611686018427387904", "f16", "cat", "1.5", ""].map {
            Array($0.utf8)
        }
        var generator = Numbers(seed: 3)
        for _ in 0..<Fuzz.rounds(300) {
            var text = good
            let at = digits[.random(in: 0..<digits.count, using: &generator)]
            text.replaceSubrange(at...at, with: words[.random(in: 0..<words.count, using: &generator)])
            blueprint.origin.sources = String(decoding: text, as: UTF8.self)
            do {
                _ = try Compiler.refit(blueprint, with: model, backend: Sample.backend())
            } catch {
                #expect(error is ApusError)
            }
        }
    }
}
