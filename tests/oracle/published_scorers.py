# SPDX-License-Identifier: Apache-2.0
"""The published scorers beside `sea score`, on random answers made to be hard.

    PUBLISHED=/checkouts python3 tests/oracle/published_scorers.py build/dev/sea [N [SEED]]

PUBLISHED holds checkouts of the scorers' repositories, by these names; what is not there is
left out and said so: LLaVA, MMMU (with mmmu/), VQA (GT-Vision-Lab), POPE is in LLaVA,
lmms-eval, VLMEvalKit, coco-caption (salaniz's pycocoevalcap: its bleu, cider and rouge), and MME
(calculation.py of its eval_tool.zip). Their code is run, never
copied. N rows of each benchmark are compared one by one (2000), and every total to the last
digit that the published scorer has. Exit status 1 when anything differs.

KEEP=tests/oracle/fixtures/published writes the files of such a run and what the published
scorers said of them, which tests/pipeline/test_benchmarks_oracle.c replays:

    KEEP=tests/oracle/fixtures/published PUBLISHED=... python3 ... build/dev/sea 120 5
"""
import importlib.util
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import types

ROOT = os.environ.get("PUBLISHED", "")
SEA = os.path.abspath(sys.argv[1])
N = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 1
KEEP = os.environ.get("KEEP", "")
rng = random.Random(SEED)
bad = 0
kept = []


