/// The general categories of Unicode, in the order of the stored table.
enum UnicodeCategory: UInt8, CaseIterable {
    case Lu, Ll, Lt, Lm, Lo, Mn, Mc, Me, Nd, Nl, No, Pc, Pd, Ps, Pe, Pi, Pf, Po, Sm, Sc, Sk, So, Zs, Zl, Zp
    case Cc, Cf, Cs, Co, Cn
    /// U+0085, a control character that is white space: apart from the others so that white space is a union
    /// of categories.
    case nextLine

    /// A set of categories, one bit each.
    struct Mask: OptionSet {
        let rawValue: UInt32

        init(rawValue: UInt32) { self.rawValue = rawValue }

        init(_ categories: UnicodeCategory...) {
            rawValue = categories.reduce(0) { $0 | 1 << UInt32($1.rawValue) }
        }

        static let letters = Mask(.Lu, .Ll, .Lt, .Lm, .Lo)
        static let casedLetters = Mask(.Lu, .Ll, .Lt)
        static let marks = Mask(.Mn, .Mc, .Me)
        static let numbers = Mask(.Nd, .Nl, .No)
        static let punctuation = Mask(.Pc, .Pd, .Ps, .Pe, .Pi, .Pf, .Po)
        static let symbols = Mask(.Sm, .Sc, .Sk, .So)
        static let separators = Mask(.Zs, .Zl, .Zp)
        static let others = Mask(.Cc, .Cf, .Cs, .Co, .Cn, .nextLine)
    }
}

extension ScalarSet {
    /// Unicode's White_Space.
    static let whitespace = ScalarSet(UnicodeCategory.Mask.separators.union(.init(.nextLine)))
        .union(ScalarSet(9...13))
    /// What `\w` is to Oniguruma.
    static let word = ScalarSet(UnicodeProperty.onigurumaWord)
    /// What `\d` is: decimal digits of any script.
    static let digit = ScalarSet(.init(.Nd))
    /// What `\h` is to Oniguruma: hexadecimal digits.
    static let hexDigit = ScalarSet(48...57).union(ScalarSet(65...70)).union(ScalarSet(97...102))
}
