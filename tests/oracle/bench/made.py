# SPDX-License-Identifier: Apache-2.0
"""Files and cases written, one stream of draws for all."""
import json
import os
import random

OUT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures", "bench")
CASES = []
rng = random.Random(20)


def put(name, text):
    path = os.path.join(OUT, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(text)
    return name


def lines(name, rows):
    return put(name, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))


def case(bench, questions, answers, metrics, rows=None, annotations=(), variant=None, failed=None):
    CASES.append({"bench": bench, "variant": variant, "questions": questions, "answers": answers,
                  "annotations": list(annotations), "metrics": metrics, "rows": rows,
                  "failed": failed})


def answer(qid, text, prompt=None):
    row = {"question_id": qid}
    if prompt is not None:
        row["prompt"] = prompt
    row.update({"text": text, "answer_id": "x%06d" % rng.randrange(10**6), "model_id": "made",
                "metadata": {}})
    return row


def mean(values):
    values = list(values)
    return sum(values) / len(values)
