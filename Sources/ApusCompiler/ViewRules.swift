import ApusEngine
import ApusGraph

/// How ops that only look at a tensor in another way change its layout, so that they cost nothing.
enum ViewRules {
    /// What a view op gives.
    enum View {
        /// The elements stay where they are.
        case layout(Layout)
        /// No steps give this view: the operand must be made dense first.
        case needsCopy
    }

    /// The ops that only look at their operand.
    static let ops: Set<String> = [
        "detach", "clone", "assert_element", "view", "unsqueeze", "transpose", "permute", "expand", "slice",
    ]

    /// The layout of a node's result over the memory of its operand.
    /// - Parameters:
    ///   - node: The node, with the defaults of its attributes filled in.
    ///   - shape: The operand's shape.
    ///   - layout: The operand's layout.
    ///   - result: The result's shape.
    static func view(
        _ node: Plan.Step, _ shape: [Dimension], _ layout: Layout, _ result: [Dimension]
    ) -> View {
        switch node.op {
        case "view", "unsqueeze":
            return layout.reshaped(shape, to: result).map(View.layout) ?? .needsCopy
        case "transpose":
            var order = Array(shape.indices)
            order.swapAt(axis(node, "dim0", shape), axis(node, "dim1", shape))
            return .layout(layout.permuted(order))
        case "permute": return .layout(layout.permuted(node.dimensions("dims").compactMap(\.constant)))
        case "expand": return .layout(layout.expanded(shape, to: result))
        case "slice": return .layout(layout.sliced(axis(node, "dim", shape), from: node.size("start")))
        default: return .layout(layout)
        }
    }

    private static func axis(_ node: Plan.Step, _ name: String, _ shape: [Dimension]) -> Int {
        let axis = node.int(name)
        return axis < 0 ? axis + shape.count : axis
    }
}
