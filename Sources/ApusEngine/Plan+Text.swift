import ApusGraph
public import ApusSupport

extension Plan {
    /// The plan as text: one line a step, with kernel, operands, results and where they live.
    /// - Parameter limits: Sizes to plan the activations for; their offsets and bytes are shown.
    public func text(limits: SessionLimits) throws(ApusError) -> String {
        let buffers = try BufferPlan(self, limits: limits)
        var lines = [
            "plan for batch \(limits.batch), chunk \(limits.chunk), capacity \(limits.capacity): "
                + "\(steps.count) steps, \(buffers.byteCount) bytes of activations"
        ]
        for step in steps {
            let operands = step.operands.map { $0.map { text(of: $0, buffers) } ?? "none" }
            let results = step.results.map { text(of: $0, buffers) }
            let attributes = step.attributes.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value.text)" }
            let plugin = step.plugin.map { " of plugin \($0)" } ?? ""
            let suffix = (attributes.isEmpty ? "" : " {\(attributes.joined(separator: ", "))}") + plugin
            lines.append(
                "  \(step.kernel)(\(operands.joined(separator: ", "))) → \(results.joined(separator: ", "))\(suffix)"
            )
        }
        for output in outputs {
            lines.append("  output \(output.name) = \(text(of: output.tensor, buffers))")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func text(of tensor: Int, _ buffers: BufferPlan) -> String {
        let entry = tensors[tensor]
        let place =
            switch tensors[root(of: tensor)].storage {
            case .weight(let region): "w\(region)"
            case .input(let name): name
            case .activation: "@\(buffers.offsets[root(of: tensor)] ?? 0)"
            case .alias: "?"
            }
        let layout = entry.layout == .dense(entry.type.shape) ? "" : " \(entry.layout)"
        return "%\(entry.name) \(place) : \(entry.type)\(layout)\(entry.packing.map { " in \($0)" } ?? "")"
    }
}
