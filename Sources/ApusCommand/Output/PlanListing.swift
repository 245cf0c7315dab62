import Apus

/// A plan as text: what the model is, every step with its kernel, every tensor with its place and size.
struct PlanListing {
    private let plan: Plan
    private let info: ModelInfo
    private let precision: ElementType

    /// Describes the plan of a model.
    init(_ plan: Plan, info: ModelInfo, precision: ElementType) {
        self.plan = plan
        self.info = info
        self.precision = precision
    }

    /// The whole listing.
    var text: String { header + steps + tensors }

    /// What passes launch on a device, if that is not a launch for each step.
    static func launches(_ passes: [PassListing]) -> String {
        passes.map { pass in
            "\(pass.title), \(pass.launches.count) launches:\n"
                + (pass.notes + pass.launches).map { "  \($0)\n" }.joined()
        }.joined()
    }

    /// Sizes of the model and of its memory.
    var header: String {
        let weights = plan.tensors.filter { if case .weight = $0.storage { true } else { false } }
        let bytes = weights.reduce(0) {
            $0 + (Self.bytes(of: $1, SessionLimits(batch: 1, chunk: 1, capacity: 1)) ?? 0)
        }
        var lines = [
            "engine of \(info.modelType): \(info.layerCount) layers, vocabulary \(info.vocabularySize), "
                + "\(info.maxPositions) positions, \(precision.rawValue)",
            "  \(plan.steps.count) steps, \(plan.kvCaches.count) KV caches, \(weights.count) weights of "
                + "\(Figures.bytes(bytes))",
        ]
        for (batch, chunk, capacity) in [(1, 1, 1024), (1, 512, 1024)] {
            let limits = SessionLimits(
                batch: batch, chunk: min(chunk, info.maxPositions), capacity: min(capacity, info.maxPositions)
            )
            guard let buffers = try? BufferPlan(plan, limits: limits) else { continue }
            let caches = plan.kvCaches.reduce(0) {
                $0 + (Self.bytes(of: plan.tensors[$1.tensor], limits) ?? 0)
            }
            lines.append(
                "  batch \(batch), \(limits.chunk) new tokens, capacity \(limits.capacity): activations "
                    + "\(Figures.bytes(buffers.byteCount)), KV caches \(Figures.bytes(caches))")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Steps in order: number, kernel, results and operands.
    var steps: String {
        var lines = ["steps:"]
        let width = plan.steps.reduce(0) { max($0, $1.kernel.count) }
        for (index, step) in plan.steps.enumerated() {
            let number = String(repeating: " ", count: max(5 - "\(index)".count, 0)) + "\(index)"
            let kernel = step.kernel + String(repeating: " ", count: width - step.kernel.count)
            let results = step.results.map { plan.tensors[$0].name }.joined(separator: ", ")
            let operands = step.operands.map { $0.map { plan.tensors[$0].name } ?? "none" }
            lines.append("\(number)  \(kernel)  \(results) = \(step.op)(\(operands.joined(separator: ", ")))")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Tensors by index: where they live, their type, and their bytes where those are constant.
    var tensors: String {
        var table = MarkdownTable([
            MarkdownTable.Column(title: "tensor", isNumber: false),
            MarkdownTable.Column(title: "storage", isNumber: false),
            MarkdownTable.Column(title: "type", isNumber: false),
            MarkdownTable.Column(title: "bytes", isNumber: true),
        ])
        for tensor in plan.tensors {
            let storage =
                switch tensor.storage {
                case .weight(let region): "weight \(region)\(tensor.packing.map { " in \($0)" } ?? "")"
                case .input(let name): "input \(name)"
                case .activation: "activation"
                case .alias(let root): "alias of \(plan.tensors[root].name)"
                }
            let bytes = tensor.type.constantShape.map { $0.reduce(tensor.type.element.byteCount, *) }
            table.append([tensor.name, storage, "\(tensor.type)", bytes.map(String.init)])
        }
        return "tensors:\n" + table.text
    }

    private static func bytes(of tensor: Plan.Tensor, _ limits: SessionLimits) -> Int? {
        tensor.type.elementCount.evaluate(limits.value(of:)).map { $0 * tensor.type.element.byteCount }
    }
}
