/// Kernels on every element type, at sizes and steps around which they change their ways.
extension GraphCase {
    /// All of them that any backend is tested on.
    package static let generated: [GraphCase] =
        conversions + arithmetic + unaries + movements + lines + rows + matrices + updates

    private static let floats = ["f32", "f16", "bf16"]
    private static let integers = ["i64", "i32", "i8", "u8"]

    /// Statements whose outputs are what the graph returns.
    private struct Script {
        var lines: [String] = []
        var outputs: [String] = []

        /// Adds a node.
        mutating func node(_ name: String, _ call: String, _ type: String) {
            lines.append("%\(name) = \(call) : \(type)")
        }

        /// Adds a node whose result is an output.
        mutating func output(_ call: String, _ type: String) {
            node("y\(outputs.count)", call, type)
            outputs.append("%y\(outputs.count)")
        }

        func test(
            _ name: String, _ signature: String, batch: Int = 2, width: Int = 5,
            values: [String: [Int]] = [:],
            tolerance: Double = 1e-5
        ) -> GraphCase {
            GraphCase(
                name, signature, lines.joined(separator: "\n  "), returns: outputs.joined(separator: ", "),
                batch: batch, width: width, values: values, tolerance: tolerance)
        }
    }

    /// Every type to every other, dense and transposed.
    static let conversions: [GraphCase] = (floats + integers + ["bool"]).flatMap { from in
        [4, 5].map { width in
            var script = Script()
            script.node("n", "full() {shape = [], value = 90.5, element = f32}", "f32[]")
            script.node("s", "mul(%x, %n)", "f32[B, S, 36]")
            script.node("a", "to(%s) {element = \(from)}", "\(from)[B, S, 36]")
            script.node("t", "transpose(%a) {dim0 = 1, dim1 = 2}", "\(from)[B, 36, S]")
            for to in floats + integers + ["bool"] {
                script.output("to(%a) {element = \(to)}", "\(to)[B, S, 36]")
                script.output("to(%t) {element = \(to)}", "\(to)[B, 36, S]")
            }
            return script.test("\(from) to all, width \(width)", "%x: f32[B, S, 36]", width: width)
        }
    }

    /// Every function of two elements on every type, where shapes broadcast either way.
    static let arithmetic: [GraphCase] = (floats + integers).flatMap { type in
        [1, 5, 8].map { width in
            var script = Script()
            script.node("a", "to(%i) {element = \(type)}", "\(type)[B, S, 12]")
            script.node("b", "to(%j) {element = \(type)}", "\(type)[12]")
            script.node("c", "transpose(%a) {dim0 = 1, dim1 = 2}", "\(type)[B, 12, S]")
            script.node("d", "view(%b) {shape = [12, 1]}", "\(type)[12, 1]")
            for op in ["add", "sub", "mul", "div", "minimum", "maximum", "floor_divide", "remainder"] {
                script.output("\(op)(%a, %b)", "\(type)[B, S, 12]")
                script.output("\(op)(%c, %d)", "\(type)[B, 12, S]")
            }
            for op in ["eq", "ne", "lt", "le", "gt", "ge"] {
                script.output("\(op)(%b, %a)", "bool[B, S, 12]")
                script.output("\(op)(%c, %d)", "bool[B, 12, S]")
            }
            return script.test(
                "arithmetic of \(type), width \(width)", "%i: i64[B, S, 12], %j: i64[12]", width: width,
                values: ["i": [-7, 3, 0, 12, -1, 100, 5], "j": [2, -3, 5, 7, -2]])
        }
    }

    /// Every function of one element, dense and transposed, over numbers of several magnitudes.
    static let unaries: [GraphCase] = [1, 5, 16].flatMap { width in
        [0.01, 3.0, 30.0].map { scale in
            var script = Script()
            script.node("n", "full() {shape = [], value = \(scale), element = f32}", "f32[]")
            script.node("a", "mul(%x, %n)", "f32[B, S, 36]")
            script.node("t", "transpose(%a) {dim0 = 1, dim1 = 2}", "f32[B, 36, S]")
            script.node("p", "mul(%a, %a)", "f32[B, S, 36]")
            for op in [
                "neg", "exp", "sin", "cos", "tanh", "sigmoid", "silu", "relu", "erf", "gelu",
            ] {
                script.output("\(op)(%a)", "f32[B, S, 36]")
                script.output("\(op)(%t)", "f32[B, 36, S]")
            }
            script.output("gelu(%t) {approximate = \"tanh\"}", "f32[B, 36, S]")
            for op in ["log", "sqrt", "rsqrt"] { script.output("\(op)(%p)", "f32[B, S, 36]") }
            for exponent in ["2.0", "3.0", "-1.0"] {
                script.output("pow(%a) {exponent = \(exponent)}", "f32[B, S, 36]")
            }
            script.output("pow(%p) {exponent = 0.3}", "f32[B, S, 36]")
            return script.test(
                "functions of numbers to \(scale), width \(width)", "%x: f32[B, S, 36]", width: width)
        }
    }

