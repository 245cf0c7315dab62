package import ApusSupport

extension Engine {
    /// The executor that keeps keys and values as the plan wants them, with kernels and memory of a device.
    /// - Throws: `.outOfMemory`, and whatever binding the plan throws.
    package func makeExecutor(
        on device: any PlanDevice, limits: SessionLimits
    ) throws(ApusError) -> any Executor {
        switch plan.cacheMode {
        case .plugin: try PluginExecutor(self, limits: limits, on: device)
        case .staticCache: try StaticCacheExecutor(self, limits: limits, on: device)
        case .recompute:
            RecomputingExecutor(
                try PlanComputer(self, limits: limits, on: device), model: info, limits: limits)
        }
    }
}
