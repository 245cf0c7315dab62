import ApusGraph
import ApusSupport

/// A plan and the places of its weights as JSON, one object for each thing.
enum PlanCoding {
    /// - Throws: `.notFound` for a plugin that is not registered.
    static func json(
        _ plan: Plan, _ regions: [WeightStore.Region], _ plugins: PluginRegistry
    ) throws(ApusError) -> JSONValue {
        var steps: [JSONValue] = []
        for step in plan.steps { steps.append(try step.json(plugins)) }
        return .object([
            ("symbols", .array(plan.symbols.map { .string($0.description) })),
            ("weights", .array(regions.map(\.json))),
            ("tensors", .array(plan.tensors.map(\.json))),
            ("steps", .array(steps)),
            (
                "outputs",
                .array(
                    plan.outputs.map { .object([("name", .string($0.name)), ("tensor", .int($0.tensor))]) })
            ),
        ])
    }

    /// Reads what ``json(_:_:_:)`` gives; ``EngineCheck`` tells whether it makes sense.
    static func read(_ json: JSON, _ plugins: PluginRegistry) throws(ApusError) -> (
        plan: Plan, regions: [WeightStore.Region]
    ) {
        let root = FieldReader(json)
        var symbols: [Symbol] = []
        for field in try root["symbols"].elements {
            symbols.append(try Symbol(parsing: try field.string, source: "symbols"))
        }
        var regions: [WeightStore.Region] = []
        for field in try root["weights"].elements { regions.append(try WeightStore.Region(field)) }
        var tensors: [Plan.Tensor] = []
        for field in try root["tensors"].elements { tensors.append(try Plan.Tensor(field)) }
        var steps: [Plan.Step] = []
        for field in try root["steps"].elements { steps.append(try Plan.Step(field, plugins)) }
        var outputs: [(name: String, tensor: Int)] = []
        for field in try root["outputs"].elements {
            outputs.append((try field["name"].string, try field["tensor"].count))
        }
        return (Plan(symbols: symbols, tensors: tensors, steps: steps, outputs: outputs), regions)
    }
}

extension WeightStore.Region {
    fileprivate var json: JSONValue {
        var members: [(String, JSONValue)] = [
            ("name", .string(name)), ("type", .string(type.description)), ("offset", .int(offset)),
            ("bytes", .int(byteCount)),
        ]
        if let packing { members.append(("packing", .string(packing))) }
        return .object(members)
    }

    fileprivate init(_ field: FieldReader) throws(ApusError) {
        self.init(
            name: try field["name"].string, type: try field["type"].type, offset: try field["offset"].count,
            byteCount: try field["bytes"].count, packing: try field.optional("packing")?.string)
    }
}

extension Plan.Tensor {
    fileprivate var json: JSONValue {
        var members: [(String, JSONValue)] = [
            ("name", .string(name)), ("type", .string(type.description)), ("storage", storage.json),
        ]
        // Most tensors are dense.
        if layout != .dense(type.shape) {
            members.append(("strides", .array(layout.strides.map { .string($0.description) })))
            members.append(("offset", .string(layout.offset.description)))
        }
        if let packing { members.append(("packing", .string(packing))) }
        return .object(members)
    }

    fileprivate init(_ field: FieldReader) throws(ApusError) {
        self.init(
            name: try field["name"].string, type: try field["type"].type,
            storage: try Plan.Storage(try field["storage"]), layout: try Self.layout(field),
            packing: try field.optional("packing")?.string)
    }
}

extension Plan.Tensor {
    private static func layout(_ field: FieldReader) throws(ApusError) -> Layout? {
        guard field.json["strides"] != nil else { return nil }
        var strides: [Dimension] = []
        for step in try field["strides"].elements { strides.append(try step.dimension) }
        return Layout(strides: strides, offset: try field["offset"].dimension)
    }
}

extension Plan.Storage {
    fileprivate var json: JSONValue {
        switch self {
        case .weight(let region): .object([("weight", .int(region))])
        case .input(let name): .object([("input", .string(name))])
        case .activation: .object([("activation", .bool(true))])
        case .alias(let tensor): .object([("alias", .int(tensor))])
        }
    }

    fileprivate init(_ field: FieldReader) throws(ApusError) {
        let (kind, value) = try field.onlyMember
        switch kind {
        case "weight": self = .weight(try value.count)
        case "input": self = .input(try value.string)
        case "activation": self = .activation
        case "alias": self = .alias(try value.count)
        default: throw field.failure("weight, input, activation or alias")
        }
    }
}

extension Plan.Step {
    fileprivate func json(_ plugins: PluginRegistry) throws(ApusError) -> JSONValue {
        var members: [(String, JSONValue)] = [
            ("op", .string(op)), ("kernel", .string(kernel)),
            ("operands", .array(operands.map { .optional($0) })),
            ("results", .array(results.map { .int($0) })),
        ]
        if let plugin {
            // How its attributes are written is the plugin's own business.
            members += [
                ("plugin", .string(plugin.name)), ("version", .int(plugin.version)),
                ("attributes", .string(try plugins.plugin(plugin).encode(attributes))),
            ]
        } else {
            let sorted = attributes.sorted { $0.key < $1.key }
            members.append(("attributes", .object(sorted.map { ($0.key, $0.value.json) })))
        }
        return .object(members)
    }

    fileprivate init(_ field: FieldReader, _ plugins: PluginRegistry) throws(ApusError) {
        var operands: [Int?] = []
        for operand in try field["operands"].elements {
            operands.append(operand.json.isNull ? nil : try operand.count)
        }
        var results: [Int] = []
        for result in try field["results"].elements { results.append(try result.count) }
        var attributes: [String: Attribute] = [:]
        var plugin: PluginID?
        if let name = field.json["plugin"] {
            let id = PluginID(name: try FieldReader(name).string, version: try field["version"].count)
            attributes = try plugins.plugin(id).decode(try field["attributes"].string)
            plugin = id
        } else {
            for (name, value) in try field["attributes"].members { attributes[name] = try Attribute(value) }
        }
        self.init(
            op: try field["op"].string, kernel: try field["kernel"].string, operands: operands,
            results: results, attributes: attributes, plugin: plugin)
    }
}
