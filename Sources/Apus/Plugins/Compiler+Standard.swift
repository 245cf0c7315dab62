public import ApusCompiler
public import ApusEngine
public import ApusGraph
public import ApusSupport

extension Compiler {
    /// Compiles a model for a backend with the plugins that come with Apus.
    ///
    /// As ``compile(_:weights:info:options:plugins:backend:progress:)`` with ``PluginRegistry/standard``.
    public static func compile(
        _ graph: Graph, weights: any WeightSource, info: ModelInfo,
        options: CompileOptions = CompileOptions(), backend: any Backend,
        progress: (any ProgressReporter)? = nil
    ) throws(ApusError) -> Engine {
        try compile(
            graph, weights: weights, info: info, options: options, plugins: .standard, backend: backend,
            progress: progress)
    }

    /// The plan of a lowered graph, with the plugins that come with Apus.
    public static func dryRun(_ lowered: Lowered, backend: any Backend) throws(ApusError) -> Plan {
        try dryRun(lowered, plugins: .standard, backend: backend)
    }
}
