import ApusSupport

/// Reads the central directory of a zip archive.
enum ZipDirectory {
    private static let endSignature: UInt32 = 0x0605_4B50
    private static let locatorSignature: UInt32 = 0x0706_4B50
    private static let end64Signature: UInt32 = 0x0606_4B50
    private static let headerSignature: UInt32 = 0x0201_4B50
    private static let localSignature: UInt32 = 0x0403_4B50

    /// Where the directory lies and how many headers it holds.
    private struct Location {
        let start: Int
        let length: Int
        let count: Int
    }

    /// The entries in the order of the directory; folders are left out.
    static func read(_ file: ZipBytes) throws(ApusError) -> [(name: String, entry: ZipArchive.Entry)] {
        let location = try locate(file)
        // A header has 46 bytes or more: a directory that claims more headers than fit is refused before reading.
        guard location.count <= location.length / 46 else {
            throw ApusError(
                .invalidInput,
                "the zip directory of \(location.length) bytes cannot hold \(location.count) entries")
        }
        var found: [(name: String, entry: ZipArchive.Entry)] = []
        var names: Set<String> = []
        var extents: [(range: Range<Int>, name: String)] = []
        var at = location.start
        for _ in 0..<location.count {
            let header = try Header(file, at: at, end: location.start + location.length)
            at = header.next
            let range = try dataRange(file, header, limit: location.start)
            extents.append((header.offset..<range.upperBound, header.name))
            guard names.insert(header.name).inserted else {
                throw ApusError(.invalidInput, "zip entry '\(header.name)' is listed twice")
            }
            if header.name.hasSuffix("/") { continue }
            found.append((header.name, ZipArchive.Entry(range: range, checksum: header.checksum)))
        }
        try checkOverlaps(extents)
        return found
    }

    /// Finds the end record, and through it the directory.
    private static func locate(_ file: ZipBytes) throws(ApusError) -> Location {
        let smallest = 22
        guard file.count >= smallest else {
            throw ApusError(.invalidInput, "expected a zip archive, got \(file.count) bytes")
        }
        // A comment of up to 65535 bytes may follow the record, and its length must fit.
        for at in stride(from: file.count - smallest, through: max(0, file.count - smallest - 0xFFFF), by: -1)
        {
            guard try file.word(at) == endSignature, try file.short(at + 20) == file.count - at - smallest
            else { continue }
            if at >= 20, try file.word(at - 20) == locatorSignature {
                return try locate64(file, locator: at - 20)
            }
            guard try file.short(at + 4) == 0, try file.short(at + 6) == 0 else { throw severalDisks }
            return try checked(
                Location(
                    start: Int(try file.word(at + 16)), length: Int(try file.word(at + 12)),
                    count: try file.short(at + 10)), end: at)
        }
        throw ApusError(
            .invalidInput, "expected a zip archive, found no end record; the file is truncated or no archive")
    }

    private static func locate64(_ file: ZipBytes, locator: Int) throws(ApusError) -> Location {
        guard try file.word(locator + 4) == 0 else { throw severalDisks }
        let at = try file.long(locator + 8)
        guard at <= locator - 56, try file.word(at) == end64Signature else {
            throw ApusError(.invalidInput, "the zip64 end record is not where its locator says")
        }
        guard try file.word(at + 16) == 0, try file.word(at + 20) == 0 else { throw severalDisks }
        return try checked(
            Location(
                start: try file.long(at + 48), length: try file.long(at + 40), count: try file.long(at + 32)),
            end: at)
    }

    private static func checked(_ location: Location, end: Int) throws(ApusError) -> Location {
        guard location.start <= end, location.length <= end - location.start else {
            throw ApusError(
                .invalidInput,
                "the zip directory of \(location.length) bytes at \(location.start) does not lie before its end "
                    + "record at \(end)")
        }
        return location
    }

    private static var severalDisks: ApusError {
        ApusError(.unsupported, "expected a zip archive in one file, got a part of several")
    }

