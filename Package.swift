// swift-tools-version: 6.2
import PackageDescription

/// Settings of every Swift target: imports are explicit and internal unless a public API shows them.
let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
    name: "apus",
    products: [
        .library(name: "Apus", targets: ["Apus"]),
        .executable(name: "apus", targets: ["ApusCommand"]),
        // For Benchmarks/: the kernels by themselves, and what counts allocations.
        .library(name: "CApusCPU", targets: ["CApusCPU"]),
        .library(name: "CAllocationCounter", targets: ["CAllocationCounter"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")
    ],
    targets: [
        // The arrows between these targets are checked by scripts/lint.sh: SwiftPM accepts transitive imports.
        .target(name: "ApusSupport", swiftSettings: settings),
        .target(name: "ApusGraph", dependencies: ["ApusSupport"], swiftSettings: settings),
        .target(name: "ApusReference", dependencies: ["ApusGraph", "ApusSupport"], swiftSettings: settings),
        .target(name: "ApusPasses", dependencies: ["ApusGraph", "ApusSupport"], swiftSettings: settings),
        .target(name: "ApusFrontend", dependencies: ["ApusGraph", "ApusSupport"], swiftSettings: settings),
        .target(name: "ApusEngine", dependencies: ["ApusGraph", "ApusSupport"], swiftSettings: settings),
        .target(
            name: "ApusCompiler",
            dependencies: ["ApusFrontend", "ApusPasses", "ApusEngine", "ApusGraph", "ApusSupport"],
            swiftSettings: settings),
        .target(name: "CApusCPU"),
        .target(
            name: "ApusCPU", dependencies: ["ApusEngine", "CApusCPU", "ApusGraph", "ApusSupport"],
            swiftSettings: settings),
        .target(name: "CApusCUDA"),
        // Kernels are text to the package: CApusCUDA carries them, NVRTC compiles them at run time.
        .target(
            name: "ApusCUDA", dependencies: ["ApusEngine", "CApusCUDA", "ApusGraph", "ApusSupport"],
            exclude: ["Kernels"], swiftSettings: settings),
        .target(name: "ApusTokenizer", dependencies: ["ApusSupport"], swiftSettings: settings),
        .target(
            name: "ApusRuntime", dependencies: ["ApusEngine", "ApusCPU", "ApusGraph", "ApusSupport"],
            swiftSettings: settings),
        .target(
            name: "Apus",
            dependencies: [
                "ApusCompiler", "ApusCPU", "ApusCUDA", "ApusEngine", "ApusFrontend", "ApusGraph",
                "ApusPasses", "ApusReference", "ApusRuntime", "ApusSupport", "ApusTokenizer",
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "ApusCommand",
            dependencies: ["Apus", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            resources: [.embedInCode("Resources/compare_transformers.py")],
            swiftSettings: settings),
        // Seeded numbers for tests.
        .target(name: "TestNumbers", path: "Tests/TestNumbers", swiftSettings: settings),
        // Small graphs that backends are tested on.
        .target(
            name: "GraphCases", dependencies: ["ApusGraph", "ApusSupport", "TestNumbers"],
            path: "Tests/GraphCases",
            swiftSettings: settings),
        // What attention plugins are asked for, and attention in double precision.
        .target(
            name: "AttentionCases", dependencies: ["ApusGraph", "ApusSupport", "TestNumbers"],
            path: "Tests/AttentionCases",
            swiftSettings: settings),
        // Compares what a GPU computes with the reference; for machines with a GPU, which need no Swift.
        .executableTarget(
            name: "GPUCheck",
            dependencies: [
                "Apus", "ApusCPU", "ApusCUDA", "ApusCompiler", "ApusEngine", "ApusFrontend", "ApusGraph",
                "ApusReference", "ApusSupport", "AttentionCases", "GraphCases",
            ],
            path: "GPUChecks", swiftSettings: settings),
        // Counts allocations of a test process: takes the allocator's place, so it is linked by tests only.
        .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
        .testTarget(
            name: "AllocationTests",
            dependencies: [
                "Apus", "ApusCPU", "ApusCompiler", "ApusEngine", "ApusFrontend", "ApusGraph", "ApusPasses",
                "ApusRuntime", "ApusSupport", "CAllocationCounter",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "AttentionPluginTests",
            dependencies: ["Apus", "ApusCPU", "ApusEngine", "ApusGraph", "ApusSupport", "AttentionCases"],
            swiftSettings: settings),
        .testTarget(
            name: "ApusCPUTests",
            dependencies: [
                "ApusCPU", "ApusCompiler", "ApusEngine", "ApusFrontend", "ApusGraph", "ApusPasses",
                "ApusReference", "ApusSupport", "CAllocationCounter", "GraphCases", "TestNumbers",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "ApusCUDATests",
            dependencies: [
                "Apus", "ApusCPU", "ApusCUDA", "ApusCompiler", "ApusEngine", "ApusFrontend", "ApusGraph",
                "ApusPasses", "ApusReference", "ApusSupport", "AttentionCases", "CApusCUDA", "GraphCases",
            ],
            exclude: ["Golden"], swiftSettings: settings),
        .testTarget(
            name: "ApusCommandTests",
            dependencies: [
                "ApusCommand", "Apus", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            exclude: ["Golden"], swiftSettings: settings),
        .testTarget(
            name: "ApusEngineTests",
            dependencies: [
                "Apus", "ApusCPU", "ApusCompiler", "ApusEngine", "ApusFrontend", "ApusGraph", "ApusSupport",
                "TestNumbers",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "ApusFrontendTests",
            dependencies: ["ApusFrontend", "ApusReference", "ApusGraph", "ApusSupport", "TestNumbers"],
            swiftSettings: settings),
        .testTarget(
            name: "ApusGraphTests", dependencies: ["ApusGraph", "ApusSupport"], swiftSettings: settings),
        .testTarget(
            name: "ApusPassesTests",
            dependencies: [
                "ApusFrontend", "ApusGraph", "ApusPasses", "ApusReference", "ApusSupport", "TestNumbers",
            ],
            exclude: ["Golden"], swiftSettings: settings),
        .testTarget(
            name: "ApusReferenceTests",
            dependencies: ["ApusReference", "ApusGraph", "ApusSupport", "TestNumbers"],
            swiftSettings: settings),
        .testTarget(
            name: "ApusRuntimeTests",
            dependencies: ["ApusRuntime", "ApusEngine", "ApusGraph", "ApusSupport", "CAllocationCounter"],
            swiftSettings: settings),
        .testTarget(
            name: "ApusSupportTests", dependencies: ["ApusSupport", "TestNumbers"], swiftSettings: settings),
        .testTarget(
            name: "ApusTests", dependencies: ["Apus", "GraphCases", "TestNumbers"], swiftSettings: settings),
        .testTarget(
            name: "ApusTokenizerTests", dependencies: ["ApusTokenizer", "ApusSupport", "TestNumbers"],
            exclude: ["Fixtures"], swiftSettings: settings),
        .testTarget(
            name: "CApusCPUTests", dependencies: ["CApusCPU", "TestNumbers"], swiftSettings: settings),
        .testTarget(
            name: "ParityTests",
            dependencies: [
                "Apus", "ApusCPU", "ApusCompiler", "ApusEngine", "ApusFrontend", "ApusGraph", "ApusSupport",
            ],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c11
)
