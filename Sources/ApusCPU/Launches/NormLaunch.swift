import ApusEngine
import ApusGraph
import ApusSupport
import CApusCPU

/// RMS norm and layer norm, with or without a residual addition before; workers share the rows.
final class NormLaunch: Launch {
    static let entries = ["rms_norm", "layer_norm", "add_rms_norm", "add_layer_norm"].map { op in
        KernelEntry(
            op: op, kernel: "cpu.\(op)", forms: [op.hasPrefix("add_") ? .dense : .rows, .dense]
        ) { query in
            guard query.operands.allSatisfy({ $0 == nil || $0?.element == .f32 }) else {
                return "operands are not all f32"
            }
            return query.operands[0]?.shape.last?.constant == nil
                ? "the width is not constant" : query.rankRefusal
        }
    }

    private let kernels: UnsafePointer<apus_kernels>
    private let isLayerNorm: Bool
    private let x: TensorView
    private let delta: UnsafeMutablePointer<Float>?
    private let weight: UnsafeMutablePointer<Float>
    private let bias: UnsafeMutablePointer<Float>?
    private let sum: UnsafeMutablePointer<Float>?
    private let y: TensorView
    private let eps: Float
    private let width: Int
    /// Where the rows lie in y and x.
    private var nest = apus_nest()

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        let hasDelta = step.op.hasPrefix("add_")
        let type = try context.type(step.operands[0])
        kernels = context.kernels
        isLayerNorm = step.op.hasSuffix("layer_norm")
        x = try context.view(step.operands[0])
        delta = hasDelta ? try context.floats(step.operands[1]) : nil
        weight = try context.floats(step.operands[hasDelta ? 2 : 1])
        bias = isLayerNorm ? try context.optionalFloats(step, hasDelta ? 3 : 2) : nil
        sum = hasDelta ? try context.floats(step.results[0]) : nil
        y = try context.view(step.results[hasDelta ? 1 : 0])
        eps = Float(step.float("eps"))
        width = type.shape.last?.constant ?? 0
        super.init(step)
    }

    override func resize() { nest = apus_nest(y, rank: y.rank - 1, x) }

    override func run(phase: Int, worker: Int, workers: Int) {
        let range = share(nest.count, worker, workers)
        guard !range.isEmpty else { return }
        // A single row has no steps at all.
        let isDense = nest.rank == 1 && (nest.count == 1 || (nest.step(0) == width && nest.step(1) == width))
        if isDense {
            norm(range.lowerBound * width, range.lowerBound * width, range.count)
            return
        }
        var nest = nest
        withUnsafeTemporaryAllocation(of: Int.self, capacity: Int(APUS_MOST_VIEWS)) { at in
            guard let positions = at.baseAddress else { return }
            for row in range {
                apus_nest_at(&nest, row, positions)
                norm(positions[1], positions[0], 1)
            }
        }
    }

    /// Some rows that lie one after the other, from the given elements of x and y on.
    private func norm(_ source: Int, _ target: Int, _ rows: Int) {
        let (from, to) = (x.floats + source, y.floats + target)
        if let delta, let sum {
            if isLayerNorm {
                kernels.pointee.add_layer_norm(
                    from, delta + source, weight, bias, eps, sum + source, to, rows, width)
            } else {
                kernels.pointee.add_rms_norm(from, delta + source, weight, eps, sum + source, to, rows, width)
            }
        } else if isLayerNorm {
            kernels.pointee.layer_norm(from, weight, bias, eps, to, rows, width)
        } else {
            kernels.pointee.rms_norm(from, weight, eps, to, rows, width)
        }
    }
}
