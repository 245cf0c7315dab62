import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// RMS norm and layer norm, with or without a residual addition before; workers share the rows.
final class NormLaunch: Launch {
    static let entries = ["rms_norm", "layer_norm", "add_rms_norm", "add_layer_norm"].map { op in
        KernelEntry(op: op, kernel: "cpu.\(op)") { query in
            query.operands.allSatisfy { $0 == nil || $0?.element == .f32 } ? nil : "operands are not all f32"
        }
    }

    private let kernels: UnsafePointer<apus_kernels>
    private let isLayerNorm: Bool
    private let x: UnsafeMutablePointer<Float>
    private let delta: UnsafeMutablePointer<Float>?
    private let weight: UnsafeMutablePointer<Float>
    private let bias: UnsafeMutablePointer<Float>?
    private let sum: UnsafeMutablePointer<Float>?
    private let y: UnsafeMutablePointer<Float>
    private let eps: Float
    private let width: Int
    private let rowCount: Dimension
    private let frame: Frame
    private var rows = 0

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        let hasDelta = step.op.hasPrefix("add_")
        let type = try context.type(step.operands[0])
        kernels = context.kernels
        isLayerNorm = step.op.hasSuffix("layer_norm")
        x = try context.floats(step.operands[0])
        delta = hasDelta ? try context.floats(step.operands[1]) : nil
        weight = try context.floats(step.operands[hasDelta ? 2 : 1])
        bias = isLayerNorm ? try context.optionalFloats(step, hasDelta ? 3 : 2) : nil
        sum = hasDelta ? try context.floats(step.results[0]) : nil
        y = try context.floats(step.results[hasDelta ? 1 : 0])
        eps = Float(step.float("eps"))
        width = type.shape.last?.constant ?? 0
        rowCount = .product(type.shape.dropLast())
        frame = context.frame
        super.init(step)
    }

    override func resize() { rows = frame.count(rowCount) }

    override func run(phase: Int, worker: Int, workers: Int) {
        let range = share(rows, worker, workers)
        guard !range.isEmpty else { return }
        let offset = range.lowerBound * width
        if let delta, let sum {
            if isLayerNorm {
                kernels.pointee.add_layer_norm(
                    x + offset, delta + offset, weight, bias, eps, sum + offset, y + offset, range.count,
                    width)
            } else {
                kernels.pointee.add_rms_norm(
                    x + offset, delta + offset, weight, eps, sum + offset, y + offset, range.count, width)
            }
        } else if isLayerNorm {
            kernels.pointee.layer_norm(x + offset, weight, bias, eps, y + offset, range.count, width)
        } else {
            kernels.pointee.rms_norm(x + offset, weight, eps, y + offset, range.count, width)
        }
    }
}
