public import ApusGraph
public import ApusSupport

/// One architecture: how its config is read and its graph is built, the way transformers computes it.
public protocol ModelFamily: Sendable {
    /// The values of `model_type` that name it.
    static var modelTypes: [String] { get }
    /// The module that holds everything but the head; a checkpoint of the bare model leaves it out of its names.
    static var baseModule: String { get }

    /// Reads the config, with the defaults of transformers' config class for keys that are left out.
    init(_ config: ConfigReader) throws(ApusError)

    /// The sizes that a runtime needs.
    var size: ModelSize { get }
    /// Whether the head shares the embedding's weight.
    var isTied: Bool { get }

    /// Builds the model: ids and positions i64[B, S] → logits f32[B, S, V].
    func build(_ b: inout GraphBuilder, ids: Value, positions: Value) throws(ApusError) -> Value

    /// Whether a stored weight may be there without being used, such as a mask that a checkpoint carries along.
    static func isLeftover(_ name: String) -> Bool
}

/// The sizes of a model that its runtime needs.
public struct ModelSize: Sendable, Hashable {
    /// Rows of the output head.
    public var vocabulary: Int
    /// Positions the model can tell apart.
    public var positions: Int
    /// Decoder layers.
    public var layers: Int
}

/// The families by `model_type`.
public struct FamilyRegistry: Sendable {
    private var table: [String: any ModelFamily.Type] = [:]

    /// A registry of the given families; a `model_type` that two of them claim is an error.
    public init(_ families: [any ModelFamily.Type]) throws(ApusError) {
        for family in families { try register(family) }
    }

    private init() {}

    /// Adds a family.
    public mutating func register(_ family: any ModelFamily.Type) throws(ApusError) {
        for type in family.modelTypes {
            guard table.updateValue(family, forKey: type) == nil else {
                throw ApusError(.invalidInput, "model_type '\(type)' is claimed by two families")
            }
        }
    }

    /// The `model_type`s that are supported, sorted.
    public var modelTypes: [String] { table.keys.sorted() }

    /// The family of a config.
    func family(_ config: ConfigReader) throws(ApusError) -> (type: String, family: any ModelFamily.Type) {
        let supported = modelTypes.map { "\"\($0)\"" }.joined(separator: ", ")
        guard let type = try config.optionalString("model_type") else {
            throw config.error("model_type", "is missing; expected one of \(supported)")
        }
        guard let family = table[type] else {
            throw config.error("model_type", "expected one of \(supported), got \"\(type)\"", .unsupported)
        }
        return (type, family)
    }

    /// The families of Apus itself.
    public static let standard: FamilyRegistry = {
        var registry = FamilyRegistry()
        let families: [any ModelFamily.Type] = [GPT2.self, Llama.self, Qwen2.self, Qwen3.self]
        for family in families {
            for type in family.modelTypes { registry.table[type] = family }
        }
        return registry
    }()
}
