import ApusCPU
import ApusEngine
import ApusGraph
import ApusSupport
import GraphCases
import Testing

@testable import ApusCUDA
@testable import ApusCompiler

/// Which plans become static attention or attention, and which stay as they are.
@Suite struct AttentionFusionTests {
    private static let backend = Result { () throws(ApusError) in
        CUDABackend(compilingFor: [.hopper], host: try CPUBackend(threads: 1))
    }

    /// The ops of a pass, and what is said of its attention.
    private func fused(_ kind: PassKind, _ text: String) throws -> (ops: [String], notes: [String]) {
        let graph = try Graph(parsing: text)
        try graph.verify()
        let engine = try Compiler.compile(
            asItStands: graph, weights: NoWeights(), backend: try Self.backend.get())
        return (kind.fused(engine.plan).steps.map(\.op), kind.notes(engine.plan))
    }

    /// A case with lines of its text replaced.
    private func edited(_ test: GraphCase, _ edits: [(String, String)]) throws -> String {
        try edits.reduce(test.text) { text, edit in
            try #require(text.contains(edit.0), "\(edit.0)")
            return text.replacing(edit.0, with: edit.1)
        }
    }

    @Test(arguments: GraphCase.decodeLayers)
    func layersOfDecodeStepsAreOneStep(_ test: GraphCase) throws {
        let fused = try fused(.decode, test.text)
        #expect(fused.ops == ["static_attention"], "\(fused.notes)")
    }

    @Test(arguments: GraphCase.decodeLayers.filter { $0.name.hasPrefix("written-out") })
    func writtenOutAttentionIsAStepOfPrompts(_ test: GraphCase) throws {
        let fused = try fused(.prefill, test.text)
        let left = fused.ops.filter { $0 != "copy" && $0 != "rms_norm" }
        #expect(left == ["rope", "rope", "kv_update", "kv_update", "mul", "attention"], "\(fused.notes)")
    }

    /// One change each that one step must not serve, and what is said of it.
    private static let apart: [(name: String, edits: [(String, String)], reason: String)] = [
        ("another reader of a cache", [("return %y, %k5", "return %y, %k7, %k5")], "other readers"),
        (
            "a reader of the old rows",
            [
                ("%k5 = kv", "%z = slice(%k) {dim = 2, start = 0, end = 1} : f32[B, 2, 1, 32]\n  %k5 = kv"),
                ("return %y,", "return %y, %z,"),
            ], "no cache that is updated in place"
        ),
        ("another reader of q", [("return %y,", "return %y, %q4,")], "rotary embedding of its own"),
        ("another reader of k", [("return %y,", "return %y, %k4,")], "rotary embedding of its own"),
        ("k does not turn", [("kv_update(%k, %k4)", "kv_update(%k, %k3)")], "rotary embedding of its own"),
        ("angles that differ", [("rope(%k3, %c, %s)", "rope(%k3, %s, %c)")], "different angles"),
        (
            "rows at another place", [("kv_update(%v, %v3) {start = P}", "kv_update(%v, %v3) {start = 0}")],
            "cache"
        ),
        ("all keys are visible", [("is_causal = true", "is_causal = false")], "not simply causal"),
        (
            "a mask",
            [
                ("%start: i64[1],", "%start: i64[1], %m: f32[S, P + S],"), ("%v7, none)", "%v7, %m)"),
                ("is_causal = true", "is_causal = false"),
            ], "not simply causal"
        ),
        (
            "keys from the start on only",
            [
                (
                    "%k6 = slice(%k5) {dim = 2, start = 0, end = P + S}",
                    "%k6 = slice(%k5) {dim = 2, start = 1, end = P + S + 1}"
                )
            ], "not the cache up to the new rows"
        ),
        (
            "one cache for both",
            [
                ("kv_update(%v, %v3)", "kv_update(%k5, %v3)"), ("%y, %k5, %v5", "%y, %v5"),
            ], "other readers"
        ),
        (
            "a copied cache",
            [
                (
                    "%k5 = kv_update(%k, %k4) {start = P} : f32[B, 2, C, 32]",
                    """
                    %ka = slice(%k) {dim = 2, start = 0, end = P} : f32[B, 2, P, 32]
                      %kb = slice(%k) {dim = 2, start = P + S, end = C} : f32[B, 2, C - P - S, 32]
                      %k5 = cat(%ka, %k4, %kb) {dim = 2} : f32[B, 2, C, 32]
                    """
                )
            ], "no cache that is updated in place"
        ),
    ]

