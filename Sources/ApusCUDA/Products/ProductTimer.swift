import ApusEngine
import ApusGraph
import ApusSupport
import CApusCUDA

/// Times what cuBLASLt proposes for products, on the GPU itself.
///
/// The library orders its proposals by a model of the GPU; the first is often not the fastest.
final class ProductTimer {
    private let device: CUDADevice
    private let products: ProductLibrary
    private let queue: Queue
    private let noise: CUDAHostMemory

    /// Proposals that are tried.
    private static let mostProposals = 8
    /// How much faster than the first proposal another must be: less may be chance.
    private static let gain: Float = 0.98
    /// Milliseconds of launches that one round of a proposal takes, if one launch does not take longer.
    private static let roundMilliseconds: Float = 0.4
    /// Bytes of weights that launches take turns in: more than a GPU's caches hold, as the weights of a model are.
    private static let rotatedBytes = 192 << 20
    private static let mostRotated = 16
    private static let noiseBytes = 4 << 20

    private final class Queue {
        let stream: CUDAStream
        let start: CUDAEvent
        let end: CUDAEvent
        init(on device: CUDADevice) throws(ApusError) {
            stream = try CUDAStream(on: device)
            start = try CUDAEvent(on: device)
            end = try CUDAEvent(on: device)
        }
    }

    init(_ device: CUDADevice, _ products: ProductLibrary) throws(ApusError) {
        self.device = device
        self.products = products
        queue = try Queue(on: device)
        noise = try CUDAHostMemory(Self.noiseBytes, purpose: "operands of timed products", on: device)
    }

    /// The fastest algorithm for each number of rows.
    /// - Throws: `.outOfMemory`.
    func fastest(
        _ problem: ProductProblem, rows: [Int]
    ) throws(ApusError) -> [(rows: Int, algorithm: apus_blaslt_algorithm)] {
        // What has no inputs or features, no library multiplies.
        guard let most = rows.max(), problem.n > 0, problem.k > 0 else { return [] }
        let operands = try Operands(problem, rows: most, copies: Self.copies(problem), on: device)
        try fill(operands.factors, problem.element)
        try fill(operands.results, problem.result)
        var list: [(rows: Int, algorithm: apus_blaslt_algorithm)] = []
        for count in rows {
            let setup = try ProductSetup(operands.product(rows: count), products)
            list.append((count, try fastest(setup, operands)))
        }
        return list
    }

    private static func copies(_ problem: ProductProblem) -> Int {
        let bytes = problem.n * problem.k * problem.element.byteCount
        return min(max((rotatedBytes + bytes - 1) / bytes, 1), mostRotated)
    }

    private func fastest(
        _ setup: ProductSetup, _ operands: Operands
    ) throws(ApusError) -> apus_blaslt_algorithm {
        let proposals = try setup.proposals(Self.mostProposals)
        guard proposals.count > 1 else { return proposals[0] }
        // The first launch of an algorithm loads its kernel.
        for proposal in proposals { _ = try milliseconds(setup, proposal, operands, launches: 1) }
        var times = [Float](repeating: .infinity, count: proposals.count)
        for index in proposals.indices {
            times[index] = try milliseconds(setup, proposals[index], operands, launches: 1)
        }
        // Rounds over all take turns, so that a clock which drifts is the same for each.
        for _ in 0..<2 {
            let bound = 1.5 * (times.min() ?? 0)
            for index in proposals.indices where times[index] <= bound {
                let launches = Int(min(max(Self.roundMilliseconds / max(times[index], 1e-3), 1), 40))
                times[index] = min(
                    times[index],
                    try milliseconds(setup, proposals[index], operands, launches: launches))
            }
        }
        var best = 0
        for index in times.indices where times[index] < times[best] { best = index }
        return proposals[times[best] < Self.gain * times[0] ? best : 0]
    }

