import Apus
import ApusSupport
import Synchronization
import TestNumbers
import Testing

@testable import ApusEngine

/// What engines carry for GPUs: written, read back, and refused where it is damaged under right hashes.
@Suite struct KernelStoreTests {
    private static var store: KernelStore {
        var store = KernelStore()
        store.add([1, 2, 3], "gemv(K=64)", for: "sm_90a")
        store.add([], "argmax", for: "sm_90a")
        store.add([7], "argmax", for: "sm_80")
        var algorithms = ProductAlgorithms(gpu: "NVIDIA H200", library: "cuBLASLt 13.1.0")
        for rows in [64, 128] {
            algorithms.add(
                (0..<64).map { UInt8($0 + rows) }, for: "f16 → f32 n=64 k=32 + bias, \(rows) rows")
        }
        store.add(algorithms, for: "sm_90a")
        return store
    }

    private func read(_ sections: [(name: String, bytes: [UInt8])]) throws -> KernelStore {
        var store = KernelStore()
        for section in sections {
            try store.read(section: section.name, { () throws(ApusError) in section.bytes }, source: "file")
        }
        return store
    }

    @Test func enginesCarryKernelsAndAlgorithms() throws {
        let engine = try Sample.compile(try Sample.imported("llama2-minimal"))
        let carrying = Engine(
            info: engine.info, plan: engine.plan, weights: engine.weights, precision: engine.precision,
            plugins: engine.plugins, origin: engine.origin, kernels: Self.store)
        let temporary = TemporaryFile()
        try EngineFile.write(carrying, generation: GenerationDefaults(), to: temporary.path)
        let file = try EngineFile(path: temporary.path)
        #expect(
            file.header.sections.map(\.name).filter { $0.contains(":") } == [
                "cubin:sm_80", "cubin:sm_90a", "products:sm_90a",
            ])
        #expect(try file.kernels() == Self.store)
        #expect(try file.load(for: Sample.backend()).kernels == Self.store)
    }

    @Test func whatIsWrittenDoesNotFollowTheOrderOfAdding() throws {
        var other = KernelStore()
        other.add([7], "argmax", for: "sm_80")
        other.add([], "argmax", for: "sm_90a")
        other.add([1, 2, 3], "gemv(K=64)", for: "sm_90a")
        other.add(try #require(Self.store.products["sm_90a"]), for: "sm_90a")
        #expect(other.sections.map(\.bytes) == Self.store.sections.map(\.bytes))
    }

    @Test func otherSectionsArePassedOver() throws {
        #expect(try read([("plan", [1]), ("code:other", [2])]).isEmpty)
    }

    /// Every prefix of a section that does not end with an entry is refused, and none ends the process.
    @Test func sectionsThatAreCutShortAreRefused() throws {
        for section in Self.store.sections {
            var good = 0
            for count in 0..<section.bytes.count {
                do {
                    _ = try read([(section.name, Array(section.bytes[..<count]))])
                    good += 1
                } catch let error as ApusError {
                    #expect(error.code == .invalidInput)
                    #expect(
                        error.message.hasPrefix("file: section '\(section.name)': expected ")
                            && error.message.hasSuffix("compile the model anew"), "\(error.message)")
                }
            }
            // The borders between entries; algorithms need the names of GPU and library too.
            #expect(good == (section.name == "cubin:sm_90a" ? 2 : section.name == "cubin:sm_80" ? 1 : 2))
        }
    }

    @Test(arguments: [
        ["gpu": Array("a".utf8), "library": Array("b".utf8), "product x": [1, 2, 3]],
        ["gpu": Array("a".utf8), "library": Array("b".utf8), "x": [UInt8](repeating: 0, count: 64)],
        ["library": Array("b".utf8)], ["gpu": Array("a".utf8)],
    ])
    func algorithmsOfAnotherFormAreRefused(entries: [String: [UInt8]]) throws {
        #expect(throws: ApusError.self) {
            try read([("products:sm_90a", NamedBytes.encoded(entries))])
        }
    }

    @Test func damagedBytesNeverEndTheProcess() throws {
        var random = Numbers(seed: 3)
        for section in Self.store.sections {
            for _ in 0..<Fuzz.rounds(500) {
                var bytes = section.bytes
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(
                    in: 0...255, using: &random)
                _ = try? read([(section.name, bytes)])
            }
        }
    }
}

