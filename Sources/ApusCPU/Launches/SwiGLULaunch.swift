import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// silu(gate)·up of a packed row; workers share the columns of each row.
final class SwiGLULaunch: Launch {
    static let entry = KernelEntry(op: "swiglu", kernel: "cpu.swiglu") { query in
        query.operands[0]?.element == .f32 ? nil : "x is not f32"
    }

    private let kernels: UnsafePointer<apus_kernels>
    private let x: UnsafeMutablePointer<Float>
    private let y: UnsafeMutablePointer<Float>
    private let width: Int
    private let rowCount: Size
    private let symbols: SymbolValues
    private var rows = 0

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        let type = try context.type(step.results[0])
        kernels = context.kernels
        x = try context.floats(step.operands[0])
        y = try context.floats(step.results[0])
        width = type.shape.last?.constant ?? 0
        rowCount = try context.size(.product(type.shape.dropLast()))
        symbols = context.symbols
        super.init(step)
    }

    override func resize() { rows = symbols.value(rowCount) }

    override func run(phase: Int, worker: Int, workers: Int) {
        let range = share(width, worker, workers, grain: 64)
        guard !range.isEmpty else { return }
        let gate = x + range.lowerBound
        kernels.pointee.gated(
            APUS_SILU, gate, 2 * width, gate + width, 2 * width, y + range.lowerBound, width, rows,
            range.count)
    }
}
