import ApusEngine
import ApusSupport
import CApusCUDA
import Synchronization

/// The kernels of one device: cubins that engines bring, or that are compiled when they are first asked for.
final class KernelLibrary: @unchecked Sendable {
    private let device: CUDADevice
    private let state = Mutex(State())

    private struct State {
        var modules: [String: Background<LoadedModule>] = [:]
        var cubins: [String: [UInt8]] = [:]
        /// Functions by module, name and shared memory.
        var functions: [String: CUDAFunction] = [:]
    }

    /// The driver takes functions of a module from any thread.
    private final class LoadedModule: @unchecked Sendable {
        let module: CUDAModule
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

    /// Compiles what no engine brought, and loads all, several units at a time.
    /// - Throws: `.notFound` without NVRTC for a unit that no engine brought.
    func prepare(_ units: Set<KernelUnit>) throws(ApusError) {
        guard !device.driver.isNull else { return }
        let missing = state.withLock { state in units.filter { state.cubins[$0.id] == nil } }
        if !missing.isEmpty {
            let targets = missing.map {
                KernelCompiler.Target(unit: $0, architecture: device.architecture)
            }
            let images = try KernelCompiler.system().compile(targets)
            state.withLock { state in
                for (target, image) in zip(targets, images) { state.cubins[target.unit.id] = image }
            }
        }
        load(Set(units.map(\.id)))
    }

    /// Begins to load units whose cubins are there, several at a time.
    func load(_ ids: Set<String>) {
        state.withLock { state in
            for id in ids.sorted() where state.modules[id] == nil {
                if let image = state.cubins[id] { state.modules[id] = module(image, id) }
            }
        }
    }

    private func module(_ image: [UInt8], _ id: String) -> Background<LoadedModule> {
        Background { [device] () throws(ApusError) in
            LoadedModule(try CUDAModule(image, name: id, on: device))
        }
    }

    /// A function of a unit, ready to be launched.
    /// - Throws: `.notFound` without NVRTC for a unit that no engine brought.
    func function(_ unit: KernelUnit, _ name: String, sharedBytes: Int) throws(ApusError) -> CUDAFunction {
        let key = "\(unit.id) \(name) \(sharedBytes)"
        if let known = state.withLock({ $0.functions[key] }) { return known }
        try prepare([unit])
        let module = state.withLock { state in
            if let known = state.modules[unit.id] { return known }
            // A device that is not there needs no image.
            let made = self.module([], unit.id)
            state.modules[unit.id] = made
            return made
        }
        let function = try ApusError.within(unit.id) { () throws(ApusError) in
            CUDAFunction(handle: try module.get().module.function(name, sharedBytes: sharedBytes))
        }
        state.withLock { $0.functions[key] = function }
        return function
    }
}

/// A loaded kernel; its module lives as long as the library.
struct CUDAFunction: @unchecked Sendable {
    let handle: apus_cu_function
}
