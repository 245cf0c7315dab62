import Testing

@testable import ApusCUDA

/// How launches for few rows share out the rows that there are.
@Suite struct RowRunTests {
    @Test(arguments: 1...8) func runsStayInTheirBuffers(count: Int) {
        for most in count...8 {
            let runs = PassKind.rowRuns(count, most: most)
            var first = 0
            for run in runs {
                // Kernels are made for powers of two, and write all of their rows.
                #expect([1, 2, 4, 8].contains(run.count))
                #expect(run.lowerBound == first && run.lowerBound < count && run.upperBound <= most)
                first = run.upperBound
            }
            #expect(first >= count)
        }
    }

    @Test func oneLaunchServesWhereThereIsRoom() {
        for count in 1...8 { #expect(PassKind.rowRuns(count, most: 8).count == 1) }
        #expect(PassKind.rowRuns(3, most: 3) == [0..<2, 2..<3])
        #expect(PassKind.rowRuns(7, most: 7) == [0..<4, 4..<6, 6..<7])
        #expect(PassKind.rowRuns(0, most: 8).isEmpty)
    }
}
