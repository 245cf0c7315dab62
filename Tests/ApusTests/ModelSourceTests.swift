import Foundation
import Testing

@testable import Apus

@Suite struct ModelSourceTests {
    /// An engine of a fixture that carries a tokenizer, in a folder of its own.
    private final class CompiledFixture {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "apus-\(UUID().uuidString)")
        var path: String { folder.appendingPathComponent("model.apus").path }

        init(_ fixture: FixtureFolder, hasTokenizer: Bool = true) throws {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            let model = try LanguageModel(folder: fixture.path)
            let tokenizer = Array(Tokenizer.byteLevelTokenizerJSON().text().utf8)
            try EngineFile.write(
                try #require(model.engine), generation: model.generationDefaults,
                tokenizer: hasTokenizer ? [AttachedFile(name: "tokenizer.json", bytes: tokenizer)] : [],
                to: path)
        }

        deinit { try? FileManager.default.removeItem(at: folder) }
    }

    @Test(arguments: ["gpt2", "llama3-bf16-sharded", "qwen3"])
    func anEngineGivesTransformersTokens(name: String) throws {
        let fixture = try FixtureFolder(name)
        let compiled = try CompiledFixture(fixture)
        let model = try LanguageModel(path: compiled.path, options: LoadOptions(threads: 2))
        let results = try model.generate(
            fixture.prompts, options: GenerationOptions(maxNewTokens: 16, ignoreEnd: true))
        #expect(results.map(\.tokens) == fixture.cases.map(\.tokens))
        #expect(try model.encode("Hi") == [72, 105])
        #expect(try Tokenizer.load(path: compiled.path).encode("Hi") == [72, 105])
        #expect(model.warnings.isEmpty && model.loadSeconds > 0 && model.buildSeconds > 0)
    }

    @Test func optionsThatAnEngineCannotServeAreRefused() throws {
        let compiled = try CompiledFixture(FixtureFolder("qwen3"), hasTokenizer: false)
        func error(_ options: LoadOptions) -> ApusError? {
            #expect(throws: ApusError.self) { try LanguageModel(path: compiled.path, options: options) }
        }
        #expect(error(LoadOptions(precision: .f16))?.code == .mismatch)
        #expect(
            error(LoadOptions(precision: .f16))?.message
                == "\(compiled.path): expected precision f16, got an engine of f32; leave the precision out, or compile the "
                + "model with it")
        #expect(error(LoadOptions(backend: .reference))?.code == .unsupported)
        #expect(error(LoadOptions(requiresTokenizer: true))?.code == .notFound)
        #expect(throws: ApusError.self) { try Tokenizer.load(path: compiled.path) }
        #expect(
            try LanguageModel(path: compiled.path, options: LoadOptions(precision: .f32)).tokenizer == nil)
        #expect(throws: ApusError.self) { try ModelSource(path: compiled.path).importedModel() }
    }

    @Test func pathsThatLeadToNoModelAreNamed() throws {
        func message(_ path: String) -> String? {
            #expect(throws: ApusError.self) { try ModelSource(path: path) }?.description
        }
        #expect(message("/nowhere") == "/nowhere: no such folder; check the path")
        let file = "\(try FixtureFolder("qwen3").path)/config.json"
        #expect(
            message(file)
                == "\(file): expected a folder with config.json, or an engine of 'apus compile', got another file"
        )
    }
}
