import ApusGraph
import ApusSupport

/// A `.pt2` archive of torch 2.8 or later: the program's JSON and the tensors that its state dict names.
///
/// Every entry stands under one folder that is named after the file it was saved to; the folder of the first entry
/// is taken.
struct TorchArchive: Sendable {
    /// One tensor: a view of the bytes of one entry.
    struct StoredTensor: Sendable, Hashable {
        /// The entry with the bytes.
        let entry: ZipArchive.Entry
        /// Element type and constant shape.
        let type: TensorType
        /// Elements to step over in the entry, in all and for each dimension.
        let offset: Int
        let strides: [Int]
    }

    let zip: ZipArchive
    /// The program.
    let program: JSON
    /// Parameters, buffers and constants by fully qualified name.
    let tensors: [String: StoredTensor]
    /// Names of tensors that no graph can hold, with the reason.
    let unreadable: [String: String]

    /// Opens an archive.
    /// - Throws: `.invalidInput` for a file that is no program or is damaged, `.unsupported` for an archive of a
    ///   kind that is not read.
    init(path: String) throws(ApusError) {
        let zip = try ZipArchive(file: try MappedFile(path: path))
        self.zip = zip
        let folder = zip.firstName.split(separator: "/", maxSplits: 1).first.map { "\($0)/" } ?? ""
        try Self.checkKind(zip, folder)
        let models = zip.entries.keys.filter { $0.hasPrefix(folder + "models/") && $0.hasSuffix(".json") }
        guard models.count == 1, let model = models.first else {
            throw ApusError(
                .unsupported,
                "\(path): expected one program in models/, got \(models.count); save one with torch.export.save"
            )
        }
        program = try JSON.parse(try zip.contents(of: model), source: "\(path): models/model.json")
        var (tensors, unreadable): ([String: StoredTensor], [String: String]) = ([:], [:])
        let name = model.dropFirst(folder.count + "models/".count).dropLast(".json".count)
        for kind in ["weights", "constants"] {
            let configName = "\(folder)data/\(kind)/\(name)_\(kind)_config.json"
            guard zip.entries[configName] != nil else { continue }
            let config = try JSON.parse(try zip.contents(of: configName), source: "\(path): \(configName)")
            guard let list = config["config"], list.kind == .object else {
                throw ApusError(.invalidInput, "\(path): \(configName): expected an object for 'config'")
            }
            for (key, value) in list.members {
                try ApusError.within("\(path): \(kind): '\(key)'") { () throws(ApusError) in
                    let reader = StoredTensorReader(zip: zip, folder: "\(folder)data/\(kind)/")
                    switch try reader.read(value) {
                    case .tensor(let tensor): tensors[key] = tensor
                    case .unreadable(let reason): unreadable[key] = reason
                    }
                }
            }
        }
        self.tensors = tensors
        self.unreadable = unreadable
    }

    private static func checkKind(_ zip: ZipArchive, _ folder: String) throws(ApusError) {
        let path = zip.path
        guard zip.entries[folder + "archive_format"] != nil else {
            if zip.entries.keys.contains(where: { $0.hasSuffix("serialized_exported_program.json") }) {
                throw ApusError(
                    .unsupported,
                    "\(path): is a program of torch 2.7 or earlier; load it with torch 2.8 or later and save it "
                        + "again: torch.export.save(torch.export.load(path), path)")
            }
            throw ApusError(
                .invalidInput,
                "\(path): expected a program saved by torch.export.save, got a zip archive of another kind")
        }
        func text(_ name: String) throws(ApusError) -> String {
            let text = String(decoding: try zip.contents(of: folder + name), as: UTF8.self)
            return String(text.filter { !$0.isWhitespace })
        }
        let format = try text("archive_format")
        guard format == "pt2" else {
            throw ApusError(.unsupported, "\(path): expected the archive format pt2, got '\(format)'")
        }
        if zip.entries[folder + "archive_version"] != nil {
            let version = try text("archive_version")
            guard version == "0" else {
                throw ApusError(.unsupported, "\(path): expected archive version 0, got '\(version)'")
            }
        }
        if zip.entries[folder + "byteorder"] != nil {
            let order = try text("byteorder")
            guard order == "little" else {
                throw ApusError(.unsupported, "\(path): expected little-endian tensors, got '\(order)'")
            }
        }
    }
}

/// Reads one entry of a weights or constants config.
private struct StoredTensorReader {
    enum Result {
        case tensor(TorchArchive.StoredTensor)
        case unreadable(String)
    }

    let zip: ZipArchive
    let folder: String

    func read(_ config: JSON) throws(ApusError) -> Result {
        guard let file = config["path_name"]?.string else {
            throw ApusError(.invalidInput, "expected a string for 'path_name'")
        }
        if config["use_pickle"]?.bool == true || config["tensor_meta"]?.kind != .object {
            return .unreadable("is a pickled object")
        }
        guard let meta = config["tensor_meta"], let entry = zip.entries[folder + file] else {
            throw ApusError(.notFound, "the archive has no entry '\(folder)\(file)'")
        }
        let code = meta["dtype"]?.int ?? 0
        guard let element = ElementType(torchCode: code) else {
            return .unreadable("has the element type \(ElementType.torchName(code))")
        }
        let sizes = try integers(meta, "sizes")
        let strides = try integers(meta, "strides")
        guard let offset = meta["storage_offset"]?["as_int"]?.int, offset >= 0, sizes.count == strides.count
        else {
            throw ApusError(.invalidInput, "expected as many strides as sizes, and a storage offset")
        }
        try check(sizes, strides, offset, available: (entry.range.count) / element.byteCount)
        return .tensor(
            TorchArchive.StoredTensor(
                entry: entry, type: TensorType(element, sizes), offset: offset, strides: strides))
    }

    /// Whether all elements lie in the storage, and are no more than it has.
    private func check(_ sizes: [Int], _ strides: [Int], _ offset: Int, available: Int) throws(ApusError) {
        var (last, count) = (offset, 1)
        for (size, stride) in Swift.zip(sizes, strides) where size != 0 {
            let (step, stepOverflow) = (size - 1).multipliedReportingOverflow(by: stride)
            let (sum, sumOverflow) = last.addingReportingOverflow(step)
            let (product, countOverflow) = count.multipliedReportingOverflow(by: size)
            guard !stepOverflow, !sumOverflow, !countOverflow else {
                throw ApusError(.invalidInput, "the shape \(sizes) is too large")
            }
            (last, count) = (sum, product)
        }
        guard sizes.contains(0) || (last < available && count <= available) else {
            throw ApusError(
                .invalidInput,
                "shape \(sizes) with strides \(strides) at \(offset) does not fit its \(available) elements")
        }
    }

    private func integers(_ meta: JSON, _ key: String) throws(ApusError) -> [Int] {
        guard let list = meta[key], list.kind == .array, list.count <= 64 else {
            throw ApusError(.invalidInput, "expected a list of up to 64 numbers for '\(key)'")
        }
        var result: [Int] = []
        for element in list.elements {
            guard let value = element["as_int"]?.int, value >= 0 else {
                throw ApusError(.invalidInput, "expected constant numbers of at least 0 in '\(key)'")
            }
            result.append(value)
        }
        return result
    }
}
