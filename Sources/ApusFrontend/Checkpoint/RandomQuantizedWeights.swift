import ApusGraph
import ApusSupport

/// Random weights of which some are codes: what they stand for is distributed as other matrices of ``RandomWeights``.
///
/// Codes are normal around the zero point, as wide as those of a tool that fits a group's largest weights; scales
/// differ by up to a quarter from their mean, zero points by one from the middle.
struct RandomQuantizedWeights: WeightSource {
    private let plain: RandomWeights
    private let forms: [String: QuantizedForm]

    /// Makes a source of the weights of `plain`, those of the given layers as codes.
    init(_ plain: RandomWeights, _ forms: [QuantizedForm]) {
        self.plain = plain
        self.forms = Dictionary(uniqueKeysWithValues: forms.map { ($0.name, $0) })
    }

    private func part(_ name: String) -> (form: QuantizedForm, part: QuantizedPart)? {
        for part in QuantizedPart.allCases {
            let ending = ".weight.\(part.rawValue)"
            guard name.hasSuffix(ending), let form = forms[String(name.dropLast(ending.count))] else {
                continue
            }
            return (form, part)
        }
        return nil
    }

    func type(of name: String) -> TensorType? {
        guard let (form, part) = part(name) else { return plain.type(of: name) }
        let (rows, columns) = (form.module.outputs, form.module.inputs)
        return switch part {
        case .codes: TensorType(.u8, [rows, columns])
        case .scales: TensorType(plain.element, [form.groups, rows])
        case .zeroPoints: form.hasZeroPoints ? TensorType(.u8, [form.groups, rows]) : nil
        case .order: nil
        }
    }

    func withBytes(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ApusError) -> Void
    ) throws(ApusError) {
        guard let (form, part) = part(name), let type = type(of: name) else {
            return try plain.withBytes(of: name, body)
        }
        let count = (type.constantShape ?? []).reduce(1, *)
        let scratch = try Scratch(count * type.element.byteCount)
        let buffer = UnsafeMutableRawBufferPointer(scratch.buffer)
        let key = RandomWeights.hash(name, plain.seed)
        switch part {
        case .codes:
            RandomWeights.fill(buffer, Self.codes(form), key, 0)
            if form.hasZeroPoints { try shift(scratch.bytes, form) }
        case .scales:
            // The wider the codes of a row, the smaller the scale that gives the deviation of a plain matrix.
            let mean = 1 / (Double(form.module.inputs).squareRoot() * Self.deviation(bits: form.bits))
            let table = (0..<4096).map { Float(mean * (0.75 + Double($0) / 8192)) }
            switch plain.element {
            case .f16: RandomWeights.fill(buffer, table.map { Half($0).bits.littleEndian }, key, 0)
            case .bf16: RandomWeights.fill(buffer, table.map { BFloat16($0).bits.littleEndian }, key, 0)
            default: RandomWeights.fill(buffer, table.map { $0.bitPattern.littleEndian }, key, 0)
            }
        case .zeroPoints: fillZeroPoints(buffer, form)
        case .order: break
        }
        try body(UnsafeRawBufferPointer(buffer))
    }

    private func fillZeroPoints(_ buffer: UnsafeMutableRawBufferPointer, _ form: QuantizedForm) {
        let middle = UInt8(1) << UInt8(form.bits - 1)
        let key = RandomWeights.hash(QuantizedPart.zeroPoints.name(in: form.name), plain.seed)
        RandomWeights.fill(buffer, (0..<4096).map { middle - 1 + UInt8($0 * 3 / 4096) }, key, 0)
    }

    /// Moves codes from around the middle to around the zero points of their groups.
    private func shift(_ codes: UnsafeMutablePointer<UInt8>, _ form: QuantizedForm) throws(ApusError) {
        let (rows, columns) = (form.module.outputs, form.module.inputs)
        let zeros = try Scratch(form.groups * rows)
        fillZeroPoints(UnsafeMutableRawBufferPointer(zeros.buffer), form)
        let (middle, largest) = (1 << (form.bits - 1), 1 << form.bits - 1)
        let size = columns / form.groups
        for row in 0..<rows {
            for group in 0..<form.groups {
                let offset = Int(zeros.bytes[group * rows + row]) - middle
                let start = row * columns + group * size
                for place in start..<start + size {
                    codes[place] = UInt8(truncatingIfNeeded: min(max(Int(codes[place]) + offset, 0), largest))
                }
            }
        }
    }

    /// The deviation of codes: the largest of a group of some hundred weights is 2.7 deviations away, that of a row of
    /// some thousand 3.5.
    private static func deviation(bits: Int) -> Double {
        (Double(1 << (bits - 1)) - 0.5) / (bits == 4 ? 2.7 : 3.5)
    }

    /// Codes around the middle, distributed normally.
    private static func codes(_ form: QuantizedForm) -> [UInt8] {
        let (middle, largest) = (Double(1 << (form.bits - 1)), Double(1 << form.bits - 1))
        return RandomWeights.quantiles.map {
            UInt8(min(max((middle + deviation(bits: form.bits) * $0).rounded(), 0), largest))
        }
    }
}

extension ModelDefinition {
    /// How the linear layers of a model with random weights are quantised: as its config says, or as a user asks.
    /// - Parameters:
    ///   - graph: The model with plain weights.
    ///   - request: What a user asks for.
    /// - Throws: `.invalidInput` if both say something, `.mismatch` with every layer whose columns are not a multiple
    ///   of the group.
    func randomForms(
        of graph: Graph, request: QuantizationRequest?
    ) throws(ApusError) -> [Int: QuantizedForm] {
        guard request == nil || quantization == nil else {
            throw ApusError(
                .invalidInput,
                "quantization_config: the model is quantised already; remove it, or ask for nothing else")
        }
        var forms: [Int: QuantizedForm] = [:]
        var problems: [String] = []
        for (position, module) in graph.linearModules().sorted(by: { $0.key < $1.key }) {
            let isHead = graph.nodes[position].result == graph.outputs.first
            let scheme: QuantizationScheme?
            if let request {
                scheme = isHead ? request.head : request.layers
            } else {
                scheme = module.isTied ? nil : quantization?.scheme(of: module)
            }
            guard let scheme else { continue }
            guard let groups = scheme.groupCount(columns: module.inputs) else {
                problems.append("'\(module.name)' has \(module.inputs) columns")
                continue
            }
            forms[position] = QuantizedForm(
                name: module.name, module: module, bits: scheme.bits, groups: groups,
                hasZeroPoints: scheme.hasZeroPoints, order: nil)
        }
        guard problems.isEmpty else {
            let size = request?.layers.groupSize ?? request?.head?.groupSize
            throw ApusError(
                .mismatch,
                "groups\(size.map { " of \($0)" } ?? "") do not divide the columns of \(problems.count) layers; choose "
                    + "another group size:\n  " + problems.joined(separator: "\n  "))
        }
        return forms
    }
}
