import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// Makes a strided tensor dense.
final class CopyLaunch: ElementsLaunch {
    static let entry = KernelEntry(op: "copy", kernel: "cpu.copy", forms: [.strided]) { $0.rankRefusal }

    override func compute(_ nest: inout apus_nest, _ range: Range<Int>) {
        apus_copy(y.element.byteCount, x.pointer, y.pointer, &nest, range.lowerBound, range.upperBound)
    }
}

/// Copies tensors one after the other along a dimension; workers share the elements of each.
final class CatLaunch: Launch {
    static let entry = KernelEntry(op: "cat", kernel: "cpu.cat", forms: [.strided]) { $0.rankRefusal }

    private let parts: [TensorView]
    private let y: TensorView
    private let axis: Int
    private var nests: [apus_nest]
    /// Elements of the result before the first of each part.
    private var starts: [Int]

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        var parts: [TensorView] = []
        for operand in step.operands { parts.append(try context.view(operand)) }
        self.parts = parts
        y = try context.view(step.results[0])
        axis = step.int("dim") < 0 ? step.int("dim") + y.rank : step.int("dim")
        nests = parts.map { _ in apus_nest() }
        starts = parts.map { _ in 0 }
        super.init(step)
    }

    override func resize() {
        var start = 0
        var index = 0
        while index < parts.count {
            let part = parts[index]
            starts[index] = start * y.stride(axis)
            start += part.size(axis)
            apus_nest_begin(&nests[index])
            var dimension = 0
            while dimension < y.rank {
                apus_nest_add(
                    &nests[index], part.size(dimension), y.stride(dimension), part.stride(dimension), 0, 0)
                dimension += 1
            }
            apus_nest_end(&nests[index])
            index += 1
        }
    }

    override func run(phase: Int, worker: Int, workers: Int) {
        let bytes = y.element.byteCount
        var index = 0
        while index < parts.count {
            var nest = nests[index]
            let range = share(nest.count, worker, workers, grain: UnaryLaunch.grain)
            apus_copy(
                bytes, parts[index].pointer, y.pointer + starts[index] * bytes, &nest, range.lowerBound,
                range.upperBound)
            index += 1
        }
    }
}

/// Copies a tensor and fills what is added before and after along a dimension; workers share the elements.
final class PadLaunch: Launch {
    static let entry = KernelEntry(op: "pad", kernel: "cpu.pad", forms: [.strided]) { $0.rankRefusal }

    private let x: TensorView
    private let y: TensorView
    private let axis: Int
    private let before: Size
    private let symbols: SymbolValues
    private let value: ElementBytes
    /// The part before, the tensor itself, the part after.
    private var nests = [apus_nest](repeating: apus_nest(), count: 3)
    private var starts = [0, 0, 0]

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        x = try context.view(step.operands[0])
        y = try context.view(step.results[0])
        axis = step.int("dim") < 0 ? step.int("dim") + y.rank : step.int("dim")
        before = try context.size(step.size("before"))
        symbols = context.symbols
        value = ElementBytes(step.float("value"), y.element)
        super.init(step)
    }

    override func resize() {
        let (head, body) = (max(symbols.value(before), 0), x.size(axis))
        let sizes = (head, body, y.size(axis) - head - body)
        starts[0] = 0
        starts[1] = sizes.0 * y.stride(axis)
        starts[2] = (sizes.0 + sizes.1) * y.stride(axis)
        set(0, sizes.0)
        set(1, sizes.1)
        set(2, max(sizes.2, 0))
    }

    private func set(_ part: Int, _ size: Int) {
        apus_nest_begin(&nests[part])
        var dimension = 0
        while dimension < y.rank {
            apus_nest_add(
                &nests[part], dimension == axis ? size : y.size(dimension), y.stride(dimension),
                x.stride(dimension), 0, 0)
            dimension += 1
        }
        apus_nest_end(&nests[part])
    }

    override func run(phase: Int, worker: Int, workers: Int) {
        let bytes = y.element.byteCount
        var part = 0
        while part < 3 {
            var nest = nests[part]
            let range = share(nest.count, worker, workers, grain: UnaryLaunch.grain)
            let target = y.pointer + starts[part] * bytes
            if part == 1 {
                apus_copy(bytes, x.pointer, target, &nest, range.lowerBound, range.upperBound)
            } else {
                apus_fill(bytes, value.pointer, target, &nest, range.lowerBound, range.upperBound)
            }
            part += 1
        }
    }
}

/// One number in the bytes of an element type.
final class ElementBytes {
    /// The element.
    let pointer: UnsafeMutableRawPointer

    init(_ value: Double, _ element: ElementType) {
        pointer = .allocate(byteCount: 8, alignment: 8)
        var number = Float(value)
        var integer = Int64(exactly: value.rounded(.towardZero)) ?? (value < 0 ? .min : value > 0 ? .max : 0)
        if element == .bool { integer = value == 0 ? 0 : 1 }
        var nest = apus_nest()
        apus_nest_begin(&nest)
        apus_nest_end(&nest)
        if element.isFloat {
            apus_to(APUS_ELEMENT_F32, &number, element.code, pointer, &nest, 0, 1)
        } else {
            apus_to(APUS_ELEMENT_I64, &integer, element.code, pointer, &nest, 0, 1)
        }
    }

    deinit { pointer.deallocate() }
}
