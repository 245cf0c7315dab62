/// Anything with attributes by name: a node under check, a call of the interpreter, a step of a plan.
///
/// The typed readers give a neutral value for an attribute that is missing or of another kind; the verifier reports
/// such an attribute before anything runs.
public protocol AttributeReader {
    /// The attribute's value, or the default of the op's spec.
    func attribute(_ name: String) -> Attribute?
}

extension AttributeReader {
    /// An integer attribute; 0 if it is missing.
    public func int(_ name: String) -> Int {
        if case .int(let value)? = attribute(name) { value } else { 0 }
    }
    /// A number attribute; 0 if it is missing.
    public func float(_ name: String) -> Double {
        switch attribute(name) {
        case .float(let value)?: value
        case .int(let value)?: Double(value)
        default: 0
        }
    }
    /// A boolean attribute; false if it is missing.
    public func bool(_ name: String) -> Bool {
        if case .bool(let value)? = attribute(name) { value } else { false }
    }
    /// A string attribute; empty if it is missing.
    public func string(_ name: String) -> String {
        if case .string(let value)? = attribute(name) { value } else { "" }
    }
    /// A size attribute, constant or symbolic; 0 if it is missing.
    public func size(_ name: String) -> Dimension {
        switch attribute(name) {
        case .int(let value)?: Dimension(value)
        case .dimension(let value)?: value
        default: 0
        }
    }
    /// A list-of-dimensions attribute; empty if it is missing.
    public func dimensions(_ name: String) -> [Dimension] {
        if case .dimensions(let value)? = attribute(name) { value } else { [] }
    }
    /// An element type attribute; nil if it is missing.
    public func element(_ name: String) -> ElementType? {
        if case .element(let value)? = attribute(name) { value } else { nil }
    }
    /// A literal attribute; nil if it is missing.
    public func literal(_ name: String) -> TensorLiteral? {
        if case .literal(let value)? = attribute(name) { value } else { nil }
    }
}
