import Apus
import Testing

/// A plugin that a test gives a name, a version and an op.
struct NamedPlugin: Plugin {
    var name = "Half"
    var version = 1
    var op = OpSpec("half", .engine, "y = x/2", operands: [.one("x")]) { [$0[0]] }
    var reference: ReferenceFunction { { call in [call.result(call[0].floats.map { $0 / 2 })] } }
}

@Suite struct PluginRegistryTests {
    static func plan(_ plugins: [PluginID?]) -> Plan {
        let steps = plugins.map {
            Plan.Step(op: "half", kernel: "cpu.half", operands: [], results: [], attributes: [:], plugin: $0)
        }
        return Plan(symbols: [], tensors: [], steps: steps, outputs: [])
    }

    @Test func theNewestVersionBuildsAndTheRecordedOneLoads() throws {
        let registry = try PluginRegistry([NamedPlugin(version: 2), NamedPlugin(), AttentionPlugin()])
        #expect(registry.newest(computing: "half")?.version == 2)
        #expect(registry.newest(computing: "attention_plugin")?.name == "AttentionPlugin")
        #expect(registry.newest(computing: "swiglu") == nil)
        #expect(try registry.plugin(PluginID(name: "Half", version: 1)).version == 1)
        try registry.check(Self.plan([nil, PluginID(name: "Half", version: 1)]))
        #expect(registry.ops()["half"]?.summary == "y = x/2")
        #expect(registry.ops()["swiglu"] != nil)
    }

    @Test func anEngineThatNeedsWhatIsNotRegisteredIsAnError() throws {
        let half = PluginID(name: "Half", version: 3)
        #expect(
            throws: ApusError(
                .notFound,
                "the engine needs plugin 'Half' version 3, which is not registered (registered: AttentionPlugin 2, Int4GroupwiseGemm 1): "
                    + "register it before the engine is compiled, loaded or run")
        ) { try PluginRegistry.standard.check(Self.plan([half])) }
        let old = try PluginRegistry([NamedPlugin(), NamedPlugin(version: 2)])
        #expect(
            throws: ApusError(
                .notFound,
                "the engine needs plugin 'Half' version 3, got version 1, 2: register version 3 or compile the model "
                    + "again")
        ) { try old.check(Self.plan([nil, half])) }
        let error = #expect(throws: ApusError.self) {
            try old.check(Self.plan([half, PluginID(name: "Other", version: 1), half]))
        }
        #expect(error?.message.hasPrefix("2 plugins are missing:\n  the engine needs plugin 'Half'") == true)
    }

    @Test func pluginsThatClashAreRefused() throws {
        var registry = try PluginRegistry([NamedPlugin()])
        func message(_ plugin: any Plugin) -> String {
            do throws(ApusError) {
                try registry.register(plugin)
                return ""
            } catch {
                return error.message
            }
        }
        #expect(
            message(NamedPlugin())
                == "plugin 'Half' version 1 is already registered; raise the version of one or register it once"
        )
        #expect(
            message(NamedPlugin(name: "Bisect"))
                == "plugin 'Bisect': op 'half' is computed by plugin 'Half' already; choose another name for the op"
        )
        let swiglu = OpSpec("swiglu", .engine, "", operands: [.one("x"), .one("y")]) { [$0[0]] }
        #expect(
            message(NamedPlugin(name: "Gate", op: swiglu))
                == "plugin 'Gate': op 'swiglu' of Apus has other operands or attributes; choose another name for the "
                + "op")
        let same = OpSpec("swiglu", .engine, "", operands: [.one("x")]) { [$0[0]] }
        #expect(message(NamedPlugin(name: "Gate", op: same)) == "")
    }

    @Test func thePluginsThatComeWithApusDoNotClash() throws {
        #expect(
            try PluginRegistry(PluginRegistry.standard.all).all.count == PluginRegistry.standard.all.count)
    }

    @Test func attributesSurviveTheirTextForm() throws {
        let attributes: [String: Attribute] = [
            "size": .int(-3), "scale": .float(0.1), "small": .float(1e-30), "name": "a \"b\"\n", "isOn": true,
            "shape": .dimensions([.symbol("B"), 2, .symbol("B") * .symbol("S") + 1]),
            "list": .floats([1, 2.5]),
            "element": .element(.bf16), "table": .literal(TensorLiteral(TensorType(.f32, [2]), [1, -0.5])),
        ]
        let plugin = NamedPlugin()
        #expect(try plugin.decode(plugin.encode(attributes)) == attributes)
        #expect(try plugin.decode(plugin.encode([:])) == [:])
        let error = #expect(throws: ApusError.self) { try plugin.decode("{a = }") }
        #expect(error?.description == "attributes of Half 1:1: expected an attribute, got '}'")
    }

    @Test func referenceFunctionsOfPluginsStandBesideThoseOfApus() throws {
        let registry = try PluginRegistry([NamedPlugin()])
        let graph = try Graph(parsing: "graph @f(%x: f32[2]) { %y = half(%x) : f32[2] return %y }")
        let weights = NoWeights()
        let interpreter = try Interpreter(
            graph: graph, weights: weights, registry: registry.ops(), functions: registry.referenceFunctions)
        #expect(try interpreter.run(["x": Tensor(.f32, [2], floats: [3, 4])])[0].floats == [1.5, 2])
        #expect(throws: ApusError.self) { try Interpreter(graph: graph, weights: weights) }
    }
}

private struct NoWeights: WeightSource {
    func type(of name: String) -> TensorType? { nil }
    func withBytes(of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void)
        throws(ApusError)
    {
        throw ApusError(.notFound, "weight '\(name)' is missing")
    }
}
