# SPDX-License-Identifier: Apache-2.0
"""Texts and numbers: ChartQA, DocVQA, OCRBench, RealWorldQA, MathVista."""
import json
import re

from bench.made import answer, case, lines, mean, put, rng
from bench.choice import extract


def relaxed(p, t):
    def number(text):
        try:
            return float(text.rstrip("%")) / 100.0 if text.endswith("%") else float(text)
        except ValueError:
            return None
    a, b = number(p), number(t)
    if a is not None and b:
        return abs(a - b) / abs(b) <= 0.05
    return p.lower() == t.lower()


def make_chartqa():
    pairs = [("105", "100"), ("1.05", "1"), ("2014", "2013"), ("50%", "0.5"), ("50%", "50"),
             ("1,000", "1000"), ("1,000", "1,000"), ("0", "0"), ("0.0", "0"), ("0.01", "0"),
             ("nan", "5"), ("inf", "inf"), ("1_000", "1000"), (" 5 ", "5"), ("5e0", "5"),
             ("\u0665", "5"), ("0x5", "5"), ("Yes", "yes"), ("Yes ", "yes"), ("95", "100"),
             ("94.9", "100"), ("-5", "5"), ("5%%", "0.05"), ("5 %", "0.05"), ("", ""), ("%", "5"),
             ("None", "None"), ("1e400", "5"), ("+5", "5"), ("5.", "5"), (".5", "0.5"), ("1__0", "10"),
             ("_1", "1"), ("\u00a05", "5"), ("[1, 2]", "[1, 2]"), ("Infinity", "5")]
    rows = {"human": [], "augmented": []}
    said = {}
    for i, (p, t) in enumerate(pairs * 2):
        kind = "human" if i % 2 == (i >= len(pairs)) else "augmented"
        said["%s/%d" % (kind, len(rows[kind]))] = p
        rows[kind].append({"imgname": "%d.png" % i, "query": "How much %d?" % i, "label": t})
    for kind, name in (("human", "test_human.json"), ("augmented", "test_augmented.json")):
        put("chartqa/" + name, json.dumps(rows[kind], ensure_ascii=False))
    answers = [{"question_id": k, "text": v} for k, v in said.items()]
    rng.shuffle(answers)
    a = lines("chartqa/answers.jsonl", answers)
    for variant in ("lmms", "stripped"):
        parts = {kind: [float(relaxed(said["%s/%d" % (kind, i)].strip() if variant == "stripped"
                                      else said["%s/%d" % (kind, i)], r["label"]))
                        for i, r in enumerate(rows[kind])] for kind in rows}
        scores = parts["human"] + parts["augmented"]
        case("chartqa", "chartqa", a, {"accuracy": mean(scores), "type/human": mean(parts["human"]),
                                       "type/augmented": mean(parts["augmented"])}, scores, [],
             variant)


