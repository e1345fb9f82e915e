# SPDX-License-Identifier: Apache-2.0
"""Made questions and answers for every benchmark, and what the published rules score them.

The rules are written here a second time, in the language the published scorers are written
in, from their descriptions, a family to a file of bench/; nothing is taken from the C code.
Running it rewrites tests/oracle/fixtures/bench: files in the published layouts, and cases.json,
which tests/pipeline/test_benchmarks_oracle.c replays. Needs only Python 3.
"""
import json
import os
import sys

from bench import captions, choice, mmmu, numbers, rest, vqa, yes_no
from bench.made import CASES, OUT, put


def main():
    os.makedirs(OUT, exist_ok=True)
    for make in (vqa.make_vqa, vqa.make_vizwiz, vqa.make_textvqa, vqa.make_gqa, yes_no.make_pope,
                 yes_no.make_mme, yes_no.make_hallusion, choice.make_choice, mmmu.make_mmmu,
                 numbers.make_chartqa, numbers.make_docvqa, numbers.make_ocrbench,
                 numbers.make_realworldqa, numbers.make_mathvista, captions.make_captions,
                 rest.make_rest):   # in this order: they share one stream of draws
        make()
    put("cases.json", json.dumps(CASES, ensure_ascii=False, indent=1) + "\n")
    print("%d cases of %d benchmarks" % (len(CASES), len({c["bench"] for c in CASES})))
    return 0


if __name__ == "__main__":
    sys.exit(main())
