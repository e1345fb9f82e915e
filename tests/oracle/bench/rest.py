# SPDX-License-Identifier: Apache-2.0
"""Benchmarks whose rules stand elsewhere: MMVP, CapsBench, Stanford Dogs."""
from bench.made import answer, case, lines, mean, put, rng
from bench.yes_no import yes_no
from bench.choice import choice_texts, extract


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
        got = "n/a" if low in ("n/a", "n/a.") else yes_no(low)
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
