// swift-tools-version: 6.2
import PackageDescription

/// Programs that measure Apus: each kernel against the machine, and the figures that must be exact.
let package = Package(
    name: "apus-benchmarks",
    dependencies: [
        .package(name: "apus", path: ".."),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    ],
    targets: [
        .executableTarget(
            name: "Kernels",
            dependencies: [
                .product(name: "CApusCPU", package: "apus"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Kernels"),
        .executableTarget(
            name: "Exact",
            dependencies: [
                .product(name: "Apus", package: "apus"),
                .product(name: "CAllocationCounter", package: "apus"),
            ],
            path: "Exact"),
    ],
    swiftLanguageModes: [.v6]
)
