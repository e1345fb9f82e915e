# SPDX-License-Identifier: Apache-2.0
"""Made questions and answers for every benchmark, and what the published rules score them.

The rules are written here a second time, in the language the published scorers are written
in, from their descriptions; nothing is taken from the C code. Running it rewrites
tests/oracle/fixtures/bench: files in the published layouts, and cases.json, which
tests/pipeline/test_benchmarks_oracle.c replays. Needs only Python 3.
"""
import base64
import json
import math
import os
import random
import re
import string
import sys

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures", "bench")
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


# ---- the normalisers ----

PLAIN = ("'twas ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd "
         "he's how'd how'll how's isn't it'd it'll ma'am might've mightn't must've mustn't needn't "
         "not've o'clock oughtn't shan't should've shouldn't somebody'll somebody's someone'd "
         "someone'll someone's something'd something'll that's there'd there're there's they'd "
         "they'll they're they've wasn't we've weren't what'll what're what's what've when's where'd "
         "where's where've who'd who'll who's who've why'll why're why's won't would've wouldn't "
         "y'all you'd you'll you're you've").split()
MULTI = {
    "couldn't've": "couldn'tve couldnt've", "hadn't've": "hadnt've hadn'tve",
    "he'd've": "hed've he'dve", "it'd've": "itd've it'dve",
    "mightn't've": "mightnt've mightn'tve", "she'd've": "shed've she'dve",
    "shouldn't've": "shouldnt've shouldn'tve", "somebody'd've": "somebodyd've somebody'dve",
    "someone'd've": "someoned've someone'dve", "something'd've": "somethingd've something'dve",
    "there'd've": "thered've there'dve", "they'd've": "theyd've they'dve",
    "we'd've": "wed've we'dve", "who'd've": "whod've who'dve",
    "wouldn't've": "wouldnt've wouldn'tve", "you'd've": "youd've you'dve",
    "y'all'll": "yall'll y'allll", "y'all'd've": "yall'd've y'alld've y'all'dve",
    "'ow's'at": "ow's'at 'ows'at 'ow'sat",
}
TABLE = {value.replace("'", ""): value for value in PLAIN}
for value, keys in MULTI.items():
    for key in keys.split():
        TABLE[key] = value
TABLE.update({"Im": "I'm", "Ive": "I've", "Id've": "I'd've", "I'dve": "I'd've", "let's": "let's",
              "she's": "she's", "somebody'd": "somebodyd"})
assert len(PLAIN) == 73 and len(TABLE) == 120
NUMBERS = {"none": "0", "zero": "0"}
for i, word in enumerate("one two three four five six seven eight nine ten".split()):
    NUMBERS[word] = str(i + 1)
MARKS = list(';/[]"{}()=+\\_-><@`,?!')


def normalise(variant, text):
    if variant == "m4c":
        text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    text = text.replace("\n", " ").replace("\t", " ").strip()
    before, out = text, text
    for mark in MARKS:
        near = mark + " " in before or " " + mark in before
        numbered = re.search(r"\d,\d", before) is not None
        out = out.replace(mark, "" if near or numbered else " ")
    if variant == "vk":
        out = re.sub(r"(?<!\d)\.(?!\d)", "", out, count=32)
    else:
        out = re.sub(r"\.(?!\d)", "", out, count=32)
    words = []
    for word in out.lower().split():
        word = NUMBERS.get(word, word)
        if word not in ("a", "an", "the"):
            words.append(TABLE.get(word, word))
    return " ".join(words)


