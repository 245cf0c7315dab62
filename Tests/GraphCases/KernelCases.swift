/// Every kernel that a graph without plugins needs, alone or after views.
extension GraphCase {
    /// Views, and copies of what they look at.
    package static let views: [GraphCase] = [
        GraphCase(
            "transpose", "%x: f32[B, S, 3, 7]",
            "%y = transpose(%x) {dim0 = 1, dim1 = 2} : f32[B, 3, S, 7]"),
        GraphCase(
            "inner transpose", "%x: f32[B, S, 37]",
            "%y = transpose(%x) {dim0 = 1, dim1 = 2} : f32[B, 37, S]", width: 41),
        GraphCase(
            "permute", "%x: i64[B, S, 3, 2]",
            "%y = permute(%x) {dims = [3, 1, 0, 2]} : i64[2, S, B, 3]"),
        GraphCase(
            "slice", "%x: f16[B, S, 10]", "%y = slice(%x) {dim = -1, start = 3, end = 8} : f16[B, S, 5]"),
        GraphCase(
            "slice from a symbol on", "%start: i64[1], %x: bool[B, C, 3]",
            "%y = slice(%x) {dim = 1, start = P, end = P + S} : bool[B, S, 3]", values: ["start": [7]]),
        GraphCase(
            "expand", "%x: f32[B, 1, S, 1]", "%y = expand(%x) {shape = [B, 3, S, 4]} : f32[B, 3, S, 4]"),
        GraphCase(
            "repeat of heads", "%x: f32[B, 2, S, 4]",
            """
            %0 = unsqueeze(%x) {dim = 2} : f32[B, 2, 1, S, 4]
              %1 = expand(%0) {shape = [B, 2, 3, S, 4]} : f32[B, 2, 3, S, 4]
              %y = view(%1) {shape = [B, 6, S, 4]} : f32[B, 6, S, 4]
            """),
        GraphCase(
            "view of a transpose", "%x: f32[B, 3, S, 4]",
            """
            %0 = transpose(%x) {dim0 = 1, dim1 = 2} : f32[B, S, 3, 4]
              %y = view(%0) {shape = [B, S, 12]} : f32[B, S, 12]
            """),
        GraphCase(
            "cat", "%a: f32[B, S, 3], %b: f32[B, 2, 3]",
            """
            %0 = transpose(%a) {dim0 = 1, dim1 = 2} : f32[B, 3, S]
              %1 = transpose(%b) {dim0 = 1, dim1 = 2} : f32[B, 3, 2]
              %y = cat(%0, %1, %0) {dim = 2} : f32[B, 3, 2*S + 2]
            """),
        GraphCase(
            "cat of nothing", "%a: f32[B, S, 3], %b: f32[B, 2, 3]",
            "%y = cat(%a, %b) {dim = 1} : f32[B, S + 2, 3]", width: 0),
        GraphCase(
            "pad", "%x: f32[B, S]",
            "%y = pad(%x) {dim = 1, before = 2, after = 3, value = -1.5} : f32[B, S + 5]"),
        GraphCase(
            "pad of booleans", "%x: bool[B, S, 2]",
            "%y = pad(%x) {dim = 1, before = 0, after = 4, value = 1.0} : bool[B, S + 4, 2]"),
        GraphCase(
            "markers", "%x: f32[B, S]",
            """
            %0 = detach(%x) : f32[B, S]
              %1 = clone(%0) : f32[B, S]
              %y = assert_element(%1) {element = f32} : f32[B, S]
            """),
    ]

