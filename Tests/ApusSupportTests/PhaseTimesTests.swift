import ApusSupport
import Testing

@Suite struct PhaseTimesTests {
    @Test func partsAreNotedAlsoIfTheyThrow() throws {
        let log = PhaseLog()
        let value = try log.measure("outer") { () throws(ApusError) in
            _ = try? log.measure("inner") { () throws(ApusError) in throw ApusError(.internal, "thrown") }
            return 7
        }
        #expect(value == 7)
        #expect(log.all.map(\.name) == ["outer", "inner"])
        let (outer, inner) = (log.all[0], log.all[1])
        #expect(outer.start <= inner.start && inner.start <= inner.end && inner.end <= outer.end)
        #expect(outer.end <= log.now)
    }

    @Test func noMoreThanTheMostAreNoted() throws {
        let log = PhaseLog(mostPhases: 2)
        for index in 0..<5 { try log.measure("\(index)") { () throws(ApusError) in } }
        #expect(log.all.map(\.name) == ["0", "1"])
    }
}
