import Apus
import Foundation
import Synchronization
import Testing

@testable import ApusCommand

@Suite struct OutputTests {
    @Test func npyHeaderIsWhatNumPyReads() {
        let header = NPYWriter.header(rows: 12, columns: 151_936)
        #expect(header.count == 128)
        #expect(Array(header[..<10]) == [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59, 1, 0, 118, 0])
        let text = String(decoding: header[10...], as: UTF8.self)
        #expect(text.hasPrefix("{'descr': '<f4', 'fortran_order': False, 'shape': (12, 151936), } "))
        #expect(header.last == 0x0A)
    }

    /// Where products were timed, or that they were not.
    @Test func enginesForGPUsTellWhatTheyCarry() throws {
        let path = NSTemporaryDirectory() + "apus-\(UUID().uuidString).apus"
        defer { try? FileManager.default.removeItem(atPath: path) }
        func text(_ device: String, _ kernels: KernelStore) throws -> String {
            let info = ModelInfo(
                modelType: "x", vocabularySize: 1, maxPositions: 1, layerCount: 0, precision: .f16)
            let engine = Engine(
                info: info, plan: Plan(symbols: [], tensors: [], steps: [], outputs: []),
                weights: try WeightStore([]), precision: .f16, origin: EngineOrigin(device: device),
                kernels: kernels)
            let header = try EngineFile.write(engine, generation: GenerationDefaults(), to: path)
            return EngineListing(
                header, info: info, precision: .f16, origin: engine.origin, kernels: kernels
            ).kernels
        }
        #expect(try text("cpu", KernelStore()) == "")
        #expect(
            try text("cuda", KernelStore()) == """
                kernels: none; they are compiled when they are first launched
                algorithms of products: none; the engine was compiled without a GPU, and products take what cuBLASLt \
                proposes where it runs

                """)
        var store = KernelStore()
        store.add([1], "argmax", for: "sm_90a")
        var algorithms = ProductAlgorithms(gpu: "NVIDIA H200", library: "cuBLASLt 13.1.0")
        algorithms.add([UInt8](repeating: 0, count: 64), for: "f16 → f32 n=8 k=8, 64 rows")
        store.add(algorithms, for: "sm_90a")
        #expect(
            try text("cuda", store) == """
                kernels for sm_90a: 1
                algorithms of products for sm_90a: 1, timed on NVIDIA H200 with cuBLASLt 13.1.0

                """)
    }

    @Test func npyFileHoldsItsRows() throws {
        let path = NSTemporaryDirectory() + "apus-\(UUID().uuidString).npy"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let writer = try NPYWriter(path: path, columns: 3)
        for row: [Float] in [[1, 2, 3], [-0.5, 0, .infinity]] {
            try row.withUnsafeBufferPointer { try writer.append($0) }
        }
        #expect(throws: ApusError.self) {
            try [Float](repeating: 0, count: 2).withUnsafeBufferPointer { try writer.append($0) }
        }
        try writer.finish()
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(Array(data[..<128]) == NPYWriter.header(rows: 2, columns: 3))
        #expect(data.count == 128 + 24)
        #expect(Array(data[128..<132]) == [0, 0, 0x80, 0x3F])
    }

    @Test func npyNamesAPathThatCannotBeWritten() {
        do {
            _ = try NPYWriter(path: "/nowhere/x.npy", columns: 1)
            Issue.record("it was written")
        } catch {
            #expect(error.code == .io)
            #expect(error.description.hasPrefix("/nowhere/x.npy: cannot write: "))
        }
    }

    @Test func tableLinesUp() {
        var table = MarkdownTable([
            MarkdownTable.Column(title: "model", isNumber: false),
            MarkdownTable.Column(title: "n", isNumber: true),
        ])
        table.append(["é", "1.5"])
        table.append(["llama", nil])
        #expect(
            table.text == """
                | model |   n |
                | ----- | --: |
                | é     | 1.5 |
                | llama |   – |

                """)
    }

    @Test func figuresAreRoundedAndHaveUnits() {
        #expect(Figures.decimal(1.25, 1) == "1.3")
        #expect(Figures.decimal(-0.04, 1) == "0.0")
        #expect(Figures.decimal(12.006, 2) == "12.01")
        #expect(Figures.decimal(nil, 2) == "–")
        #expect(Figures.decimal(.nan, 2) == "–")
        #expect(Figures.short(0.1234) == "0.123")
        #expect(Figures.short(48.26) == "48.3")
        #expect(Figures.short(1234.5) == "1235")
        #expect(Figures.duration(seconds: 0.0123) == "12.3 ms")
        #expect(Figures.duration(seconds: 4.5) == "4.50 s")
        #expect(Figures.bytes(1000) == "1000 B")
        #expect(Figures.bytes(3 << 30) == "3.00 GiB")
    }

    @Test func statisticsAreThoseOfNumPy() {
        let statistics = Statistics([4, 1, 3, 2])
        #expect(statistics.median == 2.5)
        #expect(statistics.mean == 2.5)
        #expect(abs(statistics.deviation - 1.118033988749895) < 1e-15)
        #expect(abs(statistics.quantile(0.99) - 3.97) < 1e-12)
        #expect(Statistics([7]).quantile(0.99) == 7)
    }

    @Test func progressIsDrawnOncePerPercentAndErased() {
        let drawn = Mutex<[String]>([])
        let bar = ProgressBar { text in drawn.withLock { $0.append(text) } }
        for done in 0...1000 { bar.progress("Packing weights", completed: done, total: 1000) }
        bar.finish()
        bar.finish()
        let lines = drawn.withLock { $0 }
        #expect(lines.count == 102)
        #expect(lines.last == "\r\u{1B}[K")
        #expect(ProgressBar.line("x", percent: 50) == "x ███████████████░░░░░░░░░░░░░░░ 50%")
    }

    @Test func linesAreReadWhateverTheirLength() throws {
        let path = NSTemporaryDirectory() + "apus-\(UUID().uuidString).txt"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let long = String(repeating: "a", count: 3 << 20)
        try "x\n\n\(long)\nend".write(toFile: path, atomically: true, encoding: .utf8)
        let reader = try LineReader(path: path)
        var lines: [Int] = []
        while let line = try reader.next() { lines.append(line.count) }
        #expect(lines == [1, 0, 3 << 20, 3])
    }

    @Test func tokenListsAreReadFromFlags() throws {
        #expect(try TokenList.sequences("1,2, 3", flag: "--input-ids") == [[1, 2, 3]])
        #expect(try TokenList.ids("[4, 5]", flag: "--ids") == [4, 5])
        for text in ["1,x", "-1", "3000000000", "1.5"] {
            do {
                _ = try TokenList.ids(text, flag: "--input-ids")
                Issue.record("\(text) was accepted")
            } catch {
                #expect(error.description.hasPrefix("--input-ids: expected token ids such as 1,2,3, got '"))
            }
        }
    }

    @Test(
        arguments: [
            ("[1, 2]", [[1, 2]]), ("[[1], [2, 3]]", [[1], [2, 3]]),
        ] as [(String, [[Int32]])])
    func tokenListsAreReadFromFiles(text: String, expected: [[Int32]]) throws {
        let path = NSTemporaryDirectory() + "apus-\(UUID().uuidString).json"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        #expect(try TokenList.sequences("@" + path, flag: "--input-ids") == expected)
    }

    @Test(arguments: ["{}", "[]", "[1, \"a\"]", "[-1]", "[[1], 2]"])
    func otherFilesAreRefusedByName(text: String) throws {
        let path = NSTemporaryDirectory() + "apus-\(UUID().uuidString).json"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        do {
            _ = try TokenList.sequences("@" + path, flag: "--input-ids")
            Issue.record("\(text) was accepted")
        } catch {
            #expect(error.code == .invalidInput)
            #expect(error.description.hasPrefix(path + ": expected "))
        }
    }

    @Test func machineFilesAreUnderstood() {
        #expect(Machine.chosen("always [madvise] never\n") == "madvise")
        #expect(Machine.chosen("none") == nil)
        #expect(SystemText.value(of: "model name", in: "model\t: 3\nmodel name\t: CPU X\n") == "CPU X")
        #expect(SystemText.bytes(of: "VmHWM", in: "VmPeak:\t 9 kB\nVmHWM:\t    12 kB\n") == 12288)
        #expect((ProcessMemory.peakBytes() ?? 0) > 1 << 20)
    }
}
