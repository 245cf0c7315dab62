import ApusGraph
import ApusSupport

/// Checks that a plan that was read fits together before anything runs it: places, types, kernels, bounds.
///
/// Kernels trust their plan. The rules of the ops derive the type of every result anew, so that no kernel writes
/// beyond a tensor; the backend's catalog is asked again about every step. Cost: a few microseconds a step.
struct EngineCheck {
    private let blueprint: EngineBlueprint
    private let weightBytes: Int
    private let backend: any Backend
    private let plugins: PluginRegistry
    private let registry: OpRegistry
    private var plan: Plan { blueprint.plan }

    /// Sizes beyond these are no model, and keep all later arithmetic in range.
    private static let mostTensors = 1 << 17
    private static let mostElements = 1 << 40
    private static let highestRank = 8
    private static let mostTerms = 16

    init(
        _ blueprint: EngineBlueprint, weightBytes: Int, backend: any Backend, plugins: PluginRegistry
    ) {
        self.blueprint = blueprint
        self.weightBytes = weightBytes
        self.backend = backend
        self.plugins = plugins
        registry = plugins.ops()
    }

    /// - Throws: `.invalidInput` with the first thing that does not fit, `.unsupported` for an op or kernel that is
    ///   not there.
    func run() throws(ApusError) {
        try checkSizes()
        try checkRegions()
        try checkTensors()
        var isWritten = plan.tensors.map { tensor in
            switch tensor.storage {
            case .weight, .input: true
            case .activation, .alias: false
            }
        }
        for (index, step) in plan.steps.enumerated() { try check(step, index, &isWritten) }
        try checkOutputs(isWritten)
    }

    private func require(
        _ condition: Bool, _ place: @autoclosure () -> String, _ expected: @autoclosure () -> String,
        got: @autoclosure () -> String
    ) throws(ApusError) {
        guard !condition else { return }
        throw EngineFileHeader.damaged("\(EngineSection.plan): \(place())", expected(), got())
    }

    // MARK: Sizes

    private func checkSizes() throws(ApusError) {
        let info = blueprint.info
        for (name, count) in [
            ("tensors", plan.tensors.count), ("steps", plan.steps.count),
            ("weights", blueprint.regions.count),
        ] {
            try require(count <= Self.mostTensors, name, "at most \(Self.mostTensors)", got: "\(count)")
        }
        for (name, value) in [("vocabulary", info.vocabularySize), ("positions", info.maxPositions)] {
            try require(
                (1...Int(Int32.max)).contains(value), "model.\(name)", "1…\(Int32.max)", got: "\(value)")
        }
        try require(
            blueprint.precision.isFloat, "precision", "f32, f16 or bf16", got: blueprint.precision.rawValue)
        let names = Set(plan.symbols.map(\.name))
        try require(names.count == plan.symbols.count, "symbols", "different names", got: "one twice")
        for region in blueprint.regions { try check(region.type, "weight '\(region.name)'", symbols: []) }
        for tensor in plan.tensors {
            try check(tensor.type, "tensor '\(tensor.name)'", symbols: names)
            try check(tensor, "tensor '\(tensor.name)'", symbols: names)
        }
    }

    /// A type is small enough to compute with, and mentions declared symbols only.
    private func check(_ type: TensorType, _ place: String, symbols: Set<String>) throws(ApusError) {
        try require(type.rank <= Self.highestRank, place, "a rank up to \(Self.highestRank)", got: "\(type)")
        var product = 1
        for dimension in type.shape {
            var size = dimension.constant ?? dimension.magnitude
            if dimension.constant == nil {
                try require(
                    symbols.isSuperset(of: dimension.symbols) && dimension.termCount <= Self.mostTerms, place,
                    "declared symbols", got: "\(type)")
            } else {
                try require(size >= 0, place, "sizes of at least 0", got: "\(type)")
                size = max(size, 1)
            }
            let (next, overflow) = product.multipliedReportingOverflow(by: size)
            try require(
                !overflow && next <= Self.mostElements, place, "at most \(Self.mostElements) elements",
                got: "\(type)")
            product = next
        }
    }

    /// A layout has a step for each dimension; that it stays within its memory is checked in each pass, when its
    /// sizes are known.
    private func check(_ tensor: Plan.Tensor, _ place: String, symbols: Set<String>) throws(ApusError) {
        let layout = tensor.layout
        let numbers = layout.strides + [layout.offset]
        try require(
            layout.strides.count == tensor.type.rank
                && numbers.allSatisfy {
                    symbols.isSuperset(of: $0.symbols) && $0.termCount <= Self.mostTerms
                        && $0.magnitude <= Self.mostElements
                },
            place, "a step of declared symbols for each dimension of \(tensor.type)", got: "\(layout)")
    }

