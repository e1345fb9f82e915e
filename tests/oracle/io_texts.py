# SPDX-License-Identifier: Apache-2.0
"""Texts of every kind for the tokenizer oracles, made from Unicode's own tables: pseudo
languages to train on, and strings to compare. Everything follows from the seed."""
import unicodedata

BLOCKS = [(0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x17F), (0x180, 0x24F), (0x370, 0x3FF), (0x400, 0x52F), (0x531, 0x587),
          (0x5D0, 0x5EA), (0x620, 0x64A), (0x6A0, 0x6D3), (0x710, 0x72F), (0x780, 0x7B1), (0x905, 0x94D),
          (0x985, 0x9CD), (0xA05, 0xA4D), (0xA85, 0xACD), (0xB05, 0xB4D), (0xB85, 0xBCD), (0xC05, 0xC4D),
          (0xC85, 0xCCD), (0xD05, 0xD4D), (0xD85, 0xDCF), (0xE01, 0xE4E), (0xE81, 0xECD), (0xF40, 0xFBC),
          (0x1000, 0x103F), (0x10D0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x135A), (0x13A0, 0x13F5), (0x1401, 0x166C),
          (0x1780, 0x17D3), (0x1820, 0x1877), (0x1E00, 0x1FFF), (0x2C00, 0x2C5F), (0x3041, 0x3096), (0x30A1, 0x30FF),
          (0x3105, 0x312F), (0x4E00, 0x9FFF), (0xA000, 0xA48C), (0xAC00, 0xD7A3), (0x10330, 0x1034A),
          (0x10400, 0x1044F), (0x12000, 0x12399), (0x1E900, 0x1E943), (0x20000, 0x20100), (0xFF21, 0xFF5A),
          (0x1D400, 0x1D4FF)]
BLANKS = [" ", "  ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u2029", "\u0085",
          "\u180e", "\u200b", "\x0b", "\x0c", "\r", "\u1680", "\u205f", "\u202f", " " * 7, "\n" * 5, " \n \n"]
MARKS = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + list("\u00bf\u00a1\u2026\u3002\u300c\u300d\u2014\u2019\u201c\u060c"
                                                          "\u061f\u0964\u00b7\u2581\u00ab\u00bb\u20ac\u00b1\u2260")
ODD = (["\u200d", "\u200c", "\ufe0f", "\ufeff", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069", "\u00ad",
        "\ufffd", "\uffff", "\ufffe", "\U0010ffff", "\U000e0001", "\U000e0041", "\u0378", "\U0001fffe", "\ue000", "\x00",
        "\x7f", "\x1b", "\x8f", "\u0130", "\u0131", "\u017f", "\u1e9e", "\u00df", "\ufb01", "\u01c5", "\u03c2", "\u212a",
        "\u212b", "\u0345", "\u0344", "\u0f73", "\u2126", "\u00bd", "\u2167", "\u2460", "\u3305", "\u33ff", "\uff76\uff9e",
        "\u1100\u1161\u11a8", "\uac00\u11a8", "\u0958", "\u2adc", "\U0001d15e", "\u24b6", "\u00b2", "\u2070", "\u0e33",
        "\u1cf2", "\u1171", "\u0300", "\u0903", "\u20dd"])
EMOJI = ["\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\U0001f1fa\U0001f1f8\U0001f1eb",
         "\U0001f44d\U0001f3fd", "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e007f",
         "\U0001f9d1\U0001f3fb\u200d\U0001f91d\u200d\U0001f9d1\U0001f3ff"]
SHORT = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'RE", "'Ll", "'\u017f", "'x", "n't", " 's"]


def marks(rng, most=4):
    return "".join(chr(rng.choice([rng.randrange(0x300, 0x370), rng.randrange(0x591, 0x5BE), rng.randrange(0x64B, 0x660),
                                   rng.randrange(0x20D0, 0x20F1), 0x3099, 0x94D, 0x93C, 0x1DC0 + rng.randrange(0x40),
                                   0xFE20 + rng.randrange(16)])) for _ in range(rng.randrange(1, most)))


