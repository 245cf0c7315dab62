public import ApusEngine
public import ApusReference

extension PluginRegistry {
    /// The plugins that come with Apus; a program adds its own with ``register(_:)``.
    public static let standard = PluginRegistry(builtIn: [AttentionPlugin(), Int4GroupwiseGemm()])

    /// The reference functions of Apus and of all plugins; a plugin's comes first.
    public var referenceFunctions: ReferenceFunctions {
        var functions = ReferenceFunctions.standard
        for plugin in all { functions.replace(plugin.op.name, plugin.reference) }
        return functions
    }
}
