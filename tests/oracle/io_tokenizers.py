# SPDX-License-Identifier: Apache-2.0
"""Random tokenizers of every kind against the libraries they come from. Each run trains other
ones (kinds, sizes and options from --seed) on texts made from Unicode's tables, writes a
model folder, and compares `sea tokenize` and `sea detokenize` with `tokenizers` or
`sentencepiece` on other texts: ids with and without the template, and texts back from ids.

    python tests/oracle/io_tokenizers.py [--sea build/sea] [--seed 1] [--texts 100000] [--kinds ...]
"""
import argparse
import io
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

import sentencepiece
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from io_texts import World

MARK = "\u2581"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]


def byte_bpe(rng, texts, special, size, suffix=None, **options):
    more = {"end_of_word_suffix": suffix} if suffix else {}
    return trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False,
                               initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **more)


def template(tokenizer, prefix, suffix=None):
    ids = [(word, tokenizer.token_to_id(word)) for word in (prefix, suffix) if word]
    single = " ".join(part for part in (prefix, "$A", suffix) if part)
    return processors.TemplateProcessing(single=single, pair=f"{single} $B", special_tokens=ids)


def more_words(rng, tokenizer, words):
    """Added words of all kinds, from texts of the language."""
    out = [AddedToken("<image>", normalized=False, special=True, lstrip=rng.random() < 0.5, rstrip=rng.random() < 0.5)]
    for _ in range(rng.randrange(6)):
        word = rng.choice(words)
        out.append(AddedToken(word, normalized=rng.random() < 0.5, single_word=rng.random() < 0.4,
                              lstrip=rng.random() < 0.3, rstrip=rng.random() < 0.3, special=rng.random() < 0.3))
    out += [AddedToken(rng.choice(["\n\n", "  ", "\t", "\n"]), normalized=rng.random() < 0.5)]
    out = list({word.content: word for word in out}.values())
    if tokenizer.normalizer:            # what becomes nothing is refused
        out = [word for word in out if tokenizer.normalizer.normalize_str(word.content)]
    tokenizer.add_tokens([word for word in out if not word.special])
    tokenizer.add_special_tokens([word for word in out if word.special])
    return [word.content for word in out]


def byte_level(rng, texts, words):
    pattern = rng.choice([GPT2, LLAMA3, QWEN2, O200K, "digits", "plain", "none"])
    tokenizer = Tokenizer(models.BPE(ignore_merges=rng.random() < 0.3))
    prefix = rng.random() < 0.3
    if pattern == "plain":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    elif pattern == "none":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)
    elif pattern == "digits":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=rng.random() < 0.7),
             pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=True)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(pattern), rng.choice(["isolated", "removed"]), invert=rng.random() < 0.3
                                  ) if pattern == O200K else pre_tokenizers.Split(Regex(pattern), "isolated"),
             pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)])
    if rng.random() < 0.4:
        tokenizer.normalizer = rng.choice([normalizers.NFC(), normalizers.NFKC(), normalizers.NFD()])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, byte_bpe(rng, texts, ["<s>", "</s>", "<unk>"], rng.randrange(300, 1500)))
    special = more_words(rng, tokenizer, words)
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), template(tokenizer, "<s>", rng.choice([None, "</s>"]))])
    return tokenizer, special + ["<s>", "</s>"], pattern[:12]


def clip(rng, texts, words):
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>", continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(CLIP), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, byte_bpe(rng, texts, ["<|startoftext|>", "<|endoftext|>"],
                                                  rng.randrange(400, 1200), "</w>"))
    state = json.loads(tokenizer.to_str())
    vocab = state["model"]["vocab"]
    for char in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocab.setdefault(char + "</w>", len(vocab))
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.post_processor = processors.RobertaProcessing(
        sep=("<|endoftext|>", 1), cls_token=("<|startoftext|>", 0), trim_offsets=False, add_prefix_space=False)
    return tokenizer, ["<|startoftext|>", "<|endoftext|>"], "clip"


