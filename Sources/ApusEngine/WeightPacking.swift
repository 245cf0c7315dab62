public import ApusGraph
public import ApusSupport

/// An order of a weight's elements that a kernel reads faster than rows: made once, when an engine is built.
///
/// A backend or a plugin names a packing for an operand of its kernel. The compiler and a refit then write the bytes
/// of a stored weight in that order, the engine file records the name, and loading asks the kernel for it again.
public protocol WeightPacking: Sendable {
    /// The name that plans and engine files record; another order of the same elements needs another name.
    var name: String { get }

    /// Bytes of a packed weight of that type; nil if it is not packed, and the kernel reads it row-major.
    func byteCount(of type: TensorType) -> Int?

    /// Writes a weight in the packing's order, every byte of the destination.
    /// - Parameters:
    ///   - source: The elements of `type`, row-major.
    ///   - type: Element type and constant shape.
    ///   - destination: As many bytes as ``byteCount(of:)`` says; they do not overlap the source.
    /// - Throws: What is wrong with the values.
    func pack(
        _ source: UnsafeRawBufferPointer, _ type: TensorType, into destination: UnsafeMutableRawBufferPointer
    ) throws(ApusError)
}

extension Backend {
    /// How the kernel of a step reads its operands and writes its results; nil for a kernel that is not there.
    /// - Throws: `.notFound` if the step's plugin is not registered.
    func entry(
        of step: Plan.Step, in plan: Plan, _ plugins: PluginRegistry
    ) throws(ApusError) -> KernelEntry? {
        let query = KernelQuery(
            op: step.op, operands: step.operands.map { $0.map { plan.tensors[$0].type } },
            results: step.results.map { plan.tensors[$0].type }, attributes: step.attributes)
        guard let id = step.plugin else {
            return catalog.entries.first { $0.op == step.op && $0.kernel == step.kernel }?
                .specialised(for: query)
        }
        guard case .kernel(let entry, _) = choose(try plugins.plugin(id), for: query) else { return nil }
        return entry
    }

    /// The packing of each weight of a plan, by region; nil where it is row-major.
    /// - Throws: `.unsupported` for a packing that no kernel of the plan reads, `.notFound` for a missing plugin.
    public func packings(
        of plan: Plan, _ regions: [WeightStore.Region], _ plugins: PluginRegistry
    ) throws(ApusError) -> [(any WeightPacking)?] {
        var packings = [(any WeightPacking)?](repeating: nil, count: regions.count)
        for step in plan.steps {
            let packed = step.operands.enumerated().compactMap {
                index, operand -> (index: Int, region: Int)? in
                guard let operand, case .weight(let region) = plan.tensors[operand].storage,
                    regions[region].packing != nil, packings[region] == nil
                else { return nil }
                return (index, region)
            }
            guard !packed.isEmpty, let entry = try entry(of: step, in: plan, plugins) else { continue }
            for (index, region) in packed where entry.form(index).packing?.name == regions[region].packing {
                packings[region] = entry.form(index).packing
            }
        }
        for (region, packing) in zip(regions, packings) where packing?.name != region.packing {
            throw ApusError(
                .unsupported,
                "weight '\(region.name)': expected a packing that a kernel of '\(name)' reads, got "
                    + "'\(region.packing ?? "")'; compile the model anew with this version of Apus")
        }
        return packings
    }
}
