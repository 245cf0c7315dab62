public import ApusGraph
public import ApusSupport

/// The plugins that a program knows, by name and version.
///
/// The compiler looks up the op of a node, when an engine is built; a plan then names plugin and version, which are
/// looked up again when it is loaded and when it is prepared to run.
public struct PluginRegistry: Sendable {
    private var plugins: [PluginID: any Plugin] = [:]

    /// A registry without plugins.
    public init() {}

    /// A registry of the given plugins.
    /// - Throws: As ``register(_:)``.
    public init(_ plugins: [any Plugin]) throws(ApusError) {
        for plugin in plugins { try register(plugin) }
    }

    /// A registry of plugins that are known not to clash.
    package init(builtIn plugins: [any Plugin]) {
        self.plugins = Dictionary(plugins.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// Adds a plugin; versions of one plugin may stand side by side.
    /// - Throws: `.invalidInput` for a name and version that is taken, an op that a plugin of another name computes,
    ///   or an op of Apus with other operands or attributes.
    public mutating func register(_ plugin: any Plugin) throws(ApusError) {
        guard plugins[plugin.id] == nil else {
            throw ApusError(
                .invalidInput,
                "plugin '\(plugin.name)' version \(plugin.version) is already registered; raise the version of one "
                    + "or register it once")
        }
        if let rival = plugins.values.first(where: { $0.op.name == plugin.op.name && $0.name != plugin.name })
        {
            throw ApusError(
                .invalidInput,
                "plugin '\(plugin.name)': op '\(plugin.op.name)' is computed by plugin '\(rival.name)' already; "
                    + "choose another name for the op")
        }
        if let known = OpRegistry.standard[plugin.op.name], !known.hasSameInterface(as: plugin.op) {
            throw ApusError(
                .invalidInput,
                "plugin '\(plugin.name)': op '\(plugin.op.name)' of Apus has other operands or attributes; "
                    + "choose another name for the op")
        }
        plugins[plugin.id] = plugin
    }

    /// All plugins, by name and version.
    public var all: [any Plugin] {
        plugins.values.sorted { ($0.name, $0.version) < ($1.name, $1.version) }
    }

    /// The newest plugin that computes an op: what a compiler asks.
    public func newest(computing op: String) -> (any Plugin)? { all.last { $0.op.name == op } }

    /// The plugin of just that name and version: what the loader of an engine asks.
    /// - Throws: `.notFound` that says what is registered and what to do.
    public func plugin(_ id: PluginID) throws(ApusError) -> any Plugin {
        if let plugin = plugins[id] { return plugin }
        let versions = all.filter { $0.name == id.name }.map { "\($0.version)" }
        guard versions.isEmpty else {
            throw ApusError(
                .notFound,
                "the engine needs plugin '\(id.name)' version \(id.version), got version "
                    + "\(versions.joined(separator: ", ")): register version \(id.version) or compile the model again"
            )
        }
        let known = all.isEmpty ? "none" : all.map(\.id.description).joined(separator: ", ")
        throw ApusError(
            .notFound,
            "the engine needs plugin '\(id.name)' version \(id.version), which is not registered (registered: "
                + "\(known)): register it before the engine is compiled, loaded or run")
    }

    /// Sees to it that every plugin of a plan is registered.
    /// - Throws: `.notFound` that names all that are missing.
    public func check(_ plan: Plan) throws(ApusError) {
        var problems: [ApusError] = []
        let needed = Set(plan.steps.compactMap(\.plugin))
        for id in needed.sorted(by: { ($0.name, $0.version) < ($1.name, $1.version) }) {
            do { _ = try plugin(id) } catch { problems.append(error) }
        }
        guard let first = problems.first else { return }
        guard problems.count > 1 else { throw first }
        throw ApusError(
            .notFound,
            "\(problems.count) plugins are missing:" + problems.map { "\n  \($0.message)" }.joined())
    }

    /// The ops of `base` and of all plugins.
    public func ops(beside base: OpRegistry = .standard) -> OpRegistry {
        OpRegistry(base.all + all.reversed().map(\.op))
    }
}