def fallback_bpe(rng, texts, words):
    """Llama 2, Gemma, Phi-3 in their many layouts."""
    trainee = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    kind = rng.choice(["prepend", "first", "always", "never", "gemma", "phi3"])
    trainee.pre_tokenizer = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="always", split=rng.random() < 0.7)
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    missing = rng.random() < 0.2        # some bytes are no words: unknown words come about
    special = ["<unk>", "<s>", "</s>"] + (bytes_ if not missing else rng.sample(bytes_, 200))
    trainee.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=rng.randrange(500, 1500), special_tokens=special, show_progress=False, limit_alphabet=rng.randrange(50, 200)))
    state = json.loads(trainee.to_str())
    state["added_tokens"] = [row for row in state["added_tokens"] if row["id"] < 3]
    state["model"]["fuse_unk"] = rng.random() < 0.7
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.normalizer = tokenizer.pre_tokenizer = None
    strip = [decoders.Strip(" ", 1, 0)]
    if kind == "prepend":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    elif kind == "gemma":
        tokenizer.normalizer, strip = normalizers.Replace(" ", MARK), []
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    elif kind == "phi3":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme=kind, split=rng.random() < 0.5)
    if rng.random() < 0.3 and kind not in ("prepend", "gemma", "phi3"):
        tokenizer.decoder = decoders.Metaspace(replacement=MARK, prepend_scheme=kind)
    else:
        tokenizer.decoder = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()] + strip)
    special = more_words(rng, tokenizer, words)
    tokenizer.post_processor = template(tokenizer, "<s>")
    return tokenizer, special + ["<s>", "</s>", "<unk>"], kind


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def fields(data):
    """A protocol buffer as [(number, wire type, value)]."""
    at, out = 0, []
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        else:
            size, at = varint(data, at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
            value, at = data[at:at + size], at + size
        out.append((tag >> 3, tag & 7, value))
    return out


def put_varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def serial(rows):
    out = b""
    for number, wire, value in rows:
        out += put_varint(number << 3 | wire)
        out += put_varint(value) if wire == 0 else (put_varint(len(value)) if wire == 2 else b"") + value
    return out


def charsmap(rng):
    """The table that sentencepiece makes for one of its rules."""
    model = train_spm(rng, ["a b c d e f g"] * 10, model_type="char", normalization_rule_name=rng.choice(
        ["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf"]))
    normalizer = next(value for number, _, value in fields(model) if number == 3)
    return normalizers.Precompiled(next(value for number, _, value in fields(normalizer) if number == 2))


def unigram(rng, texts, words):
    """T5, SigLIP, XLM-R and others."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="always", split=rng.random() < 0.8)
    norm = [rng.choice([normalizers.NFKC(), normalizers.NFC(), charsmap(rng), charsmap(rng), normalizers.Nmt()])]
    norm += rng.sample([normalizers.Lowercase(), normalizers.StripAccents(), normalizers.Strip(True, rng.random() < 0.5)],
                       rng.randrange(3))
    norm += rng.choice([[], [normalizers.Replace(Regex(" {2,}"), " ")]])
    tokenizer.normalizer = normalizers.Sequence(norm)
    tokenizer.train_from_iterator(texts, trainers.UnigramTrainer(
        vocab_size=rng.randrange(800, 1600), special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    state = json.loads(tokenizer.to_str())
    fallback = rng.random() < 0.4
    if fallback:
        state["model"]["vocab"] += [[f"<0x{b:02X}>", -rng.random()] for b in range(256)]
        state["model"]["byte_fallback"] = True
    if rng.random() < 0.5:              # ties, and scores far apart
        for row in state["model"]["vocab"][3:]:
            row[1] = rng.choice([-1.0, -2.0, -3.5, row[1]])
    if rng.random() < 0.3:
        state["pre_tokenizer"]["prepend_scheme"] = rng.choice(["first", "never"])
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = rng.choice([decoders.Metaspace(replacement=MARK), decoders.Sequence(
        [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])])
    special = more_words(rng, tokenizer, words)
    tokenizer.post_processor = template(tokenizer, "<pad>", "</s>") if rng.random() < 0.3 else processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return tokenizer, special + ["<pad>", "</s>", "<unk>"], "fallback" if fallback else "unk"


def splits(rng, texts, words):
    """All pre-tokenizers and normalizers in random sequences, before a plain BPE."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=rng.random() < 0.5))
    norms = [normalizers.NFKC(), normalizers.NFKD(), normalizers.NFD(), normalizers.NFC(), normalizers.Lowercase(), normalizers.Nmt(),
             normalizers.Strip(rng.random() < 0.5, rng.random() < 0.5), normalizers.StripAccents(), normalizers.Prepend("_"),
             normalizers.Replace("a", "bb"), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Replace(Regex(r"\W+"), "-"),
             normalizers.Replace(Regex(r"[\p{P}\d]+"), "")]
    tokenizer.normalizer = normalizers.Sequence(rng.sample(norms, rng.randrange(5)))
    behavior = rng.choice(BEHAVIORS)
    pres = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation(behavior),
            pre_tokenizers.Digits(individual_digits=rng.random() < 0.5), pre_tokenizers.CharDelimiterSplit("e"),
            pre_tokenizers.Split(Regex(r"[,.!?\s]+"), rng.choice(BEHAVIORS), invert=rng.random() < 0.5),
            pre_tokenizers.Split(Regex(r"\p{Lu}|\p{M}"), rng.choice(BEHAVIORS), invert=rng.random() < 0.5),
            pre_tokenizers.Split(Regex(r"\w+|\S"), rng.choice(BEHAVIORS), invert=rng.random() < 0.5),
            pre_tokenizers.Split(Regex(r"^\s|\p{L}$|\d\D"), rng.choice(BEHAVIORS)),
            pre_tokenizers.Split("a", rng.choice(BEHAVIORS), invert=rng.random() < 0.5),
            pre_tokenizers.Split(" ", rng.choice(BEHAVIORS)), pre_tokenizers.Metaspace(prepend_scheme=rng.choice(["always", "first"]))]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(rng.sample(pres, rng.randrange(1, 5)))
    suffix = rng.random() < 0.3
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=rng.randrange(200, 800), special_tokens=["<unk>"], show_progress=False,
        **({"end_of_word_suffix": "</w>"} if suffix else {})))
    if suffix:
        tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    elif rng.random() < 0.5:
        tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=rng.random() < 0.5)
    return tokenizer, more_words(rng, tokenizer, words) + ["<unk>"], "suffix" if suffix else ""


