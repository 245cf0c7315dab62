package import ApusGraph
package import ApusSupport

/// The values that a plan's symbols have in the current pass, by index.
///
/// Free symbols are set by the runtime, the others follow from them or from an integer input. Reading and updating
/// allocates nothing.
package final class SymbolValues {
    private enum Definition {
        case free
        case input(UnsafePointer<Int32>)
        case floorDiv(Size, Size), mod(Size, Size), max(Size, Size), min(Size, Size)
    }

    private let names: [String]
    private let bounds: [ClosedRange<Int>]
    private var definitions: [Definition] = []
    private let values: UnsafeMutablePointer<Int>
    /// Which values have changed since ``settle()``.
    private let changes: UnsafeMutablePointer<Bool>

    /// Prepares the symbols of a plan; all are 0 until the first update.
    /// - Parameter input: The memory of an integer input, by its name.
    /// - Throws: `.internal` for a symbol that follows from something unknown.
    package init(
        _ symbols: [Symbol], limits: SessionLimits, input: (String) -> UnsafePointer<Int32>?
    ) throws(ApusError) {
        let sizes = SizeBounds(symbols, limits: limits)
        names = symbols.map(\.name)
        bounds = symbols.map { sizes[$0.name] ?? $0.range }
        values = .allocate(capacity: Swift.max(symbols.count, 1))
        values.initialize(repeating: 0, count: Swift.max(symbols.count, 1))
        changes = .allocate(capacity: Swift.max(symbols.count, 1))
        changes.initialize(repeating: true, count: Swift.max(symbols.count, 1))
        for symbol in symbols { definitions.append(try definition(of: symbol, input)) }
    }

    deinit {
        values.deallocate()
        changes.deallocate()
    }

    private func definition(
        of symbol: Symbol, _ input: (String) -> UnsafePointer<Int32>?
    ) throws(ApusError) -> Definition {
        switch symbol.definition {
        case nil: return .free
        case .input(let name)?:
            guard let pointer = input(name) else {
                throw ApusError(
                    .internal, "symbol '\(symbol.name)' is the value of '\(name)', which is no input")
            }
            return .input(pointer)
        case .floorDiv(let a, let b)?: return .floorDiv(try size(a), try size(b))
        case .mod(let a, let b)?: return .mod(try size(a), try size(b))
        case .max(let a, let b)?: return .max(try size(a), try size(b))
        case .min(let a, let b)?: return .min(try size(a), try size(b))
        }
    }

    /// A dimension in the form that is evaluated in each pass.
    /// - Throws: `.internal` if it mentions a symbol that the plan does not declare.
    package func size(_ dimension: Dimension) throws(ApusError) -> Size {
        var terms: [Size.Term] = []
        for monomial in dimension.monomials {
            var factors: [Int] = []
            for name in monomial.symbols {
                guard let index = names.firstIndex(of: name) else {
                    throw ApusError(.internal, "'\(dimension)' mentions '\(name)', which the plan lacks")
                }
                factors.append(index)
            }
            terms.append(Size.Term(coefficient: monomial.coefficient, factors: factors))
        }
        return Size(terms: terms)
    }

    /// The value of a size in the current pass.
    package func value(_ size: Size) -> Int {
        var sum = 0
        var index = 0
        while index < size.terms.count {
            // Wraps rather than traps: a damaged plan may ask for anything, and is refused where it does not fit.
            sum &+= size.terms[index].value(values)
            index += 1
        }
        return sum
    }

    /// The value of a symbol in the current pass; nil for one that the plan does not declare.
    package subscript(name: String) -> Int? {
        var index = 0
        while index < names.count {
            if names[index] == name { return values[index] }
            index += 1
        }
        return nil
    }

    /// The value of a symbol in the current pass, by its index.
    package subscript(index: Int) -> Int { values[index] }

    /// The indices of the symbols of some names; what the plan does not declare is left out.
    package func indices(of symbols: Set<String>) -> [Int] {
        names.indices.filter { symbols.contains(names[$0]) }
    }

    /// Whether any value has changed since ``settle()``.
    package var hasChanged: Bool {
        var index = 0
        while index < names.count {
            if changes[index] { return true }
            index += 1
        }
        return false
    }

    /// Whether any of some symbols has changed since ``settle()``.
    package func haveChanged(_ indices: [Int]) -> Bool {
        var place = 0
        while place < indices.count {
            if changes[indices[place]] { return true }
            place += 1
        }
        return false
    }

    /// Forgets what has changed: all sizes were taken.
    package func settle() { changes.update(repeating: false, count: names.count) }

    /// Takes the free symbols' values and computes the others.
    /// - Throws: `.invalidInput` for a value that memory was not planned for.
    package func update(free: (String) -> Int?) throws(ApusError) {
        var index = 0
        while index < names.count {
            let value = value(at: index, free)
            guard let value, bounds[index].contains(value) else {
                throw ApusError(
                    .invalidInput,
                    "'\(names[index])': expected \(bounds[index].lowerBound)...\(bounds[index].upperBound), got "
                        + (value.map(String.init) ?? "no value"))
            }
            if values[index] != value { changes[index] = true }
            values[index] = value
            index += 1
        }
    }

    private func value(at index: Int, _ free: (String) -> Int?) -> Int? {
        switch definitions[index] {
        case .free: return free(names[index])
        case .input(let pointer): return Int(pointer.pointee)
        case .floorDiv(let a, let b):
            let (x, y) = (value(a), value(b))
            return y > 0 ? Self.floorDivide(x, y) : nil
        case .mod(let a, let b):
            let (x, y) = (value(a), value(b))
            return y > 0 ? x - y * Self.floorDivide(x, y) : nil
        case .max(let a, let b): return Swift.max(value(a), value(b))
        case .min(let a, let b): return Swift.min(value(a), value(b))
        }
    }

    private static func floorDivide(_ x: Int, _ y: Int) -> Int { x / y - (x % y < 0 ? 1 : 0) }
}

/// A dimension whose symbols are known by index.
package struct Size {
    /// A coefficient times the symbols at some indices.
    package struct Term {
        package let coefficient: Int
        package let factors: [Int]

        func value(_ values: UnsafeMutablePointer<Int>) -> Int {
            var product = coefficient
            var index = 0
            while index < factors.count {
                product &*= values[factors[index]]
                index += 1
            }
            return product
        }
    }

    /// The terms of the sum; none for 0.
    package let terms: [Term]
}
