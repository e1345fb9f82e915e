# SPDX-License-Identifier: Apache-2.0
"""Reference values for tokenizers: small tokenizer.json files in the layouts of the families
that we read, trained here on sentences of our own, and what the `tokenizers` library makes of
some texts. Writes tests/oracle/fixtures/tokenizers. Run by hand:

    python tests/oracle/io_tokenizer_files.py [NAME...]
"""
import io
import json
import pathlib
import random
import sys
import tempfile

import sentencepiece as spm
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

from io_tokenizers import fields

OUT = pathlib.Path(__file__).parent / "fixtures" / "tokenizers"
MARK = "\u2581"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| "
          r"?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def sentences():
    rng = random.Random(5)
    nouns = "cat dog boat river house tree picture child bicycle lamp".split()
    words = "red small quiet seven old bright wooden near under beside".split()
    verbs = "stands sleeps shines waits turns moves".split()
    rows = []
    for _ in range(400):
        rows.append(f"A {rng.choice(words)} {rng.choice(nouns)} {rng.choice(verbs)} "
                    f"{rng.choice(words)} the {rng.choice(nouns)}, isn't it? No. {rng.randrange(2000)}")
    rows += ["USER: What is in the picture? ASSISTANT: It's a lamp.", "caf\u00e9 na\u00efve",
             "Stra\u00dfe \u65e5\u672c\u8a9e \u03b1\u03b2\u03b3", "x = y+1;\n\n\treturn  x"]
    return rows


TEXTS = [
    "", " ", "a", " a", "a ", "  two  blanks  ", "A red cat sleeps.", "the river, isn't it? No. 1234567",
    "I'LL we've THEY'D it's'S", "caf\u00e9 cafe\u0301 \u00c5ngstr\u00f6m \u1e9e\u0130I", "\u65e5\u672c\u8a9e\u306e\u6587",
    "\u0645\u0631\u062d\u0628\u0627 \u0928\u092e\u0938\u094d\u0924\u0947", "a\tb\nc\r\nd\n\n\ne   \n f", "\U0001f600 smile \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "x\u00a0y\u2003z\u180ew\u0085v", "\u0661\u0662\u0663\u0664 \u00bd \u2167", "<s>text</s>", "begin<s> middle </s>end",
    "one <image> two<image>three", "<|endoftext|>after", "a<unk>b", "!!!???...", "===>>><<<", "_under_score_ __init__",
    "USER: <image>\nWhat is it? ASSISTANT:", "   \n   \n", "tail\n", "\n", "\u2581mark \u2581\u2581x", "0", "null\0byte", "\ufeffbom",
    "superlongwordwithoutanyblanks" * 8, "a" * 100, " " * 40, "1" * 20, "dog's dogs' 's", "\u00e9" * 7, "don\u2019t",
]


def byte_trainer(special, size=480, suffix=None):
    more = {"end_of_word_suffix": suffix} if suffix else {}
    return trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False,
                               initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **more)


def template(tokenizer, prefix, suffix=None):
    ids = [(word, tokenizer.token_to_id(word)) for word in (prefix, suffix) if word]
    single = " ".join(part for part in (prefix, "$A", suffix) if part)
    return processors.TemplateProcessing(single=single, pair=f"{single} $B", special_tokens=ids)


def gpt2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.train_from_iterator(sentences(), byte_trainer(["<|endoftext|>"]))
    return tokenizer, {"eos_token": "<|endoftext|>"}


def gpt2_prefix():
    tokenizer, config = gpt2()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer, config


def llama3():
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(sentences(), byte_trainer(["<s>", "</s>", "<unk>"]))
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.add_tokens([AddedToken("<image>", lstrip=True, rstrip=True, normalized=False)])
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), template(tokenizer, "<s>", "</s>")])
    return tokenizer, {"bos_token": "<s>", "eos_token": {"content": "</s>"}}


def clip():
    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>",
                                     continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(CLIP), "removed", invert=True),
         pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = byte_trainer(["<|startoftext|>", "<|endoftext|>"], 600, "</w>")
    tokenizer.train_from_iterator(sentences(), trainer)
    state = json.loads(tokenizer.to_str())      # every byte also as the end of a word
    vocab = state["model"]["vocab"]
    for char in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocab.setdefault(char + "</w>", len(vocab))
    for added in state["added_tokens"]:
        added["normalized"] = added["content"] == "<|startoftext|>"
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.post_processor = processors.RobertaProcessing(
        sep=("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>")),
        cls_token=("<|startoftext|>", tokenizer.token_to_id("<|startoftext|>")),
        trim_offsets=False, add_prefix_space=False)
    return tokenizer, {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}


def sentencepiece(**model):
    """Characters with byte fallback; merges are trained over whole words."""
    trainee = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    trainee.pre_tokenizer = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="always")
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    trainee.train_from_iterator(sentences(), trainers.BpeTrainer(
        vocab_size=560, special_tokens=special, show_progress=False, limit_alphabet=70))
    state = json.loads(trainee.to_str())
    state["added_tokens"] = [row for row in state["added_tokens"] if row["id"] < 3]
    state["model"].update(model)
    return Tokenizer.from_str(json.dumps(state))