def train_spm(rng, texts, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(texts), model_writer=model, num_threads=1, minloglevel=2,
                                             hard_vocab_limit=False, **options)
    return model.getvalue()


def odd_pieces(rng, model, kind):
    """Ties, unused pieces, and characters that are no pieces by themselves."""
    out, seen = [], set()
    for number, wire, value in fields(model):
        if number == 1:
            piece = {key: [w, v] for key, w, v in fields(value)}
            normal = piece.get(3, [0, 1])[1] == 1
            if normal and rng.random() < 0.15:
                if rng.random() < 0.5 or kind == "unigram":
                    piece[3] = [0, 5]
                else:
                    piece[1][1] += b"~"
            elif normal and rng.random() < 0.3:
                piece[2] = [5, struct.pack("<f", rng.choice([-1.0, -5.0, -20.0]))]
            if piece[1][1] in seen:
                continue
            seen.add(piece[1][1])
            value = serial([(key, w, v) for key, (w, v) in sorted(piece.items())])
        out.append((number, wire, value))
    return serial(out)


def spm(rng, texts, words):
    kind = rng.choice(["bpe", "unigram"])
    special = ["<ctl>", "[INST]"] if rng.random() < 0.5 else []
    users = rng.sample(words, rng.randrange(4)) if rng.random() < 0.5 else []
    users = [word for word in users if "\n" not in word and " " not in word]
    options = dict(
        model_type=kind, vocab_size=rng.randrange(600, 1400), byte_fallback=rng.random() < 0.5,
        normalization_rule_name=rng.choice(["identity", "nmt_nfkc", "nfkc", "nmt_nfkc_cf"]),
        remove_extra_whitespaces=rng.random() < 0.5, add_dummy_prefix=rng.random() < 0.7,
        split_digits=rng.random() < 0.5, allow_whitespace_only_pieces=rng.random() < 0.5,
        treat_whitespace_as_suffix=rng.random() < 0.2, split_by_whitespace=rng.random() < 0.8,
        character_coverage=rng.choice([0.98, 0.9995, 1.0]), control_symbols=special, user_defined_symbols=users)
    if rng.random() < 0.2:
        options.update(bos_id=-1, pad_id=0, eos_id=1, unk_id=2)
    model = train_spm(rng, [line for text in texts for line in text.split("\n")], **options)
    if rng.random() < 0.3:
        model = odd_pieces(rng, model, kind)
    return model, special, f"{kind} {options['normalization_rule_name']}" + (" fallback" if options["byte_fallback"] else "")


