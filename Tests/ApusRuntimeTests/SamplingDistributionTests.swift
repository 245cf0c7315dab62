import Testing

@testable import ApusRuntime

/// Draws against the distribution that transformers' logits warpers define, computed here by sorting.
@Suite struct SamplingDistributionTests {
    /// The probabilities after temperature, top-k, top-p and min-p.
    private func distribution(_ logits: [Float], _ options: SamplingOptions) -> [Double] {
        let scaled = logits.map { Double($0) / Double(options.temperature) }
        let top = scaled.max() ?? 0
        var weights = scaled.map { exponential($0 - top) }
        if options.topK > 0, options.topK < weights.count {
            let least = weights.sorted(by: >)[options.topK - 1]
            weights = weights.map { $0 >= least ? $0 : 0 }
        }
        let total = weights.reduce(0, +)
        var sum = 0.0
        for (rank, id) in weights.indices.sorted(by: { (weights[$1], $0) < (weights[$0], $1) }).enumerated() {
            if rank > 0, options.topP < 1, sum >= Double(options.topP) * total {
                weights[id] = 0
            } else {
                sum += weights[id]
            }
        }
        let largest = weights.max() ?? 0
        weights = weights.map { $0 >= Double(options.minP) * largest ? $0 : 0 }
        let kept = weights.reduce(0, +)
        return weights.map { $0 / kept }
    }

    /// A Taylor series of its own, so that the test does not share the code it checks.
    private func exponential(_ x: Double) -> Double {
        var term = 1.0
        var sum = 1.0
        let reduced = x / 1024
        for n in 1..<12 {
            term *= reduced / Double(n)
            sum += term
        }
        return (0..<10).reduce(sum) { value, _ in value * value }
    }

    private func logits(_ count: Int, spread: Float) -> [Float] {
        var random = SeededGenerator(seed: 99)
        return (0..<count).map { _ in Float(random.nextUniform()) * spread }
    }

    @Test(arguments: [
        SamplingOptions(seed: 1), SamplingOptions(temperature: 0.5, seed: 2),
        SamplingOptions(topK: 5, seed: 3),
        SamplingOptions(topP: 0.6, seed: 4), SamplingOptions(minP: 0.3, seed: 5),
        SamplingOptions(temperature: 1.5, topK: 12, topP: 0.8, minP: 0.1, seed: 6),
    ])
    func drawsFollowTheDistribution(options: SamplingOptions) throws {
        let logits = logits(20, spread: 3)
        let expected = distribution(logits, options)
        let scratch = SamplerScratch(vocabularySize: 20)
        let sampler = try Sampler(options, scratch: scratch, prompt: [], newTokens: 0)
        var counts = [Int](repeating: 0, count: 20)
        let draws = 20_000
        for _ in 0..<draws {
            counts[Int(try logits.withUnsafeBufferPointer { try sampler.choose($0) })] += 1
        }
        var chiSquare = 0.0
        for (count, share) in zip(counts, expected) {
            if share == 0 { #expect(count == 0) }
            guard share > 0 else { continue }
            let mean = share * Double(draws)
            chiSquare += (Double(count) - mean) * (Double(count) - mean) / mean
        }
        // The 99.9th percentile of 19 degrees of freedom; fewer only lower it.
        #expect(chiSquare < 43.8)
    }

    @Test(arguments: [1, 7, 8, 50, 1000], [Float(0), 0.001, 0.3, 0.9, 0.999])
    func nucleusIsTheOneThatSortingFinds(count: Int, topP: Float) throws {
        for spread: Float in [0, 0.01, 2, 12] {
            let logits = logits(count, spread: spread)
            let options = SamplingOptions(topP: topP)
            let shares = distribution(logits, options)
            let expected = shares.indices.filter { shares[$0] > 0 }
            let candidates = Candidates(vocabularySize: count)
            logits.withUnsafeBufferPointer {
                candidates.gather($0, largest: logits.max() ?? 0, temperature: 1, topK: 0)
            }
            candidates.keep(reaching: topP)
            let found = (0..<candidates.count).map { Int(candidates[$0].id) }.sorted()
            // Where single and double precision round the sum to different sides of the limit, one token differs.
            #expect(abs(found.count - expected.count) <= (count > 100 ? 1 : 0))
            #expect(Set(found).symmetricDifference(expected).count <= (count > 100 ? 1 : 0))
        }
    }

    @Test func topKKeepsTies() {
        let candidates = Candidates(vocabularySize: 6)
        [Float(1), 3, 2, 2, 0, 2].withUnsafeBufferPointer {
            candidates.gather($0, largest: 3, temperature: 1, topK: 2)
        }
        #expect((0..<candidates.count).map { candidates[$0].id } == [1, 2, 3, 5])
    }

    @Test func exponentialIsAccurateToSinglePrecision() {
        var worst = 0.0
        for step in 0..<8600 {
            let x = -Float(step) / 100
            let found = Double(ApusRuntime.exponential(SIMD8(repeating: x))[3])
            let exact = exponential(Double(x))
            worst = max(worst, abs(found - exact) / exact)
        }
        #expect(worst < 2e-7)
        let edge = ApusRuntime.exponential(SIMD8(0, -88, -.infinity, -87, -1e30, -0.0, -103, -1))
        #expect(edge[0] == 1 && edge[1] == 0 && edge[2] == 0 && edge[4] == 0 && edge[5] == 1)
    }

    @Test func generatorMatchesItsDefinition() {
        // The first outputs of SplitMix64 from 0, as its authors publish them, are the state.
        var words: [UInt64] = [
            0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F, 0xF88B_B8A8_724C_81EC,
        ]
        func rotate(_ word: UInt64, _ count: Int) -> UInt64 {
            word << UInt64(count) | word >> UInt64(64 - count)
        }
        var random = SeededGenerator(seed: 0)
        for _ in 0..<100 {
            #expect(random.next() == rotate(words[1] &* 5, 7) &* 9)
            let shifted = words[1] << 17
            words[2] ^= words[0]
            words[3] ^= words[1]
            words[1] ^= words[2]
            words[0] ^= words[3]
            words[2] ^= shifted
            words[3] = rotate(words[3], 45)
        }
        var (first, second) = (SeededGenerator(seed: 7), SeededGenerator(seed: 7, stream: 1))
        #expect(first.next() != second.next())
    }
}