    /// One header of the directory.
    private struct Header {
        let name: String
        let nameLength: Int
        let checksum: UInt32
        let size: Int
        let offset: Int
        let next: Int

        init(_ file: ZipBytes, at: Int, end: Int) throws(ApusError) {
            guard end - at >= 46, try file.word(at) == headerSignature else {
                throw ApusError(.invalidInput, "the zip directory is damaged at \(at)")
            }
            nameLength = try file.short(at + 28)
            let extraLength = try file.short(at + 30)
            next = at + 46 + nameLength + extraLength + (try file.short(at + 32))
            guard next <= end else {
                throw ApusError(.invalidInput, "the zip directory is damaged at \(at)")
            }
            let nameBytes = try file.slice(at + 46, nameLength)
            guard let name = String(validating: nameBytes, as: UTF8.self), !name.isEmpty else {
                throw ApusError(.invalidInput, "a zip entry's name is empty or not UTF-8 (header at \(at))")
            }
            self.name = name
            checksum = try file.word(at + 16)
            let (flags, method) = (try file.short(at + 8), try file.short(at + 10))
            guard flags & 1 == 0 else {
                throw ApusError(.unsupported, "zip entry '\(name)' is encrypted")
            }
            guard method == 0 else {
                throw ApusError(
                    .unsupported,
                    "zip entry '\(name)' is compressed (method \(method)); torch.export.save stores entries as "
                        + "they are: unpack the archive and zip it again with 'zip -0'")
            }
            var wide = try Wide(file, at: at + 46 + nameLength, length: extraLength)
            size = try wide.value(try file.word(at + 24), name)
            let stored = try wide.value(try file.word(at + 20), name)
            offset = try wide.value(try file.word(at + 42), name)
            guard size == stored else {
                throw ApusError(
                    .invalidInput, "zip entry '\(name)' is stored, but its sizes \(stored) and \(size) differ"
                )
            }
        }
    }

    /// The 64-bit numbers of a header's zip64 field, which stand in for those that are all ones.
    private struct Wide {
        private var numbers: [Int] = []

        init(_ file: ZipBytes, at start: Int, length: Int) throws(ApusError) {
            var at = start
            while at + 4 <= start + length {
                let size = try file.short(at + 2)
                guard at + 4 + size <= start + length else { break }
                if try file.short(at) == 1 {
                    for index in 0..<size / 8 where index < 3 {
                        numbers.append(try file.long(at + 4 + 8 * index))
                    }
                }
                at += 4 + size
            }
        }

        mutating func value(_ short: UInt32, _ name: String) throws(ApusError) -> Int {
            guard short == .max else { return Int(short) }
            guard !numbers.isEmpty else {
                throw ApusError(.invalidInput, "zip entry '\(name)' lacks a number in its zip64 field")
            }
            return numbers.removeFirst()
        }
    }

    /// Where an entry's bytes lie: behind its local header and before the directory.
    private static func dataRange(_ file: ZipBytes, _ header: Header, limit: Int) throws(ApusError) -> Range<
        Int
    > {
        let at = header.offset
        guard at <= limit - 30, try file.word(at) == localSignature,
            try file.short(at + 26) == header.nameLength
        else {
            throw ApusError(.invalidInput, "zip entry '\(header.name)' has no local header at \(at)")
        }
        let start = at + 30 + header.nameLength + (try file.short(at + 28))
        guard start <= limit, header.size <= limit - start else {
            throw ApusError(
                .invalidInput,
                "zip entry '\(header.name)' of \(header.size) bytes at \(start) does not lie before the "
                    + "directory at \(limit); the file is truncated or damaged")
        }
        return start..<start + header.size
    }

    private static func checkOverlaps(_ extents: [(range: Range<Int>, name: String)]) throws(ApusError) {
        let sorted = extents.sorted { $0.range.lowerBound < $1.range.lowerBound }
        for (a, b) in zip(sorted, sorted.dropFirst()) where b.range.lowerBound < a.range.upperBound {
            throw ApusError(.invalidInput, "zip entries '\(a.name)' and '\(b.name)' overlap")
        }
    }
}
