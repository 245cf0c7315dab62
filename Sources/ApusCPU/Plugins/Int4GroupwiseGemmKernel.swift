public import ApusEngine
import ApusGraph
public import ApusSupport
import CApusCPU

/// The Int4GroupwiseGemm plugin on processors.
///
/// Stored weights are packed when an engine is built; codes, scales and zero points that are not (of a
/// ``PluginRunner``, say) are packed before every pass. Sums are exact integers for each group, then FP32.
public struct Int4GroupwiseGemmKernel: CPUKernel {
    /// Makes the kernel.
    public init() {}

    /// Refuses element types and groups that no kernel reads.
    public func refusal(_ query: KernelQuery) -> String? { QuantizedOperands.refusal(query, bits: 4) }

    /// Panels of 16 output features.
    public func packing(of operand: Int, for query: KernelQuery) -> (any WeightPacking)? {
        QuantizedOperands.packing(of: operand, bits: 4)
    }

    /// Binds the kernel to a step.
    public func makeLaunch(_ setup: CPUKernelSetup) throws(ApusError) -> any CPULaunch {
        guard let kernels = InstructionSet(rawValue: setup.instructionSet)?.kernels else {
            throw ApusError(.unsupported, "no kernels for instruction set '\(setup.instructionSet)'")
        }
        return try Int4GroupwiseGemmLaunch(setup, kernels)
    }
}

/// One Int4GroupwiseGemm.
private final class Int4GroupwiseGemmLaunch: CPULaunch {
    /// An operand that is packed before every pass, and where to.
    private struct Unpacked {
        let tensor: KernelTensor
        let packing: any WeightPacking
        let buffer: HugeBuffer
    }

    private let product: QuantizedProduct
    private var unpacked: [Unpacked] = []

    init(_ setup: CPUKernelSetup, _ kernels: UnsafePointer<apus_kernels>) throws(ApusError) {
        typealias Position = QuantizedOperands.Position
        let (x, codes, scales) = (
            try setup.operand(Position.x), try setup.operand(Position.codes),
            try setup.operand(Position.scales)
        )
        let (n, k) = (codes.maximumShape[0], codes.maximumShape[1])
        var arguments = apus_quantized_linear()
        (arguments.bits, arguments.n, arguments.k, arguments.group) = (4, n, k, setup.int("group_size"))
        arguments.scale_dtype = try LaunchContext.dtype(scales.type.element)
        var pointers: [UnsafeMutableRawPointer?] = []
        for position in [Position.codes, Position.scales, Position.zeroPoints] {
            guard let tensor = setup.optional(position) else {
                pointers.append(nil)
                continue
            }
            guard let packing = QuantizedOperands.packing(of: position, bits: 4), tensor.packing == nil else {
                pointers.append(tensor.pointer)
                continue
            }
            guard !tensor.isComputed, let bytes = packing.byteCount(of: tensor.type) else {
                throw ApusError(
                    .unsupported,
                    "int4_groupwise_gemm: expected %\(tensor.name) to be a stored weight or an input, got \(tensor.type) "
                        + "that the pass computes")
            }
            let buffer = try HugeBuffer(byteCount: bytes, purpose: "packed %\(tensor.name)")
            unpacked.append(Unpacked(tensor: tensor, packing: packing, buffer: buffer))
            pointers.append(buffer.base)
        }
        arguments.codes = pointers[0].map { UnsafeRawPointer($0) }
        arguments.scales = pointers[1].map { UnsafeRawPointer($0) }
        arguments.zeros = pointers[2].map { UnsafePointer($0.assumingMemoryBound(to: UInt8.self)) }
        arguments.bias = try setup.optional(Position.bias).map { bias throws(ApusError) in
            UnsafePointer(try bias.floats())
        }
        arguments.x = UnsafePointer(try x.floats())
        arguments.y = try setup.results[0].floats()
        (arguments.ldx, arguments.ldy) = (k, n)
        product = QuantizedProduct(
            arguments, isExact: setup.string("activations") == "f32",
            mostRows: x.maximumShape.dropLast().reduce(1, *), workers: setup.workerCount, kernels)
    }

    var phaseCount: Int { product.phaseCount }

    var scratchBytes: Int { product.scratchBytes }

    func resize(_ shapes: KernelShapes) {
        product.resize(rows: (shapes.operands[QuantizedOperands.Position.x] ?? []).dropLast().reduce(1, *))
    }

    func prepare() throws(ApusError) {
        for operand in unpacked {
            let count = operand.tensor.maximumShape.reduce(operand.tensor.type.element.byteCount, *)
            try operand.packing.pack(
                UnsafeRawBufferPointer(start: operand.tensor.pointer, count: count), operand.tensor.type,
                into: UnsafeMutableRawBufferPointer(
                    start: operand.buffer.base, count: operand.buffer.byteCount))
        }
        product.prepare()
    }

    func run(_ worker: CPUWorker) {
        product.run(phase: worker.phase, worker: worker.index, scratch: worker.scratch)
    }
}
