import ApusEngine
import ApusGraph

/// What the decode kernel is given where it prepares the new token of each sequence itself; strides in elements.
struct NewestOperands {
    /// One head after another of the same sequence, sequence by sequence.
    struct Heads {
        let pointer: UnsafeRawPointer?
        let batch: Int
        let head: Int
    }

    /// Cosines and sines of the rotary embedding.
    struct Angles {
        let cosines: UnsafeRawPointer?
        let sines: UnsafeRawPointer?
        /// Elements between sequences; 0 where they share them.
        let batch: Int
        /// Columns that turn.
        let rotary: Int
        /// Rows of a constant table; nil where the pass computes the row of the new token.
        let tableRows: Int?
    }

    let q: Heads
    let k: Heads
    let v: Heads
    let keys: Heads
    let values: Heads
    let angles: Angles
    let norms: (q: UnsafeRawPointer, k: UnsafeRawPointer)?
    let epsilon: Float
    /// One number by which the scale is multiplied; nil for none.
    let factor: UnsafeRawPointer?
    /// The number of keys, the new one included: what is at the address, every so many, and what is added.
    let length: (address: UnsafeRawPointer?, stride: Int, offset: Int)
    let capacity: Int
    /// Where a length that does not fit is told, and the step that tells; nil cuts it.
    let fault: (address: UnsafeRawPointer, step: Int)?
    let out: UnsafeRawPointer
    let outElement: ElementType
}

extension AttentionShape {
    /// Norms, turns and caches the new token of each sequence, and attends, in one launch.
    func call(
        _ newest: NewestOperands, batch: Int, scratch: UnsafeRawPointer?, counters: UnsafeRawPointer,
        _ context: DeviceContext
    ) -> KernelCall {
        let split = split(batch: batch, capacity: newest.capacity, context)
        var macros = macros.merging(split.macros) { $1 }
        macros["NEWEST"] = "1"
        macros["TABLE"] = newest.angles.tableRows == nil ? "0" : "1"
        macros["OUT_T"] = newest.outElement.kernelType
        macros["ROTARY_DIM"] = "\(newest.angles.rotary)"
        macros["QK_NORM"] = newest.norms == nil ? "0" : "1"
        let heads = [newest.q, newest.k, newest.v, newest.keys, newest.values]
        return KernelCall(
            KernelUnit("attention_decode", macros), "attention_decode",
            grid: .init(split.count, kvHeads * parts, batch), block: .init(32 * split.warps),
            sharedBytes: split.sharedBytes,
            heads.map { .pointer($0.pointer) } + [
                .pointer(newest.angles.cosines), .pointer(newest.angles.sines),
                .words(heads.flatMap { [$0.batch, $0.head] } + [newest.angles.batch]),
                .int32(newest.angles.tableRows ?? 1), .pointer(newest.norms?.q), .pointer(newest.norms?.k),
                .float(newest.epsilon), .pointer(newest.factor), .pointer(newest.fault?.address),
                .int32(newest.fault?.step ?? 0), .int32(newest.capacity), .pointer(newest.length.address),
                .int32(newest.length.stride), .int32(newest.length.offset), .pointer(newest.out),
                .pointer(scratch), .pointer(counters), .int32(window), .float(scale), .float(softcap),
            ])
    }
}
