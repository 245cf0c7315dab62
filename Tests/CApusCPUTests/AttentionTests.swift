import CApusCPU
import Testing

@Suite struct AttentionTests {
    static let cases: [AttentionCase] = [
        AttentionCase(name: "one token", heads: (2, 1), dim: 8, counts: [1], starts: [0]),
        AttentionCase(name: "group of 7", heads: (14, 2), dim: 64, counts: [37], starts: [0]),
        AttentionCase(name: "chunk", heads: (4, 2), dim: 32, counts: [20, 9], starts: [70, 3]),
        AttentionCase(name: "odd head", heads: (3, 3), dim: 13, counts: [70], starts: [0]),
        AttentionCase(name: "wide head", heads: (2, 1), dim: 130, counts: [5], starts: [61]),
        AttentionCase(
            name: "window", heads: (4, 1), dim: 16, counts: [100, 60], starts: [0, 90], window: 33),
        AttentionCase(name: "window of 1", heads: (2, 2), dim: 8, counts: [67], starts: [2], window: 1),
        AttentionCase(name: "softcap", heads: (2, 1), dim: 24, counts: [66], starts: [1], softcap: 0.4),
        AttentionCase(
            name: "not causal", heads: (2, 2), dim: 16, counts: [30, 3], starts: [0, 0], causal: false),
        AttentionCase(name: "group of 16", heads: (16, 1), dim: 80, counts: [3, 4], starts: [150, 64]),
        AttentionCase(name: "several blocks", heads: (16, 1), dim: 64, counts: [50], starts: [75]),
        AttentionCase(name: "head of 256", heads: (4, 2), dim: 256, counts: [2], starts: [200], window: 70),
        AttentionCase(
            name: "mask", heads: (4, 2), dim: 16, counts: [30, 20], starts: [40, 0], masked: true),
    ]

    @Test(arguments: cases)
    func agreesWithDoublePrecisionAndNeverReadsPadding(c: AttentionCase) throws {
        for dtype in cacheDtypes {
            let fresh = AttentionData(c, dtype)
            let want = fresh.reference()
            for isa in instructionSets {
                var data = fresh
                try data.run(isa, cuts: [])
                #expect(
                    error(data.valid(data.out), want) < 3e-6,
                    "\(isa.testDescription), \(dtype.testDescription)")
            }
        }
    }

    @Test(arguments: instructionSets, cases)
    func doesNotDependOnTheRangesOfQueries(isa: apus_isa, c: AttentionCase) throws {
        var whole = AttentionData(c, APUS_F16)
        var parts = whole
        try whole.run(isa, cuts: [])
        try parts.run(isa, cuts: [1, 2, 7, 31, 64])
        #expect(bits(whole.valid(whole.out)) == bits(parts.valid(parts.out)))
    }

    @Test(arguments: cases)
    func partialsOfADecodeStepJoinToTheWhole(c: AttentionCase) throws {
        // The last query of each sequence alone: start at its position.
        let last = zip(c.starts, c.counts).map { $0 + $1 - 1 }
        let decode = AttentionCase(
            name: c.name, heads: c.heads, dim: c.dim, counts: c.counts.map { _ in 1 }, starts: last,
            window: c.window, softcap: c.softcap, causal: c.causal, masked: c.masked)
        for dtype in cacheDtypes {
            let fresh = AttentionData(decode, dtype)
            let want = fresh.reference()
            for (isa, chunk) in instructionSets.flatMap({ isa in [17, 64, 256].map { (isa, $0) } }) {
                var data = fresh
                try data.decode(isa, chunk: chunk)
                #expect(
                    error(data.valid(data.out), want) < 3e-6,
                    "\(isa.testDescription), \(dtype.testDescription), \(chunk) keys")
            }
        }
    }

    @Test(arguments: instructionSets)
    func aQueryThatSeesNothingYieldsZeros(isa: apus_isa) throws {
        var data = AttentionData(
            AttentionCase(name: "hidden", heads: (2, 1), dim: 16, counts: [3], starts: [0], masked: true),
            APUS_F32)
        data.mask = data.mask.map { _ in -.infinity }
        try data.run(isa, cuts: [])
        #expect(data.valid(data.out).allSatisfy { $0 == 0 })
        data.out = data.out.map { _ in 1 }
        try data.decode(isa, chunk: 2)
        #expect(data.out[..<32].allSatisfy { $0 == 0 })
    }
}
