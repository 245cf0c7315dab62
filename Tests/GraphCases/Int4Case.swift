package import ApusGraph
package import ApusSupport
import TestNumbers

/// A product with codes of four bits, `int4_groupwise_gemm`.
package struct Int4Case: CustomStringConvertible, Sendable {
    /// Rows, output features, inputs.
    package let m: Int, n: Int, k: Int
    /// Inputs that share a scale.
    package let group: Int
    package let hasZeroPoints: Bool, hasBias: Bool

    package init(
        m: Int, n: Int, k: Int, group: Int = 128, hasZeroPoints: Bool = false, hasBias: Bool = false
    ) {
        (self.m, self.n, self.k, self.group) = (m, n, k, group)
        (self.hasZeroPoints, self.hasBias) = (hasZeroPoints, hasBias)
    }

    /// Its sizes.
    package var description: String { "\(m)x\(n)x\(k)/\(group)" }

    /// The sizes of TensorRT Edge-LLM's tests (GEMM, GEMV, odd N), and what those leave out: groups of 64 and 32, zero
    /// points, bias.
    package static let all =
        [
            Int4Case(m: 128, n: 128, k: 128), Int4Case(m: 64, n: 512, k: 512),
            Int4Case(m: 1, n: 384, k: 896), Int4Case(m: 1, n: 512, k: 896), Int4Case(m: 1, n: 640, k: 1024),
            Int4Case(m: 130, n: 131, k: 256),
            Int4Case(m: 17, n: 67, k: 256, group: 64, hasZeroPoints: true, hasBias: true),
            Int4Case(m: 3, n: 33, k: 320, group: 32, hasZeroPoints: true),
        ] + (1...6).map { Int4Case(m: $0, n: 32, k: 2560, hasBias: $0 % 2 == 0) }

    /// Seeded operands of the op: x, codes, scales, and zero points and bias or nil.
    package var operands: [Tensor?] {
        var numbers = Numbers(seed: 5)
        let groups = k / group
        return [
            Tensor(.f32, [1, m, k], floats: (0..<m * k).map { _ in numbers.unit() }),
            Tensor(.u8, [n, k], ints: (0..<n * k).map { _ in numbers.below(16) }),
            Tensor(.f16, [groups, n], floats: (0..<groups * n).map { _ in 0.01 * (numbers.unit() + 2) }),
            hasZeroPoints
                ? Tensor(.u8, [groups, n], ints: (0..<groups * n).map { _ in numbers.below(16) }) : nil,
            hasBias ? Tensor(.f32, [n], floats: (0..<n).map { _ in numbers.unit() }) : nil,
        ]
    }

    /// The product in double precision, and for each number the sum of the magnitudes that were added.
    /// - Parameter areRounded: Whether inputs are rounded to 8 bits, as `activations = "int8"` allows.
    package func expected(areRounded: Bool) -> [(value: Double, size: Double)] {
        let operands = operands
        guard let x = operands[0]?.floats, let codes = operands[1]?.ints, let scales = operands[2]?.floats
        else {
            return []
        }
        let zeroPoints = operands[3]?.ints
        let bias = operands[4]?.floats
        var inputs = x.map(Double.init)
        if areRounded {
            for start in stride(from: 0, to: x.count, by: group) {
                let largest = x[start..<start + group].map(\.magnitude).max() ?? 0
                for index in start..<start + group where largest > 0 {
                    inputs[index] = Double(
                        (x[index] * (127 / largest)).rounded(.toNearestOrEven) * (largest / 127))
                }
            }
        }
        var result: [(Double, Double)] = []
        for m in 0..<m {
            for n in 0..<n {
                var sum = Double(bias?[n] ?? 0)
                var size = abs(sum)
                for input in 0..<k {
                    let place = input / group * self.n + n
                    let code = codes[n * k + input] - (zeroPoints?[place] ?? 8)
                    let product = inputs[m * k + input] * Double(code) * Double(scales[place])
                    sum += product
                    size += abs(product)
                }
                result.append((sum, size))
            }
        }
        return result
    }

    /// The op as a graph of constant shapes over the input `x`; the other operands are stored.
    /// - Throws: `.mismatch` with every constraint of the op that does not hold.
    package func graph(activations: String) throws(ApusError) -> Graph {
        var names: [String] = []
        var stored: [String] = []
        for (index, operand) in operands.enumerated() {
            names.append(operand == nil ? "none" : "%\(Self.names[index])")
            guard let operand, index > 0 else { continue }
            stored.append(
                "%\(Self.names[index]) = parameter() {name = \"\(Self.names[index])\"} : \(operand)")
        }
        let graph = try Graph(
            parsing: """
                graph @f(%x: f32[1, \(m), \(k)]) {
                  \(stored.joined(separator: "\n  "))
                  %y = int4_groupwise_gemm(\(names.joined(separator: ", "))) {group_size = \(group), \
                activations = "\(activations)"} : f32[1, \(m), \(n)]
                  return %y
                }
                """)
        try graph.verify()
        return graph
    }

    fileprivate static let names = ["x", "codes", "scales", "zeros", "bias"]
}

/// The stored operands of a product with codes.
package struct Int4Weights: WeightSource {
    private let operands: [Tensor?]

    /// Takes the operands of a case.
    package init(_ test: Int4Case) { operands = test.operands }

    private func tensor(_ name: String) -> Tensor? {
        zip(Int4Case.names, operands).first { $0.0 == name }?.1
    }

    /// The type of an operand.
    package func type(of name: String) -> TensorType? {
        tensor(name).map { TensorType($0.element, $0.shape) }
    }

    /// The elements of an operand, row-major.
    package func withBytes(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        guard let tensor = tensor(name) else { throw ApusError(.notFound, "no weight '\(name)'") }
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: tensor.shape.reduce(tensor.element.byteCount, *), alignment: 8)
        defer { memory.deallocate() }
        if let base = memory.baseAddress { tensor.write(as: tensor.element, to: base) }
        try body(UnsafeRawBufferPointer(memory))
    }
}
