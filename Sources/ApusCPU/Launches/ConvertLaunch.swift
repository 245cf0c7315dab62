import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Converts elements to another type.
final class ConvertLaunch: ElementsLaunch {
    static let entry = KernelEntry(
        op: "to", kernel: "cpu.to", forms: [.strided.orNarrow]
    ) { $0.rankRefusal }

    private let kernels: UnsafePointer<apus_kernels>
    /// The types of a conversion between floating-point types, which has a vector kernel.
    private let dtypes: (from: apus_dtype, to: apus_dtype)?

    override init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        kernels = context.kernels
        let from = try context.type(step.operands[0]).element
        let to = try context.type(step.results[0]).element
        if from.isFloat, to.isFloat {
            dtypes = (try LaunchContext.dtype(from), try LaunchContext.dtype(to))
        } else {
            dtypes = nil
        }
        try super.init(step, context)
    }

    override func compute(_ nest: inout apus_nest, _ range: Range<Int>) {
        if let dtypes {
            apus_convert_strided(
                kernels, x.pointer, dtypes.from, y.pointer, dtypes.to, &nest, range.lowerBound,
                range.upperBound)
        } else {
            apus_to(
                x.element.code, x.pointer, y.element.code, y.pointer, &nest, range.lowerBound,
                range.upperBound)
        }
    }
}

/// Turns a boolean mask into what is added to scores.
final class MaskBiasLaunch: ElementsLaunch {
    static let entry = KernelEntry(
        op: "mask_bias", kernel: "cpu.mask_bias", forms: [.strided]
    ) { $0.rankRefusal }

    override func compute(_ nest: inout apus_nest, _ range: Range<Int>) {
        apus_mask_bias(
            x.pointer.assumingMemoryBound(to: UInt8.self), y.floats, &nest, range.lowerBound,
            range.upperBound)
    }
}

/// Overwrites rows of a KV cache in place, rounding to the cache's type; workers share the elements.
final class KVUpdateLaunch: Launch {
    static let entry = KernelEntry(
        op: "kv_update", kernel: "cpu.kv_update", forms: [.strided, .strided.orNarrow],
        inPlace: [0: 0]
    ) { $0.rankRefusal }

    private let kernels: UnsafePointer<apus_kernels>
    private let cache: TensorView
    private let new: TensorView
    private let start: Size
    private let symbols: SymbolValues
    private let faults: Faults
    private let dtypes: (from: apus_dtype, to: apus_dtype)
    private var nest = apus_nest()
    private var offset = 0
    private var fits = true

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        kernels = context.kernels
        symbols = context.symbols
        faults = context.faults
        cache = try context.view(step.operands[0])
        new = try context.view(step.operands[1])
        start = try context.size(step.size("start"))
        dtypes = (try LaunchContext.dtype(new.element), try LaunchContext.dtype(cache.element))
        super.init(step)
    }

    override var faultReason: String { "the new rows exceed the capacity of the cache" }

    override func resize() {
        let first = symbols.value(start)
        fits = first >= 0 && first + new.size(2) <= cache.size(2)
        offset = first * cache.stride(2) * cache.element.byteCount
        apus_nest_begin(&nest)
        var axis = 0
        while axis < 4 {
            apus_nest_add(&nest, new.size(axis), cache.stride(axis), new.stride(axis), 0, 0)
            axis += 1
        }
        apus_nest_end(&nest)
    }

    override func run(phase: Int, worker: Int, workers: Int) {
        guard fits else { return faults.report(index) }
        var nest = nest
        let range = share(nest.count, worker, workers, grain: UnaryLaunch.grain)
        apus_convert_strided(
            kernels, new.pointer, dtypes.from, cache.pointer + offset, dtypes.to, &nest, range.lowerBound,
            range.upperBound)
    }
}