    /// Functions of elements, conversions.
    package static let elementwise: [GraphCase] = [
        GraphCase("add of rows", "%a: f32[B, S, 9], %b: f32[9]", "%y = add(%a, %b) : f32[B, S, 9]"),
        GraphCase("sub of columns", "%a: f32[B, S, 1], %b: f32[B, S, 9]", "%y = sub(%a, %b) : f32[B, S, 9]"),
        GraphCase("div by a scalar", "%a: f32[B, S, 9], %b: f32[]", "%y = div(%a, %b) : f32[B, S, 9]"),
        GraphCase("scalar minus", "%a: f32[], %b: f32[B, S, 300]", "%y = sub(%a, %b) : f32[B, S, 300]"),
        GraphCase(
            "outer product", "%a: f32[B, S, 1], %b: f32[B, 1, S]", "%y = mul(%a, %b) : f32[B, S, S]",
            width: 19),
        GraphCase(
            "mask on scores", "%a: f32[B, 3, S, S], %b: f32[B, 1, S, S]", "%y = add(%a, %b) : f32[B, 3, S, S]"
        ),
        GraphCase(
            "strided", "%a: f32[B, S, 7], %b: f32[B, 7, S]",
            """
            %0 = transpose(%b) {dim0 = 1, dim1 = 2} : f32[B, S, 7]
              %1 = mul(%0, %a) : f32[B, S, 7]
              %y = maximum(%1, %0) : f32[B, S, 7]
            """),
        GraphCase("minimum", "%a: f32[B, S], %b: f32[B, S]", "%y = minimum(%a, %b) : f32[B, S]"),
        GraphCase("floor_divide", "%a: f32[B, S], %b: f32[B, S]", "%y = floor_divide(%a, %b) : f32[B, S]"),
        GraphCase("remainder", "%a: f32[B, S], %b: f32[B, S]", "%y = remainder(%a, %b) : f32[B, S]"),
        GraphCase(
            "integers", "%a: i64[B, S], %b: i64[S]",
            """
            %0 = add(%a, %b) : i64[B, S]
              %1 = mul(%0, %input_ids) : i64[B, S]
              %2 = floor_divide(%1, %b) : i64[B, S]
              %3 = remainder(%a, %b) : i64[B, S]
              %4 = sub(%2, %3) : i64[B, S]
              %5 = minimum(%4, %a) : i64[B, S]
              %y = maximum(%5, %3) : i64[B, S]
            """, values: ["a": [-7, 3, 0, 12, -1], "b": [2, -3, 5, 7, -2]]),
        GraphCase(
            "div of i32", "%a: i32[B, S], %b: i32[]", "%y = div(%a, %b) : i32[B, S]",
            values: ["a": [-7, 8, 9], "b": [2]]),
        GraphCase("empty", "%a: f32[B, S, 9], %b: f32[9]", "%y = mul(%a, %b) : f32[B, S, 9]", width: 0),
        GraphCase("half types", "%a: f16[B, S], %b: f16[S]", "%y = add(%a, %b) : f16[B, S]"),
        GraphCase(
            "unary of a transpose", "%x: f32[B, S, 33]",
            """
            %0 = transpose(%x) {dim0 = 1, dim1 = 2} : f32[B, 33, S]
              %1 = exp(%0) : f32[B, 33, S]
              %2 = silu(%1) : f32[B, 33, S]
              %3 = gelu(%2) {approximate = "tanh"} : f32[B, 33, S]
              %y = pow(%3) {exponent = 1.5} : f32[B, 33, S]
            """),
        GraphCase("square", "%x: f32[B, S, 33]", "%y = pow(%x) {exponent = 2.0} : f32[B, S, 33]"),
        GraphCase(
            "conversions", "%x: f32[B, S], %h: f16[B, S], %b: bool[B, S]",
            """
            %0 = to(%x) {element = bf16} : bf16[B, S]
              %1 = to(%h) {element = f32} : f32[B, S]
              %2 = to(%b) {element = f32} : f32[B, S]
              %3 = to(%input_ids) {element = f32} : f32[B, S]
              %4 = to(%3) {element = bool} : bool[B, S]
              %5 = to(%input_ids) {element = i32} : i32[B, S]
              %6 = to(%x) {element = i64} : i64[B, S]
              %7 = to(%b) {element = i64} : i64[B, S]
              %8 = to(%1) {element = bf16} : bf16[B, S]
            """, returns: "%0, %1, %2, %3, %4, %5, %6, %7, %8, %input_ids", integers: 0..<300),
    ]

