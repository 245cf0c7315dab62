import ApusGraph
import ApusReference
import Testing

/// Ops that masks, caches and exported programs are made of.
@Suite struct MaskOpTests {
    private func bools(_ shape: [Int], _ values: [Int]) -> Tensor { Tensor(.bool, shape, ints: values) }
    private func ints(_ shape: [Int], _ values: [Int]) -> Tensor { Tensor(.i64, shape, ints: values) }

    @Test(
        arguments: [
            ("eq", [0, 1, 0]), ("ne", [1, 0, 1]), ("lt", [1, 0, 0]), ("le", [1, 1, 0]), ("gt", [0, 0, 1]),
            ("ge", [0, 1, 1]),
        ])
    func comparisonsBroadcast(op: String, expected: [Int]) throws {
        let type = TensorType(.bool, [3])
        #expect(try apply(op, [ints([3], [1, 2, 3]), ints([], [2])], results: type)[0].ints == expected)
        #expect(try apply(op, [f32([3], [1, 2, 3]), f32([1], [2])], results: type)[0].ints == expected)
    }

    @Test func nothingIsEqualToNaN() throws {
        let (x, type) = (f32([1], [.nan]), TensorType(.bool, [1]))
        #expect(try apply("eq", [x, x], results: type)[0].ints == [0])
        #expect(try apply("ne", [x, x], results: type)[0].ints == [1])
    }

    @Test func logic() throws {
        let (a, b) = (bools([4], [0, 0, 1, 1]), bools([4], [0, 1, 0, 1]))
        let type = TensorType(.bool, [4])
        #expect(try apply("logical_and", [a, b], results: type)[0].ints == [0, 0, 0, 1])
        #expect(try apply("logical_or", [a, b], results: type)[0].ints == [0, 1, 1, 1])
        #expect(try apply("logical_xor", [a, b], results: type)[0].ints == [0, 1, 1, 0])
        #expect(try apply("logical_not", [a], results: type)[0].ints == [1, 1, 0, 0])
        let chosen = try apply(
            "where", [bools([2, 1], [1, 0]), f32([2], [1, 2]), f32([], [9])], shape: [2, 2])
        #expect(chosen == [1, 2, 9, 9])
    }

