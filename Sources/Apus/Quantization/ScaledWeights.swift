import ApusGraph
import ApusSupport

/// Factors that were folded into a weight.
struct WeightScaling: Sendable {
    /// One factor for each input, or nil.
    var columns: [Float]?
    /// One factor for each output feature; of a vector, for each element.
    var rows: [Float]?
}

/// The weights of a checkpoint with what was folded into them, as single-precision rows.
struct ScaledWeights: Sendable {
    let source: any WeightSource
    /// By the weight's name.
    var scalings: [String: WeightScaling] = [:]

    init(_ source: any WeightSource) { self.source = source }

    /// Calls `body` with a function that writes row `n` of a weight [N, K], or of a vector [1, N], into memory of
    /// K elements; it may be called by several threads.
    /// - Throws: `.notFound` for an unknown name.
    func withRows(
        of name: String,
        _ body: (
            _ read: @Sendable (_ row: Int, _ destination: UnsafeMutablePointer<Float>) -> Void
        ) throws(ApusError) -> Void
    ) throws(ApusError) {
        guard let type = source.type(of: name), let shape = type.constantShape, let width = shape.last else {
            throw ApusError(.notFound, "there is no weight '\(name)'")
        }
        let scaling = scalings[name]
        let isVector = shape.count == 1
        try source.withBytes(of: name) { bytes throws(ApusError) in
            nonisolated(unsafe) let bytes = bytes
            try body { row, destination in
                Self.convert(bytes, type.element, row * width, width, destination)
                let rows = isVector ? nil : scaling?.rows?[row]
                if let factor = rows { for index in 0..<width { destination[index] *= factor } }
                let factors = isVector ? scaling?.rows : scaling?.columns
                if let factors { for index in 0..<width { destination[index] *= factors[index] } }
            }
        }
    }

    private static func convert(
        _ bytes: UnsafeRawBufferPointer, _ element: ElementType, _ start: Int, _ count: Int,
        _ destination: UnsafeMutablePointer<Float>
    ) {
        switch element {
        case .f16:
            for index in 0..<count {
                let bits = bytes.loadUnaligned(fromByteOffset: (start + index) * 2, as: UInt16.self)
                destination[index] = Half(bits: bits).float
            }
        case .bf16:
            for index in 0..<count {
                let bits = bytes.loadUnaligned(fromByteOffset: (start + index) * 2, as: UInt16.self)
                destination[index] = BFloat16(bits: bits).float
            }
        default:
            for index in 0..<count {
                destination[index] = bytes.loadUnaligned(
                    fromByteOffset: (start + index) * 4, as: Float.self)
            }
        }
    }

    /// A weight's elements in its own type, with what was folded into them.
    func bytes(of name: String) throws(ApusError) -> [UInt8] {
        guard let type = source.type(of: name), let shape = type.constantShape else {
            throw ApusError(.notFound, "there is no weight '\(name)'")
        }
        let width = shape.last ?? 1
        let rows = shape.dropLast().reduce(1, *)
        var result: [UInt8] = []
        result.reserveCapacity(rows * width * type.element.byteCount)
        try withRows(of: name) { read throws(ApusError) in
            var row = [Float](repeating: 0, count: width)
            for index in 0..<rows {
                row.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { read(index, base) } }
                for value in row { Self.append(value, type.element, to: &result) }
            }
        }
        return result
    }

    /// Appends a number in the given type, rounded to nearest.
    static func append(_ value: Float, _ element: ElementType, to bytes: inout [UInt8]) {
        switch element {
        case .f16: withUnsafeBytes(of: Half(value).bits.littleEndian) { bytes.append(contentsOf: $0) }
        case .bf16: withUnsafeBytes(of: BFloat16(value).bits.littleEndian) { bytes.append(contentsOf: $0) }
        default: withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
        }
    }

    /// A number as the given type holds it.
    static func rounded(_ value: Float, _ element: ElementType) -> Float {
        switch element {
        case .f16: Half(value).float
        case .bf16: BFloat16(value).float
        default: value
        }
    }
}
