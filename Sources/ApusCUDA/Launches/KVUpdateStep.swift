import ApusEngine
import ApusGraph
import ApusSupport

/// Overwrites rows of a KV cache in place, rounding to the cache's type.
///
/// Where the rows begin is read on the device if it is an input, so that launches stay the same from token to token.
final class KVUpdateStep: DeviceStep {
    static let kind = StepKind(
        KernelEntry(
            op: "kv_update", kernel: "cuda.kv_update", forms: [.strided, .strided.orNarrow], inPlace: [0: 0]
        ) { $0.rankRefusal }
    ) { step, context throws(ApusError) in try KVUpdateStep(step, context) }

    private let unit: KernelUnit
    private let cache: TensorView
    private let new: TensorView
    private let start: Size
    /// The symbol that is the first row, and the i32 input that gives its value.
    private let input: (symbol: String, address: UnsafeRawPointer)?
    private let context: DeviceContext

    private init(_ step: Plan.Step, _ context: DeviceContext) throws(ApusError) {
        self.context = context
        cache = try context.view(step.operands[0])
        new = try context.view(step.operands[1])
        unit = ConvertStep.unit(new.element, cache.element)
        start = try context.size(step.size("start"))
        input = Self.input(step, context)
        super.init(step)
    }

    /// The input that gives the start, if nothing else of the step follows from it.
    private static func input(
        _ step: Plan.Step, _ context: DeviceContext
    ) -> (symbol: String, address: UnsafeRawPointer)? {
        guard let input = input(step.size("start"), context) else { return nil }
        let isElsewhere = (step.operands.compactMap { $0 } + step.results).contains { index in
            let tensor = context.plan.tensors[index]
            return (tensor.type.shape + tensor.layout.strides + [tensor.layout.offset]).contains {
                $0.symbols.contains(input.symbol)
            }
        }
        return isElsewhere ? nil : input
    }

    /// The symbol that a dimension is, and the i32 input that gives its value.
    static func input(
        _ dimension: Dimension, _ context: DeviceContext
    ) -> (symbol: String, address: UnsafeRawPointer)? {
        guard let (symbol, tensor) = context.plan.deviceInput(of: dimension) else { return nil }
        return (symbol, UnsafeRawPointer(context.addresses[tensor]))
    }

    override var deviceSymbols: Set<String> { input.map { [$0.symbol] } ?? [] }

    override var faultReason: String { "the new rows exceed the capacity of the cache" }

    override func work() throws(ApusError) -> [DeviceWork] {
        var nest = LoopNest()
        for axis in 0..<4 { nest.add(new.size(axis), [cache.stride(axis), new.stride(axis)]) }
        let row = cache.stride(2)
        let groups = GroupedNest(nest, [cache, new], steps: [row])
        let arguments: [KernelArgument] = [
            .pointer(input?.address), .int64(input == nil ? context.symbols.value(start) : 0), .int64(row),
            .int64(cache.size(2) - new.size(2)),
        ]
        return Self.launch(
            unit, "kv_update", groups.count, on: context.processorCount,
            [new.argument, cache.argument] + groups.arguments + arguments + faultArguments(context))
    }
}

extension Plan {
    /// The symbol that a dimension is, and the i32 input, by index, that gives its value; nil for any other dimension.
    func deviceInput(of dimension: Dimension) -> (symbol: String, tensor: Int)? {
        guard let symbol = symbols.first(where: { .symbol($0.name) == dimension }),
            case .input(let name)? = symbol.definition,
            let tensor = tensors.firstIndex(where: { $0.storage == .input(name) }),
            tensors[tensor].type.element == .i32
        else { return nil }
        return (symbol.name, tensor)
    }
}
