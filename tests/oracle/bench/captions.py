# SPDX-License-Identifier: Apache-2.0
"""Captions: words, CIDEr, ROUGE-L, BLEU."""
import json
import math
import re

from bench.made import case, mean, put, rng


def caption_words(text):
    """Enough of the tokenizer for the made captions: marks, 's, n't, cannot, hyphens."""
    text = text.replace("\n", " ").lower()
    text = re.sub(r"([a-z])'s\b", r"\1 's", text)
    text = re.sub(r"\bcannot\b", "can not", text)
    text = re.sub(r"n't\b", " n't", text)
    text = text.replace("(", " -lrb- ").replace(")", " -rrb- ")
    text = re.sub(r"[.,!?;:\"]", " ", text)
    text = re.sub(r"(?<![a-z0-9])-(?![a-z0-9])", " ", text)
    return text.split()


def ngrams(words, n):
    out = {}
    for i in range(len(words) - n + 1):
        key = tuple(words[i:i + n])
        out[key] = out.get(key, 0) + 1
    return out


def lcs(a, b):
    row = [0] * (len(b) + 1)
    for x in a:
        new = [0]
        for j, y in enumerate(b):
            new.append(row[j] + 1 if x == y else max(new[j], row[j + 1]))
        row = new
    return row[-1]


def caption_scores(said, references):
    n = len(said)
    df = {}
    for refs in references:
        for key in {k for r in refs for o in range(1, 5) for k in ngrams(r, o)}:
            df[key] = df.get(key, 0) + 1

    def vector(words, o):
        return {k: c * (math.log(n) - math.log(max(1.0, df.get(k, 0))))
                for k, c in ngrams(words, o).items()}
    cider, rouge = [], []
    test = ref = 0
    guess, right = [0] * 4, [0] * 4
    for h, refs in zip(said, references):
        total = 0.0
        for r in refs:
            delta = max(0, len(h) - 1) - max(0, len(r) - 1)
            for o in range(1, 5):
                a, b = vector(h, o), vector(r, o)
                value = sum(min(a[k], b[k]) * b[k] for k in a if k in b)
                na, nb = (math.sqrt(sum(v * v for v in x.values())) for x in (a, b))
                if na and nb:
                    value /= na * nb
                total += value * math.exp(-delta ** 2 / 72.0)
        cider.append(total / 4 / len(refs) * 10)
        hh = h or [""]
        p = max(lcs(hh, r or [""]) / len(hh) for r in refs)
        q = max(lcs(hh, r or [""]) / len(r or [""]) for r in refs)
        rouge.append((1 + 1.44) * p * q / (q + 1.44 * p) if p and q else 0.0)
        test += len(h)
        ref += min((abs(len(r) - len(h)), len(r)) for r in refs)[1]
        for o in range(1, 5):
            guess[o - 1] += max(0, len(h) - o + 1)
            most = {}
            for r in refs:
                for k, c in ngrams(r, o).items():
                    most[k] = max(most.get(k, 0), c)
            right[o - 1] += sum(min(c, most.get(k, 0)) for k, c in ngrams(h, o).items())
    bleu, product = [], 1.0
    for o in range(4):
        product *= (right[o] + 1e-15) / (guess[o] + 1e-9)
        bleu.append(product ** (1.0 / (o + 1)))
    ratio = (test + 1e-15) / (ref + 1e-9)
    if ratio < 1:
        bleu = [b * math.exp(1 - 1 / ratio) for b in bleu]
    return cider, rouge, bleu


def make_captions():
    who = ["a man", "a woman", "two dogs", "a child's toy", "the well-known player", "a cat"]
    does = ["sits on", "is riding", "can't reach", "looks at", "cannot see", "stands - near"]
    what = ["a red bus.", "the wooden table", "a tennis ball!", "an old, dusty road", "the (big) tree",
            "it's owner"]
    where = ["in the park", "at night", "", "", "next to a white car", "on a sunny day"]

    def sentence():
        return " ".join(rng.choice(x) for x in (who, does, what, where)).strip()
    images, notes, answers = [], [], []
    for i in range(60):
        images.append({"id": 391895 + i, "file_name": "COCO_val2014_%012d.jpg" % i})
        for k in range(5 if i % 7 else 6):
            notes.append({"image_id": 391895 + i, "id": len(notes), "caption": sentence().capitalize()})
        text = notes[-1]["caption"] if i % 10 == 0 else "" if i == 33 else sentence() + (
            "" if i % 4 else " " + sentence())
        answers.append({"image_id": 391895 + i, "caption": text})
    refs = [[caption_words(n["caption"]) for n in notes if n["image_id"] == im["id"]]
            for im in images]
    cider, rouge, bleu = caption_scores([caption_words(a["caption"]) for a in answers], refs)
    metrics = {"cider": mean(cider), "rouge_l": mean(rouge)}
    metrics.update({"bleu_%d" % (i + 1): b for i, b in enumerate(bleu)})
    q = put("captions/captions.json", json.dumps({"images": images, "annotations": notes}))
    rng.shuffle(answers)
    a = put("captions/results.json", json.dumps(answers))
    for bench in ("coco-caption", "nocaps", "flickr30k"):
        case(bench, q, a, metrics, [c / 10 for c in cider], [q])