    @Test func integerDivisionRoundsDown() throws {
        let (a, b) = (ints([4], [7, -7, 7, -7]), ints([4], [2, 2, -2, -2]))
        let type = TensorType(.i64, [4])
        #expect(try apply("floor_divide", [a, b], results: type)[0].ints == [3, -4, -4, 3])
        #expect(try apply("remainder", [a, b], results: type)[0].ints == [1, 1, -1, -1])
        #expect(throws: (any Error).self) {
            try apply("remainder", [a, ints([4], [1, 1, 0, 1])], results: type)
        }
        #expect(try apply("minimum", [a, b], results: type)[0].ints == [2, -7, -2, -7])
        #expect(try apply("maximum", [a, b], results: type)[0].ints == [7, 2, 7, -2])
    }

    @Test func generators() throws {
        let range = try apply(
            "arange", [], attributes: "start = 2, end = 5, element = i64", results: TensorType(.i64, [3]))
        #expect(range[0].ints == [2, 3, 4])
        let full = try apply("full", [], attributes: "shape = [2], value = -inf, element = f32", shape: [2])
        #expect(full == [-.infinity, -.infinity])
        let mask = try apply(
            "causal_mask", [], attributes: "queries = 2, keys = 4, offset = 1, window = 2", shape: [2, 4])
        let hidden = -Float.infinity
        #expect(mask == [0, 0, hidden, hidden, hidden, 0, 0, hidden])
    }

    @Test func indexing() throws {
        let x = f32([2, 3], [0, 1, 2, 10, 11, 12])
        let picked = try apply("index", [x, ints([2, 1], [1, 0]), ints([2], [-1, 0])], shape: [2, 2])
        #expect(picked == [12, 10, 2, 0])
        #expect(try apply("index", [x, ints([1], [1])], shape: [1, 3]) == [10, 11, 12])
        #expect(
            try apply("index_select", [x, ints([2], [2, 0])], attributes: "dim = 1", shape: [2, 2]) == [
                2, 0, 12, 10,
            ])
        let copied = try apply(
            "index_copy", [x, ints([1], [1]), f32([2, 1], [7, 8])], attributes: "dim = -1", shape: [2, 3])
        #expect(copied == [0, 7, 2, 10, 8, 12])
        #expect(throws: (any Error).self) { try apply("index", [x, ints([1], [2])], shape: [1, 3]) }
    }

    @Test func reductionsAndTriangles() throws {
        let x = f32([2, 3], [1, 2, 3, 4, 5, 6])
        #expect(try apply("sum", [x], attributes: "dim = 0, keepdim = false", shape: [3]) == [5, 7, 9])
        #expect(try apply("cumsum", [x], attributes: "dim = 1", shape: [2, 3]) == [1, 3, 6, 4, 9, 15])
        #expect(try apply("triu", [x], attributes: "diagonal = 1", shape: [2, 3]) == [0, 2, 3, 0, 0, 6])
        #expect(try apply("tril", [x], attributes: "diagonal = -1", shape: [2, 3]) == [0, 0, 0, 4, 0, 0])
        let any = try apply("any", [bools([2, 2], [0, 0, 1, 0])], results: TensorType(.bool, [2, 1]))
        #expect(any[0].ints == [0, 1])
        let padded = try apply("pad", [x], attributes: "dim = 1, before = 1, value = 9.0", shape: [2, 4])
        #expect(padded == [9, 1, 2, 3, 9, 4, 5, 6])
    }

    @Test func windowSoftcapAndMaskOfAttention() throws {
        // One head of size 1, all scores equal: the result is the mean of the values that are visible.
        let q = f32([1, 1, 2, 1], [0, 0])
        let (k, v) = (f32([1, 1, 4, 1], [1, 2, 3, 4]), f32([1, 1, 4, 1], [1, 2, 3, 5]))
        func attend(_ attributes: String, mask: Tensor? = nil) throws -> [Float] {
            try apply(
                "attention", [q, k, v] + (mask.map { [$0] } ?? []), attributes: "scale = 1.0" + attributes,
                shape: [1, 1, 2, 1])
        }
        #expect(try attend(", is_causal = true") == [2, 2.75])
        #expect(try attend(", is_causal = true, sliding_window = 2") == [2.5, 4])
        #expect(try attend(", is_causal = true, sliding_window = 1") == [3, 5])
        #expect(try attend("", mask: bools([2, 4], [1, 0, 0, 1, 0, 0, 0, 0])) == [3, 0])
        let soft = try apply(
            "attention", [f32([1, 1, 1, 1], [1]), f32([1, 1, 2, 1], [0, 3]), f32([1, 1, 2, 1], [0, 1])],
            attributes: "scale = 2.0, softcap = 0.5", shape: [1, 1, 1, 1])
        // softcap(6) = 0.5·tanh 12 ≈ 0.5, so the weight of the second key is e^0.5 / (1 + e^0.5).
        #expect(near(soft, [0.6224593]))
    }

    /// v1's way to write a static cache, with sizes that depend on the value of an input.
    @Test func sizesFollowTheValueOfAnInput() throws {
        let text = """
            graph @f(%x: f32[1, 1, S, 1], %cache: f32[1, 1, 4, 1], %start_idx: i64[])
                where S in 1...4, P = value(%start_idx) in 0...3 {
              %0 = slice(%cache) {dim = 2, end = P} : f32[1, 1, P, 1]
              %1 = slice(%cache) {dim = 2, start = P + S} : f32[1, 1, 4 - P - S, 1]
              %2 = cat(%0, %x, %1) {dim = 2} : f32[1, 1, 4, 1]
              %3 = kv_update(%cache, %x) {start = P} : f32[1, 1, 4, 1]
              %4 = size() {value = 2*P} : i64[]
              return %2, %3, %4
            }
            """
        func run(_ start: Int) throws -> [Tensor] {
            try evaluate(
                text,
                [
                    "x": f32([1, 1, 2, 1], [8, 9]), "cache": f32([1, 1, 4, 1], [1, 2, 3, 4]),
                    "start_idx": ints([], [start]),
                ])
        }
        let outputs = try run(1)
        #expect(outputs[0].floats == [1, 8, 9, 4])
        #expect(outputs[1].floats == [1, 8, 9, 4])
        #expect(outputs[2].ints == [2])
        #expect(throws: (any Error).self) { try run(3) }
        #expect(throws: (any Error).self) { try run(-1) }
    }
}
