import ApusEngine
import ApusSupport

/// The launches of a plan, one for each of its steps.
struct LaunchSchedule {
    let steps: [DeviceStep]

    init(_ plan: Plan, _ context: DeviceContext) throws(ApusError) {
        var steps: [DeviceStep] = []
        for (position, step) in plan.steps.enumerated() {
            let launch = try StepKind.make(step, context)
            launch.positions = [position]
            steps.append(launch)
        }
        self.steps = steps
    }
}
