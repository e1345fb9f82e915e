# SPDX-License-Identifier: Apache-2.0
"""Reference values for tokenizers that we have trained ourselves: what `tokenizers` and
`transformers` make of them. Writes tests/oracle/fixtures/tokenizers/trained.json. By hand:

    SEA_KEEP=/tmp/trained build/dev/tests/engine/test_tokenizer training_is
    python tests/oracle/io_trained.py /tmp/trained
"""
import hashlib
import json
import pathlib
import sys

from tokenizers import Tokenizer
from transformers import AutoTokenizer

FIXTURES = pathlib.Path(__file__).parent / "fixtures" / "tokenizers"
MORE = ["The caf\u00e9 sleeps near the river. 42!\n", "THE Lamp isn't here: <image>\nwhat?</s>",
        "\u00c9 \u0130 \u212b tree", "<s>The cat", "x" * 300]


def main():
    folder = pathlib.Path(sys.argv[1])
    texts = [row["text"] for row in json.loads((FIXTURES / "gpt2" / "cases.json").read_text())]
    out = []
    for name in ("gpt2", "llama3"):
        tokenizer = Tokenizer.from_file(str(folder / name / "tokenizer.json"))
        auto = AutoTokenizer.from_pretrained(folder / name)
        cases = []
        for text in texts + MORE:
            ids, special = tokenizer.encode(text, add_special_tokens=False).ids, tokenizer.encode(text).ids
            assert auto(text, add_special_tokens=False)["input_ids"] == ids, text
            assert auto(text)["input_ids"] == special, text
            cases.append({"text": text, "ids": ids, "special": special,
                          "decoded": auto.decode(ids), "skipped": auto.decode(special, skip_special_tokens=True)})
            assert tokenizer.decode(ids, skip_special_tokens=False) == auto.decode(ids)
        digest = hashlib.sha256((folder / name / "tokenizer.json").read_bytes()).hexdigest()
        out.append({"name": name, "sha256": digest, "cases": cases})
        print(name, type(auto).__name__, len(auto), auto.bos_token_id, auto.eos_token_id,
              auto.unk_token_id, auto.pad_token_id, auto.model_max_length, len(cases))
    (FIXTURES / "trained.json").write_text(json.dumps(out) + "\n")


main()
