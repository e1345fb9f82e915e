# SPDX-License-Identifier: Apache-2.0
"""Yes or no: POPE, MME, HallusionBench."""
import json
import re

from bench.made import answer, case, lines, mean, put, rng
from bench.vqa import MARKS


def make_pope():
    questions, answers, labels, metrics, f1s, scores = [], [], {}, {}, [], []
    said_pool = ["no", "No", "No, there is none", "It is not", "I see no, dog. Yes.", "", "NO", "Nope",
                 "No!", "yes", "Yes.", "Yes. No.", "a\nno", "no\n", ". no", "yes, it is", "not."]
    counts = {}
    for split, start in (("adversarial", 1), ("random", 10000001), ("popular", 20000001)):
        labels[split] = []
        for k in range(60 if split != "random" else 54):
            image, thing = "COCO_val2014_%012d.jpg" % (k // 6), rng.choice("cat dog cup tie".split())
            text = "Is there a %s in the image?" % (thing + str(k))
            label = rng.choice(["yes", "no"])
            labels[split].append({"question_id": k + 1, "image": image, "text": text,
                                  "label": label})
            questions.append({"question_id": start + k, "image": image, "text": text + "\nAnswer "
                              "the question using a single word or phrase.", "category": split})
            text = rng.choice(said_pool)
            answers.append(answer(start + k, text))
            words = text.split(".")[0].replace(",", "").split(" ")
            yes = not any(w in words for w in ("No", "not", "no"))
            counts.setdefault(split, []).append((yes, label != "no"))
            scores.append(float(yes == (label != "no")))
    for split, pairs in counts.items():
        tp = sum(y and g for y, g in pairs)
        fp = sum(y and not g for y, g in pairs)
        fn = sum(not y and g for y, g in pairs)
        p, r = tp / (tp + fp), tp / (tp + fn)
        f1s.append(2 * p * r / (p + r))
        metrics.update({split + "/precision": p, split + "/recall": r, split + "/f1": f1s[-1],
                        split + "/accuracy": mean(y == g for y, g in pairs),
                        split + "/yes_share": mean(y for y, g in pairs)})
        lines("pope/coco/coco_pope_%s.json" % split, labels[split])
    metrics["f1"] = mean(f1s)
    metrics["accuracy"] = mean(scores)
    rng.shuffle(answers)
    case("pope", lines("pope/questions.jsonl", questions), lines("pope/answers.jsonl", answers),
         metrics, scores, ["pope/coco"])


PERCEPTION = ("existence count position color posters celebrity scene landmark artwork OCR").split()
COGNITION = ("commonsense_reasoning numerical_calculation text_translation code_reasoning").split()


def make_mme():
    pool_ = ["yes", "no", "Yes", "No", "YES.", "No, it is not", " yes", "   no", "Nope", "The no",
             "Sure, yes", "", "is no", "oh yes", "noyes", "eye", "unknown", "non", "xyes"]
    questions, answers, results, judged = [], [], {}, {}
    gold_lines = {}
    for task in PERCEPTION + COGNITION:
        for i in range(6):
            name = "%04d.png" % i
            for k in (0, 1):
                bare = "Is this %s number %d %s?" % (task, i, "so" if k else "thus")
                gold = rng.choice(["Yes", "No"])
                gap = "  " if i == 3 else " "           # the release has both
                gold_lines.setdefault((task, "%04d.txt" % i), []).append(
                    bare + gap + "Please answer yes or no.\t" + gold)
                short = bare + "\nAnswer the question using a single word or phrase."
                questions.append({"question_id": task + "/" + name, "image": task + "/" + name,
                                  "text": short, "category": task})
                said = rng.choice(pool_)
                answers.append(answer(task + "/" + name, said, short))
                text = said.lower()
                got = (text if text in ("yes", "no") else "yes" if "yes" in text[:4]
                       else "no" if "no" in text[:4] else "other")
                judged.setdefault(task, []).append(got == gold.lower())
                results.setdefault(task, []).append(
                    "\t".join([name, bare + gap + "Please answer yes or no.", gold, said]))
    for (task, name), rows in gold_lines.items():
        sub = "questions_answers_YN/" if task in PERCEPTION[4:9] else ""
        put("mme/release/%s/%s%s" % (task, sub, name), "\n".join(rows) + "\n")
    for task, rows in results.items():
        put("mme/results/%s.txt" % task, "\n".join(rows) + "\n")
    metrics, total = {}, {}
    for task, hits in judged.items():
        acc = mean(hits)
        plus = mean(a and b for a, b in zip(hits[::2], hits[1::2]))
        total[task] = 100 * acc + 100 * plus
        metrics["task/" + task] = total[task] / 200
        metrics["acc/" + task] = acc
        metrics["acc_plus/" + task] = plus
    metrics["perception"] = sum(total[t] for t in PERCEPTION) / 2000
    metrics["cognition"] = sum(total[t] for t in COGNITION) / 800
    q = lines("mme/questions.jsonl", questions)
    scores = [float(h) for t in PERCEPTION + COGNITION for h in judged[t]]
    rng.shuffle(answers)
    case("mme", q, lines("mme/answers.jsonl", answers), metrics, scores, ["mme/release"])
    case("mme", q, "mme/results", metrics, scores, ["mme/results"])
    case("mme", "mme/results", "mme/results", metrics)


def yes_no(text):
    text = text.lower()
    before, out = text, text
    for mark in MARKS:
        near = mark + " " in before or " " + mark in before or re.search(r"\d,\d", before)
        out = out.replace(mark, "" if near else " ")
    words = re.sub(r"\.(?!\d)", "", out, count=32).split()
    if "yes" in words and "no" not in words:
        return "yes"
    if "no" in words and "yes" not in words:
        return "no"
    return ""


def make_hallusion():
    rows, answers, right = [], [], []
    pool_ = ["Yes", "No.", "yes, it is", "No, it is not", "It is unclear", "yes and no", "", "(no)",
             "Yes!", "no-one", "not really", "YES"]
    for category, sub in (("VD", "illusion"), ("VD", "chart"), ("VS", "map"), ("VS", "table")):
        for s in range(4):
            for f in range(3):
                for k in range(2):
                    rows.append({"category": category, "subcategory": sub, "visual_input": "1",
                                 "set_id": str(s), "figure_id": str(f), "question_id": str(k),
                                 "question": "Is it so %d?" % k, "gt_answer":
                                     rng.choice(["0", "1"]), "filename": "%s_%d.png" % (sub, f)
                                 if category == "VD" or f else None})
                    said = rng.choice(pool_)
                    answers.append({"question_id": "%s_%s_%d_%d_%d" % (category, sub, s, f, k),
                                    "text": said})
                    got = yes_no(said)
                    gold = "yes" if rows[-1]["gt_answer"] == "1" else "no"
                    ok = got == gold or (got == "" and category == "VS" and f == 0)
                    right.append((rows[-1], ok, got, gold))
    figures, sets = {}, {}
    for row, ok, _, _ in right:
        base = (row["category"], row["subcategory"], row["set_id"])
        if not (row["category"] == "VS" and row["figure_id"] == "0"):
            figures.setdefault(base + (row["figure_id"],), []).append(ok)
        sets.setdefault(base + (row["question_id"],), []).append(ok)
    n = len(right)
    wrong = [(g, p) for _, ok, p, g in right if not ok]
    metrics = {"aAcc": mean(ok for _, ok, _, _ in right), "fAcc": mean(all(v) for v in
               figures.values()), "qAcc": mean(all(v) for v in sets.values()),
               "yes_bias": (sum(p == "yes" for _, _, p, _ in right)
                            - sum(g == "yes" for _, _, _, g in right)) / n,
               "fp_ratio": sum(p == "yes" for _, p in wrong) / len(wrong)}
    rng.shuffle(answers)
    case("hallusionbench", put("hallusion/questions.json", json.dumps(rows)),
         lines("hallusion/answers.jsonl", answers), metrics, [float(ok) for _, ok, _, _ in right])