/// Weights that go from a file to a device without staying in the processor's memory.
@Suite struct WeightReceiverTests {
    /// A device whose memory is an array.
    private final class Device: WeightReceiver, DeviceWeights {
        let slotCount: Int
        let byteCount: Int
        private let parts: HugeBuffer
        private let memory: HugeBuffer
        private let sent = Mutex(0)

        init(slots: Int, byteCount: Int) throws {
            slotCount = slots
            self.byteCount = byteCount
            parts = try HugeBuffer(byteCount: slots << 20, purpose: "a test")
            memory = try HugeBuffer(byteCount: byteCount, purpose: "a test")
        }

        func part(_ slot: Int) -> UnsafeMutableRawBufferPointer {
            UnsafeMutableRawBufferPointer(start: parts.base + slot << 20, count: 1 << 20)
        }
        func send(_ slot: Int, count: Int, to offset: Int) {
            (memory.base + offset).copyMemory(from: part(slot).baseAddress ?? memory.base, byteCount: count)
            sent.withLock { $0 += count }
        }
        func finish() throws(ApusError) -> any DeviceWeights {
            guard sent.withLock({ $0 }) == byteCount else { throw ApusError(.internal, "bytes are missing") }
            return self
        }
        func copy(to buffer: HugeBuffer) {
            buffer.base.copyMemory(from: memory.base, byteCount: byteCount)
        }
    }

    @Test(arguments: [1, 3, 32]) func devicesTakeWhatTheFileHolds(slots: Int) throws {
        let temporary = try Sample.file("qwen3")
        let file = try EngineFile(path: temporary.path)
        let section = try EngineFile.section(EngineSection.weights, file.file, file.header)
        let loaded = try file.load(for: Sample.backend())
        let device = try Device(slots: slots, byteCount: section.byteCount)
        let held = try SectionReader(file: file.file, section: section).read(into: device, progress: nil)
        let store = WeightStore(regions: loaded.weights.regions, on: held)
        #expect(store.device === device)
        let moved = Engine(loaded.blueprint, weights: store, plugins: loaded.plugins)
        #expect(try Sample.weights(moved) == Sample.weights(loaded))
        // What a device holds can be written to a file again.
        let again = TemporaryFile()
        try EngineFile.write(
            moved, generation: file.manifest.generation, tokenizer: file.attachedTokenizer(), to: again.path)
        #expect(try again.bytes() == temporary.bytes())
    }

    @Test func damagedWeightsAreRefusedOnTheWay() throws {
        let temporary = try Sample.file()
        let header = try EngineFile(path: temporary.path).header
        let weights = try #require(header.section(EngineSection.weights))
        try temporary.patch([0x5a, 0xa5, 0x11], at: weights.offset + weights.byteCount / 2)
        let file = try EngineFile(path: temporary.path)
        let device = try Device(slots: 4, byteCount: weights.byteCount)
        #expect(throws: ApusError.self) {
            _ = try SectionReader(file: file.file, section: weights).read(into: device, progress: nil)
        }
    }

    @Test func storesLetGoOfWhatADeviceHolds() throws {
        let engine = try Sample.compile(try Sample.imported("llama2-minimal"))
        let bytes = try Sample.weights(engine)
        weak var memory: HugeBuffer?
        do {
            let buffer = try engine.weights.buffer()
            memory = buffer
            let device = try Device(slots: 1, byteCount: buffer.byteCount)
            for offset in stride(from: 0, to: buffer.byteCount, by: 1 << 20) {
                let count = min(1 << 20, buffer.byteCount - offset)
                device.part(0).copyMemory(
                    from: UnsafeRawBufferPointer(start: buffer.base + offset, count: count))
                device.send(0, count: count, to: offset)
            }
            engine.weights.move(to: device)
        }
        #expect(memory == nil)
        #expect(try Sample.weights(engine) == bytes)
    }
}
