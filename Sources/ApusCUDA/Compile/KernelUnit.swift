import CApusCUDA

/// One compilation: a source file with the sizes that become constants in it.
///
/// Its kernels are compiled for an architecture when an engine is built, and found by ``id`` when it runs.
struct KernelUnit: Sendable, Hashable {
    /// Name of the source without `.cu`.
    let source: String
    /// Macros and their values.
    let macros: [String: String]
    /// The source of a plugin's kernels, whose name is the plugin's; nil for one of Apus.
    let text: String?

    init(_ source: String, _ macros: [String: String] = [:], text: String? = nil) {
        self.source = source
        self.macros = macros
        self.text = text
    }

    /// Source and macros as text, such as `gemv(K=896, N=1152)`.
    var id: String {
        let list = macros.sorted { $0.key < $1.key }.map {
            $0.value.isEmpty ? $0.key : "\($0.key)=\($0.value)"
        }
        return list.isEmpty ? source : "\(source)(\(list.joined(separator: ", ")))"
    }
}

/// The texts of all kernels.
enum KernelSources {
    /// Each file with its name, the headers too.
    static let all: [(name: String, text: String)] = {
        var files: [(name: String, text: String)] = []
        var index = 0
        while true {
            let entry = apus_kernel_source_at(Int32(index))
            guard let name = entry.name, let text = entry.text else { break }
            files.append((String(cString: name), String(cString: text)))
            index += 1
        }
        return files
    }()

    /// The text of a file.
    static func text(_ name: String) -> String? { all.first { $0.name == name }?.text }

    /// What sources may include.
    static let headers = all.filter { $0.name.hasSuffix(".cuh") }
}
