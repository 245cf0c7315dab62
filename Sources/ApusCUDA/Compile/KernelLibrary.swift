import ApusEngine
import ApusSupport
import CApusCUDA
import Synchronization

/// The kernels of one device: cubins that engines bring, or that are compiled when they are first asked for.
final class KernelLibrary: @unchecked Sendable {
    private let device: CUDADevice
    private let state = Mutex(State())

    private struct State {
        var modules: [String: LoadedModule] = [:]
        var cubins: [String: [UInt8]] = [:]
    }

    private final class LoadedModule {
        let module: CUDAModule
        var functions: [String: apus_cu_function] = [:]
        init(_ module: consuming CUDAModule) { self.module = module }
    }

    init(_ device: CUDADevice) { self.device = device }

    /// Takes the cubins that an engine brings for this device's architecture.
    func add(_ kernels: KernelStore) {
        let name = device.architecture.description
        state.withLock { state in
            for (id, bytes) in kernels.images(for: name) where state.cubins[id] == nil {
                state.cubins[id] = bytes
            }
        }
    }

    /// Compiles what no engine brought, several units at a time.
    /// - Throws: `.notFound` without NVRTC.
    func compileMissing(_ units: Set<KernelUnit>) throws(ApusError) {
        guard !device.driver.isNull else { return }
        let missing = state.withLock { state in
            units.filter { state.modules[$0.id] == nil && state.cubins[$0.id] == nil }
        }
        guard !missing.isEmpty else { return }
        let targets = missing.map { KernelCompiler.Target(unit: $0, architecture: device.architecture) }
        let images = try KernelCompiler.system().compile(targets)
        state.withLock { state in
            for (target, image) in zip(targets, images) { state.cubins[target.unit.id] = image }
        }
    }

    /// A function of a unit, ready to be launched.
    /// - Throws: `.notFound` without NVRTC for a unit that no engine brought.
    func function(_ unit: KernelUnit, _ name: String, sharedBytes: Int) throws(ApusError) -> CUDAFunction {
        let id = unit.id
        return try function(id, name, sharedBytes) { () throws(ApusError) in
            try KernelCompiler.system().compile(unit, for: self.device.architecture)
        }
    }

    /// The same for a text that is not one of Apus's sources.
    func function(
        _ id: String, _ name: String, _ sharedBytes: Int, compile: () throws(ApusError) -> [UInt8]
    ) throws(ApusError) -> CUDAFunction {
        try state.withLock { state throws(ApusError) in
            let loaded: LoadedModule
            if let known = state.modules[id] {
                loaded = known
            } else {
                var image = state.cubins[id] ?? []
                if image.isEmpty, !device.driver.isNull { image = try compile() }
                loaded = LoadedModule(try CUDAModule(image, name: id, on: device))
                state.modules[id] = loaded
            }
            let key = "\(name) \(sharedBytes)"
            if let known = loaded.functions[key] { return CUDAFunction(handle: known) }
            let function = try ApusError.within(id) { () throws(ApusError) in
                try loaded.module.function(name, sharedBytes: sharedBytes)
            }
            loaded.functions[key] = function
            return CUDAFunction(handle: function)
        }
    }
}

/// A loaded kernel; its module lives as long as the library.
struct CUDAFunction: @unchecked Sendable {
    let handle: apus_cu_function
}
