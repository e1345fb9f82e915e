# SPDX-License-Identifier: Apache-2.0
"""Short answers: the normalisers, agreement with ten people; VQAv2, VizWiz, TextVQA, GQA."""
import json
import re
import string

from bench.made import answer, case, lines, mean, put, rng

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
