public import ApusGraph
public import ApusSupport

/// An op that Apus does not have to know: its spec, its truth, its kernels, and how an engine file carries it.
///
/// A registered plugin adds its op to the graph's vocabulary. A rewrite rule puts the op into a model, the compiler
/// asks the plugin for a kernel and records its name and version in the plan, and the runtime asks the same plugin
/// for the launch of each step. There is no other way in: the AttentionPlugin is one of these.
public protocol Plugin: Sendable {
    /// The name that an engine records.
    var name: String { get }

    /// Goes up when the op, its attributes or the layout of its state change: an engine runs only with the version
    /// that it was built with.
    var version: Int { get }

    /// The op: operands, attributes with their types, the rule for its result types.
    ///
    /// A name that Apus has already means another implementation of that op, which is then preferred to Apus's own
    /// kernels; operands and attributes must be the same.
    var op: OpSpec { get }

    /// For each result that is the memory of an operand, updated in place: the operand's index.
    ///
    /// Nothing else may use that operand. This is how an op keeps state, such as a KV cache.
    var inPlace: [Int: Int] { get }

    /// The op in plain words: what every kernel is checked against.
    var reference: ReferenceFunction { get }

    /// The kernel for processors, if there is one.
    var cpu: (any CPUKernel)? { get }

    /// The kernel for CUDA devices, if there is one.
    var cuda: CUDAKernel? { get }

    /// The attributes of a step as text, for an engine file.
    func encode(_ attributes: [String: Attribute]) -> String

    /// Reads what ``encode(_:)`` wrote.
    /// - Throws: `.invalidInput` for text that it cannot have written.
    func decode(_ text: String) throws(ApusError) -> [String: Attribute]
}

extension Plugin {
    /// No result shares memory with an operand.
    public var inPlace: [Int: Int] { [:] }
    /// No kernel for processors.
    public var cpu: (any CPUKernel)? { nil }
    /// No kernel for CUDA devices.
    public var cuda: CUDAKernel? { nil }
    /// The attributes as graphs write them: `{a = 1, b = "x"}`.
    public func encode(_ attributes: [String: Attribute]) -> String { Attribute.text(of: attributes) }
    /// Reads attributes as graphs write them.
    public func decode(_ text: String) throws(ApusError) -> [String: Attribute] {
        try Attribute.parse(text, source: "attributes of \(id)")
    }
    /// Name and version.
    public var id: PluginID { PluginID(name: name, version: version) }
}

/// Name and version of a plugin, as a plan records them.
public struct PluginID: Sendable, Hashable, CustomStringConvertible {
    /// The plugin's name.
    public let name: String
    /// The plugin's version.
    public let version: Int

    /// Names a plugin.
    public init(name: String, version: Int) {
        self.name = name
        self.version = version
    }

    /// As in `AttentionPlugin 1`.
    public var description: String { "\(name) \(version)" }
}