ODD = ["7.", "2.75.", "he's", "cats,dogs", "six,seven", "t-shirts", "2,500 t-shirts", "Hes",
       "zero.five", "a-b , c-d", "15:45", "$3.99", "the", "", "None", "Really?", "don't", "dont",
       "WONT", "it's 1,000 a/b", "cat/dog (old)", "cat/dog / cow", "Im", "somebody'd", "let's",
       "'ow's'at", "ow's'at", "\u0130stanbul", "\u039f\u03a3", "the\u00a0cat", "\u00a0cat\u3000",
       "x.\u0665", "\u0661,\u0662 a-b", "\u4e2d\u6587", "." * 40, "a. " * 40, "\uff11.\uff12",
       "caf\u00e9.", "don\u2019t", "3.\n5", "one\ttwo", "yall'd've", "that's", "THATS", "a", "an a",
       "mr. smith", "1.5.2", "...5", "5...", "\u00bd", "e.g. this", "yes,", "?", "!no", "no!", "@home",
       "under_score", "`tick`", "back\\slash", "100%", "#1", "rock & roll", "a;b", "[x]", "{y}",
       "\u212a", "\u1e9e", "stra\u00dfe", "\u01c5"]


def pool():
    words = ["cat", "dog", "2", "two", "the red bus", "yes", "no", "Yes.", "No", "blue", "Blue",
             "t-shirt", "1,000", "1000", "dont know", "unanswerable", "left side", "left", "it's",
             "its", "5.", "5", "none", "0", "a dog", "dog, cat", "stop!", "coca-cola", "coca cola"]
    return words + ODD


def agreement(people, said):
    return mean(min(1.0, sum(1 for j, p in enumerate(people) if j != i and p == said) / 3.0)
                for i in range(len(people)))


def make_people(n=10):
    words = rng.sample(pool(), rng.randint(1, 4))
    return [rng.choice(words) for _ in range(n)]


