import ApusEngine
import ApusGraph
import ApusSupport

/// The launches of a plan for one kind of pass.
struct LaunchSchedule {
    let steps: [DeviceStep]

    init(
        _ plan: Plan, _ kind: PassKind, _ context: DeviceContext, _ runtime: CUDARuntime
    ) throws(ApusError) {
        var steps: [DeviceStep] = []
        for (position, step) in plan.steps.enumerated() {
            let launch: DeviceStep
            if let plugin = step.plugin {
                throw ApusError(.unsupported, "plugin \(plugin) has no CUDA kernel")
            } else {
                launch = try StepKind.make(step, context)
            }
            launch.positions = [position]
            steps.append(launch)
        }
        self.steps = steps
    }
}
