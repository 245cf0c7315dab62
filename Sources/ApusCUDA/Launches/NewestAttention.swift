import ApusEngine
import ApusGraph

/// What kernels are given that prepare new tokens themselves and put them into a cache; strides in elements.
struct NewestOperands {
    /// Heads of several sequences, each of some rows.
    struct Heads {
        let pointer: UnsafeRawPointer?
        let batch: Int
        let head: Int
        /// Of a cache it is not asked for.
        var row = 0
    }

    /// Cosines and sines of the rotary embedding.
    struct Angles {
        let cosines: UnsafeRawPointer?
        let sines: UnsafeRawPointer?
        /// Elements between sequences; 0 where they share them.
        let batch: Int
        let row: Int
        /// Columns that turn.
        let rotary: Int
        /// Rows of a constant table; nil where the pass computes a row for each new token.
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
    /// One number by which q is multiplied; nil for none.
    let factor: UnsafeRawPointer?
    let capacity: Int

    /// What both kernels are specialised by.
    fileprivate var macros: [String: String] {
        [
            "ROTARY_DIM": "\(angles.rotary)", "QK_NORM": norms == nil ? "0" : "1",
            "TABLE": angles.tableRows == nil ? "0" : "1",
        ]
    }

    /// What both kernels take first.
    fileprivate var arguments: [KernelArgument] {
        let strides =
            [q, k, v].flatMap { [$0.batch, $0.head, $0.row] }
            + [keys, values].flatMap { [$0.batch, $0.head] }
            + [angles.batch, angles.row]
        return [q, k, v, keys, values].map { .pointer($0.pointer) } + [
            .pointer(angles.cosines), .pointer(angles.sines), .words(strides), .int32(angles.tableRows ?? 1),
            .pointer(norms?.q), .pointer(norms?.k), .float(epsilon), .pointer(factor),
        ]
    }
}

/// What a decode step is given beside its new tokens.
struct DecodeOperands {
    /// The number of keys, the new one included: what is at the address, every so many, and what is added.
    let length: (address: UnsafeRawPointer?, stride: Int, offset: Int)
    /// Where a length that does not fit is told, and the step that tells; nil cuts it.
    let fault: (address: UnsafeRawPointer, step: Int)?
    let out: UnsafeRawPointer
    let outElement: ElementType
    let scratch: UnsafeRawPointer?
    let counters: UnsafeRawPointer
}

/// A step that attends with one new token a sequence.
protocol NewestAttention: DeviceStep {
    var shape: AttentionShape { get }
    /// The new tokens, one a sequence, and the caches.
    var newest: NewestOperands { get }
    /// What a decode step is given beside them.
    var decode: DecodeOperands { get }
}

/// Where several new tokens of each sequence stand among its keys: see `span_of` in `attention.cuh`.
struct NewestSpans {
    let lengths: UnsafeRawPointer?
    let starts: UnsafeRawPointer?
    let totals: Int
    let keys: Int
    /// Positions of a tree's tokens.
    let positions: UnsafeRawPointer?
}

extension AttentionShape {
    /// Norms, turns and caches the new token of each sequence, and attends, in one launch.
    func decode(
        _ newest: NewestOperands, _ operands: DecodeOperands, batch: Int, _ context: DeviceContext
    ) -> KernelCall {
        let split = split(batch: batch, capacity: newest.capacity, context)
        var macros = [macros, split.macros, newest.macros].reduce(into: [:]) { $0.merge($1) { $1 } }
        macros["NEWEST"] = "1"
        macros["OUT_T"] = operands.outElement.kernelType
        return KernelCall(
            KernelUnit("attention_decode", macros), "attention_decode",
            grid: .init(split.count, kvHeads * parts, batch), block: .init(32 * split.warps),
            sharedBytes: split.sharedBytes,
            newest.arguments + [
                .pointer(operands.fault?.address), .int32(operands.fault?.step ?? 0),
                .int32(newest.capacity), .pointer(operands.length.address), .int32(operands.length.stride),
                .int32(operands.length.offset), .pointer(operands.out), .pointer(operands.scratch),
                .pointer(operands.counters), .int32(window), .float(scale), .float(softcap),
            ])
    }

    /// The type that turned queries are handed on in: as wide as the keys they meet on tensor cores; the general kernel, for
    /// trees and other sizes of heads, loses nothing of them.
    func queryElement(isTree: Bool) -> ElementType {
        cache.isFloat && !isTree && hasTensorCores ? cache : .f32
    }

    /// Norms, turns and caches new tokens; the queries go to `queries`, [B, S, H, D] of `queryElement`.
    func rotate(
        _ newest: NewestOperands, _ spans: NewestSpans, batch: Int, tokens: Int, queries: UnsafeRawPointer?,
        _ queryElement: ElementType, _ context: DeviceContext
    ) -> KernelCall {
        var macros = newest.macros
        macros["CACHE_T"] = cache.kernelType
        macros["Q_T"] = queryElement.kernelType
        macros["HEAD_DIM"] = "\(size)"
        macros["Q_HEADS"] = "\(heads)"
        macros["KV_HEADS"] = "\(kvHeads)"
        let blocks = min(
            (heads + 2 * kvHeads + 3) / 4, max(1, 4 * context.processorCount / (tokens * batch)))
        return KernelCall(
            KernelUnit("rope_kv", macros), "rope_kv", grid: .init(tokens, blocks, batch), block: .init(128),
            newest.arguments + [
                .pointer(spans.lengths), .pointer(spans.starts), .int32(spans.totals), .int32(spans.keys),
                .pointer(spans.positions), .pointer(queries), .int32(newest.capacity),
            ])
    }
}
