import ApusEngine
import ApusGraph
import ApusSupport

extension WeightPacker {
    /// The numbers that codes stand for: what no kernel reads as codes is stored so.
    func packDequantized(_ node: Node, _ type: TensorType, _ base: UnsafeMutableRawPointer) throws(ApusError)
    {
        guard let shape = type.constantShape, shape.count == 2, case .int(let bits)? = node.attributes["bits"]
        else {
            throw ApusError(.internal, "dequantize of \(type)")
        }
        let (rows, columns) = (shape[0], shape[1])
        let codes = try elements(of: node, 0)
        defer { codes.deallocate() }
        let stored = try elements(of: node, 1)
        defer { stored.deallocate() }
        let scaleType = graph.type(of: try operand(node, 1))
        let groups = scaleType.constantShape?.first ?? 0
        guard groups > 0, let source = stored.baseAddress else {
            throw ApusError(.internal, "dequantize with scales \(scaleType)")
        }
        let scales = UnsafeMutableBufferPointer<Float>.allocate(capacity: groups * rows)
        defer { scales.deallocate() }
        if let target = scales.baseAddress {
            backend.convert(source, scaleType.element, target, .f32, count: groups * rows)
        }
        let zeroPoints = node.operands.count > 2 && node.operands[2] != nil ? try elements(of: node, 2) : nil
        defer { zeroPoints?.deallocate() }
        let line = UnsafeMutableBufferPointer<Float>.allocate(capacity: columns)
        defer { line.deallocate() }
        for row in 0..<rows {
            for column in 0..<columns {
                let code = Int(codes[row * columns + column])
                guard code >> bits == 0 else {
                    throw ApusError(
                        .invalidInput, "code \(code) at [\(row), \(column)] does not fit \(bits) bits")
                }
                let place = column / (columns / groups) * rows + row
                let zero = zeroPoints.map { Int($0[place]) } ?? 1 << (bits - 1)
                line[column] = Float(code - zero) * scales[place]
            }
            guard let values = line.baseAddress else { continue }
            backend.convert(
                values, .f32, base + row * columns * type.element.byteCount, type.element, count: columns)
        }
    }

    /// The elements of an operand, row-major, in memory that the caller frees.
    private func elements(of node: Node, _ index: Int) throws(ApusError) -> UnsafeMutableRawBufferPointer {
        let value = try operand(node, index)
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: try byteCount(of: value), alignment: 64)
        do throws(ApusError) {
            try pack(value, into: memory)
        } catch {
            memory.deallocate()
            throw error
        }
        return memory
    }
}