    // MARK: Places

    private func checkRegions() throws(ApusError) {
        var end = 0
        for region in blueprint.regions {
            let count = region.type.constantShape?.reduce(1, *)
            try require(
                count.map { $0 * region.type.element.byteCount } == region.byteCount,
                "weight '\(region.name)'",
                "\(region.byteCount) bytes", got: "\(region.type)")
            try require(
                region.offset >= end && region.offset % BufferPlan.alignment == 0, "weight '\(region.name)'",
                "an offset of at least \(end), a multiple of \(BufferPlan.alignment)", got: "\(region.offset)"
            )
            try require(
                region.offset <= weightBytes && region.byteCount <= weightBytes - region.offset,
                "weight '\(region.name)'", "to lie in \(weightBytes) bytes",
                got: "\(region.offset) + \(region.byteCount)")
            end = region.offset + region.byteCount
        }
    }

    private func checkTensors() throws(ApusError) {
        for (index, tensor) in plan.tensors.enumerated() {
            let place = "tensor \(index) '\(tensor.name)'"
            switch tensor.storage {
            case .weight(let region):
                try require(
                    blueprint.regions.indices.contains(region), place,
                    "one of \(blueprint.regions.count) weights",
                    got: "\(region)")
                try require(
                    blueprint.regions[region].type == tensor.type, place, "\(blueprint.regions[region].type)",
                    got: "\(tensor.type)")
            case .alias(let root):
                // Only of what comes before: so that no chain of aliases is a circle.
                try require(
                    (0..<index).contains(root), place, "an alias of an earlier tensor", got: "of \(root)")
                let type = plan.tensors[root].type
                try require(
                    type.element == tensor.type.element, place, "elements as those of \(type)",
                    got: "\(tensor.type)")
            case .activation, .input: break
            }
        }
    }

    // MARK: Steps

    private func check(_ step: Plan.Step, _ index: Int, _ isWritten: inout [Bool]) throws(ApusError) {
        let place = "step \(index) '\(step.op)'"
        for case let tensor? in step.operands.map({ $0 }) + step.results.map(Optional.some) {
            try require(
                plan.tensors.indices.contains(tensor), place, "one of \(plan.tensors.count) tensors",
                got: "\(tensor)")
        }
        for case let operand? in step.operands {
            try require(
                isWritten[plan.root(of: operand)], place, "operands that are computed before",
                got: "'\(plan.tensors[operand].name)'")
        }
        guard let spec = registry[step.op] ?? PlanOps.spec(step.op) else {
            throw ApusError(
                .unsupported,
                "\(EngineSection.plan): \(place): expected a known op, got '\(step.op)'; register the plugin that it "
                    + "belongs to, or compile the model anew")
        }
        let operands = step.operands.map { $0.map { plan.tensors[$0].type } }
        let results = step.results.map { plan.tensors[$0].type }
        func checked(_ operands: [TensorType?]) -> (checker: OpChecker, types: [TensorType]?) {
            let checker = OpChecker(
                spec: spec, operands: operands, attributes: step.attributes, declared: results)
            return (checker, checker.isWellFormed ? spec.infer(checker) : nil)
        }
        var (checker, types) = checked(operands)
        if types != results || !checker.problems.isEmpty {
            // A kernel may read what the graph means in a narrower type.
            let wide = checked(widened(operands, of: step))
            if wide.types == results, wide.checker.problems.isEmpty { (checker, types) = wide }
        }
        if let problem = checker.problems.first {
            throw EngineFileHeader.damaged(
                "\(EngineSection.plan): \(place)", "\(step.op).\(problem.label)", problem.message)
        }
        try require(types == results, place, "results of its op's types", got: "\(results)")
        try checkKernel(
            step, place,
            KernelQuery(op: step.op, operands: operands, results: results, attributes: step.attributes))
        try checkBounds(step, place)
        for result in step.results {
            let root = plan.root(of: result)
            if case .weight = plan.tensors[root].storage {
                try require(false, place, "results in memory of their own", got: "a weight")
            }
            isWritten[root] = true
        }
    }

    /// The operands in the types that the graph gives those which a kernel also reads in narrower ones.
    private func widened(_ operands: [TensorType?], of step: Plan.Step) -> [TensorType?] {
        let entry = backend.catalog.entries.first { $0.op == step.op && $0.kernel == step.kernel }
        return operands.enumerated().map { index, type in
            guard var type, entry?.form(index).allowsNarrow == true else { return type }
            if type.element.isFloat { type.element = .f32 }
            if type.element == .i32 { type.element = .i64 }
            return type
        }
    }