def put(name, text):
    path = os.path.join(work, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(text if isinstance(text, str) else
                "".join(json.dumps(row, ensure_ascii=bool(rng.getrandbits(1))) + "\n"
                        for row in text))
    return path


def put_json(name, value):
    return put(name, json.dumps(value))


def score(bench, questions, answers, *rest):
    rows = os.path.join(work, "rows.jsonl")
    done = subprocess.run([SEA, "score", bench, "--questions", questions, "--answers", answers,
                           "--json", "--rows", rows, *rest], capture_output=True, text=True)
    if done.returncode:
        print(done.stderr)
        raise SystemExit(1)
    result = json.loads(done.stdout)
    return ({m["name"]: m["value"] for m in result["metrics"]},
            {r["id"]: r for r in map(json.loads, open(rows, encoding="utf-8"))}, result)


def keep(bench, questions, answers, variant, annotations, metrics, rows):
    """What the published scorer said: metrics {name: share}, rows in the questions' order."""
    if KEEP:
        name = "../" + os.path.relpath(work, os.path.dirname(os.path.abspath(KEEP)))
        at = [os.path.join(name, os.path.relpath(p, work)) for p in (questions, answers,
                                                                     *annotations)]
        kept.append({"bench": bench, "variant": variant, "questions": at[0], "answers": at[1],
                     "annotations": at[2:], "metrics": metrics, "rows": rows, "failed": None})


def compare(what, pairs):
    """pairs: (name, ours, theirs, what it was about)"""
    global bad
    wrong = [p for p in pairs if p[1] != p[2] and
             not (isinstance(p[1], float) and isinstance(p[2], float) and
                  abs(p[1] - p[2]) <= 1e-12 * max(1, abs(p[2])))]
    print(f"{'ok  ' if not wrong else 'FAIL'} {what}: {len(pairs)} values, {len(wrong)} differ")
    for p in wrong[:5]:
        print("    ", p[0], "ours", repr(p[1]), "theirs", repr(p[2]), "of", repr(p[3]))
    bad += bool(wrong)


def load(*path, name=None):
    """A module from a published file."""
    file = os.path.join(ROOT, *path)
    spec = importlib.util.spec_from_file_location(name or path[-1][:-3], file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def function(source, name):
    """One function of a published file, without what else that file imports."""
    import ast
    tree = ast.parse(source)
    for n in tree.body:
        if isinstance(n, ast.FunctionDef):
            n.decorator_list = []
    keep = [n for n in tree.body
            if (isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name in name) or
            (isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") in name)]
    space = {"re": re, "random": random, "json": json}
    import copy as cp
    import string
    from collections import Counter, defaultdict
    space.update(cp=cp, copy=cp, string=string, os=os, Counter=Counter, defaultdict=defaultdict)
    from typing import Any, Dict, List, Optional
    space.update(Any=Any, Dict=Dict, List=List, Optional=Optional)
    exec(compile(ast.Module(keep, []), "published", "exec"), space)
    return space


# ---- texts made to be hard ----

MARKS = list(";/[]\"{}()=+\\_-><@`,?!.:'$%&*#^~|") + ["...", "''", ". ", " .", ", ", " ,", " - "]
WORDS = ("yes no not No Yes NO nope none zero one two ten a an the cat dog T-shirt dont cant hes "
         "its 1 2.5 .5 3. 1,000 12,345 15:45 $3.99 50% 7.0 let's she's Ive Im somebody'd he's "
         "A B C D E (A) (B) A. B. C: D) The answer is A answer is B. final so thus result = could "
         "be therefore unanswerable red blue left right Dakota 1e5 -3 -1.2e-3 1,2,3 10,000.5 "
         "\u00e9t\u00e9 \u0130stanbul stra\u00dfe \u4e2d\u6587 \u0663 \u00a0 \u2003 \u00bd "
         "\ufb01 \u1e9e Z").split(" ")


def text(most=8, newlines=True):
    out = []
    for _ in range(rng.randrange(most)):
        kind = rng.random()
        out.append(rng.choice(WORDS) if kind < .75 else rng.choice(MARKS))
        if rng.random() < .85:
            out.append(" ")
        if newlines and rng.random() < .04:
            out.append(rng.choice(["\n", "\t", "\r\n", "\n\n"]))
    joined = "".join(out)
    return joined.strip() if rng.random() < .7 else joined


def near(gold):
    """An answer that is often the gold one, or nearly."""
    kind = rng.random()
    if kind < .35:
        return gold
    if kind < .5:
        return gold + rng.choice([".", " ", "?", " is it", ",", "s"])
    if kind < .6:
        return rng.choice(["The answer is ", "a ", "It is ", "("]) + gold
    if kind < .7:
        return gold.upper() if rng.random() < .5 else gold.capitalize()
    return text()


# ---- benchmarks ----

def textvqa():
    module = load("LLaVA", "llava", "eval", "m4c_evaluator.py")
    module.tqdm = lambda rows: rows
    evaluator = module.TextVQAAccuracyEvaluator()
    questions, answers, data, theirs = [], [], [], []
    for i in range(N):
        said = [text(4, False) for _ in range(3)]
        people = [rng.choice(said) for _ in range(10)]
        words = f"What is {i // 2}?"
        prompt = (f"{words}\nReference OCR token: x, y\n"
                  "Answer the question using a single word or phrase.")
        answer = near(rng.choice(people))
        image = f"img{i % (N * 2 // 3)}"
        questions.append({"question_id": image, "image": image + ".jpg", "text": prompt,
                          "category": "default"})
        answers.append({"question_id": image, "prompt": prompt, "text": answer})
        data.append({"question_id": i, "image_id": image, "question": words, "answers": people})
        theirs.append((answer, people))
    order = list(range(N))
    rng.shuffle(order)
    q, a = put("q.jsonl", questions), put("a.jsonl", [answers[i] for i in order])
    total, _, _ = score("textvqa", q, a, "--annotations", put_json("v.json", {"data": data}))
    rows = [json.loads(line) for line in open(os.path.join(work, "rows.jsonl"), encoding="utf-8")]
    one = [evaluator.eval_pred_list([{"pred_answer": x, "gt_answers": y}]) for x, y in theirs]
    compare("textvqa, rows (LLaVA)", [(i, rows[i]["score"], float(one[i]), theirs[i])
                                      for i in range(N)])
    whole = evaluator.eval_pred_list([{"pred_answer": x, "gt_answers": y} for x, y in theirs])
    compare("textvqa, total", [("accuracy", total["accuracy"], whole, "")])
    keep("textvqa", q, a, None, [os.path.join(work, "v.json")], {"accuracy": whole},
         [float(x) for x in one])


def vqav2():
    source = code("VQA", "PythonEvaluationTools", "vqaEvaluation", "vqaEval.py")
    source = re.sub(r"^(\s*)print (.*)$", r"\1print(\2)", source, flags=re.M)
    source = re.sub(r"\(\?!<=", r"(?!<=", source)
    space = {}
    exec(compile(source, "vqaEval.py", "exec"), space)
    kinds = ["yes/no", "number", "other"]
    questions, notes, answers = [], [], []
    for i in range(N):
        same = rng.random() < .15
        said = [text(4) for _ in range(1 if same else 3)]
        people = [rng.choice(said) for _ in range(10)]
        questions.append({"question_id": i, "image_id": i // 3, "question": "Why?"})
        notes.append({"question_id": i, "image_id": i // 3, "question_type": f"t{i % 5}",
                      "answer_type": kinds[i % 3], "multiple_choice_answer": people[0],
                      "answers": [{"answer": p, "answer_confidence": "yes", "answer_id": k + 1}
                                  for k, p in enumerate(people)]})
        answers.append({"question_id": i, "answer": near(rng.choice(people))})

    class Side:
        def __init__(self, rows):
            self.qa = {row["question_id"]: row for row in rows}

        def getQuesIds(self):
            return list(self.qa)

    q = put_json("q.json", {"questions": questions})
    v = put_json("v.json", {"annotations": notes})
    a = put_json("a.json", answers)
    sys.stdout.flush()
    saved, sys.stdout = sys.stdout, open(os.devnull, "w")
    ev = space["VQAEval"](Side(json.loads(json.dumps(notes))), Side(json.loads(json.dumps(answers))),
                          n=2)
    ev.updateProgress = lambda *_: None
    ev.evaluate()
    sys.stdout = saved
    total, rows, _ = score("vqav2", q, a, "--annotations", v, "--variant", "off")
    compare("vqav2, rows (official)",
            [(i, round(100 * rows[str(i)]["score"], 2), ev.evalQA[i],
              (answers[i]["answer"], [x["answer"] for x in notes[i]["answers"]])) for i in range(N)])
    theirs = {"accuracy": ev.accuracy["overall"]}
    theirs.update({"answer_type/" + k: v for k, v in ev.accuracy["perAnswerType"].items()})
    theirs.update({"question_type/" + k: v for k, v in ev.accuracy["perQuestionType"].items()})
    # rounded to two decimals there, where halves fall either way by the order of a division
    compare("vqav2, totals", [(k, abs(100 * total[k] - v) <= 0.005 + 1e-9, True, (total[k], v))
                              for k, v in theirs.items()])
    keep("vqav2", q, a, "off", [v], {}, [ev.evalQA[i] / 100 for i in range(N)])


def pope():
    source = code("LLaVA", "llava", "eval", "eval_pope.py").split("if __name__")[0]
    space = {}
    exec(compile(source, "eval_pope.py", "exec"), space)
    questions, answers, number = [], [], 1
    folder = os.path.join(work, "coco")
    pairs = []
    for split in ("adversarial", "random", "popular"):
        labels, mine = [], []
        for i in range(N // 3):
            label = rng.choice(["yes", "no"])
            q = {"question_id": i + 1, "image": f"{i // 6}.jpg", "text": f"Is there a {split} {i}?",
                 "label": label}
            labels.append(q)
            questions.append({"question_id": number, "image": q["image"], "category": split,
                              "text": q["text"] + "\nAnswer the question using a single word or "
                                                  "phrase."})
            mine.append({"question_id": number, "prompt": questions[-1]["text"],
                         "text": near(label.capitalize())})
            number += 1
        put(f"coco/coco_pope_{split}.json", labels)
        answers += mine
        saved, out = sys.stdout, os.path.join(work, "said")
        with open(out, "w") as sys.stdout:
            space["eval_pope"](json.loads(json.dumps(mine)), f"{folder}/coco_pope_{split}.json")
        sys.stdout = saved
        said = open(out).read()
        for name, label in (("accuracy", "Accuracy"), ("precision", "Precision"),
                            ("recall", "Recall"), ("f1", "F1 score"), ("yes_share", "Yes ratio")):
            found = re.search(label + r": ([-\d.e]+)", said)
            if found:
                pairs.append((f"{split}/{name}", float(found.group(1))))
    q = put("q.jsonl", questions)
    rng.shuffle(answers)
    total, _, _ = score("pope", q, put("a.jsonl", answers), "--annotations", folder)
    keep("pope", q, os.path.join(work, "a.jsonl"), None, [folder], dict(pairs), None)
    compare("pope (LLaVA)", [(name, total[name], value, "") for name, value in pairs])


def mme():
    source = code("MME", "calculation.py")
    fake = types.ModuleType("sklearn.metrics")
    for name in ("accuracy_score", "precision_score", "recall_score", "confusion_matrix"):
        setattr(fake, name, None)
    sys.modules.setdefault("sklearn", types.ModuleType("sklearn"))
    sys.modules.setdefault("sklearn.metrics", fake)
    source = re.split(r"^if __name__.*", source, flags=re.M)[0]
    space = {"__name__": "mme"}
    exec(compile(source, "calculation.py", "exec"), space)
    cal = space["calculate_metrics"]()
    metric = getattr(cal, "compute_metric")
    if fake.accuracy_score is None and "numpy" not in sys.modules:
        def metric(gts, preds):         # what of it enters the score
            return {"acc": sum(g == p for g, p in zip(gts, preds)) / len(gts)}
        cal.compute_metric = metric
    tasks = [t for list_ in space["eval_type_dict"].values() for t in list_]
    questions, answers, said = [], [], {t: "" for t in tasks}
    for task in tasks:
        for i in range(max(2, N // 28)):
            for gold in ("Yes", "No"):
                ask = f"Is it {gold} {i}?"
                answer = near(gold).replace("\t", " ").replace("\n", " ").replace("\r", " ")
                questions.append({"question_id": f"{task}/{i}.png", "image": f"{task}/{i}.png",
                                  "text": ask + "\nAnswer the question using a single word or "
                                                "phrase.", "category": task})
                answers.append({"question_id": f"{task}/{i}.png", "prompt": questions[-1]["text"],
                                "text": answer})
                said[task] += f"{i}.txt\t{ask} Please answer yes or no.\t{gold}\t{answer}\n"
    for task in tasks:
        put(f"mme/{task}.txt", said[task])
        put(f"gold/{task}.txt", re.sub(r"\t[^\t\n]*$", "", said[task], flags=re.M))
    saved, out = sys.stdout, os.path.join(work, "said")
    with open(out, "w") as sys.stdout:
        cal.process_result(os.path.join(work, "mme"))
    sys.stdout = saved
    printed = open(out).read()
    totals = [float(x) for x in re.findall(r"total score: ([\d.]+)", printed)]
    each = dict(re.findall(r"\t (\w+)  score: ([\d.]+)", printed))
    rng.shuffle(answers)
    q, folder = put("q.jsonl", questions), os.path.join(work, "mme")
    forms = {"lines": score("mme", q, put("a.jsonl", answers), "--annotations",
                            os.path.join(work, "gold"))[0],
             "folder": score("mme", folder, folder)[0]}
    keep("mme", folder, folder, None, [], dict(
        [("perception", totals[0] / 2000), ("cognition", totals[1] / 800)] +
        [("task/" + t, float(v) / 200) for t, v in each.items()]), None)
    for form, total in forms.items():
        compare(f"mme, {form} (official)",
                [("perception", round(total["perception"] * 2000, 6), round(totals[0], 6), ""),
                 ("cognition", round(total["cognition"] * 800, 6), round(totals[1], 6), "")] +
                [(t, round(total["task/" + t] * 200, 6), round(float(v), 6), "")
                 for t, v in each.items()])


def scienceqa():
    source = code("LLaVA", "llava", "eval", "eval_science_qa.py")
    problems, questions, answers = {}, [], []
    for i in range(N):
        n = rng.randrange(2, 6)
        choices = [f"option {k}" for k in range(n)]
        gold = rng.randrange(n)
        image = rng.random() < .5
        ask = f"Context: N/A\nWhat is {i}?\n" + "\n".join(
            f"{'ABCDE'[k]}. {c}" for k, c in enumerate(choices))
        problems[str(i)] = {"question": f"What is {i}?", "choices": choices, "answer": gold}
        row = {"id": str(i), "conversations": [
            {"from": "human", "value": ("<image>\n" if image else "") + ask},
            {"from": "gpt", "value": "ABCDE"[gold]}]}
        if image:
            row["image"] = f"{i}/image.png"
        questions.append(row)
        kind, letter = rng.random(), rng.choice("ABCDE" if rng.random() < .5 else "ABCDE"[gold])
        answer = (letter if kind < .4 else letter + rng.choice([". x", ".x", ".", ") x"])
                  if kind < .55 else "The answer is " + letter + rng.choice([".", "", "!", "\n"])
                  if kind < .8 else "The answer is Blue" if kind < .85 else
                  f"The answer is {letter}. The answer is {letter}." if kind < .9 else text())
        answers.append({"question_id": str(i), "text": answer,
                        "prompt": ("<image>\n" if image else "") + ask +
                        "\nAnswer with the option's letter from the given choices directly."})
    put_json("problems.json", problems)
    put_json("pid_splits.json", {"test": list(problems)})
    lost = set() if KEEP else set(rng.sample(range(N), N // 50))
    given = [a for i, a in enumerate(answers) if i not in lost]
    a = put("a.jsonl", given)
    saved, out = sys.argv, os.path.join(work, "result.json")
    analysis = os.path.join(work, "output.jsonl")
    sys.argv = ["x", "--base-dir", work, "--result-file", a, "--output-file", analysis,
                "--output-result", out]
    said, sys.stdout = sys.stdout, open(os.path.join(work, "said"), "w")
    exec(compile(source, "eval_science_qa.py", "exec"), {"__name__": "__main__"})
    sys.stdout.close()
    sys.stdout, sys.argv = said, saved
    theirs = json.load(open(out))
    img = float(re.search(r"IMG-Accuracy: ([\d.]+)", open(os.path.join(work, "said")).read())[1])
    q = put_json("q.json", questions)
    for form, file in (("answers", a), ("analysis", analysis)):
        total, rows, _ = score("scienceqa", q, file, "--allow-missing", "--annotations",
                               os.path.join(work, "problems.json"))
        keep("scienceqa", q, file, None, [os.path.join(work, "problems.json")],
             {"accuracy": theirs["acc"] / 100},
             [float(theirs["results"][k] == p["answer"]) for k, p in problems.items()])
        compare(f"scienceqa, {form} (LLaVA)",
                [("acc", total["accuracy"] * 100, theirs["acc"], ""),
                 ("img", float(f"{100 * total['img_accuracy']:.2f}"), img, "")] +
                [(k, rows[k]["score"], float(v == problems[k]["answer"]), theirs["outputs"][k])
                 for k, v in theirs["results"].items()])


def mmmu():
    sys.path.insert(0, os.path.join(ROOT, "MMMU", "mmmu"))
    try:
        from utils import eval_utils as ev
    finally:
        sys.path.pop(0)
    subjects = ["Accounting", "Art", "Art_Theory", "Math"]
    subject_rows, pairs = {}, []
    for subject in subjects:
        rows = []
        for i in range(N // len(subjects)):
            ident = f"validation_{subject}_{i + 1}"
            if rng.random() < .5:
                n = rng.randrange(2, 8)
                options = [text(4, False).strip() or f"x{k}" for k in range(n)]
                gold = rng.randrange(n)
                answer = (near(f"({'ABCDEFG'[gold]})") if rng.random() < .5 else
                          text(12) + rng.choice(options) + text(4))
                rows.append({"id": ident, "question_type": "multiple-choice",
                             "answer": "ABCDEFG"[gold], "all_choices": list("ABCDEFG"[:n]),
                             "index2ans": dict(zip("ABCDEFG", options)), "response": answer})
            else:
                golds = [text(3, False).strip() or "5" for _ in range(rng.randrange(1, 3))]
                gold = golds if len(golds) > 1 else golds[0]
                answer = text(10) + near(rng.choice(golds))
                rows.append({"id": ident, "question_type": "open", "answer": gold,
                             "response": answer})
        subject_rows[subject] = rows
        put_json(f"mmmu/{subject}/output.json", rows)
    folder = os.path.join(work, "mmmu")
    for variant in ("official", "random"):
        ev.random.seed(42)
        total, ours, _ = score("mmmu", folder, folder, "--variant", variant)
        right, pairs = 0, []
        for subject in subjects:
            for r in subject_rows[subject]:
                drawn = []
                if r["question_type"] == "multiple-choice":
                    choose = ev.random.choice
                    if variant == "official":
                        ev.random.choice = lambda seq: drawn.append(1)
                    parsed = ev.parse_multi_choice_response(r["response"], r["all_choices"],
                                                            r["index2ans"])
                    ev.random.choice = choose
                    good = ev.eval_multi_choice(r["answer"], parsed)
                else:
                    good = ev.eval_open(r["answer"], ev.parse_open_response(r["response"]))
                right += good
                pairs.append((r["id"], ours[r["id"]]["score"], float(good),
                              (r["response"], r["answer"], r.get("index2ans"))))
        keep("mmmu", folder, folder, variant, [], {"accuracy": right / len(pairs)},
             [p[2] for p in pairs])
        compare(f"mmmu, {variant} (official)",
                [("accuracy", total["accuracy"], right / len(pairs), "")] + pairs)


def mmbench():
    space = function(code("VLMEvalKit", "vlmeval", "utils", "matching_util.py"),
                     {"can_infer", "can_infer_option", "can_infer_text", "_VERBOSE_ANSWER_RE"})
    tokens = function(code("lmms-eval", "lmms_eval", "tasks", "mmbench", "mmbench_evals.py"),
                      {"MMBench_Evaluator"})
    tokens["eval_logger"] = types.SimpleNamespace(info=lambda *_: None)
    judge = object.__new__(tokens["MMBench_Evaluator"])
    extract = load("lmms-eval", "lmms_eval", "tasks", "_task_utils", "mcq_extract.py")
    lines, answers, choices = ["index\tquestion\tA\tB\tC\tD\tanswer"], [], []
    for i in range(N):
        n = rng.randrange(2, 5)
        options = [re.sub(r'[\s"]+', " ", text(4, False)).strip() for _ in range(n)]
        options = [o if o and o.lower() not in MISSING else f"opt {k}"
                   for k, o in enumerate(options)]
        gold = rng.choice("ABCD"[:n])
        lines.append("\t".join([str(i), f"Q {i}"] + options + [""] * (4 - n) + [gold]))
        answer = rng.choice([near(gold), text(10), near(rng.choice(options)),
                             f"the correct answer is **{gold}**. So " + text(9), text(3) + gold])
        answers.append({"index": i, "prediction": answer})
        choices.append((dict(zip("ABCD", options)), gold))
    q, a = put("q.tsv", "\n".join(lines) + "\n"), put("a.jsonl", answers)

    def static(answer, options):
        found = judge.can_infer(answer, dict(options))
        return found or extract.extract_mcq_answer(answer, choices=sorted(options))

    for variant, parse in (("ladder", lambda x, o: space["can_infer"](x, dict(o))),
                           ("tokens", lambda x, o: judge.can_infer(x, dict(o))),
                           ("static", static)):
        _, rows, _ = score("mmbench", q, a, "--variant", variant)
        pairs = []
        for i, (options, gold) in enumerate(choices):
            theirs = parse(answers[i]["prediction"], options) or ""
            pairs.append((i, rows[str(i)]["parsed"], theirs if theirs in options else "",
                          (answers[i]["prediction"], options)))
        keep("mmbench", q, a, variant, [], {},
             [float(p[2] == gold) for p, (_, gold) in zip(pairs, choices)])
        compare("mmbench, " + variant + (" (VLMEvalKit)" if variant == "ladder" else
                                         " (lmms-eval)"), pairs)


def realworldqa():
    extract = load("lmms-eval", "lmms_eval", "tasks", "_task_utils", "mcq_extract.py")
    rows, answers, pairs = [], [], []
    for i in range(N):
        gold = rng.choice("ABCD") if rng.random() < .6 else text(3, False).strip() or "x"
        rows.append({"question_id": i, "question": f"Q {i}", "answer": gold, "image": "x.png"})
        answers.append({"question_id": i, "text": rng.choice([near(gold), text(12)])})
    _, ours, _ = score("realworldqa", put("q.jsonl", rows), put("a.jsonl", answers))
    for i in range(N):
        said, gold = answers[i]["text"], rows[i]["answer"].strip()
        good = (extract.extract_mcq_answer(said, choices=list("ABCD")) == gold.upper()
                if gold.upper() in list("ABCD") else
                said.lower().strip().rstrip(".") == gold.lower())
        pairs.append((i, ours[str(i)]["score"], float(good), (said, gold)))
    keep("realworldqa", os.path.join(work, "q.jsonl"), os.path.join(work, "a.jsonl"), None, [], {},
         [p[2] for p in pairs])
    compare("realworldqa (lmms-eval)", pairs)


def ocrbench():
    space = function(code("lmms-eval", "lmms_eval", "tasks", "ocrbench", "utils.py"),
                     {"ocrbench_process_results", "_fold_fullwidth_ascii"})
    kinds = ["Regular Text Recognition", "Doc-oriented VQA",
             "Handwritten Mathematical Expression Recognition"]
    rows, answers, pairs = [], [], []
    for i in range(N):
        kind = rng.randrange(3)
        golds = [text(4) or "x" for _ in range(rng.randrange(1, 3))]
        rows.append({"id": i, "dataset_name": "HME100k" if kind == 2 else "X",
                     "type": kinds[kind], "question": f"Q {i}", "answers": golds,
                     "image_path": "x.png"})
        wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and rng.random() < .3 else c
                       for c in rng.choice(golds))
        answers.append({"id": i, "predict": rng.choice([near(rng.choice(golds)), wide,
                                                        text(4) + golds[0] + text(3)])})
    _, ours, _ = score("ocrbench", put_json("q.json", rows), put("a.jsonl", [
        {"question_id": x["id"], "text": x["predict"]} for x in answers]), "--variant", "lmms")
    for i in range(N):
        doc = {"dataset": rows[i]["dataset_name"], "answer": rows[i]["answers"],
               "question_type": rows[i]["type"]}
        theirs = space["ocrbench_process_results"](doc, [answers[i]["predict"]])
        pairs.append((i, ours[str(i)]["score"], float(theirs["ocrbench_accuracy"]["score"]),
                      (answers[i]["predict"], rows[i]["answers"], doc["dataset"])))
    keep("ocrbench", os.path.join(work, "q.json"), os.path.join(work, "a.jsonl"), "lmms", [], {},
         [p[2] for p in pairs])
    compare("ocrbench (lmms-eval)", pairs)


MISSING = {"nan", "none", "n/a", "na", "null", ""}


def chartqa():
    space = function(code("lmms-eval", "lmms_eval", "tasks", "chartqa", "utils.py"),
                     {"relaxed_correctness"})
    numbers = ["105", "1.05", "1", "100", "50%", "0.5", "50", "0", "0.0", "2014", "2015", "1,000",
               "1_000", "inf", "nan", "-3", "1e3", " 7 ", "%", "%%", "5%%", "\u0665", "0x10", ".5"]
    rows, answers = [], []
    for i in range(N):
        gold = rng.choice(numbers) if rng.random() < .6 else (text(3, False) or "x")
        rows.append({"question_id": i, "type": rng.choice(["human_test", "augmented_test"]),
                     "question": f"How many {i}?", "answer": gold, "image": "x.png"})
        answers.append({"question_id": i, "text": rng.choice(numbers) if rng.random() < .6 else
                        near(gold)})
    total, ours, _ = score("chartqa", put("q.jsonl", rows), put("a.jsonl", answers))
    each = [float(space["relaxed_correctness"](answers[i]["text"], rows[i]["answer"]))
            for i in range(N)]
    keep("chartqa", os.path.join(work, "q.jsonl"), os.path.join(work, "a.jsonl"), None, [],
         {"accuracy": sum(each) / N}, each)
    compare("chartqa (lmms-eval)", [(i, ours[str(i)]["score"], each[i],
                                     (answers[i]["text"], rows[i]["answer"])) for i in range(N)])


def docvqa():
    space = function(code("lmms-eval", "lmms_eval", "api", "metrics.py"),
                     {"anls", "levenshtein_distance"})
    rows, answers = [], []
    for i in range(N):
        golds = [text(5, False) or "x" for _ in range(rng.randrange(1, 4))]
        rows.append({"questionId": i, "question": f"Who {i}?", "answers": golds, "image": "x.png"})
        answers.append({"questionId": i, "answer": near(rng.choice(golds))})
    total, ours, _ = score("docvqa", put_json("q.json", {"data": rows}),
                           put_json("a.json", answers))
    each = [space["anls"](rows[i]["answers"], [answers[i]["answer"]])["anls"] for i in range(N)]
    keep("docvqa", os.path.join(work, "q.json"), os.path.join(work, "a.json"), None, [],
         {"anls": sum(each) / N}, [float(x) for x in each])
    compare("docvqa (lmms-eval)", [(i, ours[str(i)]["score"], float(each[i]),
                                    (answers[i]["answer"], rows[i]["answers"])) for i in range(N)])


def captions():
    folder = os.path.join(ROOT, "coco-caption")
    sys.path.insert(0, folder)
    try:
        bleu = load("coco-caption", "bleu", "bleu_scorer.py")
        sys.modules["bleu_scorer"] = bleu
        cider = load("coco-caption", "cider", "cider_scorer.py")
        rouge = load("coco-caption", "rouge", "rouge.py")
    finally:
        sys.path.pop(0)
    vocabulary = "a man dog red car on the street with two cats near green table sits".split()
    images, notes, results, gts, res = [], [], [], {}, {}
    for i in range(N):
        images.append({"id": i, "file_name": f"{i}.jpg"})
        gts[i] = [" ".join(rng.choices(vocabulary, k=rng.randrange(1, 12)))
                  for _ in range(rng.randrange(1, 6))]
        notes += [{"image_id": i, "id": len(notes) + k, "caption": c} for k, c in enumerate(gts[i])]
        said = rng.choice(gts[i]).split()
        rng.shuffle(said)
        res[i] = [" ".join(said[:rng.randrange(1, len(said) + 1)])]
        results.append({"image_id": i, "caption": res[i][0]})
    q = put_json("q.json", {"images": images, "annotations": notes})
    a = put_json("a.json", results)
    total, rows, _ = score("coco-caption", q, a, "--annotations", q)
    scorer = cider.CiderScorer(n=4, sigma=6.0)
    for i in range(N):
        scorer += (res[i][0], gts[i])
    mean, each = scorer.compute_score()
    r_mean, r_each = rouge.Rouge().compute_score(gts, res)
    b = bleu.BleuScorer(n=4)
    for i in range(N):
        b += (res[i][0], gts[i])
    b_score, _ = b.compute_score(option="closest", verbose=0)
    compare("captions, rows (coco-caption)",
            [(i, rows[str(i)]["score"], float(min(each[i] / 10, 1)), (res[i], gts[i]))
             for i in range(N)])
    compare("captions, totals", [("cider", total["cider"], float(mean), ""),
                                 ("rouge_l", total["rouge_l"], float(r_mean), "")] +
            [(f"bleu_{k + 1}", total[f"bleu_{k + 1}"], float(b_score[k]), "") for k in range(4)])
    keep("coco-caption", q, a, None, [q], {"cider": float(mean), "rouge_l": float(r_mean), **{
        f"bleu_{k + 1}": float(b_score[k]) for k in range(4)}}, None)


CASES = [(textvqa, "LLaVA/llava/eval/m4c_evaluator.py", ["tqdm"]),
         (vqav2, "VQA/PythonEvaluationTools/vqaEvaluation/vqaEval.py", []),
         (pope, "LLaVA/llava/eval/eval_pope.py", []), (mme, "MME/calculation.py", []),
         (scienceqa, "LLaVA/llava/eval/eval_science_qa.py", []),
         (mmmu, "MMMU/mmmu/utils/eval_utils.py", ["numpy"]),
         (mmbench, "VLMEvalKit/vlmeval/utils/matching_util.py", []),
         (realworldqa, "lmms-eval/lmms_eval/tasks/_task_utils/mcq_extract.py", []),
         (ocrbench, "lmms-eval/lmms_eval/tasks/ocrbench/utils.py", []),
         (chartqa, "lmms-eval/lmms_eval/tasks/chartqa/utils.py", []),
         (docvqa, "lmms-eval/lmms_eval/api/metrics.py", []),
         (captions, "coco-caption/cider/cider_scorer.py", ["numpy"])]


def main():
    global work
    only = os.environ.get("CASE", "")
    for case, file, modules in CASES:
        if only not in case.__name__:
            continue
        lack = [m for m in modules if importlib.util.find_spec(m) is None]
        if not os.path.exists(os.path.join(ROOT, file)) or lack:
            print(f"SKIP {case.__name__}: " + (f"no module {lack[0]}" if lack else
                                               f"$PUBLISHED/{file} is not there"))
            continue
        if KEEP:
            work = os.path.join(os.path.abspath(KEEP), case.__name__)
            case()
            for name in ("said", "rows.jsonl", "result.json", "pid_splits.json"):
                if os.path.exists(os.path.join(work, name)):
                    os.remove(os.path.join(work, name))
            continue
        with tempfile.TemporaryDirectory() as work:
            case()
    if KEEP:
        with open(os.path.join(KEEP, "cases.json"), "w", encoding="utf-8") as f:
            f.write("[" + ",\n".join(json.dumps(c) for c in kept) + "]\n")
    return 1 if bad else 0


sys.exit(main())