class Language:
    """Words of syllables of one block; some come much more often than others."""
    def __init__(self, rng, block):
        first, last = block
        letters = [chr(c) for c in range(first, last + 1) if unicodedata.category(chr(c))[0] in "LM"] or ["x"]
        letters = rng.sample(letters, min(len(letters), rng.randrange(6, 40)))
        parts = ["".join(rng.choice(letters) for _ in range(rng.randrange(1, 4))) for _ in range(rng.randrange(8, 40))]
        self.words = ["".join(rng.choice(parts) for _ in range(rng.randrange(1, 4))) for _ in range(60)]

    def word(self, rng):
        return self.words[min(int(rng.expovariate(0.08)), len(self.words) - 1)]


class World:
    def __init__(self, rng):
        latin = [Language(rng, block) for block in [(0x61, 0x7A)] * 3 + [(0xE0, 0x17F)]]
        self.languages = latin + [Language(rng, block) for block in rng.sample(BLOCKS, 10)]

    def sentence(self, rng, words=12):
        language = rng.choice(self.languages)
        out = []
        for _ in range(rng.randrange(1, words)):
            kind = rng.random()
            word = language.word(rng)
            if kind < 0.06:
                word = str(rng.randrange(10 ** rng.randrange(1, 7)))
            elif kind < 0.12:
                word += rng.choice(SHORT)
            elif kind < 0.18:
                word = word.capitalize()
            elif kind < 0.24:
                word += rng.choice(MARKS)
            elif kind < 0.27:
                word = rng.choice(EMOJI)
            out.append(word)
        return (" " if rng.random() < 0.95 else "\n").join(out)

    def corpus(self, rng, count):
        return [self.sentence(rng) for _ in range(count)]

    def text(self, rng, special=()):
        """One string to compare."""
        kind = rng.randrange(16)
        if kind < 3:
            return self.sentence(rng)
        if kind == 3:                   # all scripts, assigned or not
            return "".join(code(rng) for _ in range(rng.randrange(1, 12)))
        if kind == 4:
            return "".join(rng.choice(ODD) for _ in range(rng.randrange(1, 8)))
        if kind == 5:
            return "".join(self.sentence(rng, 3) + rng.choice(BLANKS) * rng.randrange(1, 5) for _ in range(rng.randrange(1, 6)))
        if kind == 6:
            return rng.choice(["", " ", "a", "\n"]) + rng.choice([" ", "\n", "\t", "7", "a", "!", "\u00e9", "\u2581", "_"]) * rng.randrange(60)
        if kind == 7:
            return "".join(rng.choice(EMOJI + ODD + MARKS) for _ in range(rng.randrange(1, 9)))
        if kind == 8:
            return "".join(self.sentence(rng, 2) + marks(rng) for _ in range(rng.randrange(1, 6)))
        if kind == 9:                   # left to right, right to left
            return "\u202b" + "".join(rng.choice(["\u05d0\u05d1", "abc", "\u0661\u0662", "12", " ", "\u200f"]) for _ in range(9))
        if kind == 10 and special:
            return "".join(rng.choice([rng.choice(special), " ", "\n", self.sentence(rng, 3), "  ", "\t"])
                           for _ in range(rng.randrange(1, 9)))
        if kind == 11:
            return "".join(rng.choice(MARKS + [" ", "a", "B", "0"] + SHORT) for _ in range(rng.randrange(1, 20)))
        if kind == 12:                  # what JSON and code look like
            return "{\n    \"" + self.sentence(rng, 2) + "\": [" + str(rng.random()) + ", null],\n\t\t" + "x_y += 1;" + "}\n\n"
        if kind == 13:
            return "".join(chr(rng.randrange(0x80)) for _ in range(rng.randrange(1, 20)))
        if kind == 14:
            return "".join(self.sentence(rng, 2).upper() + rng.choice(BLANKS + ODD) for _ in range(rng.randrange(1, 4)))
        return "".join(rng.choice([self.sentence(rng, 3), rng.choice(BLANKS), rng.choice(ODD), code(rng), rng.choice(EMOJI),
                                   marks(rng), rng.choice(MARKS)]) for _ in range(rng.randrange(1, 12)))


def code(rng):
    while True:
        kind = rng.random()
        value = rng.randrange(0x110000) if kind < 0.2 else rng.randrange(0x20000) if kind < 0.5 else rng.randrange(0x3000)
        if not 0xD800 <= value < 0xE000:
            return chr(value)
