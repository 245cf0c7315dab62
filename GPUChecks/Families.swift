import GraphCases

/// Cases of one kind.
struct Family {
    let name: String
    let cases: [GraphCase]
    /// Whether their data have no result.
    var isRefused = false

    /// All families, quick ones first.
    static let all = [
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
    ]
}
