import ApusGraph
import ApusSupport

/// The parameters, buffers and constants of a program, made when they are first used.
///
/// Parameters keep their fully qualified names, and tied ones share one node. Buffers and constants of up to
/// ``largestLiteral`` elements are written into the graph; larger ones, and those that are written to, are parameters.
struct DeferredInputs {
    /// Elements of the largest buffer that becomes a literal.
    static let largestLiteral = 1 << 16

    private enum Kind {
        case parameter(String)
        case buffer(String, isWritten: Bool)
    }

    private let archive: TorchArchive
    private var kinds: [String: Kind] = [:]
    /// For each parameter, the first of those that are the same view of the same bytes.
    private var first: [TorchArchive.StoredTensor: String] = [:]
    private var nodes: [String: Value] = [:]

    init(_ program: ExportedProgram, archive: TorchArchive) throws(ApusError) {
        self.archive = archive
        let written = program.outputs.compactMap { output -> String? in
            if case .buffer(let path) = output.kind { path } else { nil }
        }
        for (kind, argument) in program.inputs {
            guard case .tensor(let name) = argument else { continue }
            switch kind {
            case .parameter(let path):
                let stored = try archive.tensor(path)
                first[stored] = first[stored] ?? path
                kinds[name] = .parameter(path)
            case .buffer(let path), .constant(let path):
                kinds[name] = .buffer(path, isWritten: written.contains(path))
            case .user, .value: break
            }
        }
    }

    /// The value of an input; nil if the program has none of that name.
    mutating func value(of name: String, _ builder: inout GraphBuilder) throws(ApusError) -> Value? {
        switch kinds[name] {
        case nil: return nil
        case .parameter(let path)?:
            let stored = try archive.tensor(path)
            let shared = first[stored] ?? path
            if let value = nodes[shared] { return value }
            let value = builder.parameter(shared, stored.type)
            nodes[shared] = value
            return value
        case .buffer(let path, let isWritten)?:
            if let value = nodes[path] { return value }
            let value = try buffer(path, isWritten: isWritten, &builder)
            nodes[path] = value
            return value
        }
    }

    /// The value that stands for a parameter or buffer, if it was used.
    func node(of path: String) -> Value? { nodes[path] }

    private func buffer(
        _ path: String, isWritten: Bool, _ builder: inout GraphBuilder
    ) throws(ApusError) -> Value {
        let stored = try archive.tensor(path)
        let count = stored.type.constantShape?.reduce(1, *) ?? 0
        guard count <= Self.largestLiteral, !isWritten else { return builder.parameter(path, stored.type) }
        var values: [Double]?
        try ArchiveWeights(archive: archive).withBytes(of: path) { bytes throws(ApusError) in
            values = stored.type.element.numbers(bytes)
        }
        guard let values else { return builder.parameter(path, stored.type) }
        return builder.constant(TensorLiteral(stored.type, values), name: path)
    }
}

extension TorchArchive {
    /// The tensor of that name.
    /// - Throws: `.notFound` if there is none that can be read.
    func tensor(_ path: String) throws(ApusError) -> StoredTensor {
        if let stored = tensors[path] { return stored }
        throw ApusError(
            .notFound, "tensor '\(path)' " + (unreadable[path] ?? "is missing in the archive"))
    }
}

extension ElementType {
    /// The elements that some bytes hold; nil if one is an integer beyond what a literal holds exactly.
    fileprivate func numbers(_ bytes: UnsafeRawBufferPointer) -> [Double]? {
        var values: [Double] = []
        let size = byteCount
        for place in stride(from: 0, to: bytes.count / size * size, by: size) {
            switch self {
            case .f32:
                let bits = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self))
                values.append(Double(Float(bitPattern: bits)))
            case .f16:
                let bits = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt16.self))
                values.append(Double(Half(bits: bits).float))
            case .bf16:
                let bits = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt16.self))
                values.append(Double(BFloat16(bits: bits).float))
            case .i64:
                let value = Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: Int64.self))
                guard let number = Double(exactly: value) else { return nil }
                values.append(number)
            case .i32:
                let value = Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: Int32.self))
                values.append(Double(value))
            case .i8: values.append(Double(Int8(bitPattern: bytes[place])))
            case .u8: values.append(Double(bytes[place]))
            case .bool: values.append(bytes[place] == 0 ? 0 : 1)
            }
        }
        return values
    }
}
