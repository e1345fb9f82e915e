# SPDX-License-Identifier: Apache-2.0
"""MMMU: letters, open answers, and what the official script writes."""
import json
import re

from bench.made import case, lines, mean, put, rng
from bench.choice import choice_texts


def mmmu_choice(text, options):
    letters = "ABCDEFGHI"[:len(options)]
    for mark in [",", ".", "!", "?", ";", ":", "'"]:
        text = text.strip(mark)
    text = " " + text + " "
    for form in ("(%s)", " %s "):
        there = [c for c in letters if form % c in text]
        if there:
            return max(there, key=lambda c: (text.rfind(form % c), -ord(c)))
    if len(text.split()) > 5:
        there = [c for c, o in zip(letters, options) if o.lower() in text.lower()]
        if there:
            return max(there, key=lambda c: (text.lower().rfind(options[letters.index(c)].lower()),
                                             -ord(c)))
    return None


def mmmu_norm(text):
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
        return [" " + text, text + " "] if len(text) == 1 else [text]


def mmmu_open(text, golds):
    text = text.strip().strip(".").lower()
    keys = []
    pieces = text.split("\n")
    for i, piece in enumerate(pieces):
        marks = ["could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result "]
        if i == len(pieces) - 1:
            marks.append("=")
        best = None
        for mark in marks:
            if mark in piece:
                tail = piece.split(mark)[-1].strip()
                if not best or len(tail) < len(best):
                    best = tail
        if best and best not in [":", ",", ".", "!", "?", ";", "'"]:
            keys.append(best)
    keys = keys or [text]
    found = list(keys)
    for key in keys:
        found += re.findall(r"-?\b\d{1,3}(?:,\d{3})+\b", key)
        found += re.findall(r"-?\d+(?:\.\d+)?[eE][+-]?\d+", key)
        found += re.findall(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])", key)
    said = [v for key in found for v in mmmu_norm(key)]
    want = [v for gold in golds for v in mmmu_norm(gold)]
    for v in said:
        if isinstance(v, str):
            if any(isinstance(w, str) and w in v for w in want):
                return True
        elif v in want:
            return True
    return False


def make_mmmu():
    rows, answers, scores, failed = [], [], [], 0
    subjects = {"Art_Theory": "Art and Design", "Math": "Science", "Accounting": "Business",
                "Electronics": "Tech and Engineering"}
    opens = [("['3,600', '3600']", ["x = 3,600", "the answer is 3600.", "about 36", "3600 dollars",
                                    "so it is 3.6e3", "1,234,5678 or 3,600"]),
             ("12.5", ["12.5", "it is 12.50 m", "12.504", "12,5", "= 12.5\nthus 4", "1e1", "-12.5",
                       "12.5e3", "is so 12.5", "answer is: ."]),
             ("['Sun', 'the sun']", ["Sun", "it could be the Sun.", "sunday", "moon", "", "S", "so "]),
             ("x", ["x", "it is x ", "axe", "an x b", "the result is x", "x = y"]),
             (".5", [".5", "0.5", "50", "is .5", "0.499", "1/2"])]
    options_pool = ["$\\frac{1}{2}$", "Greater than 5", "Less than 5", "it's 'quoted'", "say \"x\"",
                    "None", "red", "back\\slash"]
    for i in range(120):
        subject = list(subjects)[i % 4]
        qid = "validation_%s_%d" % (subject, i)
        if i % 3 == 0:
            gold, said = rng.choice(opens)
            text = rng.choice(said)
            rows.append({"id": qid, "question": "How much %d? <image 1>" % i, "options": "[]",
                         "answer": gold, "question_type": "open", "image_1": "i%d.png" % i})
            golds = eval(gold) if gold.startswith("[") else [gold]
            scores.append(float(mmmu_open(text, golds)))
        else:
            options = rng.sample(options_pool, rng.choice([2, 4, 5]))
            gold = rng.randrange(len(options))
            text = rng.choice([choice_texts(options), "Because of what it shows it is " +
                               options[gold], "I say (B) then (A)", "B or A then "])
            rows.append({"id": qid, "question": "Which %d?" % i, "options": repr(options),
                         "answer": "ABCDE"[gold], "question_type": "multiple-choice",
                         "image_1": "i%d.png" % i})
            got = mmmu_choice(text, options)
            failed += got is None
            scores.append(float(got == "ABCDE"[gold]))
        answers.append({"id": qid, "response": text})
    metrics = {"accuracy": mean(scores)}
    for key in ("open", "multiple-choice"):
        metrics[key.replace("-", "_")] = mean(s for s, r in zip(scores, rows)
                                              if r["question_type"] == key)
    for subject, discipline in subjects.items():
        part = [s for s, r in zip(scores, rows) if "_%s_" % subject in r["id"]]
        metrics["subject/" + subject] = mean(part)
        metrics["discipline/" + discipline] = mean(part)
    case("mmmu", lines("mmmu/questions.jsonl", rows), lines("mmmu/answers.jsonl", answers), metrics,
         scores, [], "official", failed)
    # the official answer files: {id: letter or text}, gold in a dictionary
    golds = {r["id"]: {"question_type": r["question_type"], "ground_truth": r["answer"]
                       if not r["answer"].startswith("[") else eval(r["answer"])} for r in rows}
    said = {r["id"]: rng.choice("ABCD") if r["question_type"] != "open" else a["response"]
            for r, a in zip(rows, answers)}
    scores = [float(said[r["id"]] == r["answer"] if r["question_type"] != "open" else
                    mmmu_open(said[r["id"]], golds[r["id"]]["ground_truth"]
                              if isinstance(golds[r["id"]]["ground_truth"], list)
                              else [golds[r["id"]]["ground_truth"]])) for r in rows]
    case("mmmu", put("mmmu/answer_dict.json", json.dumps(golds, indent=1)),
         put("mmmu/total_output.json", json.dumps(said, indent=1)), {"accuracy": mean(scores)},
         scores, [], "parsed")
