import Foundation
import Synchronization
import Testing

@testable import Apus

@Suite struct EngineCacheTests {
    /// A copy of a fixture that a test may change, with a tokenizer.
    private final class Folder {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("apus-\(UUID().uuidString)")
            .path

        init(_ fixture: String = "qwen3") throws {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            let source = try FixtureFolder(fixture).path
            for name in ["config.json", "model.safetensors"] {
                try FileManager.default.copyItem(atPath: "\(source)/\(name)", toPath: "\(path)/\(name)")
            }
            try write("tokenizer.json", Tokenizer.byteLevelTokenizerJSON().text())
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func write(_ name: String, _ text: String) throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
        }

        func read(_ name: String) throws -> Data {
            try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)"))
        }

        /// Writes a file and gives it the time of change that it had.
        func replace(_ name: String, _ data: Data) throws {
            let old = try FileManager.default.attributesOfItem(atPath: "\(path)/\(name)")
            try data.write(to: URL(fileURLWithPath: "\(path)/\(name)"))
            let date = try #require(old[.modificationDate] as? Date)
            try FileManager.default.setAttributes([.modificationDate: date], ofItemAtPath: "\(path)/\(name)")
        }
    }

    private final class CacheFolder {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent(
            "apus-cache-\(UUID().uuidString)"
        ).path

        deinit { try? FileManager.default.removeItem(atPath: path) }

        var names: [String] {
            ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).filter { $0 != ".lock" }
                .sorted()
        }

        func cache(limit: Int = EngineCache.defaultByteLimit) -> EngineCache {
            EngineCache(folder: path, byteLimit: limit)
        }
    }

    /// Remembers the stages it was told of.
    private final class Stages: ProgressReporter {
        private let names = Mutex<Set<String>>([])

        func progress(_ name: String, completed: Int, total: Int) { _ = names.withLock { $0.insert(name) } }

        var all: Set<String> { names.withLock { $0 } }
    }

    private func load(
        _ folder: String, _ cache: EngineCache, _ stages: Stages? = nil, precision: ElementType? = nil
    )
        throws -> LanguageModel
    {
        try LanguageModel(
            path: folder, options: LoadOptions(precision: precision, threads: 1, engineCache: cache),
            progress: stages)
    }

    private func tokens(_ model: LanguageModel) throws -> [Int32] {
        try model.generate([[1, 2, 3]], options: GenerationOptions(maxNewTokens: 8, ignoreEnd: true))[0]
            .tokens
    }

    @Test func aHitLoadsWithoutBuilding() throws {
        let (folder, cache) = (try Folder(), CacheFolder())
        let (first, second) = (Stages(), Stages())
        let built = try load(folder.path, cache.cache(), first)
        #expect(first.all == ["Packing weights", "Writing the engine"])
        let loaded = try load(folder.path, cache.cache(), second)
        #expect(second.all == ["Loading weights"])
        #expect(try tokens(loaded) == tokens(built))
        #expect(try loaded.encode("Hé") == built.encode("Hé"))
        #expect(loaded.generationDefaults == built.generationDefaults && loaded.info == built.info)
        #expect(built.warnings.isEmpty && loaded.warnings.isEmpty)
        #expect(cache.names.count == 1 && cache.names[0].hasSuffix(".apus"))
        // The folder's own tokenizer is missed by name, as it is without a cache.
        #expect(throws: ApusError.self) {
            try ModelSource(
                path: folder.path,
                options: LoadOptions(tokenizerFolder: "/nowhere", engineCache: cache.cache()))
        }
    }

    @Test func withoutACacheNothingIsKept() throws {
        #expect(LoadOptions().engineCache == nil)
        let (folder, cache) = (try Folder(), CacheFolder())
        _ = try LanguageModel(
            path: folder.path, options: LoadOptions(backend: .reference, engineCache: cache.cache()))
        #expect(cache.names.isEmpty)
    }

    /// Each change that decides what an engine holds, one after the other.
    @Test func everyChangeIsAMiss() throws {
        let folder = try Folder()
        let tokenizer = try Folder()
        var options = LoadOptions()
        func key() throws -> EngineKey { try EngineKey(folder: folder.path, options: options) }
        var seen: [EngineKey: String] = [try key(): "the start"]
        func expectMiss(_ change: String) throws {
            let new = try key()
            #expect(seen[new] == nil, "\(change) is not told from \(seen[new] ?? "")")
            #expect(try key() == new, "\(change) gives two keys")
            seen[new] = change
        }
        let config = try folder.read("config.json")
        try folder.replace("config.json", config + Data("\n".utf8))
        try expectMiss("a byte more in config.json")
        var changed = config
        changed[config.count / 2] ^= 1
        try folder.replace("config.json", changed)
        try expectMiss("a bit of config.json")
        try folder.replace("config.json", config)
        for name in ["generation_config.json", "chat_template.jinja", "special_tokens_map.json"] {
            try folder.write(name, "{}")
            try expectMiss("a new \(name)")
            try folder.write(name, "[]")
            try expectMiss("another \(name)")
        }
        try folder.replace("tokenizer.json", folder.read("tokenizer.json") + Data(" ".utf8))
        try expectMiss("a byte more in tokenizer.json")

        let weights = try folder.read("model.safetensors")
        changed = weights
        changed[weights.count - 1] ^= 1
        try folder.replace("model.safetensors", changed)
        try expectMiss("a bit of the weights, with the old time of change")
        changed = weights
        changed[100] ^= 1
        try folder.replace("model.safetensors", changed)
        try expectMiss("a bit of the weights' header, with the old time of change")
        try folder.replace("model.safetensors", weights + Data([0]))
        try expectMiss("a byte more of weights")
        try folder.replace("model.safetensors", weights)
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 1)],
            ofItemAtPath: "\(folder.path)/model.safetensors")
        try expectMiss("another time of change")
        try folder.write("model-00001-of-00002.safetensors", "")
        try expectMiss("another file of weights")
        try folder.write("model.safetensors.index.json", "{}")
        try expectMiss("an index of shards")
        let moved = folder.path + "-moved"
        try FileManager.default.copyItem(atPath: folder.path, toPath: moved)
        defer { try? FileManager.default.removeItem(atPath: moved) }
        let copy = try EngineKey(folder: moved, options: options)
        #expect(seen[copy] == nil)

        for precision in [ElementType.f32, .f16, .bf16] {
            options.precision = precision
            try expectMiss("precision \(precision.rawValue)")
        }
        try tokenizer.write("tokenizer.json", "{}")
        options.tokenizerFolder = tokenizer.path
        try expectMiss("another tokenizer")
        options.backend = .reference
        try expectMiss("another backend")
        options.backend = .plugin
        options.device = .cuda(0)
        try expectMiss("another device")
        #expect(Set(seen.keys.map(\.fileName)).count == seen.count)
    }

    /// A model that is opened with some options and loaded with others gets the engine of the latter.
    @Test func theOptionsOfTheLoadDecide() throws {
        let (folder, cache) = (try Folder(), CacheFolder())
        func options(_ precision: ElementType?) -> LoadOptions {
            LoadOptions(precision: precision, threads: 1, engineCache: cache.cache())
        }
        let opened = try ModelSource(path: folder.path, options: options(nil))
        #expect(try LanguageModel(opened, options: options(.f16)).precision == .f16)
        #expect(cache.names == [try EngineKey(folder: folder.path, options: options(.f16)).fileName])
        let hit = try ModelSource(path: folder.path, options: options(.f16))
        guard case .engine = hit.content else {
            Issue.record("the engine was not found")
            return
        }
        #expect(try LanguageModel(hit, options: options(.bf16)).precision == .bf16)
        #expect(cache.names.count == 2)
        // Without a cache nothing comes out of it.
        #expect(try LanguageModel(hit, options: LoadOptions(threads: 1)).precision == .f32)
        #expect(cache.names.count == 2)
    }

    /// What only says how a model is run does not ask for another engine.
    @Test func theSameEngineServesEveryRun() throws {
        let folder = try Folder()
        let plain = try EngineKey(folder: folder.path, options: LoadOptions())
        let other = LoadOptions(
            threads: 7, batchSize: 3, contextLength: 99, chunk: 5, tokenizerFolder: folder.path,
            requiresTokenizer: true, engineCache: EngineCache(folder: "x"))
        #expect(try EngineKey(folder: folder.path, options: other) == plain)
        let link = folder.path + "-link"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: folder.path)
        defer { try? FileManager.default.removeItem(atPath: link) }
        #expect(try EngineKey(folder: link, options: LoadOptions()) == plain)
    }

    @Test func theKeyOfAGPUNamesTheMachine() throws {
        let folder = try Folder()
        let key = try EngineKey(folder: folder.path, options: LoadOptions(device: .cuda(0)))
        #expect(key.text.contains("\nmachine \(CUDABackend.buildMachine(device: 0))\n"))
        #expect(!(try EngineKey(folder: folder.path, options: LoadOptions())).text.contains("\nmachine "))
    }

    @Test func theKeyNamesTheProgram() throws {
        let lines = try EngineKey(folder: Folder().path, options: LoadOptions()).text.split(separator: "\n")
        #expect(lines[0] == "apus \(ApusVersion.current)")
        #expect(lines[1] == "format 2")
        #expect(lines[2] == "device cpu layout 2")
        #expect(lines[3].hasPrefix("kernels ") && lines[3].contains("cpu.linear"))
        #expect(lines[4].hasPrefix("build "))
        #expect(lines.contains { $0.hasPrefix("passes ") && $0.contains("constant-fold,fold-identities") })
        #expect(lines.contains { $0.hasPrefix("plugins ") && $0.contains("AttentionPlugin") })
        #expect(lines.contains { $0.hasPrefix("option backend plugin") })
    }

    /// Bytes at which an entry is spoiled: header, description, key, weights; and one that is not there any more.
    @Test(arguments: [8, 20, 70, 500, -1, -2])
    func aDamagedEntryIsBuiltAnew(place: Int) throws {
        let (folder, cache) = (try Folder(), CacheFolder())
        let expected = try tokens(load(folder.path, cache.cache()))
        let entry = "\(cache.path)/\(try #require(cache.names.first))"
        let good = try Data(contentsOf: URL(fileURLWithPath: entry))
        var bad = good
        switch place {
        case -1: bad[good.count - 1] ^= 4
        case -2: bad = good.prefix(good.count / 2)
        default: bad[place] ^= 4
        }
        try bad.write(to: URL(fileURLWithPath: entry))
        let model = try load(folder.path, cache.cache())
        #expect(model.warnings.count == 1)
        #expect(model.warnings[0].hasPrefix("engine cache: \(entry): "), "\(model.warnings)")
        #expect(model.warnings[0].hasSuffix("; the model is compiled anew"))
        #expect(try tokens(model) == expected)
        #expect(try Data(contentsOf: URL(fileURLWithPath: entry)) == good)
        #expect(try load(folder.path, cache.cache()).warnings.isEmpty)
    }

    /// What a user should know of a checkpoint is told by every load, once.
    @Test func notesOfACheckpointAreKept() throws {
        let (folder, cache) = (try Folder("quantised/ct-int8"), CacheFolder())
        let built = try load(folder.path, cache.cache()).warnings
        #expect(built.count == 1 && built[0].hasPrefix("config_groups: "))
        let stages = Stages()
        #expect(try load(folder.path, cache.cache(), stages).warnings == built)
        #expect(stages.all == ["Loading weights"])
        let entry = "\(cache.path)/\(try #require(cache.names.first))"
        var bytes = try Data(contentsOf: URL(fileURLWithPath: entry))
        bytes[bytes.count - 1] ^= 4
        try bytes.write(to: URL(fileURLWithPath: entry))
        let repaired = try load(folder.path, cache.cache()).warnings
        #expect(repaired.count == 2 && repaired.filter { $0 == built[0] }.count == 1, "\(repaired)")
    }

    /// An entry under the right name that was made for another key is never taken.
    @Test func theWholeKeyIsCompared() throws {
        let (folder, other, cache) = (try Folder(), try Folder("qwen2"), CacheFolder())
        _ = try load(other.path, cache.cache())
        let name = try EngineKey(folder: folder.path, options: LoadOptions(threads: 1)).fileName
        try FileManager.default.moveItem(
            atPath: "\(cache.path)/\(cache.names[0])", toPath: "\(cache.path)/\(name)")
        let model = try load(folder.path, cache.cache())
        #expect(model.info.modelType == "qwen3")
        #expect(model.warnings.first?.contains("holds the engine of another key") == true)
    }

    @Test func theLeastRecentlyUsedGoFirst() throws {
        let cache = CacheFolder()
        let folders = try ["qwen3", "qwen2", "llama2", "gpt2"].map { try Folder($0) }
        let names = try folders.map { try EngineKey(folder: $0.path, options: LoadOptions()).fileName }
        for folder in folders.prefix(2) { _ = try load(folder.path, cache.cache()) }
        let size =
            try FileManager.default.attributesOfItem(atPath: "\(cache.path)/\(names[0])")[.size] as? Int ?? 0
        // Room for two and a half. A hit makes the older of the two the younger.
        _ = try load(folders[0].path, cache.cache())
        _ = try load(folders[2].path, cache.cache(limit: size * 5 / 2))
        #expect(cache.names == [names[0], names[2]].sorted())
        // A file that a process left behind long ago goes as well; one that is being written stays.
        let (stale, fresh) = ("\(cache.path)/x.apus.partial-1-1", "\(cache.path)/y.apus.partial-1-1")
        for path in [stale, fresh] { try Data([1]).write(to: URL(fileURLWithPath: path)) }
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSinceNow: -8000)], ofItemAtPath: stale)
        _ = try load(folders[3].path, cache.cache(limit: size * 3 / 2))
        #expect(cache.names == [names[3], "y.apus.partial-1-1"].sorted())
    }

    @Test func whatCannotBeStoredIsAWarning() throws {
        let (folder, cache) = (try Folder(), CacheFolder())
        let small = try load(folder.path, cache.cache(limit: 1000))
        #expect(small.warnings.first?.contains("larger than the cache's limit of 1000 bytes") == true)
        let nowhere = try load(folder.path, EngineCache(folder: "/dev/null/cache"))
        #expect(
            nowhere.warnings.first?.hasPrefix("engine cache: the engine was not stored: /dev/null") == true)
        #expect(try tokens(nowhere) == tokens(small))
        #expect(cache.names.isEmpty)
    }

    @Test func manyThreadsMayMeet() async throws {
        let (folder, cache) = (try Folder(), CacheFolder())
        let path = folder.path
        let shared = cache.cache()
        let results = try await withThrowingTaskGroup(of: [Int32].self) { group in
            for index in 0..<8 {
                group.addTask {
                    let precision: ElementType = index % 2 == 0 ? .f32 : .f16
                    let model = try self.load(path, shared, precision: precision)
                    #expect(model.warnings.isEmpty)
                    return try self.tokens(model)
                }
            }
            return try await group.reduce(into: Set<[Int32]>()) { $0.insert($1) }
        }
        #expect(results.count <= 2)
        #expect(cache.names.count == 2 && cache.names.allSatisfy { $0.hasSuffix(".apus") })
        for name in cache.names { try EngineFile(path: "\(cache.path)/\(name)").verify() }
        withExtendedLifetime(folder) {}
    }
}