    /// Copies, joins, fills and choices of elements of every size.
    static let movements: [GraphCase] = ["f32", "bf16", "i64", "i8", "bool"].flatMap { type in
        [1, 7, 40].map { width in
            var script = Script()
            script.node("n", "full() {shape = [], value = 90.5, element = f32}", "f32[]")
            script.node("s", "mul(%x, %n)", "f32[B, S, 6, 48]")
            script.node("a", "to(%s) {element = \(type)}", "\(type)[B, S, 6, 48]")
            script.node("p", "permute(%a) {dims = [0, 2, 1, 3]}", "\(type)[B, 6, S, 48]")
            script.node("q", "permute(%a) {dims = [0, 2, 3, 1]}", "\(type)[B, 6, 48, S]")
            script.node("z", "full() {shape = [], value = 1.0, element = \(type)}", "\(type)[]")
            script.node("c", "lt(%x, %u)", "bool[B, S, 6, 48]")
            script.node("e", "slice(%a) {dim = 3, start = 4, end = 4}", "\(type)[B, S, 6, 0]")
            script.node("d", "permute(%c) {dims = [0, 2, 1, 3]}", "bool[B, 6, S, 48]")
            script.output("clone(%p)", "\(type)[B, 6, S, 48]")
            script.output("clone(%q)", "\(type)[B, 6, 48, S]")
            script.output("permute(%a) {dims = [3, 2, 1, 0]}", "\(type)[48, 6, S, B]")
            script.output("permute(%a) {dims = [3, 0, 1, 2]}", "\(type)[48, B, S, 6]")
            script.output("slice(%a) {dim = 3, start = 5, end = 38}", "\(type)[B, S, 6, 33]")
            script.output("slice(%a) {dim = 3, start = 16, end = 48}", "\(type)[B, S, 6, 32]")
            script.output("cat(%a, %e, %a) {dim = 3}", "\(type)[B, S, 6, 96]")
            script.output("cat(%p, %p) {dim = 2}", "\(type)[B, 6, 2*S, 48]")
            script.output("cat(%q, %q) {dim = 1}", "\(type)[B, 12, 48, S]")
            script.output("pad(%p) {dim = 1, before = 2, after = 3, value = -1.0}", "\(type)[B, 11, S, 48]")
            script.output("pad(%q) {dim = 3, before = 1, after = 0, value = 7.0}", "\(type)[B, 6, 48, S + 1]")
            script.output("where(%c, %a, %z)", "\(type)[B, S, 6, 48]")
            script.output("where(%d, %z, %p)", "\(type)[B, 6, S, 48]")
            script.output("triu(%a) {diagonal = 3}", "\(type)[B, S, 6, 48]")
            script.output("tril(%q) {diagonal = -1}", "\(type)[B, 6, 48, S]")
            script.output("full() {shape = [S, 3], value = -2.0, element = \(type)}", "\(type)[S, 3]")
            script.output("index_select(%a, %k) {dim = 3}", "\(type)[B, S, 6, 9]")
            script.output("index_select(%p, %k) {dim = 1}", "\(type)[B, 9, S, 48]")
            script.output("index(%a, %m, %r)", "\(type)[B, S, 6, 48]")
            script.node("o", "slice(%p) {dim = 1, start = 1, end = 5}", "\(type)[B, 4, S, 48]")
            script.output("index_copy(%p, %l, %o) {dim = 1}", "\(type)[B, 6, S, 48]")
            return script.test(
                "movement of \(type), width \(width)",
                "%x: f32[B, S, 6, 48], %u: f32[48], %k: i64[9], %l: i64[4], %m: i64[B, 1], %r: i64[S]",
                width: width,
                values: [
                    "k": [5, 0, -1, 3, 3, -6, 1, 2, 4], "l": [2, 0, 2, -1], "m": [1, -2], "r": [0, -1],
                ])
        }
    }

