import Apus

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Small text files through which the system describes itself.
enum SystemText {
    /// The contents of a file, nil if it cannot be read; at most 1 MiB.
    static func contents(of path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 4096)
        while bytes.count < 1 << 20 {
            let count = fread(&block, 1, block.count, file)
            if count == 0 { break }
            bytes += block[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The value of a line `key: value` or `key<tab>: value`, the first of them.
    static func value(of key: String, in text: String) -> String? {
        for line in text.split(separator: "\n") where line.hasPrefix(key) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            guard line[..<colon].trimmed == key else { continue }
            return line[line.index(after: colon)...].trimmed
        }
        return nil
    }

    /// The number of a line `key: 123 kB`, in bytes.
    static func bytes(of key: String, in text: String) -> Int? {
        value(of: key, in: text)?.split(separator: " ").first.flatMap { Int($0) }.map { $0 * 1024 }
    }
}
