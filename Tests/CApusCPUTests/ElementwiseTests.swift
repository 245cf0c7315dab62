import CApusCPU
import TestNumbers
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite struct ElementwiseTests {
    struct Function: CustomTestStringConvertible {
        var kind: apus_unary
        var testDescription: String
        var ulps: Double
        /// How far a result may be off in all: what divides by 1 + exp(-x) gives 0 once that overflows.
        var slack = 1e-44
        var of: @Sendable (Double) -> Double
    }

    static let functions = [
        Function(kind: APUS_SILU, testDescription: "silu", ulps: 4, slack: 1e-37) { $0 / (1 + exp(-$0)) },
        Function(kind: APUS_RELU, testDescription: "relu", ulps: 0) { max($0, 0) },
        Function(kind: APUS_TANH, testDescription: "tanh", ulps: 3) { tanh($0) },
        Function(kind: APUS_SIGMOID, testDescription: "sigmoid", ulps: 4, slack: 1e-37) {
            1 / (1 + exp(-$0))
        },
        Function(kind: APUS_EXP, testDescription: "exp", ulps: 2) { exp($0) },
        Function(kind: APUS_ERF, testDescription: "erf", ulps: 3) { erf($0) },
        Function(kind: APUS_NEG, testDescription: "neg", ulps: 0) { -$0 },
        Function(kind: APUS_ABS, testDescription: "abs", ulps: 0) { abs($0) },
        Function(kind: APUS_SQUARE, testDescription: "square", ulps: 0.5) { $0 * $0 },
        Function(kind: APUS_RECIPROCAL, testDescription: "reciprocal", ulps: 0.5) { 1 / $0 },
        Function(kind: APUS_SIN, testDescription: "sin", ulps: 1) { sin($0) },
        Function(kind: APUS_COS, testDescription: "cos", ulps: 1) { cos($0) },
    ]

    /// Every binade from 2^-30 to 2^6 with both signs, in a number of elements no vector divides.
    static let arguments: [Float] = {
        var numbers = Numbers(seed: 9)
        return (-30...6).flatMap { power -> [Float] in
            (0..<7).flatMap { _ -> [Float] in
                let x = Float(sign: .plus, exponent: power, significand: 1 + abs(numbers.unit()))
                return [x, -x]
            }
        } + [0]
    }()

    @Test(arguments: instructionSets, functions)
    func unaryStaysWithinItsUlps(isa: apus_isa, function: Function) throws {
        let table = try kernels(isa)
        let x = Self.arguments.filter { function.kind != APUS_RECIPROCAL || $0 != 0 }
        var y = x
        table.unary(function.kind, x, &y, x.count)
        for (x, y) in zip(x, y) {
            let want = function.of(Double(x))
            if want.magnitude > Double(Float.greatestFiniteMagnitude) {
                #expect(y.magnitude == .infinity)
                continue
            }
            let ulp = Double(max(Float(want).ulp, .leastNonzeroMagnitude))
            #expect(
                abs(Double(y) - want) <= function.ulps * ulp + function.slack, "f(\(x)) = \(y), want \(want)")
        }
    }

    @Test(arguments: instructionSets)
    func geluStaysCloseOnTheScaleOfItsArgument(isa: apus_isa) throws {
        let table = try kernels(isa)
        let x = (-400...400).map { Float($0) / 50 }
        var y = x
        table.unary(APUS_GELU_ERF, x, &y, x.count)
        for (x, y) in zip(x.map { Double($0) }, y) {
            let want: Double = x / 2 * (1 + erf(x / 2.0.squareRoot()))
            #expect(abs(Double(y) - want) < 5e-7)
        }
        table.unary(APUS_GELU_TANH, x, &y, x.count)
        for (x, y) in zip(x.map { Double($0) }, y) {
            let want = x / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
            #expect(abs(Double(y) - want) < 8e-7)
        }
    }

    @Test(arguments: instructionSets)
    func unaryKeepsNaNAndReachesItsLimits(isa: apus_isa) throws {
        let table = try kernels(isa)
        let x: [Float] = [.nan, .infinity, -.infinity]
        for (kind, up, down) in [
            (APUS_EXP, Float.infinity, Float(0)), (APUS_TANH, 1, -1), (APUS_ERF, 1, -1), (APUS_SIGMOID, 1, 0),
            (APUS_RELU, .infinity, 0),
        ] {
            var y = x
            table.unary(kind, x, &y, 3)
            #expect(y[0].isNaN && y[1] == up && y[2] == down, "\(kind) gives \(y)")
        }
        let roots: [Float] = [0, 1e-30, 2, 1e30]
        var y = roots
        table.unary(APUS_SQRT, roots, &y, 4)
        #expect(y == roots.map { $0.squareRoot() })
        table.unary(APUS_RSQRT, roots, &y, 4)
        #expect(y == roots.map { 1 / $0.squareRoot() })
    }

    @Test(arguments: instructionSets)
    func gatedMultipliesStridedRows(isa: apus_isa) throws {
        let table = try kernels(isa)
        var numbers = Numbers()
        let (rows, cols) = (3, 37)
        // Gate and up side by side, as a fused projection leaves them.
        let both = numbers.array(rows * 2 * cols, scale: 4)
        var y = [Float](repeating: 0, count: rows * cols)
        both.withUnsafeBufferPointer { p in
            table.gated(
                APUS_SILU, p.baseAddress, 2 * cols, p.baseAddress! + cols, 2 * cols, &y, cols, rows, cols)
        }
        let want = (0..<rows * cols).map { i -> Double in
            let at = i / cols * 2 * cols + i % cols, gate = Double(both[at])
            return gate / (1 + exp(-gate)) * Double(both[at + cols])
        }
        #expect(error(y, want) < 5e-7)
    }

    @Test(arguments: instructionSets)
    func binaryIsExactInEveryForm(isa: apus_isa) throws {
        let table = try kernels(isa)
        let operations: [(apus_binary, (Float, Float) -> Float)] = [
            (APUS_ADD, { $0 + $1 }), (APUS_SUB, { $0 - $1 }), (APUS_MUL, { $0 * $1 }),
            (APUS_DIV, { $0 / $1 }),
            (APUS_REVERSE_SUB, { $1 - $0 }), (APUS_REVERSE_DIV, { $1 / $0 }),
            (APUS_MAXIMUM, { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }),
            (APUS_MINIMUM, { $0.isNaN || $1.isNaN ? .nan : min($0, $1) }),
        ]
        var numbers = Numbers()
        let (rows, cols) = (5, 19)
        var a = numbers.array(rows * cols), b = numbers.array(rows * cols)
        (a[3], b[5], a[40], b[40]) = (.nan, .nan, .infinity, 2)
        var y = a
        func same(_ want: [Float]) -> Bool { zip(y, want).allSatisfy { $0 == $1 || ($0.isNaN && $1.isNaN) } }
        for (kind, of) in operations {
            table.binary(kind, a, b, &y, a.count)
            #expect(same(zip(a, b).map { of($0, $1) }), "\(kind)")
            table.binary_rows(kind, a, b, &y, rows, cols)
            #expect(same(a.indices.map { of(a[$0], b[$0 % cols]) }), "\(kind) rows")
            table.binary_cols(kind, a, b, &y, rows, cols)
            #expect(same(a.indices.map { of(a[$0], b[$0 / cols]) }), "\(kind) cols")
            table.binary_scalar(kind, a, 0.7, &y, a.count)
            #expect(same(a.map { of($0, 0.7) }), "\(kind) scalar")
        }
    }
}
