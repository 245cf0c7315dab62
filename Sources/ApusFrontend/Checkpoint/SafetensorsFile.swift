import ApusGraph
import ApusSupport

/// One safetensors file: an index of its tensors, checked against the file before any is read.
///
/// Form: 8 bytes, little-endian, the header's length; the header, a JSON object; then the tensors' bytes without
/// holes. Source: the description of the format at huggingface.co/docs/safetensors.
struct SafetensorsFile: Sendable {
    /// One tensor of a file.
    struct Entry: Sendable {
        /// The type as the header spells it, such as `BF16`.
        let dtype: String
        let shape: [Int]
        /// Where in the file the elements lie.
        let range: Range<Int>

        /// The element type, nil if no tensor of a graph can have it.
        var element: ElementType? { SafetensorsFile.types[dtype]?.element }
    }

    let path: String
    /// The tensors by name.
    let entries: [String: Entry]
    private let file: MappedFile

    /// The largest header that is read, as the reference implementation has it.
    static let maximumHeader = 100_000_000

    private static let types: [String: (element: ElementType?, bits: Int)] = [
        "F32": (.f32, 32), "F16": (.f16, 16), "BF16": (.bf16, 16), "I64": (.i64, 64), "I32": (.i32, 32),
        "I8": (.i8, 8), "U8": (.u8, 8), "BOOL": (.bool, 8), "F64": (nil, 64), "I16": (nil, 16),
        "U16": (nil, 16), "U32": (nil, 32), "U64": (nil, 64), "C64": (nil, 64), "F8_E4M3": (nil, 8),
        "F8_E5M2": (nil, 8), "F8_E8M0": (nil, 8), "F6_E2M3": (nil, 6), "F6_E3M2": (nil, 6), "F4": (nil, 4),
    ]

    /// Opens a file and checks its header.
    init(path: String) throws(ApusError) {
        let file = try MappedFile(path: path)
        self.path = path
        self.file = file
        let header = try Self.header(file)
        entries = try ApusError.within(path) { () throws(ApusError) in
            try Self.entries(header.json, start: header.end, end: file.count)
        }
    }

    private static func header(_ file: MappedFile) throws(ApusError) -> (json: JSON, end: Int) {
        try file.withBytes { bytes throws(ApusError) in
            guard bytes.count >= 8 else {
                throw ApusError(
                    .invalidInput,
                    "\(file.path): expected a safetensors file, got \(bytes.count) bytes; it may be truncated"
                )
            }
            let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
            guard length <= UInt64(bytes.count - 8), length <= UInt64(maximumHeader) else {
                throw ApusError(
                    .invalidInput,
                    "\(file.path): the header is said to have \(length) bytes, the file has \(bytes.count)"
                        + " (at most \(maximumHeader) are read); it is truncated or not safetensors")
            }
            let end = 8 + Int(length)
            let json = try JSON.parse(Array(bytes[8..<end]), source: "\(file.path): header")
            guard json.kind == .object else {
                throw ApusError(
                    .invalidInput, "\(file.path): header: expected an object, got \(json.kind.rawValue)")
            }
            return (json, end)
        }
    }

    private static func entries(
        _ header: JSON, start: Int, end: Int
    ) throws(ApusError) -> [String: Entry] {
        var entries: [String: Entry] = [:]
        for (name, value) in header.members where name != "__metadata__" {
            let entry = try ApusError.within("tensor '\(name)'") { () throws(ApusError) in
                try self.entry(value, start: start, end: end)
            }
            guard entries.updateValue(entry, forKey: name) == nil else {
                throw ApusError(.invalidInput, "tensor '\(name)' is described twice")
            }
        }
        // Without holes or overlaps, each tensor begins where the one before it ends.
        var position = start
        let order = entries.sorted {
            ($0.value.range.lowerBound, $0.value.range.upperBound, $0.key)
                < ($1.value.range.lowerBound, $1.value.range.upperBound, $1.key)
        }
        for (name, entry) in order {
            guard entry.range.lowerBound == position else {
                let fault = entry.range.lowerBound < position ? "overlaps another" : "leaves a hole before it"
                throw ApusError(
                    .invalidInput,
                    "tensor '\(name)' \(fault): expected it to start at \(position - start), "
                        + "got \(entry.range.lowerBound - start)")
            }
            position = entry.range.upperBound
        }
        guard position == end else {
            throw ApusError(
                .invalidInput, "the tensors take \(position - start) bytes, the file has \(end - start)")
        }
        return entries
    }

    private static func entry(_ value: JSON, start: Int, end: Int) throws(ApusError) -> Entry {
        guard let dtype = value["dtype"]?.string else {
            throw ApusError(.invalidInput, "expected a string for 'dtype'")
        }
        let shape = try integers(value, "shape")
        let offsets = try integers(value, "data_offsets")
        guard offsets.count == 2, offsets[0] <= offsets[1], offsets[1] <= end - start else {
            throw ApusError(
                .invalidInput,
                "data_offsets \(offsets) do not lie in the file's \(end - start) bytes of data; "
                    + "it may be truncated")
        }
        if let bits = types[dtype]?.bits {
            var size = bits
            for dimension in shape {
                let (product, overflow) = size.multipliedReportingOverflow(by: dimension)
                guard !overflow else { throw ApusError(.invalidInput, "shape \(shape) is too large") }
                size = product
            }
            guard size % 8 == 0, size / 8 == offsets[1] - offsets[0] else {
                throw ApusError(
                    .mismatch,
                    "\(dtype) of shape \(shape) takes \((size + 7) / 8) bytes, "
                        + "data_offsets give \(offsets[1] - offsets[0])")
            }
        }
        return Entry(dtype: dtype, shape: shape, range: start + offsets[0]..<start + offsets[1])
    }

    private static func integers(_ value: JSON, _ key: String) throws(ApusError) -> [Int] {
        guard let list = value[key], list.kind == .array else {
            throw ApusError(.invalidInput, "expected a list for '\(key)'")
        }
        var result: [Int] = []
        for element in list.elements {
            guard let number = element.int, number >= 0 else {
                throw ApusError(.invalidInput, "expected integers of at least 0 in '\(key)'")
            }
            result.append(number)
        }
        return result
    }

    /// Calls `body` with the bytes of a tensor.
    func withBytes(
        of entry: Entry, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        try file.withBytes { bytes throws(ApusError) in
            try body(UnsafeRawBufferPointer(rebasing: bytes[entry.range]))
        }
    }

    /// Gives back the memory of a tensor's pages.
    func release(_ entry: Entry) { file.dropPages(entry.range) }
}
