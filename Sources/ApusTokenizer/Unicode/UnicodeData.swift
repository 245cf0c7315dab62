/// The stored Unicode tables: base64 of variable-length integers.
///
/// See Tools/make_unicode_tables.py.
enum UnicodeData {
    /// Reads the integers of one table.
    struct Reader {
        private var bytes: [UInt8] = []
        private var at = 0

        init(_ base64: String) {
            var bits: UInt32 = 0
            var count: UInt32 = 0
            bytes.reserveCapacity(base64.utf8.count * 3 / 4)
            for byte in base64.utf8 {
                let value: UInt8
                switch byte {
                case 65...90: value = byte - 65
                case 97...122: value = byte - 71
                case 48...57: value = byte + 4
                case 43: value = 62
                case 47: value = 63
                default: continue
                }
                bits = bits << 6 | UInt32(value)
                count += 6
                if count >= 8 {
                    count -= 8
                    bytes.append(UInt8(truncatingIfNeeded: bits >> count))
                }
            }
        }

        var isAtEnd: Bool { at >= bytes.count }

        mutating func byte() -> UInt8 {
            guard at < bytes.count else { return 0 }
            defer { at += 1 }
            return bytes[at]
        }

        mutating func integer() -> UInt32 {
            var result: UInt32 = 0
            var shift: UInt32 = 0
            while true {
                let byte = byte()
                result |= UInt32(byte & 0x7F) << shift
                if byte < 0x80 || shift > 24 { return result }
                shift += 7
            }
        }

        mutating func signedInteger() -> Int32 {
            let value = integer()
            return value & 1 == 0 ? Int32(value >> 1) : -Int32((value + 1) >> 1)
        }
    }
}

/// One byte for every code point, in pages of 256 of which equal ones are shared.
///
/// Its memory is taken once and never given back: it is held by constants alone.
struct ScalarTable: @unchecked Sendable {
    let index: UnsafePointer<UInt16>
    let pages: UnsafePointer<UInt8>

    /// Reads runs of equal values.
    init(runs base64: String) {
        var reader = UnicodeData.Reader(base64)
        var values = [UInt8](repeating: 0, count: 0x110000)
        var at = 0
        while !reader.isAtEnd, at < values.count {
            let length = Int(reader.integer())
            let value = reader.byte()
            let end = min(at + length, values.count)
            if value != 0 { for scalar in at..<end { values[scalar] = value } }
            at = end
        }
        self.init(values)
    }

    init(_ values: [UInt8]) {
        var index: [UInt16] = []
        var pages: [UInt8] = []
        var known: [[UInt8]: UInt16] = [:]
        for start in stride(from: 0, to: values.count, by: 256) {
            let page = Array(values[start..<start + 256])
            if let existing = known[page] {
                index.append(existing)
            } else {
                let number = UInt16(pages.count / 256)
                known[page] = number
                index.append(number)
                pages += page
            }
        }
        self.index = UnsafePointer(Self.immortal(index))
        self.pages = UnsafePointer(Self.immortal(pages))
    }

    private static func immortal<T>(_ values: [T]) -> UnsafeMutablePointer<T> {
        let memory = UnsafeMutablePointer<T>.allocate(capacity: values.count)
        for (offset, value) in values.enumerated() { (memory + offset).initialize(to: value) }
        return memory
    }

    @inline(__always) subscript(_ scalar: UInt32) -> UInt8 {
        pages[Int(index[Int(scalar >> 8)]) << 8 | Int(scalar & 255)]
    }
}

/// The general category of every code point.
struct UnicodeTables: Sendable {
    static let shared = UnicodeTables()
    let categories = ScalarTable(runs: UnicodeData.categories)

    @inline(__always) func category(_ scalar: UInt32) -> UInt8 { categories[scalar] }
}

/// The script of every code point, and the scripts' names.
struct UnicodeScripts: Sendable {
    static let shared = UnicodeScripts()
    private let table = ScalarTable(runs: UnicodeData.scripts)
    private let names: [String: UInt8]

    private init() {
        var reader = UnicodeData.Reader(UnicodeData.scriptNames)
        var names: [String: UInt8] = [:]
        while !reader.isAtEnd {
            let length = reader.byte()
            let name = String(decoding: (0..<length).map { _ in reader.byte() }, as: UTF8.self)
            names[propertyKey(name)] = UInt8(names.count)
        }
        self.names = names
    }

    func script(_ scalar: UInt32) -> UInt8 { table[scalar] }

    /// The index of a script by its name, spelled loosely.
    func index(of name: String) -> UInt8? { names[propertyKey(name)] }
}

/// The name of a property as it is compared: without case, spaces, hyphens and underscores.
func propertyKey(_ name: String) -> String {
    String(decoding: name.utf8.filter { $0 != 32 && $0 != 45 && $0 != 95 }.map { $0 | 0x20 }, as: UTF8.self)
}

/// A set of code points as one bit each.
final class UnicodeProperty: Sendable {
    private let words: [UInt64]

    static let onigurumaWord = UnicodeProperty(UnicodeData.onigurumaWord)
    static let alphabetic = UnicodeProperty(UnicodeData.alphabetic)
    static let regexWord = UnicodeProperty(UnicodeData.regexWord)
    static let numeric = UnicodeProperty(UnicodeData.numeric)
    static let punctuation = UnicodeProperty(UnicodeData.punctuation)
    static let combiningMarks = UnicodeProperty(UnicodeData.combiningMarks)

    private init(_ base64: String) {
        var reader = UnicodeData.Reader(base64)
        var words = [UInt64](repeating: 0, count: 0x110000 / 64)
        var at = 0
        while !reader.isAtEnd {
            at += Int(reader.integer())
            let end = at + Int(reader.integer())
            guard end < 0x110000 else { break }
            for scalar in at...end { words[scalar >> 6] |= 1 << UInt64(scalar & 63) }
            at = end + 1
        }
        self.words = words
    }

    func contains(_ scalar: UInt32) -> Bool { words[Int(scalar >> 6)] >> UInt64(scalar & 63) & 1 != 0 }
}
