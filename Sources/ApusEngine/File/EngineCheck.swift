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
        registry = OpRegistry(plugins.ops().all + PlanOps.all)
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
        _ = try backend.packings(of: plan, blueprint.regions, plugins)
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
        for tensor in plan.tensors { try check(tensor.type, "tensor '\(tensor.name)'", symbols: names) }
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

    // MARK: Places

    private func checkRegions() throws(ApusError) {
        var end = 0
        for region in blueprint.regions {
            let count = region.type.constantShape?.reduce(1, *)
            // How many bytes a packed weight has is for the kernel to say that reads it.
            try require(
                count.map { $0 * region.type.element.byteCount } == region.byteCount || region.packing != nil,
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
        let layouts = LayoutCheck(plan)
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
                try require(
                    blueprint.regions[region].packing == tensor.packing, place,
                    "the packing of its weight, \(Self.text(blueprint.regions[region].packing))",
                    got: Self.text(tensor.packing))
            case .alias(let root):
                // Only of what comes before: so that no chain of aliases is a circle.
                try require(
                    (0..<index).contains(root), place, "an alias of an earlier tensor", got: "of \(root)")
                try require(
                    plan.tensors[root].packing == nil, place, "an alias of what is row-major",
                    got: Self.text(plan.tensors[root].packing))
            case .input(let name):
                guard let shape = Bindings.shapes[name] else { break }
                // A program that was exported for one sequence has a batch of 1.
                let fixed = shape.map { $0 == .symbol(Bindings.batchSymbol) ? 1 : $0 }
                try require(
                    tensor.type.shape == shape || tensor.type.shape == fixed, place,
                    "a shape [\(shape.map(\.description).joined(separator: ", "))]", got: "\(tensor.type)")
            case .activation: break
            }
            if case .weight = tensor.storage {
            } else {
                try require(tensor.packing == nil, place, "row-major", got: Self.text(tensor.packing))
            }
            if let problem = layouts.problem(index) {
                try require(false, place, problem.expected, got: problem.got)
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
        guard let spec = registry[step.op] else {
            throw ApusError(
                .unsupported,
                "\(EngineSection.plan): \(place): expected a known op, got '\(step.op)'; register the plugin that it "
                    + "belongs to, or compile the model anew")
        }
        let operands = step.operands.map { $0.map { plan.tensors[$0].type } }
        let results = step.results.map { plan.tensors[$0].type }
        try checkTypes(step, spec, operands, results, place)
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

    /// The op's rule gives the types of the results, from the operands as they are or as the graph had them: a kernel
    /// may read a narrower type that holds the same numbers.
    private func checkTypes(
        _ step: Plan.Step, _ spec: OpSpec, _ operands: [TensorType?], _ results: [TensorType], _ place: String
    ) throws(ApusError) {
        func check(_ operands: [TensorType?]) -> (
            types: [TensorType]?, problem: (label: String, message: String)?
        ) {
            let checker = OpChecker(
                spec: spec, operands: operands, attributes: step.attributes, declared: results)
            let types = checker.isWellFormed ? spec.infer(checker) : nil
            return (types, checker.problems.first)
        }
        let widths: [ElementType: ElementType] = [.f16: .f32, .bf16: .f32, .i32: .i64]
        let entry = backend.catalog.entries.first { $0.op == step.op && $0.kernel == step.kernel }
        let widened = operands.enumerated().map { index, type -> TensorType? in
            guard let type, entry?.form(index).allowsNarrow == true, let wide = widths[type.element] else {
                return type
            }
            return TensorType(wide, type.shape)
        }
        let first = check(operands)
        if first.types == results, first.problem == nil { return }
        let second = check(widened)
        if second.types == results, second.problem == nil { return }
        let problem = first.problem ?? second.problem
        if let problem {
            throw EngineFileHeader.damaged(
                "\(EngineSection.plan): \(place)", "\(step.op).\(problem.label)", problem.message)
        }
        try require(false, place, "results \(first.types ?? [])", got: "\(results)")
    }

    /// The kernel reads operands that lie like these, and writes results that do.
    private func checkForms(_ step: Plan.Step, _ place: String, _ entry: KernelEntry) throws(ApusError) {
        for (index, operand) in step.operands.enumerated() {
            guard let operand else { continue }
            let tensor = plan.tensors[operand]
            try require(
                entry.form(index).accepts(tensor.layout, tensor.type), place,
                "operand \(index) in a form that '\(step.kernel)' reads", got: "\(tensor.layout)")
            try checkPacking(tensor, entry.form(index).packing, "\(place): operand \(index)")
        }
        for (index, result) in step.results.enumerated() {
            let tensor = plan.tensors[result]
            if let operand = entry.inPlace[index] {
                let memory = operand < step.operands.count ? step.operands[operand] : nil
                try require(
                    memory.map { plan.root(of: $0) == plan.root(of: result) } == true, place,
                    "result \(index) in the memory of operand \(operand)", got: "'\(tensor.name)'")
                continue
            }
            let order = index == 0 ? entry.resultOrder : nil
            let layout = order.map { Layout.dense(tensor.type.shape, order: $0) } ?? .dense(tensor.type.shape)
            try require(
                tensor.storage == .activation && tensor.layout == layout, place,
                "result \(index) in memory of its own, as '\(step.kernel)' writes it", got: "\(tensor.layout)"
            )
        }
    }

    /// A stored weight has the bytes that the kernel's packing makes of it.
    private func checkPacking(
        _ tensor: Plan.Tensor, _ packing: (any WeightPacking)?, _ place: String
    ) throws(ApusError) {
        guard case .weight(let index) = tensor.storage else { return }
        let (region, bytes) = (blueprint.regions[index], packing?.byteCount(of: tensor.type))
        guard tensor.packing == (bytes == nil ? nil : packing?.name) else {
            throw ApusError(
                .mismatch,
                "\(EngineSection.plan): \(place) '\(tensor.name)': expected a weight \(Self.text(packing?.name)), got "
                    + "one \(Self.text(tensor.packing)); compile the model anew with this version of Apus")
        }
        try require(
            bytes == nil || bytes == region.byteCount, "weight '\(region.name)'",
            "\(bytes ?? 0) bytes for \(region.type) \(Self.text(region.packing))", got: "\(region.byteCount)")
    }

    private static func text(_ packing: String?) -> String {
        packing.map { "packed as '\($0)'" } ?? "row-major"
    }

    private func checkKernel(_ step: Plan.Step, _ place: String, _ query: KernelQuery) throws(ApusError) {
        if let id = step.plugin {
            let plugin = try plugins.plugin(id)
            try require(plugin.op.name == step.op, place, "op '\(plugin.op.name)' of \(id)", got: step.op)
            switch backend.choose(plugin, for: query) {
            case .kernel(let entry, _):
                try require(
                    entry.kernel == step.kernel, place, "kernel '\(entry.kernel)'", got: "'\(step.kernel)'")
                try checkForms(step, place, entry)
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
        for entry in entries.prefix(1) { try checkForms(step, place, entry) }
        let refusals = entries.compactMap { $0.refusal(query) }
        try require(
            refusals.count < entries.count, place, "types that kernel '\(step.kernel)' takes",
            got: refusals.first ?? "")
    }

    /// Ids and positions that the runtime lets through are rows of the tables that they choose from.
    private func checkBounds(_ step: Plan.Step, _ place: String) throws(ApusError) {
        func rows(_ operand: Int, _ dimension: Int) -> Int {
            guard operand < step.operands.count, let tensor = step.operands[operand] else { return 0 }
            let shape = plan.tensors[tensor].type.shape
            return dimension < shape.count ? shape[dimension].constant ?? 0 : 0
        }
        /// The input that an operand is, nil if it is computed.
        func input(_ operand: Int) -> String? {
            guard operand < step.operands.count, let tensor = step.operands[operand],
                case .input(let name) = plan.tensors[plan.root(of: tensor)].storage
            else { return nil }
            return name
        }
        switch step.op {
        case "embedding":
            guard let name = input(1) else { return }
            let rowCounts = [
                Bindings.inputIDs: blueprint.info.vocabularySize,
                Bindings.positionIDs: blueprint.info.maxPositions,
            ]
            let least = rowCounts[name] ?? .max
            try require(
                rowCounts[name] != nil, place,
                "indices '\(Bindings.inputIDs)' or '\(Bindings.positionIDs)'", got: "'\(name)'")
            try require(
                rows(0, 0) >= least, place, "a table of at least \(least) rows for \(name)",
                got: "\(rows(0, 0))")
        case "gather_last_token":
            let name = input(1) ?? ""
            try require(
                name == Bindings.lastTokenIDs, place, "indices '\(Bindings.lastTokenIDs)'", got: "'\(name)'")
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
                plan.tensors[output.tensor].packing == nil, "output '\(output.name)'", "a row-major tensor",
                got: Self.text(plan.tensors[output.tensor].packing))
            try require(
                isWritten[plan.root(of: output.tensor)], "output '\(output.name)'",
                "a tensor that is computed",
                got: "'\(plan.tensors[output.tensor].name)'")
        }
        let logits = plan.tensors[plan.outputs[0].tensor].type
        let shape = [Dimension.symbol(Bindings.batchSymbol), Dimension(blueprint.info.vocabularySize)]
        let isBatch = logits.shape.first == shape[0] || logits.shape.first == 1
        try require(
            logits.element == .f32 && isBatch && logits.shape.last == shape[1],
            "output '\(plan.outputs[0].name)'", "logits f32[\(shape[0]), …, \(shape[1])]", got: "\(logits)")
    }
}
