import Apus

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Writes a float32 matrix, row by row, as NumPy's `.npy` (format 1.0, little-endian, C order).
///
/// The number of rows is known only at the end, so the header has a fixed size and is written twice.
final class NPYWriter {
    private static let headerBytes = 128
    private let path: String
    private let columns: Int
    private let file: UnsafeMutablePointer<FILE>
    private var rows = 0
    private var isOpen = true

    /// Creates or replaces the file at `path`.
    /// - Throws: `.io`.
    init(path: String, columns: Int) throws(ApusError) {
        guard let file = fopen(path, "wb") else { throw Self.failure(path) }
        self.path = path
        self.columns = columns
        self.file = file
        try write(Self.header(rows: 0, columns: columns))
    }

    deinit { if isOpen { fclose(file) } }

    /// Appends one row of `columns` values.
    func append(_ row: UnsafeBufferPointer<Float>) throws(ApusError) {
        guard row.count == columns else {
            throw ApusError(.internal, "\(path): expected a row of \(columns) values, got \(row.count)")
        }
        #if _endian(little)
            let written = fwrite(row.baseAddress, 4, row.count, file)
        #else
            let bytes = row.map(\.bitPattern.littleEndian)
            let written = fwrite(bytes, 4, bytes.count, file)
        #endif
        guard written == row.count else { throw Self.failure(path) }
        rows += 1
    }

    /// Writes the final header and closes the file.
    func finish() throws(ApusError) {
        guard fseek(file, 0, SEEK_SET) == 0 else { throw Self.failure(path) }
        try write(Self.header(rows: rows, columns: columns))
        isOpen = false
        guard fclose(file) == 0 else { throw Self.failure(path) }
    }

    /// The header for a matrix of that shape, always 128 bytes.
    static func header(rows: Int, columns: Int) -> [UInt8] {
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(rows), \(columns)), }"
        let length = headerBytes - 10
        var bytes: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 0xFF), UInt8(length >> 8)]
        bytes += Array(text.utf8)
        bytes += [UInt8](repeating: 0x20, count: max(headerBytes - 1 - bytes.count, 0)) + [0x0A]
        return bytes
    }

    private func write(_ bytes: [UInt8]) throws(ApusError) {
        guard fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw Self.failure(path) }
    }

    private static func failure(_ path: String) -> ApusError {
        ApusError(.io, "\(path): cannot write: \(String(cString: strerror(errno)))")
    }
}