    @Test(arguments: apart.indices) func otherLayersKeepTheirSteps(_ index: Int) throws {
        let test = Self.apart[index]
        let layer = GraphCase.DecodeLayer().pass(test.name, starts: [0])
        let fused = try fused(.decode, try edited(layer, test.edits))
        #expect(!fused.ops.contains("static_attention"), "\(test.name)")
        #expect(fused.ops.contains("attention"), "\(test.name)")
        #expect(fused.notes.contains { $0.contains(test.reason) }, "\(test.name): \(fused.notes)")
    }

    @Test func normsOfOnlyQKeepTheSteps() throws {
        let layer = GraphCase.DecodeLayer { $0.isNormed = true }.pass("", starts: [0])
        let fused = try fused(.decode, try edited(layer, [("transpose(%k2)", "transpose(%k1)")]))
        #expect(!fused.ops.contains("static_attention"))
        #expect(fused.notes.contains { $0.contains("not normed alike") }, "\(fused.notes)")
    }

    /// A kernel reads the weight of a norm before it waits, which a weight that the pass computes does not allow.
    @Test func computedNormsKeepTheSteps() throws {
        let layer = GraphCase.DecodeLayer { $0.isNormed = true }.pass("", starts: [0])
        let fused = try fused(
            .decode,
            try edited(
                layer,
                [
                    ("%q0 = ", "%w = exp(%nq) : f32[32]\n  %q0 = "),
                    ("rms_norm(%q1, %nq)", "rms_norm(%q1, %w)"),
                ]))
        #expect(!fused.ops.contains("static_attention"))
        #expect(fused.notes.contains { $0.contains("computed") }, "\(fused.notes)")
    }

    /// One change each that leaves attention written out.
    private static let writtenOut: [(name: String, edits: [(String, String)], reason: String)] = [
        ("weights that are read", [("return %y,", "return %y, %p0,")], "what lies between"),
        ("scores that are read", [("return %y,", "return %y, %s2,")], "what lies between"),
        ("a mask of other queries", [("offset = P, window", "offset = 0, window")], "last of the keys"),
        (
            "a mask that is given",
            [
                ("%start: i64[1],", "%start: i64[1], %m: f32[S, P + S],"),
                (
                    "%m = causal_mask() {queries = S, keys = P + S, offset = P, window = 0} : f32[S, P + S]\n  ",
                    ""
                ),
            ], "not computed as a causal one"
        ),
        (
            "no mask",
            [("%s2 = add(%s1, %m) : f32[B, 6, S, P + S]\n  ", ""), ("softmax(%s2)", "softmax(%s1)")],
            "no mask"
        ),
        (
            "a softcap",
            [
                (
                    "%s1 = view(%s0)",
                    "%sa = tanh(%s0) : f32[B, 2, 3*S, P + S]\n  %sb = mul(%sa, %f) : f32[B, 2, 3*S, P + S]\n  %s1 = view(%sb)"
                )
            ], "capped"
        ),
    ]

    @Test(arguments: writtenOut.indices, PassKind.allCases)
    func otherAttentionStaysWrittenOut(_ index: Int, _ kind: PassKind) throws {
        let test = Self.writtenOut[index]
        let layer = GraphCase.DecodeLayer { $0.isWrittenOut = true }.pass(test.name, starts: [0])
        let fused = try fused(kind, try edited(layer, test.edits))
        #expect(
            fused.ops.contains("softmax") && !fused.ops.contains { $0.hasSuffix("attention") }, "\(test.name)"
        )
        #expect(fused.notes.contains { $0.contains(test.reason) }, "\(test.name): \(fused.notes)")
    }

    /// Scores of prompts are the largest activations that there are; of attention as one step there are none.
    @Test func scoresNeedNoMemory() throws {
        let layer = GraphCase.DecodeLayer { $0.isWrittenOut = true }.pass("", width: 160, starts: [0])
        let engine = try Compiler.compile(
            asItStands: Graph(parsing: layer.text), weights: NoWeights(), backend: try Self.backend.get())
        let limits = SessionLimits(batch: 1, chunk: 160, capacity: 640)
        let device = CUDAPlanDevice(runtime: CUDARuntime(CUDADevice(imitating: .hopper)))
        let memory = try PlanMemory(engine.plan, limits: limits, on: device)
        let scores = 4 * 6 * 160 * 640
        #expect(try BufferPlan(engine.plan, limits: limits).byteCount > scores)
        #expect(memory.byteCount < scores)
    }
}
