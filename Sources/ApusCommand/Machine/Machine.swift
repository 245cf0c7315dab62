import Apus

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// What a measurement depends on: the processor, its memory, and what apus chose for it.
struct Machine {
    var processor: String
    var features: String
    var instructionSet: String
    var availableInstructionSets: [String]
    var physicalCores: Int
    var threads: Int
    var memoryBytes: Int?
    /// The policy of transparent huge pages, such as `madvise`.
    var hugePages: String?
    /// Whether a test buffer got huge pages; nil where the system does not tell.
    var grantsHugePages: Bool?
    /// Bytes a second that all threads together read.
    var readBandwidth: Double
    /// What there is of CUDA.
    var cuda: CUDAInstallation

    /// Looks at this machine and measures its memory.
    /// - Parameter probeBytes: Size of the buffer that the measurement reads.
    /// - Throws: `.outOfMemory`.
    init(_ backend: CPUBackend, probeBytes: Int = Machine.probeBytes) throws(ApusError) {
        processor = Self.processorName()
        features = InstructionSet.features
        instructionSet = backend.instructionSet.rawValue
        availableInstructionSets = InstructionSet.available.map(\.rawValue)
        physicalCores = Topology.physicalCoreCount()
        threads = backend.threadCount
        memoryBytes = Self.memory()
        hugePages = SystemText.contents(of: "/sys/kernel/mm/transparent_hugepage/enabled").flatMap(
            Self.chosen)
        grantsHugePages = try Self.testHugePages()
        readBandwidth = try backend.measureReadBandwidth(byteCount: probeBytes)
        cuda = CUDAInstallation()
    }

    /// The machine as an object of the JSON report.
    var json: JSONValue {
        .object([
            ("cpu", .string(processor)), ("features", .string(features)),
            ("instruction_set", .string(instructionSet)),
            ("available_instruction_sets", .array(availableInstructionSets.map { .string($0) })),
            ("physical_cores", .int(physicalCores)), ("threads", .int(threads)),
            ("memory_bytes", memoryBytes.map { .int($0) } ?? .null),
            ("huge_pages", hugePages.map { .string($0) } ?? .null),
            ("huge_pages_granted", grantsHugePages.map { .bool($0) } ?? .null),
            ("read_bandwidth_gigabytes_per_second", .double(readBandwidth / 1e9)),
            ("gpus", .array(cuda.gpus.map { .string($0.description) })),
            ("cuda_driver", .string(cuda.driver)),
            (
                "cuda_libraries",
                .object(
                    cuda.libraries.map { library in
                        (library.search.library.rawValue, library.version.map { .string($0) } ?? .null)
                    })
            ),
            ("apus_version", .string(ApusTool.version)),
        ])
    }

    /// The machine in a few lines.
    var summary: String {
        """
        apus \(ApusTool.version) on \(processor), \(physicalCores) cores, \(Figures.bytes(memoryBytes)) memory
        instruction set: \(instructionSet) (available: \(availableInstructionSets.joined(separator: ", ")))
        read bandwidth: \(Figures.decimal(readBandwidth / 1e9, 1)) GB/s with \(threads) threads; \
        huge pages: \(hugePageStatus)
        """
    }

    /// Huge pages in words.
    var hugePageStatus: String {
        let policy = hugePages.map { "policy \($0)" } ?? "policy unknown"
        switch grantsHugePages {
        case true?: return "in use (\(policy))"
        case false?: return "refused (\(policy)); see /sys/kernel/mm/transparent_hugepage/enabled"
        case nil: return policy
        }
    }

    /// The word in brackets of `always [madvise] never`.
    static func chosen(_ text: String) -> String? {
        guard let open = text.firstIndex(of: "["), let close = text[open...].firstIndex(of: "]") else {
            return nil
        }
        return String(text[text.index(after: open)..<close])
    }

    private static func processorName() -> String {
        #if os(Linux)
            let text = SystemText.contents(of: "/proc/cpuinfo") ?? ""
            return SystemText.value(of: "model name", in: text) ?? SystemText.value(of: "CPU part", in: text)
                ?? "unknown processor"
        #else
            var size = 256
            var name = [CChar](repeating: 0, count: size)
            guard sysctlbyname("machdep.cpu.brand_string", &name, &size, nil, 0) == 0 else {
                return "unknown processor"
            }
            return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        #endif
    }

    /// Bytes to read when memory is measured: far more than the caches hold, so that little comes from there.
    static var probeBytes: Int {
        #if canImport(Glibc)
            let cache = sysconf(Int32(_SC_LEVEL3_CACHE_SIZE))
        #else
            let cache = 0
        #endif
        return min(max(8 * cache, 256 << 20), 1 << 30)
    }

    private static func memory() -> Int? {
        let pages = sysconf(Int32(_SC_PHYS_PAGES))
        let size = sysconf(Int32(_SC_PAGESIZE))
        return pages > 0 && size > 0 ? pages * size : nil
    }

    private static func testHugePages() throws(ApusError) -> Bool? {
        guard let before = ProcessMemory.hugePageBytes() else { return nil }
        let buffer = try HugeBuffer(byteCount: 8 * HugeBuffer.pageBytes, purpose: "the huge page test")
        buffer.base.initializeMemory(as: UInt8.self, repeating: 1, count: buffer.byteCount)
        return ProcessMemory.hugePageBytes().map { $0 > before }
    }
}
