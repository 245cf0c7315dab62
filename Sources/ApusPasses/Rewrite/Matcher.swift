import ApusGraph

/// The values and numbers that a match captured.
struct Bindings {
    var values: [(name: String, value: Value)] = []
    var numbers: [(name: String, value: Double)] = []

    func value(_ name: String) -> Value? { values.first { $0.name == name }?.value }
    func number(_ name: String) -> Double? { numbers.first { $0.name == name }?.value }
}

/// Matches patterns against the graph in an editor, with backtracking.
///
/// Each function calls `next` with what is bound so far and gives up a choice when `next` does not succeed.
struct Matcher {
    let editor: GraphEditor

    /// The captures of the first way in which `pattern` matches `value`.
    func match(_ pattern: Pattern, _ value: Value) -> Bindings? {
        var bindings = Bindings()
        return match(pattern, value, &bindings) { _ in true } ? bindings : nil
    }

    private func match(
        _ pattern: Pattern, _ operand: Value?, _ bindings: inout Bindings, _ next: (inout Bindings) -> Bool
    ) -> Bool {
        switch pattern {
        case .absent:
            return operand == nil && next(&bindings)
        case .optional(let name):
            guard let operand else { return next(&bindings) }
            return bind(name, operand, &bindings, next)
        default: break
        }
        guard let value = operand.map(editor.resolve) else { return false }
        switch pattern {
        case .absent, .optional: return false
        case .any: return next(&bindings)
        case .capture(let name): return bind(name, value, &bindings, next)
        case .weight(let name): return editor.isWeight(value) && bind(name, value, &bindings, next)
        case .number(let name):
            guard let number = splat(value) else { return false }
            if let bound = bindings.number(name) { return bound == number && next(&bindings) }
            bindings.numbers.append((name, number))
            if next(&bindings) { return true }
            bindings.numbers.removeLast()
            return false
        case .splat(let expected, let tolerance):
            guard let number = splat(value) else { return false }
            // Infinity less infinity is no number.
            let isEqual = number == expected || abs(number - expected) <= tolerance * abs(expected)
            return isEqual && next(&bindings)
        case .named(let name, let inner):
            return match(inner, value, &bindings) { bind(name, value, &$0, next) }
        case .singleUse(let inner):
            return editor.useCount(value) == 1 && match(inner, value, &bindings, next)
        case .oneOf(let choices):
            for choice in choices where match(choice, value, &bindings, next) { return true }
            return false
        case .node(let node): return match(node, value, &bindings, next)
        }
    }

    private func bind(
        _ name: String, _ value: Value, _ bindings: inout Bindings, _ next: (inout Bindings) -> Bool
    ) -> Bool {
        let value = editor.resolve(value)
        if let bound = bindings.value(name) { return bound == value && next(&bindings) }
        bindings.values.append((name, value))
        if next(&bindings) { return true }
        bindings.values.removeLast()
        return false
    }

    private func splat(_ value: Value) -> Double? { editor.splat(value) }

    private func match(
        _ pattern: NodePattern, _ value: Value, _ bindings: inout Bindings, _ next: (inout Bindings) -> Bool
    ) -> Bool {
        guard let node = editor.producer(of: value), node.op == pattern.op, node.result == value else {
            return false
        }
        let given = (node.operands.lastIndex { $0 != nil } ?? -1) + 1
        guard given <= pattern.operands.count else { return false }
        if let condition = pattern.condition, !condition(NodeView(node, editor)) { return false }
        if match(pattern.operands[...], node.operands[..<given], &bindings, next) { return true }
        guard NodePattern.commutative.contains(node.op), given == 2 else { return false }
        return match(pattern.operands[...], [node.operands[1], node.operands[0]], &bindings, next)
    }

    private func match(
        _ patterns: ArraySlice<Pattern>, _ operands: ArraySlice<Value?>, _ bindings: inout Bindings,
        _ next: (inout Bindings) -> Bool
    ) -> Bool {
        guard let pattern = patterns.first else { return next(&bindings) }
        return match(pattern, operands.first ?? nil, &bindings) {
            match(patterns.dropFirst(), operands.dropFirst(), &$0, next)
        }
    }
}