    /// Sums along each dimension of every type, of lines short and long.
    static let lines: [GraphCase] =
        (floats + ["i64", "i32", "i8"]).flatMap { type in
            [1, 6, 40].map { width in
                var script = Script()
                script.node("n", "full() {shape = [], value = 20.5, element = f32}", "f32[]")
                script.node("s", "mul(%x, %n)", "f32[B, S, 7, 70]")
                script.node("a", "to(%s) {element = \(type)}", "\(type)[B, S, 7, 70]")
                script.node("t", "permute(%a) {dims = [0, 3, 2, 1]}", "\(type)[B, 70, 7, S]")
                let shapes = ["f32[1, S, 7, 70]", "f32[B, 1, 7, 70]", "f32[B, S, 1, 70]", "f32[B, S, 7, 1]"]
                for (axis, shape) in shapes.enumerated() {
                    let result = type + shape.dropFirst(3)
                    script.output("sum(%a) {dim = \(axis)}", result)
                    script.output("cumsum(%a) {dim = \(axis)}", "\(type)[B, S, 7, 70]")
                    if floats.contains(type) { script.output("mean(%a) {dim = \(axis)}", result) }
                }
                script.output("sum(%t) {dim = -1, keepdim = false}", "\(type)[B, 70, 7]")
                script.output("cumsum(%t) {dim = 1}", "\(type)[B, 70, 7, S]")
                return script.test("sums of \(type), width \(width)", "%x: f32[B, S, 7, 70]", width: width)
            }
        }
        + [1, 31, 300, 1023, 1024, 3001].map { size in
            var script = Script()
            script.node("n", "full() {shape = [], value = 20.0, element = f32}", "f32[]")
            script.node("a", "mul(%x, %n)", "f32[B, S, \(size)]")
            script.node("t", "transpose(%a) {dim0 = 1, dim1 = 2}", "f32[B, \(size), S]")
            script.node("c", "lt(%x, %u)", "bool[B, S, \(size)]")
            script.output("softmax(%a)", "f32[B, S, \(size)]")
            script.output("softmax(%a) {dim = 1}", "f32[B, S, \(size)]")
            script.output("softmax(%t)", "f32[B, \(size), S]")
            script.output("softmax(%t) {dim = 1}", "f32[B, \(size), S]")
            script.output("sum(%a) {dim = -1}", "f32[B, S, 1]")
            script.output("mean(%t) {dim = 1}", "f32[B, 1, S]")
            script.output("cumsum(%a) {dim = -1}", "f32[B, S, \(size)]")
            script.output("any(%c) {dim = 2}", "bool[B, S, 1]")
            script.output("any(%c) {dim = 0}", "bool[1, S, \(size)]")
            return script.test("lines of \(size)", "%x: f32[B, S, \(size)], %u: f32[1]")
        }

    /// Generators, rotary positions, last tokens.
    static let rows: [GraphCase] = [1, 6, 70].flatMap { width in
        [(10, 6), (64, 64), (128, 32)].map { dim, rotary in
            var script = Script()
            script.node("t", "transpose(%x) {dim0 = 1, dim1 = 2}", "f32[B, 3, S, \(dim)]")
            script.node("cc", "unsqueeze(%c) {dim = 1}", "f32[B, 1, S, \(rotary)]")
            script.node("ss", "unsqueeze(%s) {dim = 1}", "f32[B, 1, S, \(rotary)]")
            script.output("rope(%t, %cc, %ss)", "f32[B, 3, S, \(dim)]")
            script.node("v", "view(%x) {shape = [B, S, \(3 * dim)]}", "f32[B, S, \(3 * dim)]")
            script.output("gather_last_token(%v, %last)", "f32[B, 1, \(3 * dim)]")
            for type in floats + ["i64", "i32"] {
                script.output("arange() {start = 3, end = S + 3, element = \(type)}", "\(type)[S]")
            }
            script.output(
                "causal_mask() {queries = S, keys = S + 9, offset = 7, window = 5}", "f32[S, S + 9]")
            return script.test(
                "rows of \(dim), \(rotary) turned, width \(width)",
                "%x: f32[B, S, 3, \(dim)], %c: f32[B, S, \(rotary)], %s: f32[B, S, \(rotary)], %last: i32[B]",
                width: width, values: ["last": [width - 1, 0]])
        }
    }

