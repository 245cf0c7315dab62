import Apus
import Testing

@Suite struct Int4GroupwiseGemmTests {
    struct Case: CustomTestStringConvertible {
        var m: Int, n: Int, k: Int
        var group = 128
        var hasZeroPoints = false, hasBias = false
        var testDescription: String { "\(m)x\(n)x\(k)/\(group)" }
    }

    /// The sizes of TensorRT Edge-LLM's tests (GEMM, GEMV, odd N), and what those leave out: groups of 64 and 32, zero
    /// points, bias.
    static let cases =
        [
            Case(m: 128, n: 128, k: 128), Case(m: 64, n: 512, k: 512), Case(m: 1, n: 384, k: 896),
            Case(m: 1, n: 512, k: 896), Case(m: 1, n: 640, k: 1024), Case(m: 130, n: 131, k: 256),
            Case(m: 17, n: 67, k: 256, group: 64, hasZeroPoints: true, hasBias: true),
            Case(m: 3, n: 33, k: 320, group: 32, hasZeroPoints: true),
        ] + (1...6).map { Case(m: $0, n: 32, k: 2560, hasBias: $0 % 2 == 0) }

    static let sets: [InstructionSet] = InstructionSet.allCases.filter {
        (try? CPUBackend(threads: 1, instructionSet: $0)) != nil
    }

    private struct Generator {
        var state: UInt64 = 5
        mutating func next(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(limit))
        }
        mutating func unit() -> Float { Float(next(1 << 20)) / Float(1 << 19) - 1 }
    }

    private func operands(_ c: Case) -> [Tensor?] {
        var generator = Generator()
        let groups = c.k / c.group
        return [
            Tensor(.f32, [1, c.m, c.k], floats: (0..<c.m * c.k).map { _ in generator.unit() }),
            Tensor(.u8, [c.n, c.k], ints: (0..<c.n * c.k).map { _ in generator.next(16) }),
            Tensor(
                .f16, [groups, c.n], floats: (0..<groups * c.n).map { _ in 0.01 * (generator.unit() + 2) }),
            c.hasZeroPoints
                ? Tensor(.u8, [groups, c.n], ints: (0..<groups * c.n).map { _ in generator.next(16) }) : nil,
            c.hasBias ? Tensor(.f32, [c.n], floats: (0..<c.n).map { _ in generator.unit() }) : nil,
        ]
    }

    private func run(
        _ c: Case, _ operands: [Tensor?], _ activations: String, threads: Int, _ set: InstructionSet? = nil
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

    /// The product with rounded or exact inputs in double precision, and the size of what was added.
    private func expected(_ c: Case, _ operands: [Tensor?], _ activations: String) -> [(Double, Double)] {
        guard let x = operands[0]?.floats, let codes = operands[1]?.ints, let scales = operands[2]?.floats
        else {
            return []
        }
        var inputs = x.map(Double.init)
        if activations == "int8" {
            for start in stride(from: 0, to: x.count, by: c.group) {
                let largest = x[start..<start + c.group].map(\.magnitude).max() ?? 0
                for index in start..<start + c.group where largest > 0 {
                    inputs[index] = Double(
                        (x[index] * (127 / largest)).rounded(.toNearestOrEven) * (largest / 127))
                }
            }
        }
        var result: [(Double, Double)] = []
        for m in 0..<c.m {
            for n in 0..<c.n {
                var sum = Double(operands[4]?.floats[n] ?? 0)
                var size = abs(sum)
                for k in 0..<c.k {
                    let place = k / c.group * c.n + n
                    let code = codes[n * c.k + k] - (operands[3]?.ints[place] ?? 8)
                    let product = inputs[m * c.k + k] * Double(code) * Double(scales[place])
                    sum += product
                    size += abs(product)
                }
                result.append((sum, size))
            }
        }
        return result
    }

    @Test(arguments: cases)
    func computesTheProductThroughTheRunner(c: Case) throws {
        let operands = operands(c)
        for activations in ["int8", "f32"] {
            let want = expected(c, operands, activations)
            let one = try run(c, operands, activations, threads: 1)
            #expect(zip(one, want).allSatisfy { abs(Double($0) - $1.0) <= 1e-6 * $1.1 }, "\(activations)")
            #expect(try run(c, operands, activations, threads: 3) == one, "\(activations), three threads")
        }
    }

    @Test(arguments: sets)
    func everyInstructionSetComputesIt(set: InstructionSet) throws {
        let c = Case(m: 5, n: 67, k: 256, group: 64, hasZeroPoints: true, hasBias: true)
        let operands = operands(c)
        for activations in ["int8", "f32"] {
            let want = expected(c, operands, activations)
            let got = try run(c, operands, activations, threads: 2, set)
            #expect(zip(got, want).allSatisfy { abs(Double($0) - $1.0) <= 1e-6 * $1.1 })
        }
    }

    @Test func roundingTheInputsCostsLittle() throws {
        let c = Case(m: 16, n: 64, k: 1024)
        let operands = operands(c)
        let exact = expected(c, operands, "f32").map(\.0)
        let rounded = try run(c, operands, "int8", threads: 1)
        let error = zip(exact, rounded).reduce(0) { $0 + ($1.0 - Double($1.1)) * ($1.0 - Double($1.1)) }
        let power = exact.reduce(0) { $0 + $1 * $1 }
        #expect((error / power).squareRoot() < 0.006)
    }

    @Test func codesThatNeedMoreBitsAreAnError() throws {
        let c = Case(m: 1, n: 4, k: 128)
        var operands = operands(c)
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
        var generator = Generator()
        let codes = (0..<rows * columns).map { _ in UInt8(generator.next(16)) }
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