def llama2():
    tokenizer = sentencepiece()
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    tokenizer.pre_tokenizer = None
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)])
    tokenizer.add_tokens([AddedToken("<image>", normalized=False, special=True)])
    tokenizer.post_processor = template(tokenizer, "<s>")
    return tokenizer, {"bos_token": {"content": "<s>"}, "eos_token": "</s>", "unk_token": "<unk>",
                       "pad_token": "<unk>", "tokenizer_class": "LlamaTokenizer",
                       "add_bos_token": True, "add_eos_token": False}


def metaspace(scheme, split):
    tokenizer = sentencepiece()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme=scheme,
                                                       split=split)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = template(tokenizer, "<s>")
    return tokenizer, {"bos_token": "<s>", "eos_token": "</s>"}


def metaspace_always():
    tokenizer, config = metaspace("always", True)
    tokenizer.decoder = decoders.Metaspace(replacement=MARK, prepend_scheme="always")
    return tokenizer, config


def gemma():
    tokenizer = sentencepiece(ignore_merges=False)
    tokenizer.normalizer = normalizers.Replace(" ", MARK)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_tokens([AddedToken("\n\n", normalized=False), AddedToken("\n\n\n", normalized=False),
                          AddedToken("it", normalized=True, single_word=True)])
    tokenizer.post_processor = template(tokenizer, "<s>")
    return tokenizer, {"bos_token": "<s>", "eos_token": "</s>"}


def splits():
    """The other ways of splitting, in one sequence."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("[,.!?]"), "contiguous"),
        pre_tokenizers.Split("_", "merged_with_next"), pre_tokenizers.Digits(individual_digits=True)])
    tokenizer.train_from_iterator(sentences(), trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    return tokenizer, {"unk_token": "<unk>"}


def small_charsmap():
    """A table of characters in SentencePiece's layout, of rules of our own."""
    rules = [("\u00a0", " "), ("\u3000", " "), ("\t", " "), ("\n", " "), ("\u200b", ""), ("\u00e9", "e"),
             ("e\u0301", "e"), ("\u2026", "..."), ("\ufb01", "fi"), ("\u2167", "VIII"), ("A", "a"), ("\U0001f600", ":)"),
             ("\u65e5\u672c", "jp"), ("\u00bd", "1/2")]
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        for before, after in rules:
            hex_ = [" ".join(f"{ord(c):X}" for c in text) for text in (before, after)]
            file.write("\t".join(hex_) + "\n")
        file.flush()
        model = io.BytesIO()
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b c d"] * 9), model_writer=model, model_type="char", vocab_size=9,
            normalization_rule_tsv=file.name, num_threads=1, minloglevel=2, hard_vocab_limit=False)
    normalizer = next(value for number, _, value in fields(model.getvalue()) if number == 3)
    return next(value for number, _, value in fields(normalizer) if number == 2)


def unigram(fallback):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(small_charsmap()), normalizers.Strip(False, True), normalizers.Replace(Regex(" {2,}"), MARK)])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="first" if fallback else "always")
    tokenizer.train_from_iterator(sentences(), trainers.UnigramTrainer(
        vocab_size=330, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    state = json.loads(tokenizer.to_str())
    if fallback:
        state["model"]["vocab"] += [[f"<0x{b:02X}>", -20.0 - b / 256] for b in range(256)]
        state["model"]["byte_fallback"] = True
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    ) if fallback else decoders.Metaspace(replacement=MARK)
    tokenizer.add_tokens([AddedToken("river", single_word=True, normalized=True), AddedToken("\u00e9", normalized=True)])
    tokenizer.add_special_tokens([AddedToken("<image>", lstrip=True, rstrip=True, normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return tokenizer, {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def marks():
    """Punctuation, accents and Nmt before a BPE, and WordPiece's way to write."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKD(), normalizers.StripAccents()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("merged_with_next"), pre_tokenizers.Digits(individual_digits=False)])
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.train_from_iterator(sentences(), trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    return tokenizer, {"unk_token": "<unk>"}


def qwen2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3.replace("{1,3}", "")), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(sentences(), byte_trainer(["<|endoftext|>", "<|im_start|>", "<|im_end|>"]))
    return tokenizer, {"eos_token": "<|im_end|>"}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    makers = {"gpt2": gpt2, "gpt2_prefix": gpt2_prefix, "llama3": llama3, "clip": clip,
              "llama2": llama2, "metaspace_first": lambda: metaspace("first", False),
              "metaspace_always": metaspace_always, "gemma": gemma, "splits": splits,
              "unigram": lambda: unigram(False), "unigram_bytes": lambda: unigram(True), "marks": marks,
              "qwen2": qwen2}
    for name, make in makers.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        folder = OUT / name
        folder.mkdir(exist_ok=True)
        tokenizer, config = make()
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps(config) + "\n")
        rows = []

        def decode(ids, **options):
            text = tokenizer.decode(ids, **options)
            # What transformers does with CLIP's mark for the end of a word.
            return text.replace("</w>", " ").strip() if name == "clip" else text

        for text in TEXTS:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            rows.append({"text": text, "ids": ids, "special": tokenizer.encode(text).ids,
                         "decoded": decode(ids, skip_special_tokens=False),
                         "skipped": decode(tokenizer.encode(text).ids)})
        (folder / "cases.json").write_text(json.dumps(rows) + "\n")
        print(name, tokenizer.get_vocab_size(), len(rows))


if __name__ == "__main__":
    main()
