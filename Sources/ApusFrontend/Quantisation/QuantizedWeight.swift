import ApusGraph
import ApusSupport

/// What a graph must know of a quantised weight.
struct QuantizedForm: Sendable {
    /// The module's name in the checkpoint.
    let name: String
    let module: LinearModule
    /// Bits of a code.
    let bits: Int
    /// G, the number of groups of a row.
    let groups: Int
    let hasZeroPoints: Bool
    /// The order that x is gathered in before it is multiplied; nil for the order it has.
    let order: [Int32]?
}

/// The parts of a quantised weight, each a parameter of the graph.
enum QuantizedPart: String, CaseIterable, Sendable {
    /// u8[N, K].
    case codes
    /// [G, N].
    case scales
    /// u8[G, N].
    case zeroPoints = "zero_points"
    /// i64[K].
    case order

    /// The name of the parameter, given the module's.
    func name(in module: String) -> String { "\(module).weight.\(rawValue)" }
}

/// A quantised weight of a checkpoint, whose parts are unpacked when they are asked for.
struct QuantizedWeight: Sendable {
    let form: QuantizedForm
    private let tensors: QuantizedTensors
    private let scaleType: ElementType

    /// Looks at the tensors of a layer.
    ///
    /// - Parameters:
    ///   - module: The layer.
    ///   - name: Its name in the checkpoint.
    ///   - problems: Gets a line for everything that is wrong with it; then the result is nil.
    init?(
        _ module: LinearModule, name: String, in checkpoint: Checkpoint, format: any QuantizedFormat,
        used: inout Set<String>, problems: inout [String]
    ) throws(ApusError) {
        do throws(ApusError) {
            tensors = try format.tensors(of: module, name + ".", in: checkpoint)
            used.formUnion(tensors.names)
            let scheme = QuantizationScheme(bits: tensors.bits, groupSize: tensors.groupSize)
            guard let groups = scheme.groupCount(columns: module.inputs) else {
                throw ApusError(
                    .mismatch,
                    "groups of \(tensors.groupSize ?? 0) columns do not divide its \(module.inputs) columns")
            }
            let wrong = tensors.problems(of: module, groups: groups, in: checkpoint)
            guard wrong.isEmpty else {
                problems += wrong
                return nil
            }
            scaleType = tensors.scaleType(stored: checkpoint.type(of: tensors.scales.name)?.element ?? .f32)
            let order = try Self.order(tensors, module, groups, checkpoint)
            let hasZeroPoints = try Self.hasZeroPoints(tensors, module, groups, checkpoint)
            form = QuantizedForm(
                name: name, module: module, bits: tensors.bits, groups: groups, hasZeroPoints: hasZeroPoints,
                order: order)
        } catch {
            problems.append("'\(name)': \(error)")
            return nil
        }
    }

    private static func order(
        _ tensors: QuantizedTensors, _ module: LinearModule, _ groups: Int, _ checkpoint: Checkpoint
    ) throws(ApusError) -> [Int32]? {
        guard let name = tensors.groupIndex else { return nil }
        var order: [Int32]?
        try checkpoint.withBytes(of: name) { bytes throws(ApusError) in
            guard let base = bytes.baseAddress else { return }
            order = try ApusError.within("'\(name)'") { () throws(ApusError) in
                try GroupOrder.sorting(base, columns: module.inputs, groups: groups)
            }
        }
        return order
    }

    /// Whether any zero point is not the one that a missing one stands for: symmetric files store them all the same.
    private static func hasZeroPoints(
        _ tensors: QuantizedTensors, _ module: LinearModule, _ groups: Int, _ checkpoint: Checkpoint
    ) throws(ApusError) -> Bool {
        guard let name = tensors.zeroPoints?.name else { return false }
        let middle = UInt8(1) << UInt8(tensors.bits - 1)
        var found = false
        try checkpoint.withBytes(of: name) { bytes throws(ApusError) in
            guard let base = bytes.baseAddress else { return }
            let scratch = try Scratch(groups * module.outputs)
            try tensors.unpackZeroPoints(base, to: scratch.bytes, rows: module.outputs, groups: groups)
            found = !scratch.buffer.allSatisfy { $0 == middle }
        }
        return found
    }

    /// The type of a part; nil if the weight has none of it.
    func type(of part: QuantizedPart) -> TensorType? {
        let module = form.module
        return switch part {
        case .codes: TensorType(.u8, [module.outputs, module.inputs])
        case .scales: TensorType(scaleType, [form.groups, module.outputs])
        case .zeroPoints: form.hasZeroPoints ? TensorType(.u8, [form.groups, module.outputs]) : nil
        case .order: form.order == nil ? nil : TensorType(.i64, [module.inputs])
        }
    }

    /// The tensor of the checkpoint that a part is made of.
    func tensor(of part: QuantizedPart) -> String? {
        switch part {
        case .codes: tensors.codes.name
        case .scales: tensors.scales.name
        case .zeroPoints: tensors.zeroPoints?.name
        case .order: tensors.groupIndex
        }
    }

    /// Unpacks a part and calls `body` with it.
    func withBytes(
        of part: QuantizedPart, in checkpoint: Checkpoint,
        _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        guard let type = type(of: part), let tensor = tensor(of: part),
            let stored = checkpoint.type(of: tensor)
        else { throw ApusError(.notFound, "weight '\(part.name(in: form.name))' is missing") }
        let count = (type.constantShape ?? []).reduce(type.element.byteCount, *)
        let scratch = try Scratch(count)
        let (rows, columns) = (form.module.outputs, form.module.inputs)
        try checkpoint.withBytes(of: tensor) { bytes throws(ApusError) in
            guard let source = bytes.baseAddress else { return }
            switch part {
            case .codes:
                try tensors.unpackCodes(source, to: scratch.bytes, rows: rows, columns: columns)
                if let order = form.order { Self.reorder(scratch.bytes, rows, columns, order) }
            case .scales:
                try tensors.unpackScales(
                    source, stored.element, to: scratch.bytes, rows: rows, groups: form.groups)
            case .zeroPoints:
                try tensors.unpackZeroPoints(source, to: scratch.bytes, rows: rows, groups: form.groups)
            case .order:
                let target = UnsafeMutableRawPointer(scratch.bytes).assumingMemoryBound(to: Int64.self)
                for (place, column) in (form.order ?? []).enumerated() {
                    target[place] = Int64(column).littleEndian
                }
            }
        }
        try body(UnsafeRawBufferPointer(scratch.buffer))
    }

    /// Puts the codes of each row in another order.
    private static func reorder(
        _ codes: UnsafeMutablePointer<UInt8>, _ rows: Int, _ columns: Int, _ order: [Int32]
    ) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: columns) { line in
            order.withUnsafeBufferPointer { order in
                guard let line = line.baseAddress, let order = order.baseAddress else { return }
                for row in 0..<rows {
                    let codes = codes + row * columns
                    line.update(from: codes, count: columns)
                    for place in 0..<columns { codes[place] = line[Int(order[place])] }
                }
            }
        }
    }
}
