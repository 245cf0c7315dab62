import ApusSupport
import CApusCUDA

/// What this machine has of CUDA, and what Apus makes of it.
public struct CUDAInstallation: Sendable {
    /// One GPU.
    public struct GPU: Sendable {
        /// The number by which `--device cuda:N` names it.
        public let ordinal: Int
        /// Name, compute capability and memory; or what is wrong with it.
        public let description: String
        /// Whether Apus computes on it.
        public let isUsable: Bool
    }

    /// One library.
    public struct Library: Sendable {
        /// How it was searched for.
        public let search: CUDALibrarySearch
        /// Its version, or why it is of no use; nil if it was not found.
        public let version: String?
    }

    /// Version that the driver is for, or why there is none.
    public let driver: String
    /// All GPUs.
    public let gpus: [GPU]
    /// The libraries, in the order of ``CUDALibrary/allCases``.
    public let libraries: [Library]

    /// Looks at this machine.
    public init() {
        var gpus: [GPU] = []
        var text: String
        do throws(ApusError) {
            let driver = try CUDADriver.system()
            text = "for CUDA \(CUDADriver.text(version: driver.version))"
            for ordinal in 0..<(try driver.deviceCount()) {
                do throws(ApusError) {
                    let device = try CUDADevice(ordinal, driver: driver)
                    gpus.append(GPU(ordinal: ordinal, description: device.summary, isUsable: true))
                } catch {
                    gpus.append(GPU(ordinal: ordinal, description: error.message, isUsable: false))
                }
            }
        } catch {
            text = error.message
        }
        driver = text
        self.gpus = gpus
        libraries = CUDALibrary.allCases.map { library in
            Library(search: CUDALibraries.opened(library).search, version: Self.version(of: library))
        }
    }

    private static func version(of library: CUDALibrary) -> String? {
        guard CUDALibraries.opened(library).handle != nil else { return nil }
        do throws(ApusError) {
            switch library {
            case .driver: return CUDADriver.text(version: try CUDADriver.system().version)
            case .nvrtc:
                let version = try KernelCompiler.system().version
                return "\(version.major).\(version.minor)"
            case .cublasLt:
                return CUBLASLt.text(version: try CUBLASLt.system().version)
            }
        } catch {
            return error.message
        }
    }
}

extension CUDADevice {
    /// Name, compute capability and memory, for people.
    var summary: String {
        "\(name), compute capability \(capability.major).\(capability.minor), \(processorCount) multiprocessors, "
            + "\(byteCount >> 20) MiB"
    }
}
