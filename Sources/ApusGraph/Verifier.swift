public import ApusSupport

extension Graph {
    /// Lists everything that is wrong with the graph: unknown ops, constraints that do not hold, values that are
    /// used before they are defined or defined twice, symbols that are not declared.
    public func diagnostics(registry: OpRegistry = .standard) -> [Diagnostic] {
        var found: [Diagnostic] = []
        // Most graphs have no problems: names are made up for the first.
        lazy var names = ValueNames(self)
        var defined = [Bool](repeating: false, count: valueCount)
        let declared = Set(symbols.map(\.name))

        func report(_ label: String, _ place: String, _ message: String) {
            found.append(Diagnostic(label: label, place: place, message: message))
        }
        func define(_ value: Value) {
            if defined[value.index] {
                report("graph.redefined", names[value], "the value is defined more than once")
            }
            defined[value.index] = true
            let symbolic = type(of: value).shape.filter { $0.constant == nil }
            if symbolic.isEmpty { return }
            for name in Set(symbolic.flatMap(\.symbols)).subtracting(declared).sorted() {
                report("graph.undeclared-symbol", names[value], "symbol '\(name)' is not declared")
            }
        }

        if Set(symbols.map(\.name)).count != symbols.count {
            report("graph.duplicate-symbol", "@\(name)", "a symbol is declared twice")
        }
        for symbol in symbols where symbol.range.lowerBound < 0 {
            report("graph.symbol-range", "@\(name)", "symbol '\(symbol.name)' may be negative")
        }
        inputs.forEach(define)
        checkDefinitions(declared) { report("graph.symbol-definition", "@\(name)", $0) }
        for node in nodes {
            func place() -> String { node.results.first.map { names[$0] } ?? node.op }
            for case let value? in node.operands where !defined[value.index] {
                report("graph.undefined-value", place(), "\(names[value]) is used before it is defined")
            }
            check(node, registry: registry) { report($0, place(), $1) }
            node.results.forEach(define)
        }
        for value in outputs where !defined[value.index] {
            report("graph.undefined-value", "return", "\(names[value]) is not defined")
        }
        return found
    }

    /// A definition mentions symbols declared before its own, and integer inputs.
    private func checkDefinitions(_ declared: Set<String>, report: (String) -> Void) {
        var known = Set(symbols.filter { $0.definition == nil }.map(\.name))
        for symbol in symbols {
            guard let definition = symbol.definition else { continue }
            for name in definition.symbols where !known.contains(name) {
                report(
                    "symbol '\(symbol.name)' is computed from '\(name)', which is not declared before it")
            }
            if case .input(let name) = definition {
                let type = input(named: name).map(type(of:))
                if type?.element.isInteger != true {
                    report("symbol '\(symbol.name)' is the value of '\(name)', which is no integer input")
                }
            }
            known.insert(symbol.name)
        }
    }

    private func check(_ node: Node, registry: OpRegistry, report: (String, String) -> Void) {
        guard let spec = registry[node.op] else {
            report("graph.unknown-op", "unknown op '\(node.op)'")
            return
        }
        let declared = node.results.map { type(of: $0) }
        let checker = OpChecker(
            spec: spec, operands: node.operands.map { $0.map(type(of:)) }, attributes: node.attributes,
            declared: declared)
        let types = checker.isWellFormed ? spec.infer(checker) : nil
        for problem in checker.problems { report("\(node.op).\(problem.label)", problem.message) }
        if let types, checker.problems.isEmpty, types != declared {
            let (expected, got) = (Self.list(types), Self.list(declared))
            report("\(node.op).result", "expected result \(expected), got \(got)")
        }
    }

    private static func list(_ types: [TensorType]) -> String {
        types.map(\.description).joined(separator: ", ")
    }

    /// Throws one error that lists every problem of the graph, if it has any.
    public func verify(registry: OpRegistry = .standard) throws(ApusError) {
        let found = diagnostics(registry: registry)
        guard !found.isEmpty else { return }
        let lines = found.map { "\n  \($0)" }.joined()
        throw ApusError(.internal, "graph @\(name) has \(found.count) problem(s):\(lines)")
    }
}
