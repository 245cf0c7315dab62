import Apus
import GraphCases
import TestNumbers
import Testing

@Suite struct Int4GroupwiseGemmTests {
    static let sets: [InstructionSet] = InstructionSet.allCases.filter {
        (try? CPUBackend(threads: 1, instructionSet: $0)) != nil
    }

    private func run(
        _ c: Int4Case, _ operands: [Tensor?], _ activations: String, threads: Int,
        _ set: InstructionSet? = nil
    ) throws -> [Float] {
        let backend = try CPUBackend(threads: threads, instructionSet: set)
        let runner = try PluginRunner(
            Int4GroupwiseGemm(), operands: operands.map { $0.map { TensorType($0.element, $0.shape) } },
            attributes: ["group_size": .int(c.group), "activations": .string(activations)], backend: backend)
        for (index, tensor) in operands.enumerated() {
            if let tensor { try runner.write(tensor, to: index) }
        }
        try runner.run()
        return try runner.result().floats
    }

    @Test(arguments: Int4Case.all)
    func computesTheProductThroughTheRunner(c: Int4Case) throws {
        let operands = c.operands
        for activations in ["int8", "f32"] {
            let want = c.expected(areRounded: activations == "int8")
            let one = try run(c, operands, activations, threads: 1)
            #expect(zip(one, want).allSatisfy { abs(Double($0) - $1.0) <= 1e-6 * $1.1 }, "\(activations)")
            #expect(try run(c, operands, activations, threads: 3) == one, "\(activations), three threads")
        }
    }

    @Test(arguments: sets)
    func everyInstructionSetComputesIt(set: InstructionSet) throws {
        let c = Int4Case(m: 5, n: 67, k: 256, group: 64, hasZeroPoints: true, hasBias: true)
        let operands = c.operands
        for activations in ["int8", "f32"] {
            let want = c.expected(areRounded: activations == "int8")
            let got = try run(c, operands, activations, threads: 2, set)
            #expect(zip(got, want).allSatisfy { abs(Double($0) - $1.0) <= 1e-6 * $1.1 })
        }
    }

    @Test func roundingTheInputsCostsLittle() throws {
        let c = Int4Case(m: 16, n: 64, k: 1024)
        let operands = c.operands
        let exact = c.expected(areRounded: false).map(\.0)
        let rounded = try run(c, operands, "int8", threads: 1)
        let error = zip(exact, rounded).reduce(0) { $0 + ($1.0 - Double($1.1)) * ($1.0 - Double($1.1)) }
        let power = exact.reduce(0) { $0 + $1 * $1 }
        #expect((error / power).squareRoot() < 0.006)
    }

    @Test func codesThatNeedMoreBitsAreAnError() throws {
        let c = Int4Case(m: 1, n: 4, k: 128)
        var operands = c.operands
        operands[1] = Tensor(.u8, [4, 128], ints: [Int](repeating: 16, count: 512))
        let error = #expect(throws: ApusError.self) { try run(c, operands, "int8", threads: 1) }
        #expect(error?.message == "codes u8[4, 128]: expected codes of 4 bits, got a larger one")
        operands[1] = Tensor(.u8, [4, 128], ints: [Int](repeating: 1, count: 512))
        operands[2] = Tensor(.f16, [1, 4], floats: [1, 2, .infinity, 1])
        let second = #expect(throws: ApusError.self) { try run(c, operands, "int8", threads: 1) }
        #expect(second?.message.contains("group 0, feature 2") == true)
    }

    @Test func exchangeLayoutIsItsClosedFormAndComesBack() throws {
        let (rows, columns) = (16, 256)
        var numbers = Numbers(seed: 5)
        let codes = (0..<rows * columns).map { _ in UInt8(numbers.below(16)) }
        let words = try Int4ExchangeLayout.words(codes, rows: rows, columns: columns)
        for word in 0..<rows / 4 * columns {
            let (g, block, j) = (word / columns, word % columns / 64, word % 64)
            for b in 0..<4 {
                let n = 4 * g + j / 16, k = 64 * block + 32 * (j % 16 / 8) + 8 * b + j % 8
                #expect(Int(words[2 * word + b / 2]) >> (4 * (b % 2)) & 15 == Int(codes[n * columns + k]))
            }
        }
        #expect(try Int4ExchangeLayout.codes(words, rows: rows, columns: columns) == codes)
    }

    /// Made by the reshapes and transposes of llm-awq's packing, not by the closed form.
    @Test func exchangeLayoutIsThatOfTheReshapes() throws {
        let codes = (0..<8 * 128).map { place -> UInt8 in
            let (n, k) = (place / 128, place % 128)
            return UInt8((n * 5 + k * 3 + k / 8 + n * k / 7) % 16)
        }
        let expected: [UInt16] = [
            0x9be0, 0xcf14, 0x257, 0x468b, 0x7ace, 0xbd02, 0xe136, 0x2479, 0xf246, 0x358a, 0x69be, 0xacf1,
            0xd025, 0x1368, 0x579c, 0x8bdf, 0xacde, 0xef12, 0x2346, 0x6789, 0x9bcd, 0xde01, 0x1235, 0x4678,
            0x5789, 0x9acd, 0xdef1, 0x234, 0x4578, 0x89ac, 0xcdef, 0xf123, 0xcccc, 0x0, 0x4444, 0x8888,
            0xbccc, 0xff00, 0x3334, 0x7777, 0xbccc, 0xff00, 0x3334, 0x7777, 0xbbbb, 0xffff, 0x3333, 0x6777,
            0xedcb, 0x210f, 0x6543, 0xa987, 0xedcb, 0x210f, 0x6543, 0xa987, 0x210f, 0x6543, 0xa987, 0xedcb,
            0x210f, 0x6543, 0xa987, 0xedcb,
        ]
        let words = try Int4ExchangeLayout.words(codes, rows: 8, columns: 128)
        let second = (0..<64).map { UInt16(words[2 * (192 + $0)]) | UInt16(words[2 * (192 + $0) + 1]) << 8 }
        #expect(second == expected)
    }

    @Test func exchangeLayoutRefusesWhatDoesNotFit() {
        let error = #expect(throws: ApusError.self) { try Int4ExchangeLayout.words([], rows: 6, columns: 64) }
        #expect(
            error?.message == "exchange layout: expected a multiple of 4 rows and of 64 columns, got 6 × 64")
        #expect(throws: ApusError.self) {
            try Int4ExchangeLayout.words([UInt8](repeating: 16, count: 256), rows: 4, columns: 64)
        }
        #expect(throws: ApusError.self) { try Int4ExchangeLayout.codes([1], rows: 4, columns: 64) }
    }
}
