import ApusGraph
import ApusSupport

/// The parameters of a graph as tensors, each read and converted when it is first asked for.
final class WeightCache {
    private let source: any WeightSource
    private var tensors: [String: Tensor] = [:]

    init(_ source: any WeightSource) { self.source = source }

    /// The weight of that name, converted to `element`.
    func tensor(_ name: String, _ element: ElementType, _ shape: [Int]) throws(ApusError) -> Tensor {
        if let tensor = tensors[name], tensor.element == element, tensor.shape == shape { return tensor }
        guard let stored = source.type(of: name) else {
            throw ApusError(.notFound, "weight '\(name)' is missing")
        }
        guard stored.constantShape == shape, stored.element.isFloat == element.isFloat else {
            throw ApusError(
                .mismatch, "weight '\(name)': expected \(TensorType(element, shape)), got \(stored)")
        }
        let count = shape.reduce(1, *)
        var tensor: Tensor?
        try source.withBytes(of: name) { bytes throws(ApusError) in
            guard bytes.count == count * stored.element.byteCount else {
                throw ApusError(
                    .mismatch,
                    "weight '\(name)': \(stored) takes \(count * stored.element.byteCount) bytes, "
                        + "got \(bytes.count)")
            }
            tensor =
                element.isFloat
                ? Tensor(element, shape, floats: Self.floats(bytes, stored.element, count))
                : Tensor(element, shape, ints: Self.ints(bytes, stored.element, count))
        }
        guard let tensor else { throw ApusError(.internal, "weight '\(name)' was not read") }
        source.release(name)
        tensors[name] = tensor
        return tensor
    }

    private static func floats(
        _ bytes: UnsafeRawBufferPointer, _ element: ElementType, _ count: Int
    ) -> [Float] {
        [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            initialized = count
            guard let base = bytes.baseAddress, let target = buffer.baseAddress else { return }
            var index = 0
            while index < count {
                switch element {
                case .f16:
                    let bits = base.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
                    target[index] = Half(bits: UInt16(littleEndian: bits)).float
                case .bf16:
                    let bits = base.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
                    target[index] = BFloat16(bits: UInt16(littleEndian: bits)).float
                default:
                    let bits = base.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)
                    target[index] = Float(bitPattern: UInt32(littleEndian: bits))
                }
                index += 1
            }
        }
    }

    private static func ints(
        _ bytes: UnsafeRawBufferPointer, _ element: ElementType, _ count: Int
    ) -> [Int] {
        (0..<count).map { index in
            switch element {
            case .i64:
                Int(
                    Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * index, as: Int64.self)))
            case .i32:
                Int(
                    Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * index, as: Int32.self)))
            case .i8: Int(Int8(bitPattern: bytes[index]))
            default: Int(bytes[index])
            }
        }
    }
}