    /// Products of few rows and of many, by matrices that lie either way.
    static let matrices: [GraphCase] = [1, 2, 3, 4, 5, 8, 9, 65].flatMap { width in
        floats.map { type in
            var script = Script()
            let sizes = [(1, 1), (7, 5), (64, 64), (100, 33)]
            for (index, (n, k)) in sizes.enumerated() {
                script.node(
                    "t\(index)", "transpose(%c\(index)) {dim0 = 1, dim1 = 2}", "\(type)[B, \(k), \(n)]")
                script.node("b\(index)f", "to(%b\(index)) {element = f32}", "f32[B, \(k), \(n)]")
                script.node("t\(index)f", "to(%t\(index)) {element = f32}", "f32[B, \(k), \(n)]")
                script.output("matmul(%a\(index), %b\(index)f)", "f32[B, S, \(n)]")
                script.output("matmul(%a\(index), %t\(index)f)", "f32[B, S, \(n)]")
            }
            let signature = sizes.enumerated().map { index, size in
                "%a\(index): f32[B, S, \(size.1)], %b\(index): \(type)[B, \(size.1), \(size.0)], "
                    + "%c\(index): \(type)[B, \(size.0), \(size.1)]"
            }
            return script.test(
                "products with \(type), width \(width)", signature.joined(separator: ", "), batch: 3,
                width: width)
        }
    }

    /// Products large enough for the largest tiles; slow for an interpreter.
    package static let largeMatrices: [GraphCase] = floats.map { type in
        var script = Script()
        script.node("t", "transpose(%c) {dim0 = 1, dim1 = 2}", "\(type)[12, 70, 1210]")
        script.node("bf", "to(%b) {element = f32}", "f32[12, 70, 1210]")
        script.node("tf", "to(%t) {element = f32}", "f32[12, 70, 1210]")
        script.output("matmul(%a, %bf)", "f32[12, S, 1210]")
        script.output("matmul(%a, %tf)", "f32[12, S, 1210]")
        return script.test(
            "large products with \(type)",
            "%a: f32[12, S, 70], %b: \(type)[12, 70, 1210], %c: \(type)[12, 1210, 70]", width: 159)
    }

    /// Updates of caches of every type, of rows that are multiples of a vector and others.
    static let updates: [GraphCase] = floats.flatMap { type in
        [(1, 8), (1, 7), (3, 16), (40, 6)].map { width, dim in
            var script = Script()
            script.node("t", "transpose(%x) {dim0 = 1, dim1 = 2}", "f32[B, 2, S, \(dim)]")
            script.output("kv_update(%k, %t) {start = P}", "\(type)[B, 2, C, \(dim)]")
            return script.test(
                "update of \(type) rows of \(dim), width \(width)",
                "%start: i64[1], %k: \(type)[B, 2, C, \(dim)], %x: f32[B, S, 2, \(dim)]", width: width,
                values: ["start": [12, 599]])
        }
    }

    /// Data that have no result: the interpreter refuses them, and so must a backend.
    package static let faults: [GraphCase] = [
        GraphCase(
            "index outside of a dimension", "%x: f32[5, 3], %i: i64[2]",
            "%y = index_select(%x, %i) {dim = 0} : f32[2, 3]", values: ["i": [4, 5]]),
        GraphCase(
            "index before a dimension", "%x: f32[5, 3], %i: i64[2], %j: i64[2]",
            "%y = index(%x, %i, %j) : f32[2]", values: ["i": [4, 0], "j": [-3, -4]]),
        GraphCase(
            "index_copy outside of a dimension", "%x: f32[5, 3], %i: i64[2], %s: f32[2, 3]",
            "%y = index_copy(%x, %i, %s) {dim = 0} : f32[5, 3]", values: ["i": [0, 7]]),
        GraphCase(
            "id outside of a table", "%w: f32[5, 3]",
            """
            %0 = arange() {start = 2, end = S + 2, element = i64} : i64[S]
              %y = embedding(%w, %0) : f32[S, 3]
            """),
        GraphCase(
            "integer by 0", "%a: i32[B, S], %b: i32[S]", "%y = div(%a, %b) : i32[B, S]",
            values: ["a": [1, 2], "b": [1, 0, 3]]),
        GraphCase(
            "integer modulo 0", "%a: i32[B, S], %b: i32[S]", "%y = remainder(%a, %b) : i32[B, S]", width: 8,
            values: ["a": [1, 2], "b": [1, 0, 3]]),
        GraphCase(
            "rows beyond a cache", "%start: i64[1], %k: f32[B, 2, C, 8], %x: f32[B, 2, 60, 8]",
            "%y = kv_update(%k, %x) {start = P} : f32[B, 2, C, 8]", values: ["start": [590]]),
    ]
}
