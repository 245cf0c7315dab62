import Apus
import ArgumentParser

/// The value of `--device`: `cpu`, `cuda` or `cuda:N`.
struct DeviceOption: ExpressibleByArgument, Equatable, Sendable {
    let device: Device

    init?(argument: String) {
        guard let device = try? Device(argument) else { return nil }
        self.device = device
    }

    var defaultValueDescription: String { device.description }
}

/// A value of `--arch`: a GPU architecture, such as `sm_90a`.
struct ArchitectureOption: ExpressibleByArgument, Equatable, Sendable {
    let architecture: CUDAArchitecture

    init?(argument: String) {
        guard let architecture = CUDAArchitecture(argument) else { return nil }
        self.architecture = architecture
    }

    var defaultValueDescription: String { architecture.description }
}
