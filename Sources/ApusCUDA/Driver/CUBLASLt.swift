import ApusSupport
import CApusCUDA

/// NVIDIA's library of matrix products, with one handle for each device.
final class CUBLASLt: @unchecked Sendable {
    let functions: apus_blaslt
    /// Version as the library counts: 10000 · major + 100 · minor + patch.
    let version: Int

    private init(loading: Void) throws(ApusError) {
        guard let handle = CUDALibraries.opened(.cublasLt).handle else {
            throw ApusError(.notFound, "cuBLASLt (libcublasLt.so.13 or .12) was not found")
        }
        var table = apus_blaslt()
        if let missing = apus_blaslt_load(handle, &table) {
            throw ApusError(.unsupported, "cuBLASLt is too old: it lacks \(String(cString: missing))")
        }
        functions = table
        version = table.version()
    }

    private static let loaded: Result<CUBLASLt, ApusError> = Result { () throws(ApusError) in
        try PhaseTimes.measure("opening cuBLASLt") { () throws(ApusError) in try CUBLASLt(loading: ()) }
    }

    /// The library of this machine, loaded once.
    static func system() throws(ApusError) -> CUBLASLt { try loaded.get() }

    /// A version as people write it, such as `13.1.0`.
    static func text(version: Int) -> String {
        "\(version / 10_000).\(version / 100 % 100).\(version % 100)"
    }

    /// The library as engines name it, such as `cuBLASLt 13.1.0`.
    var name: String { "cuBLASLt \(Self.text(version: version))" }

    func check(_ status: Int32, _ doing: @autoclosure () -> String) throws(ApusError) {
        guard status != 0 else { return }
        let reason = functions.error_text(status).map { String(cString: $0) } ?? "status \(status)"
        throw ApusError(.internal, "cuBLASLt: \(doing()): \(reason)")
    }
}

/// A handle of cuBLASLt and its workspace on one device.
final class ProductLibrary: @unchecked Sendable {
    let library: CUBLASLt
    let handle: apus_blaslt_handle
    let workspace: CUDAMemory

    /// What NVIDIA advises for Hopper; smaller GPUs need less.
    private static let workspaceBytes = 32 << 20

    init(_ device: CUDADevice) throws(ApusError) {
        library = try CUBLASLt.system()
        try device.activate()
        var handle: apus_blaslt_handle?
        try library.check(library.functions.create(&handle), "making a handle")
        guard let handle else { throw ApusError(.internal, "cuBLASLt: no handle was made") }
        self.handle = handle
        workspace = try CUDAMemory(Self.workspaceBytes, purpose: "the workspace of products", on: device)
    }

    deinit { _ = library.functions.destroy(handle) }
}