def levenshtein(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        new = [i + 1]
        for j, y in enumerate(b):
            new.append(min(new[j] + 1, row[j + 1] + 1, row[j] + (x != y)))
        row = new
    return row[-1]


def make_docvqa():
    pairs = [(["1/8/93"], "1/8/93"), (["ITC Limited"], "itc  limited"), (["abcd"], "abxx"),
             (["abcd"], "axxx"), (["abc"], "abd"), (["the williamson", "dir"], "DIR."), ([""], ""),
             (["\u00e9t\u00e9"], "ete"), (["a b"], "ab"), (["ab"], " ab "), (["ab"], "     ab     "),
             (["two words"], "two\nwords"), (["5"], "five"), (["\U0001f600x"], "x"), (["abcdef"], "")]
    rows, answers, by = [], [], {"lmms": [], "official": []}
    for i, (golds, said) in enumerate(pairs * 3):
        rows.append({"questionId": 49153 + i, "question": "What %d?" % i,
                     "image": "documents/d%d.png" % i, "docId": i, "answers": golds,
                     "data_split": "val"})
        answers.append({"questionId": 49153 + i, "answer": said})
        best = {"lmms": 0.0, "official": 0.0}
        for gold in golds:
            d = levenshtein(" ".join(gold.strip().lower().split()),
                            " ".join(said.strip().lower().split()))
            n = max(len(gold), len(said))
            best["lmms"] = max(best["lmms"], 1 - (0.0 if n == 0 else d / n))
            g, s = gold.strip().lower(), said.strip().lower()
            n = max(len(g), len(s))
            best["official"] = max(best["official"], 1 - levenshtein(g, s) / n if n else 1.0)
        for name, value in best.items():
            by[name].append(0.0 if value < 0.5 else value)
    q = put("docvqa/val.json", json.dumps({"dataset_name": "docvqa", "data": rows},
                                          ensure_ascii=False))
    rng.shuffle(answers)
    a = put("docvqa/answers.json", json.dumps(answers, ensure_ascii=False))
    for variant, scores in by.items():
        case("docvqa", q, a, {"anls": mean(scores)}, scores, [], variant)


def make_ocrbench():
    pairs = [("CENTRE", "It says Centre.", "Regular Text Recognition", "IIIT5K"),
             (["ten", "10"], "about 10 euros", "Doc-oriented VQA", "docVQA"),
             ("a b", "a\nb", "Key Information Extraction", "SROIE"),
             ("x^{2} + 1", "x^{2}+1", "Handwritten Mathematical Expression Recognition", "HME100k"),
             ("X", "x", "Handwritten Mathematical Expression Recognition", "HME100k"),
             ("ABC", "\uff21\uff22\uff23", "Artistic Text Recognition", "WordArt"),
             ("a c", "a\u3000c", "Artistic Text Recognition", "WordArt"),
             ("cafe", "caf\u00e9", "Irregular Text Recognition", "svt"), ("", "", "Digit String", "orand"),
             ("12", "1 2", "Digit String Recognition", "orand"), (" 7 ", "7", "Digit String", "orand")]
    rows, answers, by = [], [], {"official": [], "lmms": []}

    def fold(text):
        return "".join(chr(ord(c) - 0xFEE0) if 0xFF01 <= ord(c) <= 0xFF5E else " "
                       if c == "\u3000" else c for c in text)
    for i, (gold, said, kind, source) in enumerate(pairs * 3):
        golds = gold if isinstance(gold, list) else [gold]
        if golds == [""]:
            golds = gold = ["empty"]
        rows.append({"dataset_name": source, "id": str(i), "image_path": "%s/%d.png" % (source, i),
                     "question": "what is written in the image?", "answers": gold, "type": kind})
        answers.append({"id": str(i), "prediction": said})
        for variant in by:
            if source == "HME100k":
                hit = any(g.strip().replace("\n", " ").replace(" ", "") in
                          said.strip().replace("\n", " ").replace(" ", "") for g in golds)
            else:
                f = fold if variant == "lmms" else (lambda t: t)
                hit = any(f(g).lower().strip().replace("\n", " ") in
                          f(said).lower().strip().replace("\n", " ") for g in golds)
            by[variant].append(float(hit))
    q = put("ocrbench/questions.json", json.dumps(rows, ensure_ascii=False))
    rng.shuffle(answers)
    a = put("ocrbench/answers.json", json.dumps(answers, ensure_ascii=False))
    for variant, scores in by.items():
        case("ocrbench", q, a, {"accuracy": mean(scores), "score": mean(scores)}, scores, [], variant)


def make_realworldqa():
    rows, answers, scores = [], [], []
    for i in range(60):
        gold = rng.choice(["A", "B", "C", "D", "Yes", "3", "two cars", "left"])
        said = rng.choice([gold, gold.lower() + ".", "(" + gold + ")", "It is " + gold, " " + gold +
                           " ", "B", "No", gold + ".."])
        rows.append({"index": i, "question": "Which %d?\nPlease answer directly." % i,
                     "answer": gold, "image_path": "%d.webp" % i})
        answers.append(answer(i, said))
        if gold in list("ABCD"):
            scores.append(float(extract(said, "ABCD") == gold))
        else:
            scores.append(float(said.lower().strip().rstrip(".") ==
                                gold.lower().strip().rstrip(".")))
    case("realworldqa", lines("realworldqa/questions.jsonl", rows),
         lines("realworldqa/answers.jsonl", answers), {"accuracy": mean(scores)}, scores)


def make_mathvista():
    rows, answers, scores, failed = {}, [], [], 0
    made = [("multi_choice", "text", None, ["6", "8", "12"], "8", ["8", "(B) 8", "B", "The answer is "
             "\"(B)\".", "The answer is \"8\".", "", "The answer is \"9\".", "I think 8"]),
            ("free_form", "integer", None, None, "8", ["8", "8.0", " 8 ", "1_0", "The answer is "
             "\"8.7\".", "eight", "The answer is \"-8\".", "8 cm"]),
            ("free_form", "float", 2.0, None, "1.2", ["1.2", "1.20", "1.204", "1.205", "The answer "
             "is \"1.196\".", "nan", "inf", "about 1.2"]),
            ("free_form", "float", 1.0, None, "0.5", ["0.45", "0.55", ".5", "5e-1", "0.46"]),
            ("free_form", "list", None, None, "[1, 2]", ["The answer is \"[1, 2]\".",
                                                         "[1, 2]", "The answer is \"[1,2]\"."])]
    for i in range(100):
        kind, typ, precision, choices, gold, pool_ = made[i % len(made)]
        said = rng.choice(pool_)
        pid = str(i + 1)
        rows[pid] = {"pid": pid, "question": "How much?", "image": "images/%s.jpg" % pid,
                     "choices": choices, "unit": None, "precision": precision, "answer": gold,
                     "question_type": kind, "answer_type": typ, "query": "Hint: ...",
                     "metadata": {"category": "math-targeted-vqa", "skills": ["algebraic reasoning"],
                                  "task": "t", "context": "c", "grade": "g", "source": "s"}}
        answers.append({"pid": pid, "response": said})
        found = None
        if said == "":
            found = ""
        elif kind == "multi_choice" and said in choices:
            found = said
        elif typ == "integer":
            try:
                found = str(int(said))
            except ValueError:
                pass
        elif typ == "float":
            try:
                found = str(float(said))
            except ValueError:
                pass
        if found is None:
            match = re.search(r'The answer is "(.*)"\.', said)
            found = match.group(1) if match else None
        failed += found is None
        value = None
        if found:
            if kind == "multi_choice":
                letter = re.findall(r"\(([a-zA-Z])\)", found.strip())
                text = letter[0].upper() if letter else found.strip()
                letters = "ABCDEFGH"[:len(choices)]
                value = (choices[letters.index(text)] if text and len(text) == 1 and text in letters
                         else min(choices, key=lambda c: levenshtein(text, c)))
            elif typ == "integer":
                try:
                    value = str(int(float(found)))
                except (ValueError, OverflowError):
                    pass
            elif typ == "float":
                try:
                    value = str(round(float(found), int(precision)))
                except ValueError:
                    pass
            else:
                value = found
        scores.append(float(value is not None and value.strip() == gold))
    case("mathvista", put("mathvista/testmini.json", json.dumps(rows)),
         lines("mathvista/answers.jsonl", answers),
         {"accuracy": mean(scores), "skill/algebraic reasoning": mean(scores)}, scores, [], "strict",
         failed)
