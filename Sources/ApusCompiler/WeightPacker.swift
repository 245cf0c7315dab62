import ApusEngine
import ApusGraph
import ApusSupport

/// Evaluates weight expressions straight into the engine's memory, converting element types on the way.
///
/// Only one weight of the checkpoint is held at a time beside the engine's own memory.
struct WeightPacker {
    let graph: Graph
    let expressions: WeightExpressions
    let source: any WeightSource
    let backend: any Backend

    /// Writes the elements of `value` in the order of a packing, row-major if it is nil.
    func pack(
        _ value: Value, _ packing: (any WeightPacking)?, into destination: UnsafeMutableRawBufferPointer
    ) throws(ApusError) {
        guard let packing else { return try pack(value, into: destination) }
        let type = graph.type(of: value)
        if let node = expressions.node(of: value), node.op == "parameter",
            case .string(let name)? = node.attributes["name"], source.type(of: name) == type
        {
            // Straight from the checkpoint: a large table is not held twice.
            return try source.withBytes(of: name) { bytes throws(ApusError) in
                try checkSize(of: name, bytes, type)
                try packing.pack(bytes, type, into: destination)
            }
        }
        let rows = UnsafeMutableRawBufferPointer.allocate(byteCount: try byteCount(of: value), alignment: 64)
        defer { rows.deallocate() }
        try pack(value, into: rows)
        try packing.pack(UnsafeRawBufferPointer(rows), type, into: destination)
    }

    private func checkSize(
        of name: String, _ bytes: UnsafeRawBufferPointer, _ stored: TensorType
    ) throws(ApusError) {
        let count = (stored.constantShape ?? []).reduce(stored.element.byteCount, *)
        guard bytes.count == count else {
            throw ApusError(.mismatch, "weight '\(name)': expected \(count) bytes, got \(bytes.count)")
        }
    }

    /// Writes the elements of `value`, row-major in the element type that the graph gives it.
    func pack(_ value: Value, into destination: UnsafeMutableRawBufferPointer) throws(ApusError) {
        let type = graph.type(of: value)
        guard let node = expressions.node(of: value), let base = destination.baseAddress else { return }
        switch node.op {
        case "parameter": try packParameter(node, type, base)
        case "constant": packConstant(node, type, base)
        case "view", "unsqueeze": try pack(try operand(node, 0), into: destination)
        case "rope_table": try packRopeTable(node, type, base)
        case "dequantize": try packDequantized(node, type, base)
        case "cat" where leadingCount(of: node, type) == 1:
            var offset = 0
            for case let part? in node.operands {
                let bytes = try byteCount(of: part)
                try pack(
                    part, into: UnsafeMutableRawBufferPointer(rebasing: destination[offset..<offset + bytes]))
                offset += bytes
            }
        default: try packStrided(node, type, destination)
        }
    }

    func operand(_ node: Node, _ index: Int) throws(ApusError) -> Value {
        guard index < node.operands.count, let value = node.operands[index] else {
            throw ApusError(.internal, "op \(node.op) has no operand \(index)")
        }
        return value
    }

    func byteCount(of value: Value) throws(ApusError) -> Int {
        let type = graph.type(of: value)
        guard let shape = type.constantShape else {
            throw ApusError(.internal, "weight expression of symbolic shape \(type)")
        }
        return shape.reduce(1, *) * type.element.byteCount
    }

    /// Number of blocks a `cat` interleaves: 1 when it joins whole tensors one after the other.
    private func leadingCount(of node: Node, _ type: TensorType) -> Int {
        let shape = type.constantShape ?? []
        return shape.prefix(axis(node, "dim", rank: shape.count)).reduce(1, *)
    }

    private func axis(_ node: Node, _ name: String, rank: Int) -> Int {
        guard case .int(let axis)? = node.attributes[name] else { return 0 }
        return axis < 0 ? axis + rank : axis
    }

