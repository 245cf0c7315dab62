import Apus

/// A graph as an SVG picture: a box for each computation, repeated layers drawn once, weights written into the boxes
/// that use them.
struct GraphPicture {
    private struct Box {
        let title: String
        let detail: String
        let color: String
        let section: Int?
        let group: Int
    }

    private let title: String
    private var boxes: [Box] = []
    private var edges: [(from: Int, to: Int)] = []
    private let folding: LayerFolding

    private static let boxHeight = 34.0
    private static let titleHeight = 40.0

    /// Prepares the picture of a graph.
    init(_ graph: Graph, title: String) {
        self.title = title
        folding = LayerFolding(graph)
        var boxOfValue: [Value: Int] = [:]
        let producers = graph.producers()
        let drawn = Set(folding.sections.flatMap(\.nodes))
        let used = Set(drawn.flatMap { graph.nodes[$0].operands.compactMap { $0 } })
        for input in graph.inputs where used.contains(input) {
            boxOfValue[input] = boxes.count
            boxes.append(
                Box(
                    title: graph.name(of: input) ?? "input", detail: "\(graph.type(of: input))",
                    color: "#fff3c4", section: nil, group: 0))
        }
        var stand: [Int: Int] = [:]
        for (number, section) in folding.sections.enumerated() {
            for (index, position) in section.nodes.enumerated() {
                let node = graph.nodes[position]
                let box = boxes.count
                boxes.append(
                    Self.box(node, graph, section: section.layers.isEmpty ? nil : number, group: number + 1))
                stand[position] = box
                // What a layer that is not drawn hands on comes from the one drawn in its place.
                for twin in [position] + section.twins.map({ $0[index] }) {
                    for value in graph.nodes[twin].results { boxOfValue[value] = box }
                }
            }
        }
        for (position, box) in stand.sorted(by: { $0.key < $1.key }) {
            var sources: Set<Int> = []
            for case let value? in graph.nodes[position].operands {
                let producer = producers[value.index]
                if producer >= 0, folding.isWeight[producer] { continue }
                if let source = boxOfValue[value], source < box { sources.insert(source) }
            }
            edges += sources.sorted().map { (from: $0, to: box) }
        }
        drawOutputs(graph, boxOfValue)
    }

    /// One box for each box that gives outputs: those of repeated layers are drawn once.
    private mutating func drawOutputs(_ graph: Graph, _ boxOfValue: [Value: Int]) {
        var sources: [(box: Int, outputs: [Value])] = []
        for output in graph.outputs {
            guard let box = boxOfValue[output] else { continue }
            if let known = sources.firstIndex(where: { $0.box == box }) {
                sources[known].outputs.append(output)
            } else {
                sources.append((box, [output]))
            }
        }
        for (number, source) in sources.enumerated() {
            let count = source.outputs.count
            let name = number == 0 ? "output" : graph.name(of: source.outputs[0]) ?? "output"
            edges.append((from: source.box, to: boxes.count))
            boxes.append(
                Box(
                    title: count == 1 ? name : "\(name)  (× \(count))",
                    detail: "\(graph.type(of: source.outputs[0]))", color: "#fff3c4", section: nil,
                    group: folding.sections.count + 1))
        }
    }

    private static func box(_ node: Node, _ graph: Graph, section: Int?, group: Int) -> Box {
        let name = node.results.first.flatMap { graph.name(of: $0) } ?? ""
        // The module's path without the layer, which the frame tells.
        let short = name.split(separator: ".").suffix(2).joined(separator: ".")
        let type = node.results.first.map { "\(graph.type(of: $0))" } ?? ""
        return Box(
            title: short.isEmpty || Int(short) != nil ? node.op : "\(node.op)  \(short)", detail: type,
            color: color(node.op), section: section, group: group)
    }

    private static func color(_ op: String) -> String {
        switch op {
        case "linear", "matmul", "addmm", "embedding", "int4_groupwise_gemm": "#cfe3ff"
        case "attention", "attention_plugin", "scaled_dot_product_attention", "softmax": "#ffd6cc"
        case "kv_update", "cat", "slice", "causal_mask": "#e9dcff"
        case let name where name.contains("norm"): "#d7f5dd"
        case "view", "transpose", "permute", "unsqueeze", "expand", "to", "detach", "clone": "#f1f1f1"
        default: "#ffffff"
        }
    }

