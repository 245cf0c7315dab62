public import ApusCompiler
public import ApusEngine
public import ApusFrontend
public import ApusSupport

extension EngineFile {
    /// All but the weights' bytes, with the plugins that come with Apus.
    ///
    /// As ``blueprint(for:plugins:)`` with ``PluginRegistry/standard``.
    public func blueprint(for backend: any Backend) throws(ApusError) -> EngineBlueprint {
        try blueprint(for: backend, plugins: .standard)
    }

    /// Loads the engine with the plugins that come with Apus.
    ///
    /// As ``load(for:plugins:progress:)`` with ``PluginRegistry/standard``.
    public func load(
        for backend: any Backend, progress: (any ProgressReporter)? = nil
    ) throws(ApusError) -> Engine {
        try load(for: backend, plugins: .standard, progress: progress)
    }
}

extension Compiler {
    /// Packs the weights of another checkpoint for the plan of an engine, with the plugins that come with Apus.
    ///
    /// As ``refit(_:with:plugins:backend:progress:)`` with ``PluginRegistry/standard``.
    public static func refit(
        _ blueprint: EngineBlueprint, with model: ImportedModel, backend: any Backend,
        progress: (any ProgressReporter)? = nil
    ) throws(ApusError) -> Engine {
        try refit(blueprint, with: model, plugins: .standard, backend: backend, progress: progress)
    }
}
