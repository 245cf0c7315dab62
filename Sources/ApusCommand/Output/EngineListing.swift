import Apus

/// An engine file as text: what it is for, its sections, and what attention became.
struct EngineListing {
    private let header: EngineFileHeader
    private let info: ModelInfo
    private let precision: ElementType
    private let origin: EngineOrigin
    private let store: KernelStore

    /// Describes a file.
    /// - Parameter kernels: What the file carries for GPUs.
    init(
        _ header: EngineFileHeader, info: ModelInfo, precision: ElementType, origin: EngineOrigin,
        kernels: KernelStore
    ) {
        self.header = header
        self.info = info
        self.precision = precision
        self.origin = origin
        store = kernels
    }

    /// What the file is, on two lines.
    func summary(of path: String) -> String {
        "\(path): \(info.modelType), \(info.layerCount) layers, vocabulary \(info.vocabularySize), "
            + "\(info.maxPositions) positions, \(precision.rawValue)\n"
            + "format \(EngineFileHeader.formatVersion), device \(header.device) (weight layout "
            + "\(header.weightLayout)), attention \(origin.attention), cache \(origin.cache), content "
            + "\(XXHash64.text(header.contentHash))\n"
    }

    /// A table of the sections.
    var sections: String {
        var table = MarkdownTable([
            MarkdownTable.Column(title: "section", isNumber: false),
            MarkdownTable.Column(title: "offset", isNumber: true),
            MarkdownTable.Column(title: "bytes", isNumber: true),
            MarkdownTable.Column(title: "hash", isNumber: false),
        ])
        for section in header.sections {
            table.append([
                section.name, "\(section.offset)", "\(section.byteCount)", XXHash64.text(section.hash),
            ])
        }
        table.append(["(file)", nil, "\(header.fileByteCount)", nil])
        return table.text
    }

    /// What the file carries for GPUs, a line for each architecture; nothing where it is for a processor.
    var kernels: String {
        guard header.device != Device.cpu.description else { return "" }
        var lines = store.architectures.sorted { $0.key < $1.key }.map { architecture, images in
            "kernels for \(architecture): \(images.count)"
        }
        if lines.isEmpty { lines.append("kernels: none; they are compiled when they are first launched") }
        lines += store.products.sorted { $0.key < $1.key }.map { architecture, products in
            "algorithms of products for \(architecture): \(products.choices.count), timed on \(products.gpu) with "
                + products.library
        }
        if store.products.isEmpty {
            lines.append(
                "algorithms of products: none; the engine was compiled without a GPU, and products take what cuBLASLt "
                    + "proposes where it runs")
        }
        return lines.map { "\($0)\n" }.joined()
    }

    /// One line for each attention layer, alike ones together.
    var attention: String {
        var lines: [(text: String, count: Int)] = []
        for line in origin.report {
            // What follows the layer's number is the same for most layers.
            let text = line.firstIndex(of: ":").map { String(line[$0...].dropFirst(2)) } ?? line
            if let last = lines.indices.last, lines[last].text == text {
                lines[last].count += 1
            } else {
                lines.append((text, 1))
            }
        }
        return lines.map { "attention: \($0.count) × \($0.text)\n" }.joined()
    }
}
