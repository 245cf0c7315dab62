/// A symbolic dimension of a graph and the values it may take.
///
/// Most symbols are free: the shapes of a graph's inputs give them their values. A symbol with a definition follows
/// from other symbols, or from the value of an integer input, as a static cache's length follows from `start_idx`.
public struct Symbol: Sendable, Hashable {
    /// What a symbol that is not free is computed from.
    public enum Definition: Sendable, Hashable {
        /// The value of the integer input of that name; of its first element if it has several.
        case input(String)
        /// ⌊a / b⌋ for b > 0.
        case floorDiv(Dimension, Dimension)
        /// a − b·⌊a / b⌋ for b > 0.
        case mod(Dimension, Dimension)
        /// The larger of two.
        case max(Dimension, Dimension)
        /// The smaller of two.
        case min(Dimension, Dimension)
    }

    /// The name used in shapes, such as `S`.
    public var name: String
    /// The values the symbol may take, at least 0.
    public var range: ClosedRange<Int>
    /// How the symbol's value is found, if not from shapes.
    public var definition: Definition?

    /// Declares a symbol.
    public init(_ name: String, _ range: ClosedRange<Int>, _ definition: Definition? = nil) {
        self.name = name
        self.range = range
        self.definition = definition
    }
}

extension Symbol.Definition {
    /// The symbols that the definition mentions, sorted.
    public var symbols: [String] {
        switch self {
        case .input: []
        case .floorDiv(let a, let b), .mod(let a, let b), .max(let a, let b), .min(let a, let b):
            Set(a.symbols + b.symbols).sorted()
        }
    }

    /// The value, given those of other symbols and of integer inputs; nil if one is unknown or a divisor is not
    /// positive.
    public func evaluate(symbol: (String) -> Int?, input: (String) -> Int?) -> Int? {
        func pair(_ a: Dimension, _ b: Dimension, _ function: (Int, Int) -> Int?) -> Int? {
            guard let x = a.evaluate(symbol), let y = b.evaluate(symbol) else { return nil }
            return function(x, y)
        }
        switch self {
        case .input(let name): return input(name)
        case .floorDiv(let a, let b):
            return pair(a, b) { x, y in y > 0 ? Self.floorDivide(x, y) : nil }
        case .mod(let a, let b):
            return pair(a, b) { x, y in y > 0 ? (x % y < 0 ? x % y + y : x % y) : nil }
        case .max(let a, let b): return pair(a, b) { Swift.max($0, $1) }
        case .min(let a, let b): return pair(a, b) { Swift.min($0, $1) }
        }
    }

    /// ⌊x / y⌋ for y > 0.
    private static func floorDivide(_ x: Int, _ y: Int) -> Int { x / y - (x % y < 0 ? 1 : 0) }
}

extension Symbol: CustomStringConvertible {
    /// The text form, as in `S in 1...64` or `P = value(%start_idx) in 0...63`.
    public var description: String {
        let suffix = " in \(range.lowerBound)...\(range.upperBound)"
        switch definition {
        case nil: return name + suffix
        case .input(let input)?: return "\(name) = value(%\(input))" + suffix
        case .floorDiv(let a, let b)?: return "\(name) = floordiv(\(a), \(b))" + suffix
        case .mod(let a, let b)?: return "\(name) = mod(\(a), \(b))" + suffix
        case .max(let a, let b)?: return "\(name) = max(\(a), \(b))" + suffix
        case .min(let a, let b)?: return "\(name) = min(\(a), \(b))" + suffix
        }
    }
}
