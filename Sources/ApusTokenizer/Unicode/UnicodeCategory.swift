/// The general categories of Unicode, in the order of the stored table.
enum UnicodeCategory: UInt8, CaseIterable {
    case lu, ll, lt, lm, lo, mn, mc, me, nd, nl, no, pc, pd, ps, pe, pi, pf, po, sm, sc, sk, so, zs, zl, zp
    case cc, cf, cs, co, cn
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

        static let letters = Mask(.lu, .ll, .lt, .lm, .lo)
        static let casedLetters = Mask(.lu, .ll, .lt)
        static let marks = Mask(.mn, .mc, .me)
        static let numbers = Mask(.nd, .nl, .no)
        static let punctuation = Mask(.pc, .pd, .ps, .pe, .pi, .pf, .po)
        static let symbols = Mask(.sm, .sc, .sk, .so)
        static let separators = Mask(.zs, .zl, .zp)
        static let others = Mask(.cc, .cf, .cs, .co, .cn, .nextLine)
    }
}

extension ScalarSet {
    /// Unicode's White_Space.
    static let whitespace = ScalarSet(UnicodeCategory.Mask.separators.union(.init(.nextLine)))
        .union(ScalarSet(9...13))
    /// What `\w` is to Oniguruma.
    static let word = ScalarSet(UnicodeProperty.onigurumaWord)
    /// What `\d` is: decimal digits of any script.
    static let digit = ScalarSet(.init(.nd))
    /// What `\h` is to Oniguruma: hexadecimal digits.
    static let hexDigit = ScalarSet(48...57).union(ScalarSet(65...70)).union(ScalarSet(97...102))
}
