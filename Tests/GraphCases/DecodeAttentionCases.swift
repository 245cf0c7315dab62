/// What lies between the product of q, k and v and the projection after attention, with static caches: norms, rotary
/// embedding, updates of both caches and attention, as one op or written out.
extension GraphCase {
    /// Sizes and variants of a layer.
    package struct DecodeLayer: Sendable {
        package var heads = 6
        package var kvHeads = 2
        package var size = 32
        /// Columns that turn.
        package var rotary: Int?
        package var cache = "f32"
        package var isNormed = false
        package var isWrittenOut = false
        package var window = 0
        package var softcap = 0.0

        package init() {}

        package init(_ change: (inout DecodeLayer) -> Void) { change(&self) }

        private var signature: String {
            let angles = ["c", "s"].map { "%\($0): f32[B, 1, S, \(rotary ?? size)]" }
            let caches = ["k", "v"].map { "%\($0): \(cache)[B, \(kvHeads), C, \(size)]" }
            let norms = isNormed ? ["q", "k"].map { "%n\($0): f32[\(size)]" } : []
            let columns = (heads + 2 * kvHeads) * size
            return (["%start: i64[1]", "%x: f32[B, S, \(columns)]"] + angles + caches + norms).joined(
                separator: ", ")
        }

        /// Heads from a place of the packed rows on, as [B, count, S, D].
        private func rows(_ name: String, from head: Int, count: Int) -> [String] {
            let (tokens, heads) = ("f32[B, S, \(count), \(size)]", "f32[B, \(count), S, \(size)]")
            let isTurned = name != "v"
            var lines = [
                "%\(name)0 = slice(%x) {dim = 2, start = \(head * size), end = \((head + count) * size)} : "
                    + "f32[B, S, \(count * size)]",
                "%\(name)1 = view(%\(name)0) {shape = [B, S, \(count), \(size)]} : \(tokens)",
            ]
            let isNormed = isNormed && isTurned
            if isNormed {
                lines.append("%\(name)2 = rms_norm(%\(name)1, %n\(name)) {eps = 1e-6} : \(tokens)")
            }
            lines.append(
                "%\(name)3 = transpose(%\(name)\(isNormed ? 2 : 1)) {dim0 = 1, dim1 = 2} : \(heads)")
            if isTurned { lines.append("%\(name)4 = rope(%\(name)3, %c, %s) : \(heads)") }
            return lines
        }

        /// A cache with the new rows, and its rows up to them in f32.
        private func cached(_ name: String, _ new: String) -> [String] {
            let shape = "[B, \(kvHeads), P + S, \(size)]"
            return [
                "%\(name)5 = kv_update(%\(name), %\(new)) {start = P} : \(cache)[B, \(kvHeads), C, \(size)]",
                "%\(name)6 = slice(%\(name)5) {dim = 2, start = 0, end = P + S} : \(cache)\(shape)",
                "%\(name)7 = to(%\(name)6) {element = f32} : f32\(shape)",
            ]
        }

        private var attention: [String] {
            let shape = "[B, \(heads), S, \(size)]"
            guard isWrittenOut else {
                return [
                    "%o = attention(%q4, %k7, %v7, none) {scale = 0.3, enable_gqa = true, is_causal = true, "
                        + "sliding_window = \(window), softcap = \(softcap)} : f32\(shape)"
                ]
            }
            let rows = "\(heads / kvHeads)*S"
            let scores = (all: "[B, \(heads), S, P + S]", grouped: "[B, \(kvHeads), \(rows), P + S]")
            return [
                "%f = constant() {value = dense<[0.3]> : f32[]} : f32[]",
                "%q5 = mul(%q4, %f) : f32\(shape)",
                "%q6 = view(%q5) {shape = [B, \(kvHeads), \(rows), \(size)]} : "
                    + "f32[B, \(kvHeads), \(rows), \(size)]",
                "%kt = transpose(%k7) {dim0 = 2, dim1 = 3} : f32[B, \(kvHeads), \(size), P + S]",
                "%s0 = matmul(%q6, %kt) : f32\(scores.grouped)",
                "%m = causal_mask() {queries = S, keys = P + S, offset = P, window = \(window)} : f32[S, P + S]",
                "%s1 = view(%s0) {shape = \(scores.all)} : f32\(scores.all)",
                "%s2 = add(%s1, %m) : f32\(scores.all)",
                "%p0 = softmax(%s2) {dim = -1} : f32\(scores.all)",
                "%p1 = view(%p0) {shape = \(scores.grouped)} : f32\(scores.grouped)",
                "%o0 = matmul(%p1, %v7) : f32[B, \(kvHeads), \(rows), \(size)]",
                "%o = view(%o0) {shape = \(shape)} : f32\(shape)",
            ]
        }

        /// A pass of `width` tokens behind so many others.
        package func pass(_ name: String, width: Int = 1, starts: [Int]) -> GraphCase {
            let lines =
                rows("q", from: 0, count: heads) + rows("k", from: heads, count: kvHeads)
                + rows("v", from: heads + kvHeads, count: kvHeads) + cached("k", "k4") + cached("v", "v3")
                + attention + [
                    "%o1 = transpose(%o) {dim0 = 1, dim1 = 2} : f32[B, S, \(heads), \(size)]",
                    "%y = view(%o1) {shape = [B, S, \(heads * size)]} : f32[B, S, \(heads * size)]",
                ]
            return GraphCase(
                name, signature, lines.joined(separator: "\n  "), returns: "%y, %k5, %v5", width: width,
                values: ["start": starts],
                // A row that is rounded for the cache may go to either side.
                tolerance: cache == "f32" ? 1e-5 : cache == "f16" ? 1e-3 : 8e-3)
        }
    }

