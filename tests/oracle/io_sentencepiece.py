# SPDX-License-Identifier: Apache-2.0
"""A small tokenizer.model in the layout of Llama 2's, trained here, and what `sentencepiece`
makes of the texts of io_tokenizers.py. Writes tests/oracle/fixtures/tokenizers/sentencepiece.
Run by hand:

    python tests/oracle/io_sentencepiece.py
"""
import io
import json
import pathlib
import random

import sentencepiece

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


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=sentences(), model_writer=model, model_type="bpe", vocab_size=480,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        split_digits=True, allow_whitespace_only_pieces=True, character_coverage=0.9995,
        num_threads=1, minloglevel=2)
    (OUT / "tokenizer.model").write_bytes(model.getvalue())
    (OUT / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False,
         "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}) + "\n")
    reader = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    rows = []
    for row in json.loads((FIXTURES / "gpt2" / "cases.json").read_text()):
        text = row["text"]
        if "<s>" in text or "</s>" in text or "<unk>" in text or "\0" in text:
            continue            # special words are words here, plain text there
        ids = reader.encode(text)
        rows.append({"text": text, "ids": ids, "special": [1] + ids, "decoded": reader.decode(ids),
                     "skipped": reader.decode(ids)})
    (OUT / "cases.json").write_text(json.dumps(rows) + "\n")
    print(reader.get_piece_size(), len(rows))


main()
