import ApusGraph
import ApusPasses
import ApusSupport
import Testing

/// What a static cache refuses, and what keeps one from being updated in place.
@Suite struct StaticCacheTests {
    private static let inputs = "%q: f32[B, 4, S, 4], %k: f32[B, 2, S, 4], %v: f32[B, 2, S, 4]"

    private func insertionError(_ inputs: String, _ nodes: String) throws -> ApusError? {
        let graph = try Graph(
            parsing: "graph @f(\(inputs)) where B in 1...4, S in 1...16 { \(nodes) return %z }")
        let pass = try #require(Pipeline.all["insert-static-cache-v1"])
        return #expect(throws: ApusError.self) { try PassManager().run(graph, [pass]) }
    }

    @Test func aMaskThatIsNotProvenCausalIsNamedWithItsLayer() throws {
        let error = try insertionError(
            Self.inputs + ", %m: f32[B, 1, S, S]",
            """
            %y = scaled_dot_product_attention(%q, %k, %v) {is_causal = true, scale = 0.5, enable_gqa = true} : f32[B, 4, S, 4]
            %z = scaled_dot_product_attention(%y, %k, %v, %m) {scale = 0.5, enable_gqa = true} : f32[B, 4, S, 4]
            """)
        #expect(error?.code == .unsupported)
        #expect(
            error?.message
                == "a static cache needs causal attention over the new tokens; choose cache none:\n"
                + "  attention 1 (%z = scaled_dot_product_attention : f32[B, 4, S, 4]): the mask %m : "
                + "f32[B, 1, S, S] is not proven to be causal")
    }

    @Test func everyAttentionThatDoesNotFitIsListed() throws {
        let error = try insertionError(
            Self.inputs + ", %t: f32[B, 4, 7, 4]",
            """
            %x = scaled_dot_product_attention(%q, %k, %v) {scale = 0.5, enable_gqa = true} : f32[B, 4, S, 4]
            %y = scaled_dot_product_attention(%x, %t, %t) {is_causal = true, scale = 0.5} : f32[B, 4, S, 4]
            %z = scaled_dot_product_attention(%y, %k, %v) {is_causal = true, scale = 0.5, enable_gqa = true} : f32[B, 4, S, 4]
            """)
        let lines = error?.message.split(separator: "\n").dropFirst().map(String.init)
        #expect(
            lines == [
                "  attention 0 (%x = scaled_dot_product_attention : f32[B, 4, S, 4]): it is not causal",
                "  attention 1 (%y = scaled_dot_product_attention : f32[B, 4, S, 4]): keys f32[B, 4, 7, 4] are "
                    + "not those of its S queries",
            ])
    }

    @Test(arguments: [
        ("one-cat", ["cache k_cache_0: in place"]), ("nested-cats", ["cache k_cache_0: in place"]),
        (
            "rows-read",
            ["cache k_cache_0: copied (%y = exp : f32[B, 2, P, 4] reads rows of the cache)"]
        ),
        (
            "old-cache-read",
            ["cache k_cache_0: copied (%y = exp : f32[B, 2, C, 4] reads the cache)"]
        ),
        (
            "old-cache-returned",
            [
                "cache k_cache_0: copied (it, or its update %n = cat : f32[B, 2, C, 4], is returned more than "
                    + "once)"
            ]
        ),
        (
            "shifted",
            [
                "cache k_cache_0: copied (the update keeps its rows S..<P + S and P + S..<C, not all around the "
                    + "new ones)"
            ]
        ),
        (
            "rotated",
            ["cache k_cache_0: copied (a value = slice : f32[B, 2, S, 4] reads the cache)"]
        ),
        (
            "swapped-outputs",
            [
                "cache k_cache_0: copied (its update %m = cat : f32[B, 2, C, 4] is not its first rows, one tensor "
                    + "and its last rows)",
                "cache v_cache_0: copied (its update %n = cat : f32[B, 2, C, 4] is not its first rows, one tensor "
                    + "and its last rows)",
            ]
        ),
    ])
    func eachCacheIsReported(name: String, lines: [String]) throws {
        let file = try GoldenFile("alias-kv-cache/\(name).ir")
        let graph = try Graph(parsing: file.before)
        let reports = try PassManager().run(graph, file.passes).reports.flatMap(\.caches)
        #expect(reports.map(\.description) == lines)
    }

    /// Both patterns are one in-place update.
    @Test func aliasedFormsAreTheSame() throws {
        let source = try GoldenFile("pipeline/qwen2-sdpa-none.ir").before
        let graph = try Graph(parsing: source)
        func lowered(_ cache: CacheKind) throws -> String {
            let options = PipelineOptions(backend: .iattention, cache: cache)
            return try PassManager().run(graph, Pipeline.standard(options)).graph.text()
        }
        #expect(try lowered(.staticV1) == lowered(.staticV2))
    }

    @Test func pairsThatDoNotGoTogetherNameThoseThatDo() throws {
        let error = #expect(throws: ApusError.self) { try BackendKind.plugin.cache(.staticV1) }
        #expect(error?.code == .invalidInput)
        #expect(
            error?.message
                == "backend plugin does not go with cache static_v1; there are reference with none; "
                + "sdpa with none, static_v1, static_v2; iattention with none, static_v1, static_v2; "
                + "plugin with in_place")
        for backend in BackendKind.allCases {
            for cache in CacheKind.allCases where !backend.caches.contains(cache) {
                #expect(throws: ApusError.self) { try backend.cache(cache) }
            }
            #expect(try backend.cache(nil) == backend.caches[0])
        }
    }
}
