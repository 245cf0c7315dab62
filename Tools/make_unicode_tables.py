#!/usr/bin/env python3
"""Writes Sources/ApusTokenizer/Unicode/UnicodeData+*.swift.

The tables are read out of Hugging Face `tokenizers` itself, one code point at a time, because a tokenizer has to
agree with that library and its parts are built on several versions of Unicode: Oniguruma's (categories, scripts,
word), that of Rust's `regex` (word), `unicode_categories` (punctuation) and `unicode_normalization_alignments`
(normal forms). Where the library shows only results (one-step decompositions, combining classes), Python's
`unicodedata` supplies the value and `tokenizers` decides whether it is known.

Needs: pip install tokenizers
Run:   python3 Tools/make_unicode_tables.py
"""
import base64
import os
import re
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

OUT = os.path.join(os.path.dirname(__file__), "..", "Sources", "ApusTokenizer", "Unicode")
CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn").split()
SCRIPTS = """Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki
Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian
Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan
Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi
Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi
Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki
Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean
Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian
Mro Multani Myanmar Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki
Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur
Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan
Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Syloti_Nagri Syriac
Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Toto
Ugaritic Unknown Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square Garay Gurung_Khema Kirat_Rai Ol_Onal
Sunuwar Todhri Tulu_Tigalari""".split()

POINTS = [c for c in range(1, 0x110000) if not 0xD800 <= c <= 0xDFFF]
TEXT = "".join(map(chr, POINTS))


def members(pattern):
    """The code points that a pattern of Oniguruma matches."""
    result = normalizers.Replace(Regex(pattern), "\0").normalize_str(TEXT)
    assert len(result) == len(TEXT), pattern
    return {c for c, x in zip(POINTS, result) if x == "\0"}


def varint(n, out):
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)


def runs(value_of):
    """Run lengths and values over all code points."""
    out = bytearray()
    start, value = 0, value_of(0)
    for c in range(1, 0x110000):
        v = value_of(c)
        if v != value:
            varint(c - start, out)
            out.append(value)
            start, value = c, v
    varint(0x110000 - start, out)
    out.append(value)
    return out


def ranges(points):
    """The gaps and lengths of the ranges of a set."""
    out, at = bytearray(), 0
    points = sorted(points)
    i = 0
    while i < len(points):
        j = i
        while j + 1 < len(points) and points[j + 1] == points[j] + 1:
            j += 1
        varint(points[i] - at, out)
        varint(points[j] - points[i], out)
        at = points[j] + 1
        i = j + 1
    return out


def mappings(table):
    """Entries: gap to the code point, count of scalars, their differences to the code point (zigzag)."""
    out, at = bytearray(), 0
    for c in sorted(table):
        varint(c - at, out)
        varint(len(table[c]), out)
        for x in table[c]:
            d = x - c
            varint(d * 2 if d >= 0 else -d * 2 - 1, out)
        at = c
    return out


def write(name, doc, entries):
    lines = ["// Written by Tools/make_unicode_tables.py from Hugging Face tokenizers; do not edit.", "",
             "extension UnicodeData {"]
    for i, (field, comment, data) in enumerate(entries):
        text = base64.b64encode(bytes(data)).decode().rstrip("=")
        if i:
            lines.append("")
        lines += ["    /// " + comment, f"    static let {field} = \"\"\""]
        lines += ["        " + text[k:k + 100] for k in range(0, len(text), 100)]
        lines.append("        \"\"\"")
    lines.append("}")
    with open(os.path.join(OUT, f"UnicodeData+{name}.swift"), "w") as f:
        f.write("\n".join(lines) + "\n")


def main():
    category = bytearray(0x110000)
    for i, name in enumerate(CATEGORIES):
        for c in members(r"\p{%s}" % name):
            category[c] = i
    category[0] = CATEGORIES.index("Cc")
    for c in range(0xD800, 0xE000):
        category[c] = CATEGORIES.index("Cs")
    category[0x85] = len(CATEGORIES)

    word, punctuation, marks = set(), set(), set()
    word_cut, punctuation_cut = pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation()
    strip = normalizers.StripAccents()
    numeric, digit_cut = set(), pre_tokenizers.Digits(True)
    for c in POINTS:
        s = "a" + chr(c)
        if word_cut.pre_tokenize_str(s)[0][0] == s:
            word.add(c)
        if len(punctuation_cut.pre_tokenize_str(s)) == 2:
            punctuation.add(c)
        if len(digit_cut.pre_tokenize_str(s)) == 2:
            numeric.add(c)
        if strip.normalize_str(chr(c)) == "":
            marks.add(c)
    write("Categories", "", [
        ("categories", "Runs of general categories, as Oniguruma has them.", runs(category.__getitem__)),
        ("onigurumaWord", "What `\\w` is to Oniguruma.", ranges(members(r"\w"))),
        ("alphabetic", "Unicode's Alphabetic, as Oniguruma has it.", ranges(members(r"\p{Alpha}"))),
        ("regexWord", "What `\\w` is to Rust's regex.", ranges(word)),
        ("numeric", "Rust's `char::is_numeric`.", ranges(numeric)),
        ("punctuation", "The punctuation of Punctuation and BertPreTokenizer.", ranges(punctuation)),
        ("combiningMarks", "What StripAccents removes.", ranges(marks)),
    ])

    script = bytearray(b"\xff") * 0x110000
    for i, name in enumerate(SCRIPTS):
        for c in members(r"\p{%s}" % name):
            script[c] = i
    script[0] = SCRIPTS.index("Common")
    write("Scripts", "", [
        ("scripts", "Runs of scripts, by their index in `scriptNames`; 255 is none.", runs(script.__getitem__)),
        ("scriptNames", "The names of the scripts, each behind its length.",
         b"".join(bytes([len(n)]) + n.encode() for n in SCRIPTS)),
    ])

    nfc, nfd, nfkd = normalizers.NFC(), normalizers.NFD(), normalizers.NFKD()
    hangul = range(0xAC00, 0xAC00 + 11172)
    canonical, compatible, pairs, classes = {}, {}, {}, {}
    for c in POINTS:
        ch = chr(c)
        if c in hangul:
            continue
        d, k = nfd.normalize_str(ch), nfkd.normalize_str(ch)
        if d != ch:
            canonical[c] = list(map(ord, d))
            step = unicodedata.decomposition(ch).split()
            if len(step) == 2 and not step[0].startswith("<") and nfc.normalize_str(ch) == ch:
                pairs[c] = [int(x, 16) for x in step]
        if k != d:
            compatible[c] = list(map(ord, k))
        ccc = unicodedata.combining(ch)
        # U+0345 has the highest class; a mark that the library knows moves in front of it.
        if ccc and (c == 0x345 or nfd.normalize_str("\u0345" + ch) != "\u0345" + ch):
            classes[c] = ccc
    write("Normalization", "", [
        ("canonicalDecompositions", "Full canonical decompositions, without Hangul syllables.", mappings(canonical)),
        ("compositions", "Primary composites and the pairs that compose to them.", mappings(pairs)),
        ("combiningClasses", "Runs of canonical combining classes.", runs(lambda c: classes.get(c, 0))),
    ])
    write("Compatibility", "", [
        ("compatibilityDecompositions", "Full compatibility decompositions that differ from the canonical ones.",
         mappings(compatible)),
    ])


main()