    /// The time of a launch.
    private func milliseconds(
        _ setup: ProductSetup, _ algorithm: apus_blaslt_algorithm, _ operands: Operands, launches: Int
    ) throws(ApusError) -> Float {
        let (driver, functions) = (device.driver, device.driver.functions)
        let handle = queue.stream.handle
        var algorithm = algorithm
        try driver.check(functions.event_record(queue.start.handle, handle), "timing a product")
        for launch in 0..<launches {
            try setup.enqueue(&algorithm, w: operands.weights(launch), handle)
        }
        try driver.check(functions.event_record(queue.end.handle, handle), "timing a product")
        try driver.check(functions.event_synchronize(queue.end.handle), "timing \(setup.product)")
        var milliseconds: Float = 0
        try driver.check(
            functions.event_elapsed(&milliseconds, queue.start.handle, queue.end.handle), "timing a product")
        return milliseconds / Float(launches)
    }

    /// Numbers below 1, by chance but the same each time: a GPU draws less power, and is faster, on zeros.
    private func fill(_ memories: [CUDAMemory], _ element: ElementType) throws(ApusError) {
        let (driver, handle) = (device.driver, queue.stream.handle)
        var state: UInt32 = 1
        for place in stride(from: 0, to: noise.byteCount, by: element.byteCount) {
            state = state &* 1_664_525 &+ 1_013_904_223
            let (high, magnitude) = (UInt16(truncatingIfNeeded: state >> 16), (state >> 8) % 7)
            // Sign and digits by chance, exponents from −7 to −1.
            switch element {
            case .f16:
                noise.base.storeBytes(
                    of: high & 0x83ff | UInt16(8 + magnitude) << 10, toByteOffset: place, as: UInt16.self)
            case .bf16:
                noise.base.storeBytes(
                    of: high & 0x807f | UInt16(120 + magnitude) << 7, toByteOffset: place, as: UInt16.self)
            default:
                noise.base.storeBytes(
                    of: state & 0x807f_ffff | (120 + magnitude) << 23, toByteOffset: place, as: UInt32.self)
            }
        }
        for memory in memories {
            for offset in stride(from: 0, to: memory.byteCount, by: noise.byteCount) {
                try driver.check(
                    driver.functions.copy_in(
                        memory.address + UInt64(offset), noise.base,
                        min(noise.byteCount, memory.byteCount - offset), handle), "filling operands")
            }
        }
        try driver.check(driver.functions.stream_synchronize(handle), "filling operands")
    }
}

/// Memory for the operands of a product.
private struct Operands {
    /// Matrices that a launch reads, in the type of the weights, and those in the type of the result.
    let (factors, results): ([CUDAMemory], [CUDAMemory])
    private let copies: Int
    private let problem: ProductProblem

    /// - Parameters:
    ///   - rows: The most rows.
    ///   - copies: Matrices of weights side by side.
    init(_ problem: ProductProblem, rows: Int, copies: Int, on device: CUDADevice) throws(ApusError) {
        self.problem = problem
        self.copies = copies
        func memory(_ count: Int, _ element: ElementType) throws(ApusError) -> CUDAMemory {
            try CUDAMemory(count * element.byteCount, purpose: "timing products", on: device)
        }
        factors = [
            try memory(rows * problem.k, problem.element),
            try memory(copies * problem.n * problem.k, problem.element),
        ]
        var results = [try memory(rows * problem.n, problem.result)]
        if problem.hasResidual { results.append(try memory(rows * problem.n, problem.result)) }
        if problem.hasBias { results.append(try memory(problem.n, problem.result)) }
        self.results = results
    }

    func product(rows: Int) -> LinearProduct {
        LinearProduct(
            element: problem.element, result: problem.result, m: rows, n: problem.n, k: problem.k,
            x: UnsafeRawPointer(factors[0].base), w: UnsafeRawPointer(factors[1].base), y: results[0].base,
            bias: problem.hasBias ? results.last.map { UnsafeRawPointer($0.base) } : nil,
            residual: problem.hasResidual ? UnsafeRawPointer(results[1].base) : nil)
    }

    /// The weights of a launch.
    func weights(_ launch: Int) -> UnsafeRawPointer {
        UnsafeRawPointer(factors[1].base)
            + launch % copies * problem.n * problem.k * problem.element.byteCount
    }
}
