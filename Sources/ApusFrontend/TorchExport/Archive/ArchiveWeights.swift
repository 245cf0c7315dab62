import ApusGraph
import ApusSupport

/// The tensors of an archive as the weights of a graph.
struct ArchiveWeights: WeightSource {
    let archive: TorchArchive

    func type(of name: String) -> TensorType? { archive.tensors[name]?.type }

    /// Calls `body` with a tensor's elements: those of the mapped file, or a copy where they lie scattered.
    func withBytes(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        guard let tensor = archive.tensors[name] else {
            let reason = archive.unreadable[name].map { "'\(name)' \($0)" } ?? "has no tensor '\(name)'"
            throw ApusError(.notFound, "\(archive.zip.path): \(reason)")
        }
        let shape = tensor.type.constantShape ?? []
        let size = tensor.type.element.byteCount
        let count = shape.reduce(1, *)
        try archive.zip.withBytes(of: tensor.entry) { bytes throws(ApusError) in
            guard count > 0 else { return try body(UnsafeRawBufferPointer(start: nil, count: 0)) }
            if Self.isDense(shape, tensor.strides) {
                let start = tensor.offset * size
                return try body(UnsafeRawBufferPointer(rebasing: bytes[start..<start + count * size]))
            }
            let copy = Self.gather(bytes, shape, tensor.strides, tensor.offset, size, count)
            try copy.withUnsafeBufferPointer { buffer throws(ApusError) in
                try body(UnsafeRawBufferPointer(buffer))
            }
        }
    }

    func release(_ name: String) {
        guard let tensor = archive.tensors[name] else { return }
        archive.zip.release(tensor.entry)
    }

    /// Whether elements lie one after the other in row-major order.
    private static func isDense(_ shape: [Int], _ strides: [Int]) -> Bool {
        var expected = 1
        for (size, stride) in zip(shape, strides).reversed() {
            if size != 1 && stride != expected { return false }
            expected *= size
        }
        return true
    }

    private static func gather(
        _ bytes: UnsafeRawBufferPointer, _ shape: [Int], _ strides: [Int], _ offset: Int, _ size: Int,
        _ count: Int
    ) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(count * size)
        var index = [Int](repeating: 0, count: shape.count)
        for _ in 0..<count {
            let place = zip(index, strides).reduce(offset) { $0 + $1.0 * $1.1 } * size
            result.append(contentsOf: bytes[place..<place + size])
            for axis in shape.indices.reversed() {
                index[axis] += 1
                if index[axis] < shape[axis] { break }
                index[axis] = 0
            }
        }
        return result
    }
}
