import ApusEngine
import ApusGraph
import ApusSupport

/// Copies the row of each sequence's last token; workers share the sequences.
final class GatherLastTokenLaunch: Launch {
    static let entry = KernelEntry(op: "gather_last_token", kernel: "cpu.gather_last_token") { query in
        query.operands[0]?.element == .f32 ? nil : "x is not f32"
    }

    private let x: UnsafeMutablePointer<Float>
    private let last: UnsafeMutablePointer<Int32>
    private let y: UnsafeMutablePointer<Float>
    private let width: Int
    private let frame: Frame

    init(_ step: Plan.Step, _ context: LaunchContext) throws(ApusError) {
        x = try context.floats(step.operands[0])
        last = try context.raw(step.operands[1]).assumingMemoryBound(to: Int32.self)
        y = try context.floats(step.results[0])
        width = try context.type(step.operands[0]).shape[2].constant ?? 0
        frame = context.frame
        super.init(step)
    }

    override func run(phase: Int, worker: Int, workers: Int) {
        for row in share(frame.batch, worker, workers) {
            let source = x + (row * frame.width + Int(last[row])) * width
            (y + row * width).update(from: source, count: width)
        }
    }
}
