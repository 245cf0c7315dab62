package import ApusEngine
package import ApusGraph
package import ApusSupport

extension Compiler {
    /// Compiles a lowered graph as it stands, without any pass; for tests of backends.
    /// - Throws: `.unsupported` with every node that has no kernel; whatever reading weights throws.
    package static func compile(
        asItStands graph: Graph, weights: any WeightSource, plugins: PluginRegistry = PluginRegistry(),
        backend: any Backend
    ) throws(ApusError) -> Engine {
        let draft = try PlanBuilder.build(
            graph, registry: plugins.ops(), backend: backend, plugins: plugins,
            expressions: WeightExpressions(graph))
        let store = try WeightStore(draft.weights.map { ($0.name, $0.type, $0.packing) })
        try emit(
            draft.weights.map(\.value), draft.weights.map(\.packing), graph, into: store, from: weights,
            backend: backend, progress: nil)
        let info = ModelInfo(
            modelType: "graph", vocabularySize: 1, maxPositions: .max, layerCount: 0, precision: .f32)
        return Engine(info: info, plan: draft.plan, weights: store, precision: .f32, plugins: plugins)
    }
}