    private func checkKernel(_ step: Plan.Step, _ place: String, _ query: KernelQuery) throws(ApusError) {
        if let id = step.plugin {
            let plugin = try plugins.plugin(id)
            try require(plugin.op.name == step.op, place, "op '\(plugin.op.name)' of \(id)", got: step.op)
            switch backend.choose(plugin, for: query) {
            case .kernel(let entry, _):
                try require(
                    entry.kernel == step.kernel, place, "kernel '\(entry.kernel)'", got: "'\(step.kernel)'")
                try checkLayouts(step, place, entry)
            case .none(let reason): try require(false, place, "types that \(id) takes", got: reason)
            }
            return
        }
        let entries = backend.catalog.entries.filter { $0.op == step.op && $0.kernel == step.kernel }
        guard !entries.isEmpty else {
            throw ApusError(
                .unsupported,
                "\(EngineSection.plan): \(place): expected a kernel of device '\(blueprint.origin.device)', got "
                    + "'\(step.kernel)'; compile the model anew with this version of Apus")
        }
        let refusals = entries.compactMap { $0.refusal(query) }
        try require(
            refusals.count < entries.count, place, "types that kernel '\(step.kernel)' takes",
            got: refusals.first ?? "")
        for entry in entries where entry.refusal(query) == nil { try checkLayouts(step, place, entry) }
    }

    /// Operands lie as the kernel reads them, results as it writes them.
    private func checkLayouts(_ step: Plan.Step, _ place: String, _ entry: KernelEntry) throws(ApusError) {
        for (index, operand) in step.operands.enumerated() {
            guard let tensor = operand.map({ plan.tensors[$0] }) else { continue }
            try require(
                entry.form(index).accepts(tensor.layout, tensor.type), place,
                "a layout that kernel '\(entry.kernel)' reads", got: "'\(tensor.name)' \(tensor.layout)")
        }
        for (index, result) in step.results.enumerated() {
            let tensor = plan.tensors[result]
            if let operand = entry.inPlace[index] {
                let source = operand < step.operands.count ? step.operands[operand] : nil
                try require(
                    source.map { plan.tensors[$0].layout } == tensor.layout
                        && source.map { plan.root(of: $0) } == plan.root(of: result),
                    place, "result \(index) in the memory of operand \(operand)", got: "'\(tensor.name)'")
                continue
            }
            let order = index == 0 ? entry.resultOrder : nil
            let expected =
                order.map { Layout.dense(tensor.type.shape, order: $0) } ?? .dense(tensor.type.shape)
            try require(
                tensor.layout == expected, place, "result \(index) to lie as \(expected)",
                got: "'\(tensor.name)' \(tensor.layout)")
        }
    }

    /// Ids and positions that the runtime lets through are rows of the tables that they choose from.
    private func checkBounds(_ step: Plan.Step, _ place: String) throws(ApusError) {
        func rows(_ operand: Int, _ dimension: Int) -> Int {
            guard operand < step.operands.count, let tensor = step.operands[operand] else { return 0 }
            let shape = plan.tensors[tensor].type.shape
            return dimension < shape.count ? shape[dimension].constant ?? 0 : 0
        }
        switch step.op {
        case "embedding":
            guard let indices = step.operands[1],
                case .input(let name) = plan.tensors[plan.root(of: indices)].storage
            else { return }
            let least =
                name == Bindings.inputIDs ? blueprint.info.vocabularySize : blueprint.info.maxPositions
            try require(
                rows(0, 0) >= least, place, "a table of at least \(least) rows for \(name)",
                got: "\(rows(0, 0))")
        case "attention_plugin":
            let least = blueprint.info.maxPositions
            try require(
                rows(3, 1) >= least, place, "angles of at least \(least) positions", got: "\(rows(3, 1))")
        default: return
        }
    }

    private func checkOutputs(_ isWritten: [Bool]) throws(ApusError) {
        try require(!plan.outputs.isEmpty, "outputs", "at least the logits", got: "none")
        for output in plan.outputs {
            try require(
                plan.tensors.indices.contains(output.tensor), "output '\(output.name)'",
                "one of \(plan.tensors.count) tensors", got: "\(output.tensor)")
            try require(
                isWritten[plan.root(of: output.tensor)], "output '\(output.name)'",
                "a tensor that is computed",
                got: "'\(plan.tensors[output.tensor].name)'")
        }
        let logits = plan.tensors[plan.outputs[0].tensor].type
        let shape = [Dimension.symbol(Bindings.batchSymbol), Dimension(blueprint.info.vocabularySize)]
        try require(
            logits.element == .f32 && logits.shape.first == shape[0] && logits.shape.last == shape[1],
            "output '\(plan.outputs[0].name)'", "logits f32[\(shape[0]), …, \(shape[1])]", got: "\(logits)")
    }
}
