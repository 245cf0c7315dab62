import ApusEngine
import ApusGraph
import ApusSupport

/// Copies the row of each sequence's last token; workers share the sequences.
final class GatherLastTokenLaunch: Launch {
    static let entry = KernelEntry(op: "gather_last_token", kernel: "cpu.gather_last_token") { query in
        query.operands[0]?.element == .f32 ? nil : "x is not f32"
    }

    private let x: TensorView
    private let last: UnsafeMutablePointer<Int32>
    private let y: UnsafeMutablePointer<Float>
    private let width: Int

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        x = try context.view(step.operands[0])
        last = try context.raw(step.operands[1]).assumingMemoryBound(to: Int32.self)
        y = try context.floats(step.results[0])
        width = try context.type(step.operands[0]).shape[2].constant ?? 0
        super.init(step)
    }

    override func run(phase: Int, worker: Int, workers: Int) {
        let tokens = x.size(1)
        for row in share(x.size(0), worker, workers) {
            let source = x.floats + (row * tokens + Int(last[row])) * width
            (y + row * width).update(from: source, count: width)
        }
    }
}
