import ApusCUDA
import ApusGraph
import ApusSupport
import AttentionCases
import GraphCases

/// Cases of one kind.
struct Family: Sendable {
    /// A case: its name, and what compares it.
    struct Member: Sendable {
        let name: String
        /// - Returns: A remark on what was found right.
        /// - Throws: What is wrong.
        let check: @Sendable (CUDABackend) throws(ApusError) -> String
    }

    let name: String
    let members: [Member]

    /// Graphs against the reference interpreter.
    /// - Parameter isRefused: Whether their data have no result.
    init(name: String, cases: [GraphCase], isRefused: Bool = false) {
        self.name = name
        // The GPU runs no pass without tokens.
        members = cases.filter { $0.width > 0 }.map { test in
            Member(name: test.name) { backend throws(ApusError) in
                let check = CaseCheck(backend: backend)
                return isRefused
                    ? try check.refusal(of: test) : "error \(try check.largestError(of: test))"
            }
        }
    }

    /// The AttentionPlugin against attention in double precision.
    /// - Parameters:
    ///   - lists: Cases, each list with what tells its names from those of others.
    ///   - takesTurns: Whether each case gets one type of cache, another than the case before it, and not all.
    init(name: String, lists: [(prefix: String, cases: [PluginCase])], takesTurns: Bool) {
        self.name = name
        let caches: [ElementType] = [.f32, .f16, .bf16]
        members = lists.flatMap { prefix, cases in
            cases.enumerated().flatMap { index, test in
                (takesTurns ? [caches[index % caches.count]] : caches).map { cache in
                    Member(name: "\(prefix)\(test.name), cache of \(cache)") { backend throws(ApusError) in
                        let check = PluginCheck(backend: backend)
                        return "error \(try check.largestError(of: test, cache: cache))"
                    }
                }
            }
        }
    }

    /// Products with codes of four bits against double precision.
    init(name: String, cases: [Int4Case]) {
        self.name = name
        members = cases.flatMap { test in
            ["int8", "f32"].map { activations in
                Member(name: "\(test), activations \(activations)") { backend throws(ApusError) in
                    let check = Int4Check(backend: backend)
                    return "error \(try check.largestError(of: test, activations: activations))"
                }
            }
        }
    }

    /// Layers as one kernel against layers kernel by kernel.
    init(name: String, cases: [StackCheck.Case]) {
        self.name = name
        members = cases.map { test in
            Member(name: "\(test)") { backend throws(ApusError) in
                "error \(try StackCheck(backend: backend).largestError(of: test))"
            }
        }
    }

    /// All families, quick ones first.
    static let all: [Family] = [
        Family(name: "views", cases: GraphCase.views),
        Family(name: "elementwise", cases: GraphCase.elementwise),
        Family(name: "logic", cases: GraphCase.logic),
        Family(name: "reductions", cases: GraphCase.reductions),
        Family(name: "shapes", cases: GraphCase.shapes),
        Family(name: "caches", cases: GraphCase.caches),
        Family(name: "faults", cases: GraphCase.faults, isRefused: true),
        Family(name: "products", cases: GraphCase.products + GraphCase.largeMatrices),
        Family(name: "generated", cases: GraphCase.generated),
        Family(name: "attention", cases: GraphCase.attention),
        Family(name: "decode", cases: GraphCase.decodeLayers),
        Family(name: "linear", cases: GraphCase.computedWeights + GraphCase.tokenLayers),
        Family(
            name: "plugin",
            lists: [
                ("prompt: ", PluginCase.contexts), ("token: ", PluginCase.decodes),
                ("tree: ", PluginCase.trees),
            ], takesTurns: false),
        Family(name: "int4", cases: Int4Case.all),
        Family(name: "stack", cases: StackCheck.cases),
        Family(
            name: "plugin-full",
            lists: [
                ("", PluginCase.fullContexts), ("", PluginCase.fullDecodes), ("", PluginCase.fullTrees),
                ("", PluginCase.fullCaches),
            ], takesTurns: true),
    ]
}
