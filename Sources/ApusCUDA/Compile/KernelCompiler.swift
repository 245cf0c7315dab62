import ApusSupport
import CApusCUDA
import Dispatch
import Synchronization

/// NVIDIA's run-time compiler: CUDA C++ in, a cubin out.
///
/// It needs no GPU.
final class KernelCompiler: @unchecked Sendable {
    private let functions: apus_nvrtc
    /// Version of the library.
    let version: (major: Int, minor: Int)

    private init(loading: Void) throws(ApusError) {
        let opened = CUDALibraries.opened(.nvrtc)
        guard let handle = opened.handle else {
            throw ApusError(
                .notFound,
                "kernels cannot be compiled: NVRTC (libnvrtc.so.13 or .12) was not found; install the CUDA toolkit or pip's "
                    + "nvidia-cuda-nvrtc and set CUDA_HOME or LD_LIBRARY_PATH, or run an engine that was compiled "
                    + "elsewhere, which needs no NVRTC ('apus doctor' shows where it was looked for)")
        }
        var table = apus_nvrtc()
        if let missing = apus_nvrtc_load(handle, &table) {
            throw ApusError(
                .unsupported, "NVRTC is too old: it lacks \(String(cString: missing)); expected 12.3 or newer"
            )
        }
        functions = table
        var (major, minor): (Int32, Int32) = (0, 0)
        _ = table.version(&major, &minor)
        version = (Int(major), Int(minor))
    }

    private static let loaded: Result<KernelCompiler, ApusError> = Result { () throws(ApusError) in
        try KernelCompiler(loading: ())
    }

    /// The compiler of this machine, loaded once.
    /// - Throws: `.notFound` that says what to install.
    static func system() throws(ApusError) -> KernelCompiler { try loaded.get() }

    /// What is compiled, and for what.
    struct Target {
        let unit: KernelUnit
        let architecture: CUDAArchitecture
    }

    /// Compiles several units at a time: NVRTC lets threads compile programs of their own.
    /// - Returns: The cubins, in the order of the units.
    /// - Throws: As ``compile(_:for:)``, for the first unit that fails.
    func compile(_ targets: [Target]) throws(ApusError) -> [[UInt8]] {
        let images = Mutex<[Result<[UInt8], ApusError>?]>(Array(repeating: nil, count: targets.count))
        DispatchQueue.concurrentPerform(iterations: targets.count) { index in
            let image = Result { () throws(ApusError) in
                try compile(targets[index].unit, for: targets[index].architecture)
            }
            images.withLock { $0[index] = image }
        }
        return try images.withLock { $0 }.compactMap { $0 }.map { image throws(ApusError) in
            try image.get()
        }
    }

    /// Compiles a unit for an architecture.
    /// - Returns: The cubin.
    /// - Throws: `.internal` with the compiler's messages: the kernels are Apus's own, or a plugin's.
    func compile(_ unit: KernelUnit, for architecture: CUDAArchitecture) throws(ApusError) -> [UInt8] {
        guard let text = unit.text ?? KernelSources.text(unit.source + ".cu") else {
            throw ApusError(.internal, "there is no kernel source '\(unit.source).cu'")
        }
        return try compile(
            text, name: unit.source + ".cu", macros: unit.macros, for: architecture, label: unit.id)
    }

    /// Compiles a text.
    func compile(
        _ text: String, name: String, macros: [String: String], for architecture: CUDAArchitecture,
        label: String
    ) throws(ApusError) -> [UInt8] {
        let headers = CStrings(KernelSources.headers.map(\.text))
        let headerNames = CStrings(KernelSources.headers.map(\.name))
        var program: apus_nvrtc_program?
        try check(
            functions.create(
                &program, text, name, Int32(headers.count), headers.pointers, headerNames.pointers), label,
            nil)
        defer { _ = functions.destroy(&program) }
        let options = CStrings(
            [
                "--gpu-architecture=\(architecture)", "--std=c++17", "--device-as-default-execution-space",
                "--extra-device-vectorization",
            ]
                + macros.sorted { $0.key < $1.key }.map {
                    $0.value.isEmpty ? "-D\($0.key)" : "-D\($0.key)=\($0.value)"
                })
        try check(functions.compile(program, Int32(options.count), options.pointers), label, program)
        var count = 0
        try check(functions.cubin_bytes(program, &count), label, program)
        var cubin = [UInt8](repeating: 0, count: count)
        let status = cubin.withUnsafeMutableBytes {
            functions.cubin(program, $0.baseAddress?.assumingMemoryBound(to: CChar.self))
        }
        try check(status, label, program)
        return cubin
    }

    private func check(_ status: Int32, _ label: String, _ program: apus_nvrtc_program?) throws(ApusError) {
        guard status != 0 else { return }
        var log = ""
        var count = 0
        if let program, functions.log_bytes(program, &count) == 0, count > 1 {
            var bytes = [CChar](repeating: 0, count: count)
            if functions.log(program, &bytes) == 0 {
                log =
                    "\n"
                    + String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            }
        }
        let reason = functions.error_text(status).map { String(cString: $0) } ?? "error \(status)"
        throw ApusError(
            .internal, "NVRTC \(version.major).\(version.minor): kernels \(label): \(reason)\(log)")
    }
}

/// Strings as C takes a list of them.
private final class CStrings {
    private let storage: [UnsafeMutablePointer<CChar>]
    let pointers: UnsafeMutablePointer<UnsafePointer<CChar>?>
    var count: Int { storage.count }

    init(_ strings: [String]) {
        storage = strings.map { string in
            let bytes = string.utf8CString
            let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
            bytes.withUnsafeBufferPointer { source in
                if let base = source.baseAddress { copy.initialize(from: base, count: bytes.count) }
            }
            return copy
        }
        pointers = .allocate(capacity: max(strings.count, 1))
        pointers.initialize(repeating: nil, count: max(strings.count, 1))
        for (index, string) in storage.enumerated() { pointers[index] = UnsafePointer(string) }
    }

    deinit {
        for string in storage { string.deallocate() }
        pointers.deallocate()
    }
}
