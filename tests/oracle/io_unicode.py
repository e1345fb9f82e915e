# SPDX-License-Identifier: Apache-2.0
"""Where the `tokenizers` library's idea of Unicode differs from that of our libraries: its
parts were built at different times, so its classes of characters are newer and its normal
forms older than Unicode 14. Asks the library about every code point and prints the tables of
engine/tokenizer_tables.c. Run by hand, with a Python whose unicodedata is version 14:

    python tests/oracle/io_unicode.py > engine/tokenizer_tables.c
"""
import sys
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
TEXT = "".join(map(chr, CODES))
CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf "
              "Co").split()
ASCII_MARKS = {ord(x) for x in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"}


def old(code):
    return unicodedata.category(chr(code))


def ranges(items):
    """[(code, value)] sorted by code, as [first, last, value]."""
    out = []
    for code, value in items:
        if out and out[-1][1] == code - 1 and out[-1][2] == value:
            out[-1][1] = code
        else:
            out.append([code, code, value])
    return out


def categories():
    now = {}
    for name in CATEGORIES:
        pre = pre_tokenizers.Split(Regex(r"\p{%s}" % name), "removed", invert=True)
        for piece, _ in pre.pre_tokenize_str(TEXT):
            now.update((ord(char), name) for char in piece)
    return [(c, now[c]) for c in CODES if c in now and now[c] != old(c)]


def lower():
    norm = normalizers.Lowercase()
    out = []
    for code in CODES:
        got = norm.normalize_str(chr(code))
        if got != chr(code).lower() and len(got) == 1:
            out.append((code, ord(got) - code))
    return out


def unnormal():
    """Code points that have a normal form or a combining class, of which the library does not
    know. What is newer than this Python's Unicode is known by utf8proc 2.8 (Unicode 15)."""
    nfd, nfkc, nfkd = normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD()
    newer = list(range(0x10EFD, 0x10F00)) + [0x11F41, 0x11F42, 0x1E08F] + list(range(0x1E4EC, 0x1E4F0))
    newer += [*range(0x1E030, 0x1E06E), 0x11930]    # the last one composes to U+11938
    out = set(newer)
    for code in CODES:
        char, bad = chr(code), False
        if unicodedata.normalize("NFKD", char) != nfkd.normalize_str(char):
            bad = True
        if unicodedata.normalize("NFKC", char) != nfkc.normalize_str(char):
            bad = True
        if unicodedata.normalize("NFD", char) != nfd.normalize_str(char):
            bad = True
        if unicodedata.combining(char) and not unicodedata.decomposition(char):
            for text in ("a" + char + "\u0334", "a\u0345" + char):
                bad |= unicodedata.normalize("NFD", text) != nfd.normalize_str(text)
        if bad:
            out.add(code)
    return [(code, 0) for code in sorted(out)]


def accents():
    """Marks that the library keeps, those among them that are newer than this Python."""
    norm, now = normalizers.StripAccents(), dict(categories())
    return [(c, 0) for c in CODES if "M" in (old(c)[0], now.get(c, " ")[0]) and
            norm.normalize_str(chr(c)) == chr(c)]


def punctuation():
    kept = set()
    for piece, _ in pre_tokenizers.Punctuation("removed").pre_tokenize_str(TEXT):
        kept.update(map(ord, piece))
    return [(c, 0) for c in CODES if c in kept and old(c)[0] == "P" and c not in ASCII_MARKS]


def put(kind, name, rows, form):
    print(f"\nconst struct {kind} {name}[] = {{")
    line = "   "
    for row in rows:
        item = form(row)
        if len(line) + len(item) + 2 > 92:
            print(line)
            line = "   "
        line += f" {item},"
    print(line)
    print("};")
    print(f"const size_t {name}_count = sizeof({name}) / sizeof({name}[0]);")


def main():
    if unicodedata.unidata_version != "14.0.0":
        sys.exit(f"need a Python of Unicode 14.0.0, this one has {unicodedata.unidata_version}")
    print("/* SPDX-License-Identifier: Apache-2.0 */\n"
          "/* Written by tests/oracle/io_unicode.py: what is meant, see tokenizer_int.h. */\n"
          '#include "engine/tokenizer_int.h"')
    pair = "{{ {0:#x}, {1:#x} }}".format
    put("sea_code_category", "sea_new_categories", ranges(categories()),
        lambda row: '{ %#x, %#x, "%s" }' % tuple(row))
    put("sea_code_lower", "sea_new_lower", ranges(lower()), lambda row: "{ %#x, %#x, %d }" % tuple(row))
    for name, items in [("sea_no_form", unnormal()), ("sea_no_accent", accents()),
                        ("sea_no_punctuation", punctuation())]:
        put("sea_codes", name, ranges(items), lambda row: pair(*row))


if __name__ == "__main__":
    main()
