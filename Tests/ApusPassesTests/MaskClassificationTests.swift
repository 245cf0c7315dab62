import ApusGraph
import ApusPasses
import ApusReference
import ApusSupport
import TestNumbers
import Testing

/// Tries to fool the classifier: what comes out must be what the mask is, whatever it is made of.
@Suite struct MaskClassificationTests {
    typealias Condition = MaskBuilder.Condition

    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let condition: Condition
        let expected: MaskClass
        /// What a table of its values comes out as, if not as the computed mask.
        var ofTable: MaskClass?

        var testDescription: String { name }
    }

    private static let causal = Condition.atLeastZero(1, -1, 0)

    static let cases: [Case] = [
        Case(name: "causal", condition: causal, expected: .causal),
        Case(name: "causal, doubled", condition: .atLeastZero(2, -2, 1), expected: .causal),
        Case(name: "diagonal + 1", condition: .atLeastZero(1, -1, 1), expected: .general),
        Case(name: "diagonal + 2", condition: .atLeastZero(1, -1, 2), expected: .general),
        Case(name: "diagonal - 1", condition: .atLeastZero(1, -1, -1), expected: .general),
        Case(name: "diagonal - 2", condition: .atLeastZero(1, -1, -2), expected: .general),
        Case(name: "window of 1", condition: .distance(0...0), expected: .slidingWindow(1)),
        Case(name: "window of 2", condition: .distance(0...1), expected: .slidingWindow(2)),
        Case(name: "window of 5", condition: .distance(0...4), expected: .slidingWindow(5)),
        Case(
            name: "window beyond all positions", condition: .distance(0...99), expected: .slidingWindow(100),
            ofTable: .causal),
        Case(name: "window without itself", condition: .distance(1...4), expected: .general),
        Case(name: "window and one key ahead", condition: .distance(-1...4), expected: .general),
        Case(
            name: "window with a gap", condition: .or(.distance(0...1), .distance(3...4)), expected: .general),
        Case(name: "symmetric band", condition: .distance(-2...2), expected: .general),
        Case(name: "anti-causal", condition: .atLeastZero(-1, 1, 0), expected: .general),
        Case(name: "negated causal", condition: .not(causal), expected: .general),
        Case(name: "twice negated", condition: .not(.not(causal)), expected: .causal),
        Case(name: "everything", condition: .constant(true), expected: .allVisible),
        Case(
            name: "everything by two halves", condition: .or(causal, .not(causal)), expected: .allVisible),
        Case(name: "nothing", condition: .constant(false), expected: .general),
        Case(name: "nothing by two halves", condition: .and(causal, .not(causal)), expected: .general),
        Case(name: "prefix", condition: .or(causal, .atLeastZero(0, -1, 2)), expected: .general),
        Case(
            name: "prefix of none", condition: .or(causal, .atLeastZero(0, -1, -1)), expected: .causal),
        Case(name: "keys from 1", condition: .and(causal, .atLeastZero(0, 1, -1)), expected: .general),
        Case(name: "keys from 0", condition: .and(causal, .atLeastZero(0, 1, 0)), expected: .causal),
        Case(
            name: "the last queries only", condition: .and(causal, .atLeastZero(1, 0, -3)), expected: .general
        ),
        Case(
            name: "queries of either kind",
            condition: .or(
                .and(causal, .atLeastZero(1, 0, -3)), .and(causal, .not(.atLeastZero(1, 0, -3)))),
            expected: .causal),
        Case(
            name: "windows that depend on the query",
            condition: .or(
                .and(.distance(0...1), .atLeastZero(1, 0, -3)),
                .and(.distance(0...2), .not(.atLeastZero(1, 0, -3)))), expected: .general),
        Case(name: "chunks", condition: .and(causal, .sameChunk(4)), expected: .block, ofTable: .general),
        Case(name: "chunks, both ways", condition: .sameChunk(4), expected: .block, ofTable: .general),
        Case(name: "chunks of 1", condition: .sameChunk(1), expected: .slidingWindow(1)),
        Case(name: "all but the own chunk", condition: .not(.sameChunk(4)), expected: .general),
        Case(name: "sum of positions", condition: .atLeastZero(-1, -1, 6), expected: .general),
        Case(name: "twice the query", condition: .atLeastZero(2, -1, 0), expected: .general),
        Case(name: "half the query", condition: .atLeastZero(1, -2, 0), expected: .general),
        Case(
            name: "causal or a far key", condition: .or(causal, .atLeastZero(-1, 1, -9)), expected: .general),
        Case(
            name: "causal but the farthest", condition: .and(causal, .atLeastZero(-1, 1, 10)),
            expected: .slidingWindow(11)),
    ]

    @Test(arguments: cases, MaskBuilder.Form.allCases)
    func classifiesWhatTheMaskIs(entry: Case, form: MaskBuilder.Form) throws {
        var builder = MaskBuilder()
        try builder.attend(builder.mask(entry.condition, form))
        let expected = form.isTable ? entry.ofTable ?? entry.expected : entry.expected
        try check(builder.finish(), [expected]) { _, q, k in entry.condition.holds(q, k) }
    }

    /// One entry of a causal mask flipped: nothing that is computed from the others may hide it.
    @Test(arguments: [(0, 0), (0, 1), (1, 0), (3, 3), (3, 4), (5, 2), (0, 11), (11, 1), (11, 11), (10, 11)])
    func aSingleFlippedEntryCounts(q: Int, k: Int) throws {
        for form in [ElementType.bool, .f32] {
            var builder = MaskBuilder()
            try builder.attend(
                builder.table(form) { row, column in
                    let isVisible = (column <= row) != ((row, column) == (q, k))
                    return form == .bool ? (isVisible ? 1 : 0) : isVisible ? 0 : -.infinity
                })
            try check(builder.finish(), [.general]) { _, row, column in
                (column <= row) != ((row, column) == (q, k))
            }
        }
    }

    /// Numbers that are nearly those of a mask.
    @Test(arguments: [-10000.0, -65503, -1, 1, 65504, .nan, .infinity])
    func whatHidesMustLeaveNothing(hidden: Double) throws {
        var builder = MaskBuilder()
        try builder.attend(builder.bias(builder.boolean(Self.causal), hidden: hidden))
        try check(builder.finish(), [.general], truth: nil)
    }

    @Test(arguments: [1.0, -1, 1e-6, .nan])
    func whatIsVisibleMustBeZero(shown: Double) throws {
        var builder = MaskBuilder()
        let condition = try builder.boolean(Self.causal)
        try builder.attend(
            builder.add("where", [condition, builder.number(shown, .f32), builder.number(-.infinity, .f32)]))
        try check(builder.finish(), [.general], truth: nil)
    }

    @Test func aSlopeOnTheDistanceIsNoMask() throws {
        var builder = MaskBuilder()
        let (query, key) = try builder.positions()
        let distance = try builder.add(
            "to", [try builder.add("sub", [key, query])], ["element": .element(.f32)])
        let condition = try builder.boolean(Self.causal)
        try builder.attend(
            builder.add("where", [condition, distance, builder.number(-.infinity, .f32)]))
        try check(builder.finish(), [.general], truth: nil)
    }

    @Test(arguments: [
        ("tril", 0, MaskClass.causal), ("tril", 1, .general), ("tril", -1, .general),
        ("triu", 0, .general), ("triu", 1, .general), ("triu", -3, .general),
    ])
    func triangles(op: String, diagonal: Int, expected: MaskClass) throws {
        var builder = MaskBuilder()
        let ones = try builder.boolean(.constant(true))
        try builder.attend(builder.add(op, [ones], ["diagonal": .int(diagonal)]))
        try check(builder.finish(), [expected]) { _, q, k in
            op == "tril" ? k - q <= diagonal : k - q >= diagonal
        }
    }

    @Test func aBandOfTwoTrianglesIsAWindow() throws {
        var builder = MaskBuilder()
        let ones = try builder.boolean(.constant(true))
        let lower = try builder.add("tril", [ones])
        try builder.attend(builder.add("triu", [lower], ["diagonal": -3]))
        try check(builder.finish(), [.slidingWindow(4)]) { _, q, k in (0...3).contains(q - k) }
    }

    @Test func aTransposedMaskIsAnother() throws {
        var builder = MaskBuilder()
        let mask = try builder.boolean(Self.causal)
        try builder.attend(builder.add("transpose", [mask], ["dim0": 0, "dim1": 1]))
        try check(builder.finish(), [.general]) { _, q, k in q <= k }
    }

    @Test func positionsThatAreCountedFromAnotherStartAreNotTheSame() throws {
        var builder = MaskBuilder()
        let (query, _) = try builder.positions()
        let key = try builder.add(
            "arange", [], ["start": 1, "end": .dimension(.symbol("S") + 1), "element": .element(.i64)])
        try builder.attend(builder.add("le", [key, query]))
        try check(builder.finish(), [.general]) { _, q, k in k + 1 <= q }
    }

    @Test func theLengthIsNotAPosition() throws {
        // Visible up to the middle of the sequence, whatever the query.
        var builder = MaskBuilder()
        let (query, key) = try builder.positions()
        let length = try builder.add("size", [], ["value": .dimension(.symbol("S"))])
        let twice = try builder.add("add", [key, key])
        let mask = try builder.add(
            "logical_and", [try builder.add("lt", [twice, length]), try builder.add("le", [query, query])])
        try builder.attend(mask)
        try check(builder.finish(), [.general]) { length, _, k in 2 * k < length }
    }

    @Test func aMaskFromDataIsGeneral() throws {
        var builder = MaskBuilder()
        let scores = builder.builder.graph.inputs[0]
        let rows = try builder.add("slice", [scores], ["dim": 3, "start": 0, "end": 1])
        let columns = try builder.add("transpose", [rows], ["dim0": 2, "dim1": 3])
        try builder.attend(builder.add("ge", [rows, columns]))
        try check(builder.finish(), [.general], truth: nil)
    }

    @Test func causalButForDataIsGeneral() throws {
        for op in ["logical_and", "logical_or", "logical_xor"] {
            var builder = MaskBuilder()
            let scores = builder.builder.graph.inputs[0]
            let rows = try builder.add("slice", [scores], ["dim": 3, "start": 0, "end": 1])
            let data = try builder.add("gt", [rows, builder.number(0, .f32)])
            try builder.attend(builder.add(op, [try builder.boolean(Self.causal), data]))
            try check(builder.finish(), [.general], truth: nil)
        }
    }

    @Test func eachAttentionHasItsOwnMask() throws {
        var builder = MaskBuilder()
        let conditions: [Condition] = [
            Self.causal, .distance(0...2), .atLeastZero(1, -1, 1), .constant(true),
        ]
        for condition in conditions { try builder.attend(builder.mask(condition, .infinite)) }
        let expected: [MaskClass] = [.causal, .slidingWindow(3), .general, .allVisible]
        let after = try check(builder.finish(), expected, truth: nil)
        let attentions = after.nodes.filter { $0.op == "scaled_dot_product_attention" }
        #expect(attentions.map { $0.operands.count } == [3, 3, 4, 3])
    }

    @Test func headsThatDifferAreGeneral() throws {
        var builder = MaskBuilder()
        let shape: [Dimension] = [1, 1, .symbol("S"), .symbol("S")]
        let parts = try [Self.causal, Condition.distance(0...2)].map { condition in
            try builder.add(
                "expand", [try builder.boolean(condition)], ["shape": .dimensions(shape)])
        }
        try builder.attend(builder.add("cat", parts.map { $0 }, ["dim": 1]))
        try check(builder.finish(), [.general], truth: nil)
    }

    @Test func headsThatAgreeAreOneMask() throws {
        var builder = MaskBuilder()
        let shape: [Dimension] = [1, 1, .symbol("S"), .symbol("S")]
        let parts = try [Self.causal, Condition.atLeastZero(3, -3, 2)].map { condition in
            try builder.add(
                "expand", [try builder.boolean(condition)], ["shape": .dimensions(shape)])
        }
        try builder.attend(builder.add("cat", parts.map { $0 }, ["dim": 1]))
        try check(builder.finish(), [.causal]) { _, q, k in k <= q }
    }

    /// A mask stored as a tensor is read, every entry of it.
    @Test(
        arguments: [(nil, MaskClass.causal), ((7, 2), .general), ((2, 7), .general)]
            as [((Int, Int)?, MaskClass)])
    func aStoredMaskIsReadFromItsSource(flipped: (Int, Int)?, expected: MaskClass) throws {
        let limit = MaskBuilder.limit
        var builder = MaskBuilder()
        var mask = builder.parameter("bias", TensorType(.bool, [1, 1, limit, limit]))
        for axis in [2, 3] {
            mask = try builder.add("slice", [mask], ["dim": .int(axis), "end": .dimension(.symbol("S"))])
        }
        try builder.attend(mask)
        let entries = (0..<limit).flatMap { q in
            (0..<limit).map { k in UInt8((k <= q) != (flipped.map { $0 == (q, k) } ?? false) ? 1 : 0) }
        }
        let pass = try #require(Pipeline.all["classify-attention-mask"])
        let source = StoredMask(type: TensorType(.bool, [1, 1, limit, limit]), entries: entries)
        let known = try PassManager(weights: source).run(builder.finish(), [pass]).reports.flatMap(\.masks)
        #expect(known.map(\.maskClass) == [expected])
        // Without the values nothing is known.
        let unknown = try PassManager().run(builder.finish(), [pass]).reports.flatMap(\.masks)
        #expect(unknown.map(\.maskClass) == [.general])
        #expect(unknown.first?.reason?.contains("it depends on %bias = parameter") == true)
    }

    /// Random combinations of conditions on the distance: whatever comes out is what brute force finds.
    @Test(arguments: 0..<60)
    func randomDistances(seed: Int) throws {
        var random = Numbers(seed: UInt64(seed))
        func condition(_ depth: Int) -> Condition {
            switch depth == 0 ? 0 : random.below(5) {
            case 0, 1:
                let factor = [-2, -1, 1, 2][random.below(4)]
                return .atLeastZero(factor, -factor, random.below(9) - 4)
            case 2: return .and(condition(depth - 1), condition(depth - 1))
            case 3: return .or(condition(depth - 1), condition(depth - 1))
            default: return .not(condition(depth - 1))
            }
        }
        let root = random.below(2) == 0 ? condition(3) : .and(Self.causal, condition(2))
        let form = MaskBuilder.Form.allCases[random.below(MaskBuilder.Form.allCases.count)]
        var builder = MaskBuilder()
        try builder.attend(builder.mask(root, form))
        // Distances far beyond the largest sequence decide between a window and none.
        let far = form.isTable ? MaskBuilder.limit - 1 : 100
        let visible = (-far...far).filter { root.holds(200 + $0, 200) }
        let expected: MaskClass
        if visible == Array(0...far) {
            expected = .causal
        } else if visible.count == 2 * far + 1 {
            expected = .allVisible
        } else if let last = visible.last, visible.first == 0, visible == Array(0...last) {
            expected = .slidingWindow(last + 1)
        } else {
            expected = .general
        }
        // A mask that shows all that occurs may be more than its formula says.
        let reach = MaskBuilder.limit - 1
        let occurring = (-reach...reach).filter { root.holds(200 + $0, 200) }
        let isSettled = occurring == Array(0...reach) || occurring.count == 2 * reach + 1
        try check(
            builder.finish(),
            [isSettled && expected == .general ? (occurring[0] == 0 ? .causal : .allVisible) : expected]
        ) { _, q, k in root.holds(q, k) }
    }

    // MARK: Checking

    /// Classifies the masks of a graph, compares the numbers before and after, and the class with the mask itself.
    @discardableResult
    private func check(
        _ graph: Graph, _ expected: [MaskClass], truth: ((Int, Int, Int) -> Bool)? = nil
    ) throws -> Graph {
        let pass = try #require(Pipeline.all["classify-attention-mask"])
        let (after, reports) = try PassManager().run(graph, [pass])
        let masks = reports.flatMap(\.masks)
        #expect(masks.map(\.maskClass) == expected, "\(masks.map(\.description))")
        for length in [1, 5, MaskBuilder.limit] {
            let inputs = try Seeded.inputs(graph, ["B": 2, "S": length])
            let before = try Interpreter(graph: graph, weights: SeededWeights(graph)).run(inputs)
            let outputs = try Interpreter(graph: after, weights: SeededWeights(graph)).run(inputs)
            for (layer, report) in masks.enumerated() {
                if !before[2 * layer].floats.contains(where: \.isNaN) {
                    #expect(difference(before[2 * layer], outputs[2 * layer]) <= 1e-6)
                }
                compare(report, before[2 * layer + 1], length, truth)
            }
        }
        return after
    }

    /// Compares a class, and what the test takes the mask for, with the mask's elements.
    private func compare(
        _ report: MaskReport, _ mask: Tensor, _ length: Int, _ truth: ((Int, Int, Int) -> Bool)?
    ) {
        let numbers = mask.numbers
        let columns = mask.shape[mask.shape.count - 1]
        let rows = mask.shape[mask.shape.count - 2]
        for q in 0..<length {
            for k in 0..<length {
                let number = numbers[(rows == 1 ? 0 : q) * columns + (columns == 1 ? 0 : k)]
                let isVisible = mask.element == .bool ? number != 0 : number == 0
                if let truth { #expect(isVisible == truth(length, q, k), "the test's mask at \(q), \(k)") }
                switch report.maskClass {
                case .causal: #expect(isVisible == (k <= q))
                case .slidingWindow(let size): #expect(isVisible == (0..<size).contains(q - k))
                case .allVisible: #expect(isVisible)
                case .leftPadded, .block, .general: break
                }
            }
        }
    }
}

/// One tensor of booleans.
private struct StoredMask: WeightSource {
    let type: TensorType
    let entries: [UInt8]

    func type(of name: String) -> TensorType? { name == "bias" ? type : nil }

    func withBytes(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: entries.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: entries)
        try body(UnsafeRawBufferPointer(copy))
    }
}
