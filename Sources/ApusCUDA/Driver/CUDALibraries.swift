import ApusSupport
import CApusCUDA

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// One of NVIDIA's libraries, as it is searched for.
public enum CUDALibrary: String, Sendable, CaseIterable {
    /// The driver; it comes with the GPU's kernel module and needs no toolkit.
    case driver
    /// The compiler of kernels; needed to compile engines, not to run them.
    case nvrtc
    /// Matrix products for prompts; a kernel of Apus takes its place where it is missing.
    case cublasLt

    /// File names, the newest first.
    var fileNames: [String] {
        switch self {
        case .driver: ["libcuda.so.1"]
        case .nvrtc: ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]
        case .cublasLt: ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"]
        }
    }

    /// Names of pip's packages under `nvidia/` that carry it.
    var packages: [String] {
        switch self {
        case .driver: []
        case .nvrtc: ["cu13", "cuda_nvrtc"]
        case .cublasLt: ["cu13", "cublas"]
        }
    }
}

/// What a search for a library found.
public struct CUDALibrarySearch: Sendable {
    /// The library.
    public let library: CUDALibrary
    /// The path or name by which it was opened; nil if it was not found.
    public let path: String?
    /// Where it was looked for, in order, with what the loader said.
    public let tried: [String]
}

/// Finds NVIDIA's libraries and opens them, each once.
enum CUDALibraries {
    /// A library that was opened, or what was tried in vain.
    struct Opened: @unchecked Sendable {
        let handle: UnsafeMutableRawPointer?
        let search: CUDALibrarySearch
    }

    private static let driver = open(.driver)
    private static let nvrtc = open(.nvrtc)
    private static let cublasLt = open(.cublasLt)

    static func opened(_ library: CUDALibrary) -> Opened {
        switch library {
        case .driver: driver
        case .nvrtc: nvrtc
        case .cublasLt: cublasLt
        }
    }

    private static func open(_ library: CUDALibrary) -> Opened {
        var tried: [String] = []
        // A plain name lets the loader look where LD_LIBRARY_PATH and its own list say.
        for folder in [""] + folders(library) {
            for file in library.fileNames {
                let path = folder.isEmpty ? file : "\(folder)/\(file)"
                if !folder.isEmpty, access(path, F_OK) != 0 { continue }
                if !folder.isEmpty, library == .nvrtc { openBuiltins(folder) }
                if let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) {
                    return Opened(
                        handle: handle, search: CUDALibrarySearch(library: library, path: path, tried: tried))
                }
                tried.append(dlerror().map { String(cString: $0) } ?? "\(path): cannot be opened")
            }
            if !folder.isEmpty { tried.append("\(folder): nothing that opens") }
        }
        return Opened(handle: nil, search: CUDALibrarySearch(library: library, path: nil, tried: tried))
    }

    /// Opens what NVRTC asks the loader for by name when it compiles, and which may lie beside it only.
    private static func openBuiltins(_ folder: String) {
        for name in entries(folder) where name.hasPrefix("libnvrtc-builtins.so") {
            _ = dlopen("\(folder)/\(name)", RTLD_NOW | RTLD_LOCAL)
        }
    }

    /// Folders beside the loader's own: those of toolkits, then those of pip's packages.
    private static func folders(_ library: CUDALibrary) -> [String] {
        var folders: [String] = []
        for name in ["CUDA_HOME", "CUDA_PATH"] {
            guard let root = environment(name) else { continue }
            folders += ["\(root)/lib64", "\(root)/lib", "\(root)/targets/x86_64-linux/lib"]
        }
        folders += ["/usr/local/cuda/lib64", "/usr/local/cuda/compat"]
        for root in ["VIRTUAL_ENV", "CONDA_PREFIX"].compactMap(environment) + ["/usr/local", "/usr"] {
            for python in entries("\(root)/lib") where python.hasPrefix("python3") {
                for site in ["site-packages", "dist-packages"] {
                    for package in library.packages {
                        let folder = "\(root)/lib/\(python)/\(site)/nvidia/\(package)/lib"
                        if access(folder, F_OK) == 0 { folders.append(folder) }
                    }
                }
            }
        }
        return folders
    }

    private static func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    private static func entries(_ folder: String) -> [String] {
        Folder.names(in: folder)
    }
}
