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
}