    /// Relations, connectives, choices.
    package static let logic: [GraphCase] = [
        GraphCase(
            "relations", "%a: f32[B, S], %b: f32[S], %i: i64[B, 1]",
            """
            %0 = lt(%a, %b) : bool[B, S]
              %1 = ge(%b, %a) : bool[B, S]
              %2 = eq(%input_ids, %i) : bool[B, S]
              %3 = ne(%i, %input_ids) : bool[B, S]
              %4 = le(%a, %a) : bool[B, S]
              %5 = gt(%a, %b) : bool[B, S]
              %6 = logical_and(%0, %2) : bool[B, S]
              %7 = logical_or(%6, %3) : bool[B, S]
              %8 = logical_xor(%7, %1) : bool[B, S]
              %9 = logical_not(%8) : bool[B, S]
            """, returns: "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9"),
        GraphCase(
            "where", "%c: bool[S, S], %a: f32[B, S, S], %b: f32[]", "%y = where(%c, %a, %b) : f32[B, S, S]"),
        GraphCase(
            "where of integers", "%c: bool[B, 1], %a: i64[S]", "%y = where(%c, %a, %input_ids) : i64[B, S]"),
        GraphCase(
            "a mask as transformers computes it", "",
            """
            %0 = arange() {end = S, element = i64} : i64[S]
              %1 = view(%0) {shape = [S, 1]} : i64[S, 1]
              %2 = le(%0, %1) : bool[S, S]
              %3 = full() {shape = [], value = 0.0, element = f32} : f32[]
              %4 = full() {shape = [], value = -inf, element = f32} : f32[]
              %5 = where(%2, %3, %4) : f32[S, S]
              %6 = unsqueeze(%5) {dim = 0} : f32[1, S, S]
              %y = expand(%6) {shape = [B, S, S]} : f32[B, S, S]
            """),
    ]

    /// Softmax, sums, triangles.
    package static let reductions: [GraphCase] = [
        GraphCase("softmax", "%x: f32[B, S, 37]", "%y = softmax(%x) : f32[B, S, 37]"),
        GraphCase("softmax of one", "%x: f32[B, S, 1]", "%y = softmax(%x) : f32[B, S, 1]"),
        GraphCase("softmax along the first", "%x: f32[B, S, 7]", "%y = softmax(%x) {dim = 0} : f32[B, S, 7]"),
        GraphCase(
            "softmax of a transpose", "%x: f32[B, 7, S]",
            """
            %0 = transpose(%x) {dim0 = 1, dim1 = 2} : f32[B, S, 7]
              %y = softmax(%0) : f32[B, S, 7]
            """),
        GraphCase(
            "softmax of masked rows", "%x: f32[B, S, S]",
            """
            %0 = causal_mask() {queries = S, keys = S, offset = -2} : f32[S, S]
              %1 = add(%x, %0) : f32[B, S, S]
              %y = softmax(%1) : f32[B, S, S]
            """, width: 23),
        GraphCase(
            "mean", "%x: f32[B, S, 7]", "%y = mean(%x) {dim = 1, keepdim = false} : f32[B, 7]", width: 70),
        GraphCase("mean of rows", "%x: f32[B, S, 300]", "%y = mean(%x) : f32[B, S, 1]"),
        GraphCase("sum", "%x: f32[B, S, 7]", "%y = sum(%x) {dim = 0, keepdim = false} : f32[S, 7]"),
        GraphCase("sum of integers", "", "%y = sum(%input_ids) {dim = -1} : i64[B, 1]"),
        GraphCase("sum of nothing", "%x: f32[B, S, 7]", "%y = sum(%x) {dim = 1} : f32[B, 1, 7]", width: 0),
        GraphCase("any", "%x: bool[B, S, 3]", "%y = any(%x) {dim = 1} : bool[B, 1, 3]"),
        GraphCase("cumsum", "%x: f32[B, S, 3]", "%y = cumsum(%x) {dim = 1} : f32[B, S, 3]", width: 300 / 2),
        GraphCase("cumsum of integers", "", "%y = cumsum(%input_ids) {dim = -1} : i64[B, S]"),
        GraphCase("triu", "%x: f32[B, S, 6]", "%y = triu(%x) {diagonal = 1} : f32[B, S, 6]", width: 9),
        GraphCase("tril", "%x: bool[S, S]", "%y = tril(%x) {diagonal = -2} : bool[S, S]", width: 9),
        GraphCase(
            "tril of a transpose", "%x: i64[S, 4]",
            """
            %0 = transpose(%x) {dim0 = 0, dim1 = 1} : i64[4, S]
              %y = tril(%0) {diagonal = 20} : i64[4, S]
            """),
    ]

