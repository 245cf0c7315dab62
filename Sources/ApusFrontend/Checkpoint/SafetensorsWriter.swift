package import ApusGraph
package import ApusSupport

/// Writes a safetensors file from front to back, without ever holding more than the caller hands it.
package struct SafetensorsWriter {
    private let file: OutputFile
    private let total: Int

    /// Starts a file that will hold the tensors in this order.
    /// - Throws: `.io` naming the path.
    package init(path: String, tensors: [(name: String, type: TensorType)]) throws(ApusError) {
        var members: [(String, JSONValue)] = [("__metadata__", .object([("format", "pt")]))]
        var offset = 0
        for (name, type) in tensors {
            let shape = type.constantShape ?? []
            let start = offset
            offset += shape.reduce(type.element.byteCount, *)
            members.append(
                (
                    name,
                    .object([
                        ("dtype", .string(type.element.rawValue.uppercased())),
                        ("shape", .array(shape.map { .int($0) })),
                        ("data_offsets", .array([.int(start), .int(offset)])),
                    ])
                ))
        }
        var header = JSONValue.object(members).text()
        // Readers map the file, so that the tensors start at a multiple of 8.
        header += String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
        let file = try OutputFile(path: path)
        let length = UInt64(header.utf8.count).littleEndian
        let prefix = withUnsafeBytes(of: length) { Array($0) }
        try prefix.withUnsafeBufferPointer { buffer throws(ApusError) in
            try file.write(UnsafeRawBufferPointer(buffer))
        }
        try file.write(header)
        self.file = file
        total = file.count + offset
    }

    /// Appends elements of the tensor that is next.
    package func write(_ bytes: UnsafeRawBufferPointer) throws(ApusError) { try file.write(bytes) }

    /// Completes the file.
    package func finish() throws(ApusError) {
        guard file.count == total else {
            throw ApusError(
                .internal, "\(file.path): expected \(total) bytes in all, \(file.count) were written")
        }
        try file.finish()
    }
}