def make_vqa():
    rows = []
    for variant in ("m4c", "off", "vk"):
        for text in pool():
            rows.append([variant, text, normalise(variant, text)])
        for _ in range(60):
            text = "".join(rng.choice("ab1. ,-'s?/\tT\n5") for _ in range(rng.randint(1, 24)))
            rows.append([variant, text, normalise(variant, text)])
        for key in sorted(TABLE):
            rows.append([variant, key, normalise(variant, key)])
    put("normalise.json", json.dumps(rows, ensure_ascii=False, indent=0) + "\n")

    questions, annotations, answers = [], [], []
    for i in range(150):
        people = make_people()
        qid = 262148000 + i
        questions.append({"question_id": qid, "image": "COCO_val2014_%012d.jpg" % (i // 3),
                          "text": "What is it %d?\nAnswer the question using a single word or "
                                  "phrase." % i, "category": "default"})
        annotations.append({"question_id": qid, "image_id": i // 3,
                            "question_type": rng.choice(["what is", "how many", "is the"]),
                            "answer_type": rng.choice(["yes/no", "number", "other"]),
                            "multiple_choice_answer": people[0],
                            "answers": [{"answer": p, "answer_confidence": "yes",
                                         "answer_id": k + 1} for k, p in enumerate(people)]})
        answers.append(answer(qid, rng.choice(people + pool()[:8])))
    rng.shuffle(answers)
    q = lines("vqav2/questions.jsonl", questions)
    a = lines("vqav2/answers.jsonl", answers)
    g = put("vqav2/annotations.json", json.dumps({"info": {}, "annotations": annotations},
                                                 ensure_ascii=False))
    said = {r["question_id"]: r["text"] for r in answers}
    for variant in ("llava", "off"):
        scores = []
        for note in annotations:
            text = said[note["question_id"]]
            if variant == "llava":
                text = normalise("m4c", text)
            text = text.replace("\n", " ").replace("\t", " ").strip()
            people = [p["answer"].replace("\n", " ").replace("\t", " ").strip()
                      for p in note["answers"]]
            if len(set(people)) > 1:
                people = [normalise("off", p) for p in people]
                text = normalise("off", text)
            scores.append(agreement(people, text))
        metrics = {"accuracy": mean(scores)}
        for field, name in (("answer_type", "answer_type"), ("question_type", "question_type")):
            for value in sorted({n[field] for n in annotations}):
                metrics["%s/%s" % (name, value)] = mean(
                    s for s, n in zip(scores, annotations) if n[field] == value)
        case("vqav2", q, a, metrics, scores, [g], variant)


def make_vizwiz():
    val, questions, answers = [], [], []
    for i in range(120):
        people = make_people()
        val.append({"image": "VizWiz_val_%08d.jpg" % i, "question": "What is %d?" % i,
                    "answers": [{"answer": p, "answer_confidence": "yes"} for p in people],
                    "answer_type": rng.choice(["other", "number", "yes/no", "unanswerable"]),
                    "answerable": rng.randint(0, 1)})
        questions.append({"question_id": i, "image": val[-1]["image"], "text": "What is %d?\nWhen "
                          "the provided information is insufficient, respond with 'Unanswerable'."
                          "\nAnswer the question using a single word or phrase." % i,
                          "category": "default"})
        answers.append(answer(i, rng.choice(people + ["Unanswerable", "unanswerable."])))
    rng.shuffle(answers)
    g = put("vizwiz/val.json", json.dumps(val, ensure_ascii=False))
    q = lines("vizwiz/questions.jsonl", questions)
    a = lines("vizwiz/answers.jsonl", answers)
    said = {r["question_id"]: r["text"] for r in answers}
    for variant in ("llava", "off", "m4c"):
        scores, parsed = [], []
        for i, note in enumerate(val):
            text, people = said[i], [p["answer"] for p in note["answers"]]
            if variant != "off":
                text = normalise("m4c", text)
            if variant == "m4c":
                people = [normalise("m4c", p) for p in people]
            else:
                text = normalise("off", text)
            parsed.append(text)
            scores.append(agreement(people, text))
        metrics = {"accuracy": mean(scores),
                   "unanswerable_share": mean(p == "unanswerable" for p in parsed)}
        gold = [n["answerable"] == 0 for n in val]
        hits = sum(g_ and p == "unanswerable" for g_, p in zip(gold, parsed))
        metrics["unanswerable_f1"] = 2 * hits / (sum(gold) + sum(p == "unanswerable"
                                                                 for p in parsed))
        for value in sorted({n["answer_type"] for n in val}):
            metrics["answer_type/" + value] = mean(s for s, n in zip(scores, val)
                                                   if n["answer_type"] == value)
        case("vizwiz", q, a, metrics, scores, [g], variant)
    # the upload form, joined by the picture
    upload = [{"image": n["image"], "answer": normalise("m4c", said[i])}
              for i, n in enumerate(val)]
    put("vizwiz/upload.json", json.dumps(upload, ensure_ascii=False))


def make_textvqa():
    data, plain, ocr, by_plain, by_ocr = [], [], [], [], []
    for i in range(90):
        people = make_people()
        image = "%016x" % (i // 2 * 7919)       # two questions of one image share the id
        question = "What does it say %d?" % i if i % 5 else "WHAT Brand is it %d?" % i
        tokens = rng.sample(["exit", "STOP", "24h", "caf\u00e9", "a,b"], rng.randint(0, 4))
        data.append({"question_id": 34602 + i, "image_id": image, "question": question,
                     "answers": people})
        short = "\nAnswer the question using a single word or phrase."
        p1 = question + "\nReference OCR token: " + ", ".join(tokens) + short
        p2 = question + short
        ocr.append({"question_id": image, "image": image + ".jpg", "text": p1,
                    "category": "default"})
        text = rng.choice(people + ["stop", "7."])
        by_ocr.append(answer(image, text, p1))
        by_plain.append(answer(image, text, p2))
    scores = [agreement([normalise("m4c", p) for p in d["answers"]], normalise("m4c", r["text"]))
              for d, r in zip(data, by_ocr)]
    rng.shuffle(by_ocr)
    rng.shuffle(by_plain)
    g = put("textvqa/val.json", json.dumps({"dataset_type": "val", "data": data},
                                           ensure_ascii=False))
    q = lines("textvqa/questions.jsonl", ocr)
    case("textvqa", q, lines("textvqa/answers.jsonl", by_ocr), {"accuracy": mean(scores)}, scores,
         [g])
    case("textvqa-plain", g, lines("textvqa/answers_plain.jsonl", by_plain),
         {"accuracy": mean(scores)}, scores, [g])
    case("textvqa-plain", q, "textvqa/answers_plain.jsonl", {"accuracy": mean(scores)}, scores,
         [g])


# ---- yes or no ----

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
    words = out.split()
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


# ---- multiple choice ----

def ladder(text, options):
    letters = "ABCD"[:len(options)]
    for phrase in ("Sorry, I can't help with images of people yet.", "I can't process this file.",
                   "I'm sorry, but without the image provided", "Cannot determine the answer"):
        if phrase in text:
            return None
    mod = text
    for c in ".()[],:;!*#{}":
        mod = mod.replace(c, " ")
    splits = mod.split()
    there = [c for c in letters if c in splits]
    if len(there) == 1 and splits.index(there[0]) > len(splits) - 5:
        return there[0]
    found = re.search(r"(?:correct )?answer is \**([A-D])", text, re.IGNORECASE)
    if found and found.group(1).upper() in letters:
        return found.group(1).upper()
    if len(text) <= 2 * sum(len(o) for o in options):
        hits = [c for c, o in zip(letters, options) if o.lower() in text.lower()]
        if len(hits) == 1:
            return hits[0]
    return None


def tokens(text, options):
    letters = "ABCD"[:len(options)]
    splits = text.split()
    there = [c for c in letters if c in splits]
    if len(there) == 1 and not ("A" in splits and len(splits) > 3):
        return there[0]
    for a, b in (("", "."), ("", ","), ("", ":"), ("", ")"), ("", ")."), ("(", ")"), ("(", ")."),
                 (":", ""), (":", ","), (":", "."), (":", ")"), (":", ").")):
        there = [c for c in letters if a + c + b in splits]
        if len(there) == 1:
            return there[0]
    hits = [c for c, o in zip(letters, options) if o.lower() in text.lower()]
    return hits[0] if len(hits) == 1 else None


def extract(text, letters):
    for mark in [",", ".", "!", "?", ";", ":", "'", '"']:
        text = text.strip(mark)
    padded = " " + text + " "
    found = []
    bare = padded.strip()
    if bare:
        at = padded.index(bare)
        if bare[0] in letters and not bare[1:2].isalpha():
            found.append((10, at, bare[0]))
        if bare[-1] in letters and not bare[-2:-1].isalpha():
            found.append((9, at + len(bare) - 1, bare[-1]))
    low = padded.lower()
    for phrase in ("answer is", "answer:", "choice is", "option is", "i choose", "i select", "i pick"):
        start = low.find(phrase)
        while start >= 0:
            for c in letters:
                k = padded.find(c, start + len(phrase))
                if k >= 0:
                    found.append((7, k, c))
            start = low.find(phrase, start + 1)
    for c in letters:
        for form, priority, shift in (("(%s)", 6, 1), ("%s.", 5, 0), ("%s:", 4, 0), ("%s)", 3, 0),
                                      ("%s ", 2, 0)):
            form = form % c
            k = padded.find(form)
            while k >= 0:
                found.append((priority, k + shift, c))
                k = padded.find(form, k + 1)
    if not found:
        for k, c in enumerate(padded):
            if c in letters:
                found.append((0, k, c))
    return max(found)[2] if found else None


def choice_texts(options):
    letters = "ABCDEFGH"[:len(options)]
    forms = ["{L}", "{L}.", "({L})", "{L})", "{L}: {O}", "{O}", "The answer is {L}.",
             "The answer is **{L}**", "I think it is {L}", "{L} {O}", "It shows {O}",
             "Both A and B", "", "neither", "Cannot determine the answer", "{l}", "{L}\n",
             "A cat with {O}", "Answer: {L}", "{L} is what I would take here now", "the {O} one, {L}",
             ":{L}", "A dog is {L}.", "I choose {L}", "(A) or ({L})"]
    k = rng.randrange(len(options))
    return rng.choice(forms).format(L=letters[k], l=letters[k].lower(), O=options[k])


def make_choice():
    png = base64.b64encode(bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108020000009077"
        "53de0000000c4944415478da63f8cfc0000003010100c9fe92ef0000000049454e44ae426082")).decode()
    thing = ["red car", "blue car", "green door", "old dog", "small cat", "tall tree", "3 apples",
             "nothing at all"]

    # MMBench: rotations
    for bench, folder in (("mmbench", "mmbench"), ("mmbench-cn", "mmbench_cn")):
        head = "index question hint A B C D answer category image source l2-category split".split()
        table, said = [], {}
        groups = {}
        for i in range(40):
            n = rng.choice([2, 3, 4, 4, 4])
            options = rng.sample(thing, n)
            gold = rng.randrange(n)
            cat, l2 = rng.choice([("kind", "AR"), ("size", "LR"), ("place", "CP")])
            for turn in range(n):
                opts = options[turn:] + options[:turn]
                g = (gold - turn) % n
                index = i + 1000000 * turn
                cells = opts + ["nan"] * (4 - n)
                table.append([str(index), 'What "is"\tit %d?' % i, "look" if i % 3 else ""] + cells +
                             ["ABCD"[g], cat, png if turn == 0 else str(i), "made", l2, "dev"])
                text = rng.choice(["ABCD"[g]] * 3 + [choice_texts(opts)])
                said[index] = text
                groups.setdefault(i, []).append((text, opts, "ABCD"[g], cat, l2))

        def cell(text):
            return '"' + text.replace('"', '""') + '"' if set(text) & set('\t\n\r"') else text
        rng.shuffle(table)
        q = put(folder + "/dev.tsv", "\n".join("\t".join(map(cell, r)) for r in [head] + table)
                + "\n")
        a = lines(folder + "/answers.jsonl", [answer(k, v) for k, v in said.items()])
        for name, parser in (("ladder", ladder), ("tokens", tokens)):
            hit = {i: [parser(t, o) == g for t, o, g, _, _ in rows] for i, rows in groups.items()}
            metrics = {"circular_accuracy": mean(all(v) for v in hit.values()),
                       "vanilla_accuracy": mean(v[0] for v in hit.values())}
            for key, at in (("category", 3), ("l2", 4)):
                for value in sorted({rows[0][at] for rows in groups.values()}):
                    metrics[key + "/" + value] = mean(all(hit[i]) for i, rows in groups.items()
                                                      if rows[0][at] == value)
            failed = sum(parser(t, o) is None for rows in groups.values() for t, o, _, _, _ in rows)
            case(bench, q, a, metrics, None, [], name, failed)

    # SEED: LLaVA's ids are whole numbers where they can be
    names = ["", "scene understanding", "instance identity", "instance attributes",
             "instance location", "instance counting", "spatial relation", "instance interaction",
             "visual reasoning", "text understanding", "action recognition", "action prediction",
             "procedure understanding"]
    official, questions, answers = [], [], []
    for i in range(120):
        kind = 1 + i % 12
        qid = "v%d" % i if kind > 9 else "%d" % (100000 + i)
        options = rng.sample(thing, 4)
        official.append({"answer": rng.choice("ABCD"), "choice_a": options[0], "choice_b": options[1],
                         "choice_c": options[2], "choice_d": options[3], "data_id": "d%d" % i,
                         "data_type": "video" if kind > 9 else "image", "question": "What %d?" % i,
                         "question_id": qid, "question_type_id": kind, "segment": -1})
        ours = qid if qid.startswith("v") else int(qid)
        questions.append({"question_id": ours, "image": "SEED-Bench-image/d%d" % i,
                          "text": "What %d?" % i + "".join("\n%s. %s" % p for p in zip("ABCD",
                          options)) + "\nAnswer with the option's letter from the given choices "
                          "directly.", "category": "x"})
        answers.append(answer(ours, rng.choice([official[-1]["answer"]] * 3 +
                                               ["A", "b", "C.", " D", "", "It is A"])))
    g = put("seed/SEED-Bench.json", json.dumps({"questions": official, "question_type": {
        n: i for i, n in enumerate(names) if i}}))
    q = lines("seed/questions.jsonl", questions)
    said = [r["text"] for r in answers]
    for name, right in (("letter", lambda t, o: t == o["answer"]),
                        ("first", lambda t, o: t.strip()[:1].upper() == o["answer"])):
        scores = [float(right(t, o)) for t, o in zip(said, official)]
        metrics = {"accuracy": mean(scores)}
        for value in ("image", "video"):
            metrics[value] = mean(s for s, o in zip(scores, official) if o["data_type"] == value)
        for i in range(1, 13):
            metrics["type/" + names[i]] = mean(s for s, o in zip(scores, official)
                                               if o["question_type_id"] == i)
        if name == "letter":
            rng.shuffle(answers)
            lines("seed/answers.jsonl", answers)
        case("seed", q, "seed/answers.jsonl", metrics, scores, [g], name)

    # AI2D and MMStar with the extracting parser, CV-Bench with the first letter
    rows, answers, scores = [], [], []
    for i in range(80):
        options = rng.sample(thing, 4)
        gold = rng.randrange(4)
        rows.append({"question_id": "q%d" % i, "question": "Which %d?" % i, "options": options,
                     "answer": str(gold), "image": "i%d.png" % i})
        text = choice_texts(options)
        answers.append(answer("q%d" % i, text))
        scores.append(float(extract(text, "ABCD") == "ABCD"[gold]))
    case("ai2d", lines("ai2d/questions.jsonl", rows), lines("ai2d/answers.jsonl", answers),
         {"accuracy": mean(scores)}, scores, [], "extract")
    rows, answers, scores, detail = [], [], [], {}
    for i in range(90):
        options = rng.sample(thing, 4)
        gold = rng.randrange(4)
        l2 = "detail %d" % (i * i % 7)
        rows.append({"index": i, "question": "Which %d?\nOptions: A: %s, B: %s, C: %s, D: %s"
                     % ((i,) + tuple(options)), "answer": "ABCD"[gold], "category": "c%d" % (i % 3),
                     "l2_category": l2, "image": "i%d.png" % i})
        text = choice_texts(options)
        answers.append(answer(i, text))
        scores.append(float(extract(text, "ABCD") == "ABCD"[gold]))
        detail.setdefault(l2, []).append(scores[-1])
    metrics = {"accuracy": mean(scores), "average": mean(mean(v) for v in detail.values())}
    case("mmstar", lines("mmstar/questions.jsonl", rows), lines("mmstar/answers.jsonl", answers),
         metrics, scores)
    rows, answers, scores, parts = [], [], [], {}
    for i in range(80):
        n = rng.choice([2, 3, 4, 5, 6])
        options = rng.sample(thing, n)
        gold = rng.randrange(n)
        source = rng.choice(["ADE20K", "COCO", "Omni3D"])
        rows.append({"idx": i, "type": "3D" if source == "Omni3D" else "2D",
                     "task": rng.choice(["Count", "Depth"]), "image": "i%d.png" % i,
                     "question": "Which %d?" % i, "choices": options,
                     "answer": "(%s)" % "ABCDEF"[gold], "source": source,
                     "prompt": "Which %d? Select from the following." % i})
        text = choice_texts(options)
        answers.append(answer(i, text))
        found = re.match(r"\(?([A-%s])" % "ABCDEF"[n - 1], text.strip(), re.IGNORECASE)
        scores.append(float(bool(found) and found.group(1).upper() == "ABCDEF"[gold]))
        parts.setdefault(source, []).append(scores[-1])
    two = (mean(parts["ADE20K"]) + mean(parts["COCO"])) / 2
    case("cv-bench", lines("cvbench/questions.jsonl", rows), lines("cvbench/answers.jsonl", answers),
         {"2d": two, "3d": mean(parts["Omni3D"]), "overall": (two + mean(parts["Omni3D"])) / 2,
          "accuracy": mean(scores)}, scores)

    # ScienceQA
    rows, answers, results, tagged, problems = [], [], [], [], {}
    pool_ = ["{L}", "{L}. {O}", "The answer is {L}.", "The answer is {L}", "{L}.", "The answer is Blue",
             "So The answer is {L}, I think", "The answer is A. The answer is B.", "({L})", "", "E",
             "The answer is Q.", "{l}"]
    for i in range(80):
        n = rng.choice([2, 3, 4, 5])
        options = rng.sample(thing, n)
        gold = rng.randrange(n)
        has = i % 3 != 0
        value = ("<image>\n" if has else "") + "Context: N/A\nWhich %d?" % i + "".join(
            "\n%s. %s" % p for p in zip("ABCDE", options))
        row = {"id": str(i), "conversations": [{"from": "human", "value": value},
                                               {"from": "gpt", "value": "ABCDE"[gold]}]}
        if has:
            row["image"] = "%d/image.png" % i
        rows.append(row)
        problems[str(i)] = {"question": "Which", "choices": options, "answer": gold,
                            "image": "image.png" if has else None, "split": "test"}
        k = rng.randrange(n)
        text = rng.choice(pool_).format(L="ABCDE"[k], l="abcde"[k], O=options[k])
        answers.append(answer(str(i), text, ("<image>\n" if has else "") + "Context..."))
        if text in list("ABCDE"):
            letter = text
        elif len(text) >= 3 and text[0] in "ABCDE" and text[1:3] == ". ":
            letter = text[0]
        else:
            found = re.findall(r"The answer is ([A-Z]).", text)
            letter = found[0] if len(found) == 1 else "FAILED"
        results.append(float(letter in "ABCDE"[:n] and letter != "FAILED"
                             and "ABCDE".index(letter) == gold))
        tagged.append(has)
    q = put("scienceqa/questions.json", json.dumps(rows))
    g = put("scienceqa/problems.json", json.dumps(problems))
    said = [r["text"] for r in answers]
    rng.shuffle(answers)
    a = lines("scienceqa/answers.jsonl", answers)
    case("scienceqa", q, a,
         {"accuracy": mean(results), "img_accuracy": mean(r for r, t in zip(results, tagged) if t)},
         results, [g], "llava")
    results = []
    for text, row in zip(said, rows):
        gold = row["conversations"][1]["value"]
        results.append(float(text.lower() == gold.lower() or (
            len(text) >= 2 and text[0].isupper() and text[1] == "." and text[0] == gold)))
    case("scienceqa", q, a, {"accuracy": mean(results)}, results, [g], "lmms")


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


# ---- texts and numbers ----

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


# ---- captions ----

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


def make_gqa():
    rows, questions, answers, scores = {}, [], [], []
    for i in range(60):
        gold = rng.choice(["yes", "no", "cat", "left", "blue"])
        qid = "%08d" % (i * 37)
        structural = "verify" if gold in ("yes", "no") else rng.choice(["query", "choose"])
        rows[qid] = {"question": "Is %d?" % i, "imageId": "n%d" % (i // 4), "answer": gold,
                     "isBalanced": True, "types": {"structural": structural, "semantic":
                                                   rng.choice(["attr", "rel"])}}
        questions.append({"question_id": qid, "image": "n%d.jpg" % (i // 4), "text": "Is %d?\nAnswer "
                          "the question using a single word or phrase." % i, "category": "default"})
        said = rng.choice([gold, gold.upper(), gold + ".", gold + " ", "a " + gold, "dog", gold + ".."])
        answers.append(answer(qid, said))
        scores.append(float(said.rstrip(".").lower() == gold))
    metrics = {"accuracy": mean(scores)}
    for value in ("query", "choose", "verify"):
        metrics["structural/" + value] = mean(s for s, r in zip(scores, rows.values())
                                              if r["types"]["structural"] == value)
    metrics["open"] = metrics["structural/query"]
    g = put("gqa/testdev_balanced_questions.json", json.dumps(rows))
    q = lines("gqa/questions.jsonl", questions)
    rng.shuffle(answers)
    a = lines("gqa/answers.jsonl", answers)
    case("gqa", q, a, metrics, scores, [g], "llava")
    said = {r["question_id"]: r["text"] for r in answers}

    def bare(text):
        return text.lower().translate(str.maketrans("", "", string.punctuation))
    for name, same in (("lmms", lambda t, g_: bare(t) == bare(g_)),
                       ("vlmeval", lambda t, g_: t.strip().lower() == g_.strip().lower())):
        scores = [float(same(said[k], r["answer"])) for k, r in rows.items()]
        case("gqa", q, a, {"accuracy": mean(scores)}, scores, [g], name)


def make_rest():
    csv = ["Index,Question,Options,Correct Answer"]
    answers, right = [], []
    pool_ = ["({l})", "({L})", "{l}", "{L}.", "{O}", "It is {O}.", "({l}) {O}", "both", "", "{l}) {O}"]
    for i in range(40):
        options = ["Open", "Closed"] if i % 3 else ["the left, one", "Right"]
        gold = rng.randrange(2)
        text = "(a) %s (b) %s" % tuple(options)
        csv.append('%d,Is it %d?,%s,(%s)' % (i + 1, i, '"' + text + '"' if "," in text else text,
                                             "ab"[gold]))
        k = rng.choice([gold, gold, gold, 1 - gold])
        form = rng.choice(pool_)
        said = form.format(l="ab"[k], L="AB"[k], O=options[k])
        answers.append({"question_id": i + 1, "text": said})
        right.append(form not in ("both", "") and k == gold)
    case("mmvp", put("mmvp/Questions.csv", "\n".join(csv) + "\n"),
         lines("mmvp/answers.jsonl", answers),
         {"accuracy": mean(right), "pair_accuracy": mean(a and b for a, b in
                                                         zip(right[::2], right[1::2]))},
         [float(r) for r in right])
    rows, answers, scores = [], [], []
    for i in range(50):
        gold = rng.choice(["yes", "no", "n/a"])
        said = rng.choice([gold, gold.capitalize() + ".", "It is " + gold, "yes", "No", "maybe"])
        rows.append({"question_id": i, "image": "i%d.jpg" % (i // 5), "question": "Is it %d?" % i,
                     "answer": gold, "category": "color" if i % 2 else "count"})
        answers.append(answer(i, said))
        low = said.lower().strip()
        got = "n/a" if low in ("n/a", "n/a.") else yes_no_period(low)
        scores.append(float(got == gold))
    case("capsbench", lines("capsbench/questions.jsonl", rows),
         lines("capsbench/answers.jsonl", answers), {"accuracy": mean(scores)}, scores)
    rows, answers, scores = [], [], []
    for i in range(40):
        options = rng.sample(["beagle", "boxer", "chow", "collie", "pug", "whippet"], 4)
        gold = rng.randrange(4)
        rows.append({"question_id": i, "image": "d%d.jpg" % i, "options": options,
                     "answer": "ABCD"[gold]})
        said = choice_texts(options)
        answers.append(answer(i, said))
        scores.append(float(extract(said, "ABCD") == "ABCD"[gold]))
    case("dogs", lines("dogs/questions.jsonl", rows), lines("dogs/answers.jsonl", answers),
         {"accuracy": mean(scores)}, scores)


def yes_no_period(text):
    return yes_no(text)


def main():
    os.makedirs(OUT, exist_ok=True)
    for make in (make_vqa, make_vizwiz, make_textvqa, make_gqa, make_pope, make_mme, make_hallusion,
                 make_choice, make_mmmu, make_chartqa, make_docvqa, make_ocrbench, make_realworldqa,
                 make_mathvista, make_captions, make_rest):
        make()
    put("cases.json", json.dumps(CASES, ensure_ascii=False, indent=1) + "\n")
    print("%d cases of %d benchmarks" % (len(CASES), len({c["bench"] for c in CASES})))
    return 0


if __name__ == "__main__":
    sys.exit(main())