    /// Generators, indices, embeddings, rotary positions, norms.
    package static let shapes: [GraphCase] = [
        GraphCase(
            "sizes", "%start: i64[1]",
            """
            %0 = size() {value = P + S} : i64[]
              %1 = arange() {start = P, end = P + S, element = i64} : i64[S]
              %2 = arange() {end = 300, element = f32} : f32[300]
              %3 = full() {shape = [B, S], value = 2.5, element = bf16} : bf16[B, S]
              %4 = causal_mask() {queries = S, keys = P + S, offset = P, window = 3} : f32[S, P + S]
              %5 = full() {shape = [2], value = 1.0, element = bool} : bool[2]
            """, returns: "%0, %1, %2, %3, %4, %5", values: ["start": [11]]),
        GraphCase(
            "index", "%x: f32[5, 4, 3], %i: i64[S, 1], %j: i64[2]", "%y = index(%x, %i, %j) : f32[S, 2, 3]",
            values: ["i": [0, -1, 4, 2], "j": [3, -4]]),
        GraphCase(
            "index of a mask", "%x: bool[B, 9], %i: i64[B, 1, 1, 1], %j: i64[S]",
            "%y = index(%x, %i, %j) : bool[B, 1, 1, S]", values: ["i": [0, 1], "j": [8, 0, 3]]),
        GraphCase(
            "index_select", "%x: f16[B, 6, S], %i: i64[4]",
            "%y = index_select(%x, %i) {dim = 1} : f16[B, 4, S]", values: ["i": [5, 0, -2, 0]]),
        GraphCase(
            "index_copy", "%x: f32[B, 9, 3], %i: i64[S], %s: f32[B, S, 3]",
            "%y = index_copy(%x, %i, %s) {dim = 1} : f32[B, 9, 3]", values: ["i": [2, 8, 2, -3, 0]]),
        GraphCase(
            "embedding of computed ids", "%w: f32[12, 5]",
            """
            %0 = arange() {start = 2, end = S + 2, element = i64} : i64[S]
              %1 = add(%0, %input_ids) : i64[B, S]
              %y = embedding(%w, %1) : f32[B, S, 5]
            """),
        GraphCase(
            "embedding of a slice", "%w: f16[4, 5]",
            """
            %0 = slice(%input_ids) {dim = 1, start = 1} : i64[B, S - 1]
              %y = embedding(%w, %0) {widen = true} : f32[B, S - 1, 5]
            """),
        GraphCase(
            "rope", "%x: f32[B, 3, S, 16], %c: f32[1, S, 16], %s: f32[1, S, 16]",
            """
            %0 = unsqueeze(%c) {dim = 1} : f32[1, 1, S, 16]
              %1 = unsqueeze(%s) {dim = 1} : f32[1, 1, S, 16]
              %y = rope(%x, %0, %1) : f32[B, 3, S, 16]
            """),
        GraphCase(
            "partial rope of heads in place", "%x: f32[B, S, 3, 10], %c: f32[B, S, 6], %s: f32[B, S, 6]",
            """
            %0 = transpose(%x) {dim0 = 1, dim1 = 2} : f32[B, 3, S, 10]
              %1 = unsqueeze(%c) {dim = 1} : f32[B, 1, S, 6]
              %2 = unsqueeze(%s) {dim = 1} : f32[B, 1, S, 6]
              %y = rope(%0, %1, %2) : f32[B, 3, S, 10]
            """),
        GraphCase(
            "norm of heads of a packed row", "%x: f32[B, S, 40], %w: f32[5]",
            """
            %0 = slice(%x) {dim = 2, start = 10, end = 25} : f32[B, S, 15]
              %1 = view(%0) {shape = [B, S, 3, 5]} : f32[B, S, 3, 5]
              %2 = rms_norm(%1, %w) {eps = 1e-6} : f32[B, S, 3, 5]
              %y = layer_norm(%1, %w, %w) {eps = 1e-6} : f32[B, S, 3, 5]
            """, returns: "%2, %y"),
    ]

