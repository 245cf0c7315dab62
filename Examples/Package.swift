// swift-tools-version: 6.2
import PackageDescription

/// Programs that use Apus as any other package does: its public library, and nothing else.
let package = Package(
    name: "apus-examples",
    dependencies: [.package(name: "apus", path: "..")],
    targets: [
        .executableTarget(
            name: "CustomPlugin", dependencies: [.product(name: "Apus", package: "apus")],
            path: "CustomPlugin"),
        .executableTarget(
            name: "AttentionPluginDemo", dependencies: [.product(name: "Apus", package: "apus")],
            path: "AttentionPluginDemo"),
        .executableTarget(
            name: "GenerationDemo", dependencies: [.product(name: "Apus", package: "apus")],
            path: "GenerationDemo"),
    ],
    swiftLanguageModes: [.v6]
)
