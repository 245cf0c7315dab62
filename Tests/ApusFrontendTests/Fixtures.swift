import ApusSupport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The checkpoints and logits that Tools/make_fixtures.py recorded.
enum Fixtures {
    static let folder: String = {
        let parts = #filePath.split(separator: "/").dropLast(2)
        return "/" + parts.joined(separator: "/") + "/Fixtures"
    }()

    static let names: [String] = {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            // A fixture without a checkpoint of its own belongs to a model elsewhere.
            if OutputFile.exists("\(folder)/\(name)/config.json") { names.append(name) }
        }
        return names.sorted()
    }()

    /// The float32 matrix of a `.npy` file.
    static func matrix(_ path: String) throws -> (shape: [Int], values: [Float]) {
        let file = try MappedFile(path: path)
        return try file.withBytes { bytes throws(ApusError) in
            let length = Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt16.self)))
            let header = String(decoding: bytes[10..<10 + length], as: UTF8.self)
            guard header.contains("'<f4'"), let open = header.lastIndex(of: "("),
                let close = header.lastIndex(of: ")")
            else { throw ApusError(.invalidInput, "\(path): \(header)") }
            let shape = header[header.index(after: open)..<close].split(separator: ",").compactMap {
                Int($0.trimmingPrefix(while: \.isWhitespace))
            }
            let values = stride(from: 10 + length, to: bytes.count, by: 4).map {
                bytes.loadUnaligned(fromByteOffset: $0, as: Float.self)
            }
            return (shape, values)
        }
    }
}

/// A folder that is removed with all it holds when the last reference goes.
final class TemporaryFolder {
    let path: String

    init() throws {
        var template = Array("/tmp/apus-tests-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw ApusError(.io, "no temporary folder") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        guard let directory = opendir(path) else { return }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            unlink("\(path)/\(name)")
        }
        closedir(directory)
        rmdir(path)
    }

    func write(_ name: String, _ bytes: [UInt8]) throws {
        let file = try OutputFile(path: "\(path)/\(name)")
        try bytes.withUnsafeBufferPointer { buffer throws(ApusError) in
            try file.write(UnsafeRawBufferPointer(buffer))
        }
        try file.finish()
    }

    func write(_ name: String, _ text: String) throws { try write(name, Array(text.utf8)) }
}

/// The bytes of a safetensors file with this header.
func safetensors(_ header: String, data: Int) -> [UInt8] {
    let length = UInt64(header.utf8.count)
    return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + Array(header.utf8)
        + [UInt8](repeating: 0, count: data)
}
