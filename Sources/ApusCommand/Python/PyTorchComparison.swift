import Apus

/// What PyTorch and transformers make of the same prompt, with a KV cache and without.
struct PyTorchComparison {
    /// What is asked of PyTorch.
    struct Request {
        var model: String
        var precision: Precision
        /// Prompts of one length.
        var prompts: [[Int32]]
        var tokenCount: Int
        var endTokens: [Int32]
        var threads: Int
        var iterations: Int

        /// The request as the script reads it.
        var json: JSONValue {
            let dtype =
                switch precision {
                case .fp16: "float16"
                case .fp32: "float32"
                case .bf16: "bfloat16"
                }
            return .object([
                ("model", .string(model)), ("precision", .string(dtype)),
                ("prompts", .array(prompts.map { .ids($0) })), ("num_tokens", .int(tokenCount)),
                ("end_tokens", .ids(endTokens)), ("threads", .int(threads)), ("iterations", .int(iterations)),
            ])
        }
    }

    /// One way of generating.
    struct Run: Equatable {
        var tokens: [[Int32]]
        var times: GenerationTimes

        init(_ json: JSON) throws(ApusError) {
            let source = "the answer of PyTorch"
            guard let tokens = json["token_ids"], let first = json["ttft_ms"], let total = json["total_ms"]
            else {
                throw ApusError(.internal, "\(source): expected token_ids, ttft_ms and total_ms")
            }
            self.tokens = []
            for row in tokens.elements { self.tokens.append(try TokenList.ids(row, source: source)) }
            times = GenerationTimes(
                firstToken: first.elements.compactMap(\.double).map { $0 / 1000 },
                total: total.elements.compactMap(\.double).map { $0 / 1000 })
        }
    }

    /// What came of a request.
    enum Outcome {
        /// Both ways ran.
        case compared(PyTorchComparison)
        /// It did not run, and why, with what to do.
        case unavailable(String)
    }

    let torchVersion: String
    let transformersVersion: String
    let cached: Run
    let uncached: Run

    /// Runs a request with the first Python that has what it takes.
    /// - Throws: `.io`, and `.internal` if the answer is not understood.
    static func run(_ request: Request, showsDiagnostics: Bool) throws(ApusError) -> Outcome {
        let script = String(decoding: PackageResources.compare_transformers_py, as: UTF8.self)
        var reason: String?
        for interpreter in PythonProcess.candidates() {
            let process = PythonProcess(interpreter: interpreter, showsDiagnostics: showsDiagnostics)
            switch try process.run(script, input: request.json.text()) {
            case .notFound: continue
            case .failed(let words):
                reason = reason ?? "\(interpreter) \(words); --debug shows what it printed"
            case .output(let text):
                let json = try JSON.parse(Array(text.utf8), source: "the answer of PyTorch")
                if json["missing"] != nil { continue }
                if let error = json["error"]?.string {
                    return .unavailable("PyTorch (\(interpreter)) could not run the model: \(error)")
                }
                return .compared(try PyTorchComparison(json))
            }
        }
        if let reason { return .unavailable(reason) }
        return .unavailable(
            """
            no Python with torch and transformers was found: install them with \
            'python3 -m pip install torch transformers', or set \(PythonProcess.environmentVariable) to a Python \
            that has them
            """)
    }

    /// Reads the script's answer.
    init(_ json: JSON) throws(ApusError) {
        guard let cached = json["with_cache"], let uncached = json["without_cache"] else {
            throw ApusError(.internal, "the answer of PyTorch: expected 'with_cache' and 'without_cache'")
        }
        torchVersion = json["torch"]?.string ?? "?"
        transformersVersion = json["transformers"]?.string ?? "?"
        self.cached = try Run(cached)
        self.uncached = try Run(uncached)
    }
}

extension JSONValue {
    /// An array of token ids.
    static func ids(_ ids: [Int32]) -> JSONValue { .array(ids.map { .int(Int($0)) }) }
}