    /// Weights that are no parameters are read row by row, and packed in each pass.
    package static let computedWeights: [GraphCase] = [1, 5, 70].flatMap { width in
        [
            GraphCase(
                "linear with an input as weight", "%x: f32[B, S, 33], %w: f32[70, 33], %b: f32[70]",
                "%y = linear(%x, %w, %b) : f32[B, S, 70]", width: width),
            GraphCase(
                "linear with a product as weight", "%x: f32[B, S, 33], %w: f32[70, 33], %s: f32[70, 1]",
                """
                %0 = mul(%w, %s) : f32[70, 33]
                  %y = linear(%x, %0) : f32[B, S, 70]
                """, width: width),
            GraphCase(
                "linear with a slice and a transpose as weights",
                "%x: f32[B, S, 33], %w: f32[33, 90], %v: f32[17, 90]",
                """
                %0 = transpose(%w) {dim0 = 0, dim1 = 1} : f32[90, 33]
                  %1 = slice(%v) {dim = 1, start = 9, end = 42} : f32[17, 33]
                  %y = linear(%x, %0) : f32[B, S, 90]
                  %z = linear(%x, %1) : f32[B, S, 17]
                """, returns: "%y, %z", width: width),
            GraphCase(
                "linear and embedding with one input as weight", "%w: f16[9, 33]",
                """
                %0 = embedding(%w, %input_ids) {widen = true} : f32[B, S, 33]
                  %y = linear(%0, %w) : f32[B, S, 9]
                """, width: width),
        ]
    }

    /// Layers of small models around one token: norm, gated product, product and sum; the first fits into shared memory
    /// as a whole, the second comes through it piece by piece, rows of the third are no multiple of 16 bytes.
    package static let tokenLayers: [GraphCase] = ["f32", "f16", "bf16"].flatMap { type in
        [(896, 1200), (2304, 6000), (70, 33), (264, 50)].map { hidden, size in
            GraphCase(
                "layer of \(hidden) and \(size) with \(type)",
                "%x: f32[B, S, \(hidden)], %g: f32[\(hidden)], %w: \(type)[\(2 * size), \(hidden)], "
                    + "%v: \(type)[\(hidden), \(size)], %b: f32[\(hidden)]",
                """
                %0 = rms_norm(%x, %g) {eps = 1e-6} : f32[B, S, \(hidden)]
                  %1 = linear(%0, %w) : f32[B, S, \(2 * size)]
                  %2 = swiglu(%1) : f32[B, S, \(size)]
                  %3 = linear(%2, %v) : f32[B, S, \(hidden)]
                  %4, %5 = add_rms_norm(%x, %3, %g) {eps = 1e-6} : f32[B, S, \(hidden)], f32[B, S, \(hidden)]
                  %6 = linear(%2, %v, %b) : f32[B, S, \(hidden)]
                  %y = mul(%4, %5) : f32[B, S, \(hidden)]
                  %z = add(%6, %4) : f32[B, S, \(hidden)]
                """, returns: "%y, %z", batch: 1, width: 1)
        }
    }
}