class Spm:
    """What transformers does around sentencepiece: special words are cut out of the text first."""
    def __init__(self, model):
        self.reader = sentencepiece.SentencePieceProcessor(model_proto=model)
        count = self.reader.get_piece_size()
        self.special = {self.reader.id_to_piece(i): i for i in range(count) if self.reader.is_control(i) or self.reader.is_unknown(i)}
        self.bos = self.reader.bos_id()

    def ids(self, text, special):
        out = [self.bos] if special and self.bos >= 0 else []
        at = begun = 0
        while at < len(text):
            hits = [word for word in self.special if text.startswith(word, at)]
            if not hits:
                at += 1
                continue
            word = max(hits, key=len)
            out += self.reader.encode(text[begun:at]) + [self.special[word]]
            at = begun = at + len(word)
        return out + (self.reader.encode(text[begun:]) if begun < len(text) else [])

    def text(self, ids, special):
        if special and any(self.reader.is_control(i) or self.reader.is_unknown(i) for i in ids):
            return None                 # sentencepiece has no such thing
        return self.reader.decode(ids)


class Hf:
    def __init__(self, tokenizer, is_clip):
        self.tokenizer, self.is_clip = tokenizer, is_clip

    def ids(self, text, special):
        try:
            return self.tokenizer.encode(text, add_special_tokens=special).ids
        except BaseException as error:  # it panics where added words overlap in stripped blanks
            if isinstance(error, KeyboardInterrupt):
                raise
            return None

    def text(self, ids, special):
        text = self.tokenizer.decode(ids, skip_special_tokens=not special)
        return text.replace("</w>", " ").strip() if self.is_clip else text


class Peer:
    """sentencepiece with the interface of `tokenizers`, to be timed."""
    def __init__(self, reader):
        self.reader = reader

    def encode(self, text):
        class Ids:
            ids = self.reader.encode(text)
        return Ids


