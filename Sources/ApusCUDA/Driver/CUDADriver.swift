import ApusSupport
import CApusCUDA

/// The driver of NVIDIA's GPUs: its functions, and a Swift error for each of its codes.
final class CUDADriver: @unchecked Sendable {
    /// The functions.
    let functions: apus_cu_driver
    /// Whether there is no device behind it; see ``null``.
    let isNull: Bool
    /// Version as the driver counts: 1000 · major + 10 · minor.
    let version: Int

    /// Launch attributes, graphs of captured streams with programmatic edges.
    static let oldestVersion = 12_030

    /// A driver that computes nothing, for tests of all that leads to a launch.
    static let null = CUDADriver(imitating: apus_cu_null_driver().pointee)

    /// A driver that computes nothing and answers as its functions do.
    init(imitating functions: apus_cu_driver) {
        self.functions = functions
        isNull = true
        version = 13_000
    }

    private init(loading: Void) throws(ApusError) {
        let opened = CUDALibraries.opened(.driver)
        guard let handle = opened.handle else {
            throw ApusError(
                .unsupported,
                "no NVIDIA driver on this machine: libcuda.so.1 was not found; install the driver, or choose --device "
                    + "cpu ('apus doctor' shows where it was looked for)")
        }
        var table = apus_cu_driver()
        if let missing = apus_cu_driver_load(handle, &table) {
            throw ApusError(
                .unsupported,
                "the NVIDIA driver is too old: it lacks \(String(cString: missing)); install one for CUDA 12.3 or newer"
            )
        }
        functions = table
        isNull = false
        let status = table.`init`(0)
        guard status == APUS_CU_SUCCESS else {
            throw ApusError(
                .unsupported,
                "the NVIDIA driver found no usable GPU: cuInit says \(Self.text(status, table)); check that a GPU is "
                    + "there and that this process may use it, or choose --device cpu")
        }
        var version: Int32 = 0
        _ = table.driver_version(&version)
        self.version = Int(version)
        guard self.version >= Self.oldestVersion else {
            throw ApusError(
                .unsupported,
                "the NVIDIA driver is for CUDA \(Self.text(version: Int(version))): expected 12.3 or newer; update it, or "
                    + "choose --device cpu")
        }
    }

    private static let loaded: Result<CUDADriver, ApusError> = Result { () throws(ApusError) in
        try PhaseTimes.measure("driver") { () throws(ApusError) in try CUDADriver(loading: ()) }
    }

    /// The driver of this machine, loaded and started once.
    /// - Throws: `.unsupported` that says what is missing.
    static func system() throws(ApusError) -> CUDADriver { try loaded.get() }

    /// A version as people write it, such as `13.0`.
    static func text(version: Int) -> String { "\(version / 1000).\(version % 1000 / 10)" }

    /// Number of devices.
    func deviceCount() throws(ApusError) -> Int {
        var count: Int32 = 0
        try check(functions.device_count(&count), "counting the GPUs")
        return Int(count)
    }

    /// Turns a status into an error that says what was done.
    func check(_ status: apus_cu_result, _ doing: @autoclosure () -> String) throws(ApusError) {
        guard status != APUS_CU_SUCCESS else { return }
        let code: ApusError.Code = status == APUS_CU_OUT_OF_MEMORY ? .outOfMemory : .internal
        throw ApusError(code, "CUDA: \(doing()): \(Self.text(status, functions))")
    }

    private static func text(_ status: apus_cu_result, _ functions: apus_cu_driver) -> String {
        var (name, text): (UnsafePointer<CChar>?, UnsafePointer<CChar>?)
        _ = functions.error_name(status, &name)
        _ = functions.error_text(status, &text)
        let parts = [name, text].compactMap { $0.map { String(cString: $0) } }
        return parts.isEmpty ? "error \(status)" : parts.joined(separator: ", ")
    }
}
