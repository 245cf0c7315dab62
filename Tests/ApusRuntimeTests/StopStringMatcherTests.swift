import Testing

@testable import ApusRuntime

@Suite struct StopStringMatcherTests {
    /// The pieces that come out, the last of them from the end of the text.
    private func run(_ stops: [String], _ pieces: [String]) -> (out: [String], isStopped: Bool) {
        var matcher = StopStringMatcher(stops)
        var out = pieces.map { matcher.append($0) }
        out.append(matcher.finish())
        return (out, matcher.isStopped)
    }

    @Test func passesTextThroughWithoutStopStrings() {
        #expect(run([], ["a", "", "bc"]).out == ["a", "", "bc", ""])
    }

    @Test func findsAStopStringAcrossPieces() {
        let (out, isStopped) = run(["\nUser:"], ["Hello", "\nUs", "er", ": more", "x"])
        #expect(out == ["Hello", "", "", "", "", ""])
        #expect(isStopped)
    }

    @Test func holdsBackOnlyWhatMayBecomeAStopString() {
        let (out, isStopped) = run(["END"], ["xE", "Ny", "EEN", "E", "N"])
        #expect(out == ["x", "ENy", "E", "EN", "", "EN"])
        #expect(!isStopped)
    }

    @Test func theFirstToBeCompleteEndsTheTextHoweverItIsCut() {
        for stops in [["abcd", "c"], ["c", "abcd"]] {
            let whole = run(stops, ["xabcd"])
            let cut = run(stops, ["x", "a", "b", "c", "d"])
            #expect(whole.out.joined() == "xab" && cut.out.joined() == "xab")
        }
        // Of two that end together the longer counts.
        #expect(run(["cd", "bcd"], ["abcd"]).out.joined() == "a")
    }

    @Test func everyCutOfATextGivesTheSame() {
        let text = "aab aabaac Grüße 👋🏽 aabab end"
        for stops in [["aaba a"], ["aabab"], ["👋🏽"], ["ß"], ["zzz"], ["aac", "b a"]] {
            let expected = run(stops, [text])
            for width in 1...5 {
                let characters = Array(text.unicodeScalars)
                let pieces = stride(from: 0, to: characters.count, by: width).map { start in
                    var piece = String.UnicodeScalarView()
                    piece.append(contentsOf: characters[start..<min(start + width, characters.count)])
                    return String(piece)
                }
                let found = run(stops, pieces)
                #expect(found.out.joined() == expected.out.joined() && found.isStopped == expected.isStopped)
            }
        }
    }
}