def run(sea, command, folder, lines, *flags):
    done = subprocess.run([sea, command, "--model", folder, "--json", *flags], input="".join(line + "\n" for line in lines).encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        return f"exit status {done.returncode}: {done.stderr.decode()}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def compare(sea, folder, reference, texts, label):
    """Number of comparisons, and of those that fail; prints the first few."""
    bad = all_ = 0
    lines = [json.dumps(text) for text in texts]
    for flags, special in [((), True), (("--no-special",), False)]:
        got = run(sea, "tokenize", folder, lines, *flags)
        if isinstance(got, str) or len(got) != len(texts):
            print(f"{label}: {got if isinstance(got, str) else 'lines are missing'}")
            return len(texts), len(texts)
        want = [reference.ids(text, special) for text in texts]
        for text, a, b in zip(texts, got, want):
            all_ += b is not None
            if b is not None and a != b:
                bad += 1
                if bad < 4:
                    print(f"{label}: {text!r}\n  sea  {a[:60]}\n  want {b[:60]}", flush=True)
    for flags, special in [((), False), (("--special",), True)]:
        got = run(sea, "detokenize", folder, [json.dumps(ids or []) for ids in want], *flags)
        if isinstance(got, str):
            print(f"{label}: {got}")
            return len(texts), len(texts)
        for ids, a in zip(want, got):
            b = reference.text(ids or [], special)
            all_ += b is not None
            if b is not None and a != b:
                bad += 1
                if bad < 4:
                    print(f"{label}: {ids}\n  sea  {a!r}\n  want {b!r}", flush=True)
    return all_, bad


def long_texts(rng, world):
    """Words of 100 kB without a blank, and other runs that take long when time grows with the square."""
    word = "".join(world.sentence(rng).replace(" ", "").replace("\n", "") for _ in range(4000))
    return [word[:100000], "a" * 100000, " " * 100000, "\n" * 50000, "ab" * 50000, "7" * 100000, "!" * 100000,
            "a" + "\u0301\u0323" * 25000, "\U0001f1e9" * 20000, "\u4e00" * 30000]


def cpu():
    """Seconds of this process and its children: other work on the machine does not count."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def timed(call):
    start = cpu()
    call()
    return cpu() - start


def speed(sea, folder, tokenizer, world, rng):
    """(MB, seconds of ours, of theirs) for texts of some 100 kB; ours reads and writes JSON, too."""
    texts = [" ".join(world.sentence(rng) for _ in range(2000)) for _ in range(20)]
    (pathlib.Path(folder) / "lines").write_text("".join(json.dumps(text) + "\n" for text in texts))

    def ours():
        with open(pathlib.Path(folder) / "lines") as lines:
            subprocess.run([sea, "tokenize", "--model", folder, "--json"], stdin=lines, stdout=subprocess.DEVNULL, check=True)

    seconds = min(timed(ours) for _ in range(3)) - min(timed(lambda: run(sea, "tokenize", folder, ['"a"'])) for _ in range(3))
    theirs = min(timed(lambda: [tokenizer.encode(text).ids for text in texts]) for _ in range(3))
    return sum(len(text.encode()) for text in texts) / 1e6, seconds, theirs


MAKERS = {"byte_level": byte_level, "clip": clip, "fallback_bpe": fallback_bpe, "unigram": unigram, "splits": splits, "spm": spm}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sea", default="build/sea")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--texts", type=int, default=100000)
    parser.add_argument("--each", type=int, default=1000, help="texts per tokenizer")
    parser.add_argument("--kinds", nargs="*", default=list(MAKERS))
    parser.add_argument("--keep", help="folder for the tokenizers that differ")
    parser.add_argument("--speed", action="store_true")
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    print(f"tokenizers {tokenizers.__version__}, sentencepiece {sentencepiece.__version__}, seed {args.seed}")
    all_ = bad = done = number = 0
    while done < args.texts:
        kind = args.kinds[number % len(args.kinds)]
        rng = random.Random(f"{args.seed} {number} {kind}")
        world = World(rng)
        words = [language.word(rng) for language in world.languages]
        made, special, label = MAKERS[kind](rng, world.corpus(rng, rng.randrange(300, 900)), words)
        label = f"{number} {kind} {label}"
        with tempfile.TemporaryDirectory() as folder:
            if kind == "spm":
                reference = Spm(made)
                (pathlib.Path(folder) / "tokenizer.model").write_bytes(made)
            else:
                made.save(str(pathlib.Path(folder) / "tokenizer.json"))
                made = Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))
                reference = Hf(made, kind == "clip")
            texts = [world.text(rng, special) for _ in range(args.each)]
            if number < len(args.kinds):
                texts += long_texts(rng, world)
            a, b = compare(args.sea, folder, reference, texts, label)
            if args.speed:
                peer = made if kind != "spm" else Peer(reference.reader)
                size, ours, theirs = speed(args.sea, folder, peer, world, rng)
                print(f"{label}: {size:.1f} MB, sea {size / ours:.1f} MB/s, the library {size / theirs:.1f} MB/s, "
                      f"ratio {theirs / ours:.2f}")
        all_, bad, done, number = all_ + a, bad + b, done + len(texts), number + 1
        if b and args.keep:
            (made.save(f"{args.keep}/{number}.json") if kind != "spm" else
             pathlib.Path(f"{args.keep}/{number}.model").write_bytes(made))
        if b:
            print(f"{label}: {b} of {a} comparisons differ", flush=True)
    print(f"{number} tokenizers, {done} texts: {all_ - bad} of {all_} comparisons agree")
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
