import Apus
import Testing

@testable import ApusCommand

@Suite struct PictureTests {
    private func model(layers: Int) throws -> ImportedModel {
        let config = """
            {"model_type": "llama", "vocab_size": 16, "hidden_size": 16, "intermediate_size": 24,
             "num_hidden_layers": \(layers), "num_attention_heads": 4, "num_key_value_heads": 2,
             "max_position_embeddings": 16, "rms_norm_eps": 1e-5, "hidden_act": "silu"}
            """
        return try Importer.importConfig(JSON.parse(Array(config.utf8), source: "test"), element: .f32)
    }

    @Test func layersThatComputeTheSameAreDrawnOnce() throws {
        let graph = try model(layers: 24).graph
        let folding = LayerFolding(graph)
        #expect(folding.sections.map(\.layers) == [0..<0, 0..<24, 0..<0])
        #expect(folding.sections[1].twins.count == 23)
        #expect(
            folding.sections.allSatisfy { section in
                section.twins.allSatisfy { $0.count == section.nodes.count }
            })
        let boxes = GraphPicture(graph, title: "test").svg.matches(of: #/rx="5"/#).count
        let boxesOfOneLayer = try GraphPicture(model(layers: 1).graph, title: "test").svg
            .matches(of: #/rx="5"/#).count
        #expect(boxes == boxesOfOneLayer)
    }

    @Test func theFirstAndLastLayersOfALoweredGraphDifferAndAreDrawnThemselves() throws {
        let model = try model(layers: 6)
        let lowered = try Compiler.lower(model.graph, info: model.info)
        #expect(LayerFolding(lowered.graph).sections.map(\.layers) == [0..<0, 0..<1, 1..<5, 5..<6, 0..<0])
        let svg = GraphPicture(lowered.graph, title: "<a & b>").svg
        #expect(svg.contains("layers 1…4  (× 4)"))
        #expect(svg.contains("kv_cache_1.out  (× 4)"))
        #expect(svg.contains("&lt;a &amp; b&gt;"))
        // Caches of layers that are not drawn are not drawn either.
        #expect(!svg.contains("kv_cache_2"))
    }

    @Test func ranksFollowEdgesAndNothingOverlaps() {
        let edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (3, 4)].map { (from: $0.0, to: $0.1) }
        let widths = [80.0, 120, 60, 100, 90]
        let layout = LayeredLayout(
            widths: widths, groups: [0, 0, 0, 0, 1], edges: edges, boxHeight: 20, gap: 10, rankGap: 12)
        for edge in edges { #expect(layout.centres[edge.from].y < layout.centres[edge.to].y) }
        #expect(layout.centres[1].y == layout.centres[2].y)
        let distance: Double = abs(layout.centres[1].x - layout.centres[2].x)
        let least: Double = (120 + 60) / 2 + 10
        #expect(distance >= least)
        // The long edge bends in the rank between.
        #expect(layout.routes[4].count == 3)
        for (centre, width) in zip(layout.centres, widths) {
            #expect(centre.x - width / 2 >= 0 && centre.x + width / 2 <= layout.width)
        }
    }
}
