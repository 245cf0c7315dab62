import ApusSupport
import Testing

@Suite struct PhaseTimesTests {
    @Test func partsAreNotedAlsoIfTheyThrow() throws {
        PhaseTimes.begin()
        let value = try PhaseTimes.measure("outer of a test") { () throws(ApusError) in
            _ = try? PhaseTimes.measure("inner of a test") { () throws(ApusError) in
                throw ApusError(.internal, "thrown")
            }
            return 7
        }
        #expect(value == 7)
        let phases = PhaseTimes.all
        let outer = try #require(phases.first { $0.name == "outer of a test" })
        let inner = try #require(phases.first { $0.name == "inner of a test" })
        #expect(outer.start <= inner.start && inner.start <= inner.end && inner.end <= outer.end)
        #expect(outer.end <= PhaseTimes.now)
        #expect(phases.map(\.start) == phases.map(\.start).sorted())
    }
}
