import ApusEngine
import ApusSupport

/// The launches of a plan, one for each of its steps, and one for all layers of a decode step where they are alike.
struct LaunchSchedule {
    private(set) var steps: [DeviceStep] = []
    /// What became of the layers of a decode step, and why.
    private(set) var notes: [String] = []

    init(_ plan: Plan, _ context: DeviceContext) throws(ApusError) {
        for (position, step) in plan.steps.enumerated() {
            let launch = try StepKind.make(step, context)
            launch.positions = [position]
            steps.append(launch)
        }
        if context.stacksLayers { try stackLayers(of: plan, context) }
    }

    /// Makes one step of the layers that one kernel can walk.
    private mutating func stackLayers(of plan: Plan, _ context: DeviceContext) throws(ApusError) {
        switch DecodeStackFusion.find(in: plan, for: context.device.architecture) {
        case .success(let stack)?:
            guard let factor = try context.commonNumber(stack.factors) else {
                return notes.append("layers stay apart: q is multiplied by a number that differs among them")
            }
            let members = Array(steps[stack.positions])
            let step = try DecodeStackStep(stack, members, factor: factor, context)
            steps.replaceSubrange(stack.positions, with: [step])
            notes.append("\(stack.layers.count) layers → \(DecodeStackStep.op)")
        case .failure(let refusal)?: notes.append("layers stay apart: \(refusal.reason)")
        case nil: break
        }
    }
}
