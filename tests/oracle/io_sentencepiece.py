# SPDX-License-Identifier: Apache-2.0
"""Small tokenizer.model files, trained here: in the layout of Llama 2's, and a Unigram with
a table of characters, pieces of the user and unused pieces; and what `sentencepiece`
makes of the texts of io_tokenizer_files.py. Writes tests/oracle/fixtures/tokenizers/sentencepiece
and spm_unigram. Run by hand:

    python tests/oracle/io_sentencepiece.py
"""
import io
import json
import pathlib
import random
import sys
import tempfile

import sentencepiece

from io_tokenizers import fields, serial

FIXTURES = pathlib.Path(__file__).parent / "fixtures" / "tokenizers"
OUT = FIXTURES / "sentencepiece"


def sentences():
    rng = random.Random(9)
    nouns = "cat dog boat river house tree picture child bicycle lamp".split()
    words = "red small quiet seven old bright wooden near under beside".split()
    for _ in range(600):
        yield (f"A {rng.choice(words)} {rng.choice(nouns)} waits {rng.choice(words)} the "
               f"{rng.choice(nouns)}, isn't it?  No. {rng.randrange(2000)}")
    yield "USER: What is in the picture? ASSISTANT: It's a caf\u00e9."


def save(out, model, config, bos):
    out.mkdir(parents=True, exist_ok=True)
    (out / "tokenizer.model").write_bytes(model)
    (out / "tokenizer_config.json").write_text(json.dumps(config) + "\n")
    reader = sentencepiece.SentencePieceProcessor(model_proto=model)
    rows = []
    for row in json.loads((FIXTURES / "gpt2" / "cases.json").read_text()):
        text = row["text"]
        if "<s>" in text or "</s>" in text or "<unk>" in text:
            continue            # special words are words here, plain text there
        ids = reader.encode(text)
        special = [1] + ids if bos else ids + [2]
        # Where special words are not left out unknown ones are written by their name here.
        rows.append({"text": text, "ids": ids, "special": special, "skipped": reader.decode(special),
                     "decoded": None if reader.unk_id() in ids else reader.decode(ids)})
    (out / "cases.json").write_text(json.dumps(rows) + "\n")
    print(out.name, reader.get_piece_size(), len(rows))


def train(**options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=sentences(), model_writer=model, num_threads=1,
                                             minloglevel=2, **options)
    return model.getvalue()


def main():
    which = sys.argv[1:] or ["sentencepiece", "spm_unigram"]
    if "sentencepiece" in which:
        save(OUT, train(model_type="bpe", vocab_size=480, byte_fallback=True, normalization_rule_name="identity",
                        remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True,
                        character_coverage=0.9995),
             {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False,
              "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, True)
    if "spm_unigram" in which:
        with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
            for before, after in [("E9", "65"), ("A0", "20"), ("9", "20"), ("A", "20"), ("200B", ""), ("2026", "2E 2E 2E"),
                                  ("65E5 672C", "6A 70"), ("C5", "61"), ("1F600", "3A 29")]:
                file.write(f"{before}\t{after}\n")
            file.flush()
            model = train(model_type="unigram", vocab_size=220, normalization_rule_tsv=file.name,
                          user_defined_symbols=["river", "isn't", "\u65e5"], character_coverage=0.999)
        rows, unused = [], 0
        for number, wire, value in fields(model):
            piece = {key: (w, v) for key, w, v in fields(value)} if number == 1 else {}
            if piece and 3 not in piece and len(piece[1][1]) > 5 and unused < 9:
                unused += 1
                value += b"\x18\x05"           # kind 5
            rows.append((number, wire, value))
        save(FIXTURES / "spm_unigram", serial(rows),
             {"tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "unk_token": "<unk>"}, False)


if __name__ == "__main__":
    main()