    /// Decode steps, and chunks of the same graphs.
    package static let decodeLayers: [GraphCase] = [
        DecodeLayer().pass("layer of a step", starts: [300, 17]),
        DecodeLayer().pass("layer of the first step", starts: [0, 1]),
        DecodeLayer().pass("layer of the last step", starts: [599, 600]),
        DecodeLayer { $0.cache = "f16" }.pass("layer of a step, f16", starts: [255, 256]),
        DecodeLayer { $0.cache = "bf16" }.pass("layer of a step, bf16", starts: [31, 511]),
        DecodeLayer { $0.isNormed = true }.pass("layer of a step, q and k normed", starts: [140, 0]),
        DecodeLayer { ($0.isNormed, $0.cache, $0.size) = (true, "f16", 64) }.pass(
            "layer of a step, q and k normed, f16", starts: [140, 33]),
        DecodeLayer { $0.rotary = 16 }.pass("layer of a step, half of the columns turn", starts: [77, 78]),
        DecodeLayer { $0.window = 100 }.pass("layer of a step in a window", starts: [590, 40]),
        DecodeLayer { $0.softcap = 0.7 }.pass("layer of a step, softcap", starts: [200, 3]),
        DecodeLayer { ($0.heads, $0.kvHeads, $0.size) = (14, 1, 8) }.pass(
            "layer of a step, more heads than a block takes", starts: [450, 5]),
        DecodeLayer { ($0.heads, $0.kvHeads, $0.size) = (3, 3, 24) }.pass(
            "layer of a step, no groups", starts: [64, 63]),
        DecodeLayer().pass("layer of a chunk", width: 12, starts: [130, 0]),
        DecodeLayer { $0.isWrittenOut = true }.pass("written-out layer of a step", starts: [300, 0]),
        DecodeLayer { ($0.isWrittenOut, $0.isNormed, $0.cache) = (true, true, "f16") }.pass(
            "written-out layer of a step, q and k normed, f16", starts: [300, 64]),
        DecodeLayer { ($0.isWrittenOut, $0.window) = (true, 9) }.pass(
            "written-out layer of a step in a window", starts: [300, 2]),
        DecodeLayer { ($0.isWrittenOut, $0.kvHeads) = (true, 6) }.pass(
            "written-out layer of a step, no groups", starts: [100, 101]),
        DecodeLayer { $0.isWrittenOut = true }.pass(
            "written-out layer of a prompt", width: 70, starts: [0, 0]),
        DecodeLayer { ($0.isWrittenOut, $0.cache) = (true, "f16") }.pass(
            "written-out layer of a chunk, f16", width: 33, starts: [77, 400]),
        DecodeLayer { ($0.isWrittenOut, $0.window) = (true, 9) }.pass(
            "written-out layer of a chunk in a window", width: 33, starts: [77, 3]),
    ]
}
