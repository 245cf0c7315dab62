import ApusEngine
import ApusGraph
import ApusReference
import ApusSupport
import CAllocationCounter
import GraphCases
import Testing

@testable import ApusCPU

/// What plans make of views, conversions and updates in place, and what they refuse.
@Suite struct PlanTests {
    private func plan(_ signature: String, _ body: String, returns: String = "%y") throws -> Plan {
        try run(signature, body, returns: returns).plan
    }

    private func run(_ signature: String, _ body: String, returns: String = "%y") throws -> GraphRun {
        try GraphRun(try Graph(parsing: GraphCase("", signature, body, returns: returns).text))
    }

    @Test func attentionOverAHalfCacheIsOneStep() throws {
        let test = GraphCase.attention("", ", is_causal = true", cache: "f16", width: 1, start: 0)
        let plan = try GraphRun(try Graph(parsing: test.text)).plan
        #expect(plan.steps.map(\.kernel) == ["cpu.attention"])
    }

    @Test func productsReadCachesAndTransposesInPlace() throws {
        let test = GraphCase.product("", "bf16", width: 1, start: 0)
        let plan = try GraphRun(try Graph(parsing: test.text)).plan
        #expect(
            plan.steps.map(\.op) == ["matmul", "causal_mask", "add", "softmax", "matmul", "copy"])
    }

    @Test func readersShareADenseCopy() throws {
        let plan = try plan(
            "%x: f32[B, S, 8], %w: f32[2, 8]",
            """
            %0 = slice(%x) {dim = 1, start = 1} : f32[B, S - 1, 8]
              %1 = swiglu(%0) : f32[B, S - 1, 4]
              %2 = swiglu(%0) : f32[B, S - 1, 4]
              %y = add(%1, %2) : f32[B, S - 1, 4]
            """)
        #expect(plan.steps.map(\.op) == ["copy", "swiglu", "swiglu", "add"])
        #expect(plan.tensors[plan.steps[0].operands[0] ?? 0].layout.description == "(8*S, 8, 1) + 8")
    }

    @Test func anUpdateInPlaceIsTheCacheItself() throws {
        let plan = try plan(
            "%start: i64[1], %k: f16[B, 2, C, 8], %x: f32[B, 2, S, 8]",
            "%y = kv_update(%k, %x) {start = P} : f16[B, 2, C, 8]")
        #expect(plan.steps.map(\.op) == ["kv_update"])
        #expect(plan.tensors[plan.root(of: plan.outputs[0].tensor)].storage == .input("k"))
    }

    @Test func aCacheThatIsReturnedAsItWasIsNotChanged() throws {
        let plan = try plan(
            "%start: i64[1], %k: f16[B, 2, C, 8], %x: f32[B, 2, S, 8]",
            "%y = kv_update(%k, %x) {start = P} : f16[B, 2, C, 8]", returns: "%y, %k")
        #expect(plan.steps.map(\.op) == ["copy", "kv_update"])
        #expect(plan.tensors[plan.root(of: plan.outputs[0].tensor)].storage == .activation)
    }

    @Test(arguments: [
        (
            "%x: f16[B, S], %w: f32[S]", "%y = exp(%x) : f16[B, S]", "exp (y): cpu.exp: x is not f32"
        ),
        (
            "%a: f16[B, S], %b: f16[S, B]", "%y = matmul(%a, %b) : f16[B, B]",
            "matmul (y): cpu.matmul: a is not f32"
        ),
        (
            "%q: f32[B, 2, S, 8], %m: f16[S, S]",
            "%y = attention(%q, %q, %q, %m) {scale = 1.0} : f32[B, 2, S, 8]",
            "attention (y): cpu.attention: the mask f16[S, S] is neither f32 nor boolean"
        ),
        (
            "%x: f32[B, S, 1, 1, 1, 1, 1, 1, 2]",
            "%y = add(%x, %x) : f32[B, S, 1, 1, 1, 1, 1, 1, 2]",
            "add (y): cpu.add: rank 9 exceeds the 8 dimensions of strided loops"
        ),
    ])
    func whatHasNoKernelIsNamedWithTheReason(signature: String, body: String, message: String) throws {
        let error = #expect(throws: ApusError.self) { try plan(signature, body) }
        #expect(error?.message == "1 node(s) have no kernel:\n  \(message)")
    }

    @Test(arguments: [
        (
            "%x: f32[5, 3], %i: i64[S]", "%y = index(%x, %i) : f32[S, 3]",
            "index (y): an index is outside the dimension"
        ),
        (
            "%x: f32[5, 3], %i: i64[S]", "%y = embedding(%x, %i) : f32[S, 3]",
            "embedding (y): an index is outside the table"
        ),
        (
            "%i: i64[S]", "%y = floor_divide(%i, %i) : i64[S]", "floor_divide (y): an integer is divided by 0"
        ),
        (
            "%k: f32[B, 2, 9, 8], %x: f32[B, 2, S, 8], %i: i64[S]",
            "%y = kv_update(%k, %x) {start = S} : f32[B, 2, 9, 8]",
            "kv_update (y): the new rows exceed the capacity of the cache"
        ),
        (
            "%k: f32[B, 9], %i: i64[S]", "%y = slice(%k) {dim = 1, start = S, end = 2*S} : f32[B, S]",
            "%y: f32[B, S] does not fit its memory in a pass of these sizes"
        ),
    ])
    func dataWithoutAResultIsAnErrorAndNoCrash(signature: String, body: String, message: String) throws {
        let run = try run(signature, body)
        try run.set("i", Tensor(.i64, [5], ints: [0, 1, 2, 7, 0]))
        let error = #expect(throws: ApusError.self) { try run.run(batch: 2, width: 5) }
        #expect(error?.message == message)
    }

    @Test func symbolsFollowTheirDefinitionsAndBounds() throws {
        let graph = try Graph(
            parsing: """
                graph @f(%x: f32[B, S], %n: i64[1]) where B in 1...4, S in 1...160, N = value(%n) in 0...9,
                    H = floordiv(S, 2) in 0...80, R = mod(S, 4) in 0...3, M = max(N, H) in 0...80,
                    L = min(N, S) in 0...9 {
                  %0 = size() {value = H*100 + R*10 + M} : i64[]
                  %1 = size() {value = L - N} : i64[]
                  return %0, %1
                }
                """)
        let run = try GraphRun(graph)
        try run.set("n", Tensor(.i64, [1], ints: [4]))
        #expect(try run.run(batch: 1, width: 11).map(\.ints) == [[535], [0]])
        #expect(try run.run(batch: 1, width: 3).map(\.ints) == [[134], [-1]])
        try run.set("n", Tensor(.i64, [1], ints: [10]))
        let error = #expect(throws: ApusError.self) { try run.run(batch: 1, width: 3) }
        #expect(error?.message == "'N': expected 0...9, got 10")
        try run.set("n", Tensor(.i64, [1], ints: [9]))
        #expect(try run.run(batch: 1, width: 3).map(\.ints) == [[139], [-6]])
    }

    /// Every step of decoding has other sizes, and takes them without a single allocation.
    @Test func aPassOfNewSizesAllocatesNothing() throws {
        guard apus_allocations_are_counted() == 1 else { return }
        for test in [
            GraphCase.product("", "f16", width: 1, start: 0),
            GraphCase.attention("", ", is_causal = true", cache: "f16", width: 1, start: 0),
            GraphCase.caches[0], GraphCase.caches[2],
        ] {
            let run = try GraphRun(try Graph(parsing: test.text), threads: 2)
            for start in 0..<5 {
                try run.set("start", Tensor(.i64, [1], ints: [start]))
                let before = apus_allocation_count()
                try run.bound.run { $0 == "B" ? 2 : $0 == "S" ? 1 : $0 == "C" ? 640 : nil }
                let allocations = apus_allocation_count() - before
                if start > 0 { #expect(allocations == 0, "\(test.name), start \(start)") }
            }
        }
    }

    @Test func layoutsAreCutAndJoinedWhereStepsAllowIt() {
        let (b, s): (Dimension, Dimension) = (.symbol("B"), .symbol("S"))
        let heads = Layout.dense([b, s, 6, 4]).permuted([0, 2, 1, 3])
        #expect(heads.description == "(24*S, 4, 24, 1)")
        #expect(heads.reshaped([b, 6, s, 4], to: [b, 2, 3, s, 4])?.description == "(24*S, 12, 4, 24, 1)")
        #expect(heads.reshaped([b, 6, s, 4], to: [b, 6 * s, 4]) == nil)
        #expect(!heads.isContiguous([b, 6, s, 4]))
        #expect(Layout.dense([1, s, 6]).permuted([1, 0, 2]).isContiguous([s, 1, 6]))
        let slice = Layout.dense([b, s, 40]).sliced(2, from: 10)
        #expect(slice.reshaped([b, s, 15], to: [b * s, 3, 5])?.description == "(40, 5, 1) + 10")
        #expect(slice.reshaped([b, s, 15], to: [b, s * 15]) == nil)
        #expect(
            Layout.dense([b, 1, 3]).expanded([b, 1, 3], to: [2, b, 5, 3]).description == "(0, 3, 0, 1)")
        #expect(Layout.dense([b, s, 6, 4], order: [0, 2, 1, 3]).description == "(24*S, 4, 4*S, 1)")
    }
}
