import ApusEngine
import ApusGraph

/// A step that multiplies with a stored matrix, plain or quantised, and where its operands are.
///
/// Behind the bias follow, in fused steps, the residual, the weight of a norm and its bias.
struct Product {
    /// Position of the bias.
    let bias: Int
    /// Op of the fused form for few rows.
    let fewRows: String
    /// Op of the form for many rows.
    let manyRows: String

    var residual: Int { bias + 1 }
    var normWeight: Int { bias + 2 }
    var normBias: Int { bias + 3 }

    private static let all = [
        Product(bias: 2, fewRows: "gemv", manyRows: "linear"),
        Product(bias: 4, fewRows: "int4_gemv", manyRows: "int4_groupwise_gemm"),
        Product(bias: 4, fewRows: "int8_gemv", manyRows: "int8_linear"),
    ]

    /// What a step multiplies, fused already or not; nil for any other step.
    init?(_ step: Plan.Step?) {
        guard let step, let product = Self.all.first(where: { [$0.fewRows, $0.manyRows].contains(step.op) })
        else {
            return nil
        }
        self = product
    }

    private init(bias: Int, fewRows: String, manyRows: String) {
        self.bias = bias
        self.fewRows = fewRows
        self.manyRows = manyRows
    }

    /// The step in another form, with some operands and results replaced.
    func step(
        _ step: Plan.Step, isForFewRows: Bool, operands: [Int: Int?] = [:], results: [Int]? = nil,
        attributes: [String: Attribute] = [:]
    ) -> Plan.Step {
        let op = isForFewRows ? fewRows : manyRows
        var list = step.operands + Array(repeating: nil, count: max(normBias + 1 - step.operands.count, 0))
        for (place, operand) in operands { list[place] = operand }
        return Plan.Step(
            op: op, kernel: "cuda.\(op)", operands: list, results: results ?? step.results,
            attributes: step.attributes.merging(attributes) { $1 }, plugin: step.plugin)
    }
}

extension Plan.Step {
    /// The operand at a position; nil if it is absent.
    func operand(_ index: Int) -> Int? { index < operands.count ? operands[index] : nil }
}