    /// The picture as an SVG document.
    var svg: String {
        let widths = boxes.map { max(Double(max($0.title.utf8.count, $0.detail.utf8.count)) * 6.7 + 18, 60) }
        let layout = LayeredLayout(
            widths: widths, groups: boxes.map(\.group), edges: edges, boxHeight: Self.boxHeight, gap: 22,
            rankGap: 26)
        let width = max(layout.width, Double(title.utf8.count) * 9 + 40) + 80
        var lines = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(Self.number(width))\" "
                + "height=\"\(Self.number(layout.height + Self.titleHeight + 10))\" font-family=\"monospace\" "
                + "font-size=\"11\">",
            "<rect width=\"100%\" height=\"100%\" fill=\"#fdfdfd\"/>",
            "<text x=\"20\" y=\"26\" font-size=\"15\" font-weight=\"bold\">\(Self.escaped(title))</text>",
            "<g transform=\"translate(40 \(Self.number(Self.titleHeight)))\">",
        ]
        lines += frames(layout, widths)
        for route in layout.routes { lines.append(Self.line(route)) }
        for (index, box) in boxes.enumerated() {
            let (x, y) = layout.centres[index]
            lines.append(
                "<g><rect x=\"\(Self.number(x - widths[index] / 2))\" "
                    + "y=\"\(Self.number(y - Self.boxHeight / 2))\" "
                    + "width=\"\(Self.number(widths[index]))\" height=\"\(Self.number(Self.boxHeight))\" rx=\"5\" "
                    + "fill=\"\(box.color)\" stroke=\"#555\"/>"
                    + "<text x=\"\(Self.number(x))\" y=\"\(Self.number(y - 3))\" text-anchor=\"middle\">"
                    + "\(Self.escaped(box.title))</text>"
                    + "<text x=\"\(Self.number(x))\" y=\"\(Self.number(y + 11))\" text-anchor=\"middle\" "
                    + "fill=\"#666\">\(Self.escaped(box.detail))</text></g>")
        }
        return (lines + ["</g>", "</svg>", ""]).joined(separator: "\n")
    }

    /// Writes the picture to a file.
    func write(to path: String) throws(ApusError) {
        let file = try OutputFile(path: path)
        try file.write(svg)
        try file.finish()
    }

    /// A frame around the boxes of each run of layers, with how many it stands for.
    private func frames(_ layout: LayeredLayout, _ widths: [Double]) -> [String] {
        folding.sections.enumerated().compactMap { number, section in
            let members = boxes.indices.filter { boxes[$0].section == number }
            guard !members.isEmpty else { return nil }
            let left = members.map { layout.centres[$0].x - widths[$0] / 2 }.min() ?? 0
            let right = members.map { layout.centres[$0].x + widths[$0] / 2 }.max() ?? 0
            let top = members.map { layout.centres[$0].y }.min() ?? 0
            let bottom = members.map { layout.centres[$0].y }.max() ?? 0
            let half = Self.boxHeight / 2
            let label =
                section.layers.count == 1
                ? "layer \(section.layers.lowerBound)"
                : "layers \(section.layers.lowerBound)…\(section.layers.upperBound - 1)  (× \(section.layers.count))"
            return "<rect x=\"\(Self.number(left - 14))\" y=\"\(Self.number(top - half - 18))\" "
                + "width=\"\(Self.number(right - left + 28))\" "
                + "height=\"\(Self.number(bottom - top + 2 * half + 28))\" rx=\"8\" fill=\"#f6f8ff\" "
                + "stroke=\"#8aa\" stroke-dasharray=\"5 4\"/>"
                + "<text x=\"\(Self.number(left - 6))\" y=\"\(Self.number(top - half - 6))\" fill=\"#357\" "
                + "font-weight=\"bold\">\(label)</text>"
        }
    }

    /// A smooth line through the points, from the lower side of the first box to the upper side of the last.
    private static func line(_ route: [(x: Double, y: Double)]) -> String {
        var points = route
        points[0].y += boxHeight / 2
        points[points.count - 1].y -= boxHeight / 2
        var path = "M\(number(points[0].x)) \(number(points[0].y))"
        for (from, to) in zip(points, points.dropFirst()) {
            let middle = number((from.y + to.y) / 2)
            path += "C\(number(from.x)) \(middle) \(number(to.x)) \(middle) \(number(to.x)) \(number(to.y))"
        }
        return "<path d=\"\(path)\" fill=\"none\" stroke=\"#888\"/>"
    }

    /// A number with one digit after the point.
    private static func number(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

    private static func escaped(_ text: String) -> String {
        text.map { character in
            switch character {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            default: String(character)
            }
        }.joined()
    }
}
