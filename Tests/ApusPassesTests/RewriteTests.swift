import ApusGraph
import ApusPasses
import ApusSupport
import Testing

@Suite struct RewriteTests {
    private func graph(_ body: String, outputs: String = "%y") throws -> Graph {
        try Graph(parsing: "graph @f(%x: f32[4], %z: f32[4]) {\n\(body)\n return \(outputs)\n}")
    }

    /// The ops after a pass of one rule that replaces what `pattern` matches with `relu` of its capture `a`.
    private func ops(_ pattern: Pattern, _ graph: Graph) throws -> [String] {
        let pass = RewritePass(
            "test", [Rule(pattern) { m throws(ApusError) in try m.add("relu", [m["a"]]) }])
        return try PassManager().run(graph, [pass]).graph.nodes.map(\.op)
    }

    @Test func bothOrdersOfACommutativeOpAreTriedTogetherWithWhatFollows() throws {
        // The first order binds a to %x, which only the second operand of sub then contradicts.
        let pattern = Pattern.op("sub", .op("add", .capture("a"), .capture("b")), .capture("a"))
        let first = try graph("%0 = add(%x, %z) : f32[4]\n %y = sub(%0, %z) : f32[4]")
        #expect(try ops(pattern, first) == ["relu"])
        let none = try graph("%0 = add(%x, %x) : f32[4]\n %y = sub(%0, %z) : f32[4]")
        #expect(try ops(pattern, none) == ["add", "sub"])
    }

    @Test func anOpThatDoesNotCommuteMatchesInOneOrderOnly() throws {
        let pattern = Pattern.op("sub", .op("neg", .capture("b")), .capture("a"))
        let turned = try graph("%0 = neg(%x) : f32[4]\n %y = sub(%z, %0) : f32[4]")
        #expect(try ops(pattern, turned) == ["neg", "sub"])
    }

    @Test func singleUseCountsOutputs() throws {
        let pattern = Pattern.op("exp", .op("neg", .capture("a")).once)
        let body = "%0 = neg(%x) : f32[4]\n %y = exp(%0) : f32[4]"
        #expect(try ops(pattern, try graph(body)) == ["relu"])
        #expect(try ops(pattern, try graph(body, outputs: "%y, %0")) == ["neg", "exp"])
    }

    @Test func aReplacementTakesTheNameOfWhatItReplaces() throws {
        let pass = RewritePass(
            "test", [Rule(.op("neg", .capture("a"))) { m throws(ApusError) in try m.add("relu", [m["a"]]) }])
        let result = try PassManager().run(graph("%y = neg(%x) : f32[4]"), [pass]).graph
        #expect(result.text().contains("%y = relu(%x) : f32[4]"))
    }

    @Test func aReplacementOfAnotherTypeOrOneThatBreaksAConstraintIsNotMade() throws {
        let before = try graph("%y = neg(%x) : f32[4]")
        let wider = RewritePass(
            "test",
            [
                Rule(.op("neg", .capture("a"))) { m throws(ApusError) in
                    try m.add("unsqueeze", [m["a"]], ["dim": 0])
                },
                Rule(.op("neg", .capture("a"))) { m throws(ApusError) in
                    try m.add("matmul", [m["a"], m["a"]])
                },
            ])
        let (after, reports) = try PassManager().run(before, [wider])
        #expect(after.text() == before.text())
        #expect(reports.map(\.hasChanged) == [false])
    }

    @Test func rulesThatNeverSettleAreAnErrorThatNamesThePass() throws {
        let pass = RewritePass(
            "swing",
            [
                Rule(.op("add", .capture("a"), .capture("b"))) { m throws(ApusError) in
                    try m.add("sub", [m["a"], try m.add("neg", [m["b"]])])
                },
                Rule(.op("neg", .op("relu", .capture("a")))) { m throws(ApusError) in m["a"] },
            ])
        let fine = try PassManager().run(graph("%y = add(%x, %z) : f32[4]"), [pass]).graph
        #expect(fine.nodes.map(\.op) == ["neg", "sub"])

        let circle = RewritePass(
            "circle",
            [
                Rule(.op("neg", .capture("a"))) { m throws(ApusError) in try m.add("relu", [m["a"]]) },
                Rule(.op("relu", .capture("a"))) { m throws(ApusError) in try m.add("neg", [m["a"]]) },
            ])
        let error = #expect(throws: ApusError.self) {
            try PassManager().run(graph("%y = neg(%x) : f32[4]"), [circle])
        }
        #expect(error?.description.contains("pass circle") == true)
        #expect(error?.message.contains("still match") == true)
    }

    @Test func aRewriteThatMakesAValueDependOnItselfIsAnError() throws {
        let pass = RewritePass(
            "loop",
            [
                Rule(.op("exp", .op("neg", .capture("a")).captured(as: "inner"))) { m throws(ApusError) in
                    let new = try m.add("relu", [m["inner"]])
                    m.replace(m["a"], with: new)
                    return new
                }
            ])
        let body = "%0 = silu(%x) : f32[4]\n %1 = neg(%0) : f32[4]\n %y = exp(%1) : f32[4]"
        let error = #expect(throws: ApusError.self) { try PassManager().run(graph(body), [pass]) }
        #expect(error?.message.contains("depend on itself") == true)
    }
}
