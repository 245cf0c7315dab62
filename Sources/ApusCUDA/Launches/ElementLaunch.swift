import ApusEngine
import ApusGraph

/// The loops of a kernel whose threads take four neighbours at once, where all views let them.
struct GroupedNest {
    /// The loops; over groups, if there are any.
    private let nest: LoopNest
    /// Elements of a group: 4, or 1.
    private let size: Int
    /// Bit v is set where view v gives a whole group the same element.
    private let repeats: Int

    private static let groupSize = 4

    /// Groups the elements of a nest.
    /// - Parameters:
    ///   - views: What the nest loops over, in its order.
    ///   - steps: Further distances in elements that the first view is moved by.
    init(_ nest: LoopNest, _ views: [TensorView], steps: [Int] = []) {
        var (size, repeats) = (Self.groupSize, 0)
        let last = nest.shape.count - 1
        if last < 0 || nest.shape[last] % size != 0 || !steps.allSatisfy({ $0 % size == 0 }) { size = 1 }
        for (index, view) in views.enumerated() where size > 1 {
            let strides = nest.strides[index]
            if strides[last] == 0, index > 0 {
                repeats |= 1 << index
            } else if strides[last] != 1 || !strides[..<last].allSatisfy({ $0 % size == 0 })
                || Int(bitPattern: view.pointer) % min(size * view.element.byteCount, 16) != 0
            {
                size = 1
            }
        }
        self.nest = size == 1 ? nest : nest.divided(by: size, scaled: [])
        self.size = size
        self.repeats = size == 1 ? 0 : repeats
    }

    /// Threads that there is work for.
    var count: Int { nest.count }

    /// The nest, elements of a group, and views that repeat.
    var arguments: [KernelArgument] { [nest.argument, .int32(size), .int32(repeats)] }
}

extension LoopNest {
    /// The same loops in units of `factor` elements of the innermost one.
    /// - Parameter scaled: The views whose steps are in these units too; in others they stay in elements.
    func divided(by factor: Int, scaled: Set<Int>) -> LoopNest {
        var result = LoopNest()
        for (index, size) in shape.enumerated() {
            let isLast = index == shape.count - 1
            let steps = strides.indices.map { view in
                let step = strides[view][index]
                return scaled.contains(view)
                    ? (isLast ? step : step / factor) : (isLast ? step * factor : step)
            }
            result.add(isLast ? size / factor : size, steps)
        }
        return result
    }
}

extension DeviceStep {
    /// A launch of a kernel that gives each of `count` items to `lanes` threads; none where there is no work.
    /// - Parameter processors: Of the device; threads beyond what they hold would only wait.
    static func launch(
        _ unit: KernelUnit, _ function: String, _ count: Int, lanes: Int = 1, on processors: Int,
        _ arguments: [KernelArgument]
    ) -> [DeviceWork] {
        guard count > 0 else { return [] }
        let blocks = (count * lanes + blockThreads - 1) / blockThreads
        return [
            .kernel(
                KernelCall(
                    unit, function, grid: CUDALaunch.Size(min(blocks, processors * blocksPerProcessor)),
                    block: CUDALaunch.Size(blockThreads), arguments))
        ]
    }

    /// Threads of a block of all kernels that are launched so.
    static var blockThreads: Int { 256 }
    /// Two rounds of what a processor holds at a time: enough to even out.
    private static var blocksPerProcessor: Int { 16 }

    /// The words that kernels which report faults take last: where, and who.
    func faultArguments(_ context: DeviceContext) -> [KernelArgument] {
        [.pointer(context.fault), .int32(positions.first ?? 0)]
    }
}

extension TensorView {
    /// The first element as an argument.
    var argument: KernelArgument { .pointer(pointer) }

    /// The strided dimension that an attribute counts from either end.
    func axis(_ step: Plan.Step) -> Int { step.int("dim") < 0 ? step.int("dim") + rank : step.int("dim") }
}

extension ElementType {
    /// The type and whether it is boolean, as macros of these names.
    func macros(_ name: String, _ boolean: String) -> [String: String] {
        [name: kernelType, boolean: self == .bool ? "1" : "0"]
    }
}