    private func packParameter(_ node: Node, _ type: TensorType, _ base: UnsafeMutableRawPointer)
        throws(ApusError)
    {
        guard case .string(let name)? = node.attributes["name"], let stored = source.type(of: name) else {
            throw ApusError(
                .notFound, "weight \(node.attributes["name"]?.kind.rawValue ?? "") is not in the checkpoint")
        }
        guard stored.shape == type.shape else {
            throw ApusError(.mismatch, "weight '\(name)': expected shape \(type), got \(stored)")
        }
        let count = (type.constantShape ?? []).reduce(1, *)
        try source.withBytes(of: name) { (bytes: UnsafeRawBufferPointer) throws(ApusError) in
            try checkSize(of: name, bytes, stored)
            guard let start = bytes.baseAddress else { return }
            backend.convert(start, stored.element, base, type.element, count: count)
        }
    }

    private func packConstant(_ node: Node, _ type: TensorType, _ base: UnsafeMutableRawPointer) {
        guard case .literal(let literal)? = node.attributes["value"] else { return }
        let count = (type.constantShape ?? []).reduce(1, *)
        for index in 0..<count {
            let value = literal.values[literal.values.count == 1 ? 0 : index]
            if type.element.isFloat {
                withUnsafePointer(to: Float(value)) { single in
                    backend.convert(
                        single, .f32, base + index * type.element.byteCount, type.element, count: 1)
                }
            } else if type.element == .i32 {
                (base + index * 4).storeBytes(of: Int32(clamping: Int(value)), as: Int32.self)
            } else if type.element == .i64 {
                (base + index * 8).storeBytes(of: Int64(value), as: Int64.self)
            } else {
                (base + index).storeBytes(of: UInt8(truncatingIfNeeded: Int(value)), as: UInt8.self)
            }
        }
    }

    /// cos and sin of position · frequency, rounded to FP32 where transformers rounds.
    private func packRopeTable(_ node: Node, _ type: TensorType, _ base: UnsafeMutableRawPointer)
        throws(ApusError)
    {
        let input = try operand(node, 0)
        let half = (graph.type(of: input).constantShape ?? [0])[0]
        guard half > 0, let shape = type.constantShape else { return }
        var scaling: Float = 1
        if case .float(let value)? = node.attributes["scaling"] { scaling = Float(value) }
        let frequencies = UnsafeMutableBufferPointer<Float>.allocate(capacity: half)
        defer { frequencies.deallocate() }
        try pack(input, into: UnsafeMutableRawBufferPointer(frequencies))
        let table = base.assumingMemoryBound(to: Float.self)
        for position in 0..<shape[1] {
            let row = table + position * half * 2
            for index in 0..<half {
                let angle = Float(position) * frequencies[index]
                row[index] = Trigonometry.cosine(angle) * scaling
                row[half + index] = Trigonometry.sine(angle) * scaling
            }
        }
    }

    /// Ops that move elements: each operand is evaluated and copied element by element to where it belongs.
    private func packStrided(_ node: Node, _ type: TensorType, _ destination: UnsafeMutableRawBufferPointer)
        throws(ApusError)
    {
        guard let shape = type.constantShape else {
            throw ApusError(.internal, "weight expression of symbolic shape \(type)")
        }
        var catOffset = 0
        for case let value? in node.operands {
            let input = graph.type(of: value)
            guard let inputShape = input.constantShape else { continue }
            let scratch = UnsafeMutableRawBufferPointer.allocate(
                byteCount: try byteCount(of: value), alignment: 64)
            defer { scratch.deallocate() }
            try pack(value, into: scratch)
            var map = StridedCopy(from: inputShape, to: shape)
            switch node.op {
            case "transpose":
                map.swap(axis(node, "dim0", rank: shape.count), axis(node, "dim1", rank: shape.count))
            case "permute":
                if case .dimensions(let order)? = node.attributes["dims"] {
                    map.permute(order.compactMap(\.constant))
                }
            case "slice":
                var start = 0
                if case .int(let value)? = node.attributes["start"] { start = value }
                map.slice(axis(node, "dim", rank: shape.count), from: start)
            case "cat":
                let axis = axis(node, "dim", rank: shape.count)
                map.place(axis, at: catOffset)
                catOffset += inputShape[axis]
            case "to":
                guard let from = scratch.baseAddress, let to = destination.baseAddress else { continue }
                backend.convert(from, input.element, to, type.element, count: shape.reduce(1, *))
                continue
            default:
                throw ApusError(
                    .unsupported, "op '\(node.op)' on weights alone cannot be packed; run constant-fold first"
                )
            }
            map.run(scratch, destination, elementBytes: type.element.byteCount)
        }
    }
}
