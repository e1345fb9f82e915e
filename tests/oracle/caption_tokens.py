# SPDX-License-Identifier: Apache-2.0
"""Captions cut by the official scorers' tokenizer and by ours, compared.

    caption_tokens.py stanford-corenlp-3.4.1.jar build/sea [SEED]

Needs Java and the jar (the package pycocoevalcap has it); neither is part of the tests. Prints
the captions that differ, and how many of how many.
"""
import json
import os
import random
import subprocess
import sys
import tempfile

DROPPED = ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--",
           "...", ";"]
ODD = """A man's dog doesn't sit.|You cannot "see" it!|a well-known player - in red; blue|one cat (black)
they're the boys' bikes|5 o'clock at 12:30|1,000 people & a 2.5 lb bag|with a hat...|50% off|$20 & #1
a '90s car in '98 'quoted'|at 5 a.m.|at 5 p.m. on Monday|a U.S. map of St. Paul.|black/white and/or 1/2
Mr. Smith|a t-shirt and u-turn|gonna wanna gotta|No. 5 bus|3-year-old boy|rock 'n' roll|R&B at A&W
end.Next one|wait!what|etc. on a road|c'mon y'all|I'd've|Dr. Who vs. Mr. X|@home|#tag #1|x-ray's
[b] {c}|12:30pm|what?!|what!!|100 degrees|No smoking|5th Ave.|w/o cheese|24/7|e.g. this|70's|'tis the
3 1/2 inch|2x4|wait... what|a -- b|+5 and -5|www.example.com|me@x.com|it's 1/2 full|man,woman|Ltd."""
WORDS = ("a man woman two dogs sitting on the red bus, near table; standing - in street. child's toy is "
         "isn't white/black t-shirt 3 2.5 1,000 (blue) \"sign\" says 'stop' & # 5 it's they're cannot "
         "old-fashioned of with that holding an umbrella! st. u.s. etc. mr. 12:30 pm o'clock boys' n't "
         "$5 50% 2nd Mr. J. A. pizza's can't I'm you'll BMX TV's St. 4x4 t.v. a.m. night-time, ok?").split()


def main():
    jar, sea = sys.argv[1:3]
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    captions = [c for line in ODD.split("\n") for c in line.split("|")]
    for _ in range(5000):
        captions.append(" ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 12)))
                        + rng.choice(["", ".", "!", " ."]))
    with tempfile.TemporaryDirectory() as folder:
        text, gold, said, rows = (os.path.join(folder, n) for n in ("t.txt", "c.json", "r.json", "o.jsonl"))
        with open(text, "w", encoding="utf-8") as f:
            f.write("\n".join(captions))
        out = subprocess.run(["java", "-Dfile.encoding=UTF-8", "-cp", jar,
                              "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", text],
                             capture_output=True, check=True).stdout.decode().split("\n")
        want = [" ".join(w for w in line.rstrip().split(" ") if w not in DROPPED) for line in out]
        with open(gold, "w") as f:
            json.dump({"images": [{"id": i, "file_name": "x.jpg"} for i in range(len(captions))],
                       "annotations": [{"image_id": i, "caption": "x"} for i in range(len(captions))]}, f)
        with open(said, "w") as f:
            json.dump([{"image_id": i, "caption": c} for i, c in enumerate(captions)], f)
        subprocess.run([sea, "score", "coco-caption", "--questions", gold, "--answers", said,
                        "--annotations", gold, "--rows", rows], check=True, capture_output=True)
        with open(rows, encoding="utf-8") as f:
            got = [json.loads(line)["parsed"] for line in f]
    differ = [(c, w, g) for c, w, g in zip(captions, want, got) if w != g]
    for one in differ[:40]:
        print("%r\n  official %r\n  ours     %r" % one)
    print("%d of %d captions differ" % (len(differ), len(captions)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
