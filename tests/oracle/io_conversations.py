# SPDX-License-Identifier: Apache-2.0
"""Reference values for conversation templates, made the way LLaVA's training code works: the
whole dialogue becomes one text, which is cut at <image>; the parts are tokenised one by one;
labels are found by counting the words of each round. Needs the tokenizers of
io_tokenizer_files.py; writes tests/oracle/fixtures/conversations.json. Run by hand:

    python tests/oracle/io_conversations.py
"""
import json
import pathlib

from tokenizers import Tokenizer

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
SYSTEM = ("A chat between a curious user and an artificial intelligence assistant. The assistant "
          "gives helpful, detailed, and polite answers to the user's questions.")
IMAGE, NONE = -200, -100
ROWS = [
    [["human", "<image>\nWhat is in the picture?"], ["gpt", "A red cat."]],
    [["human", "What is in the picture?\n<image>"], ["gpt", "A lamp, isn't it?"],
     ["human", "Where?"], ["gpt", "Under the old tree, near the river."], ["human", "No."],
     ["gpt", "Yes."]],
    [["gpt", "dropped"], ["human", "  <image> <image> seven boats "], ["gpt", "7"]],
    [["human", "<image>"], ["gpt", "house"]],
    [["human", "Hello there"], ["gpt", "Hi.\nHow are you?\n"], ["human", "fine\n"], ["gpt", "ok"]],
    [["human", "caf\u00e9 \u65e5\u672c"], ["gpt", "\u00e9t\u00e9 \U0001f600"]],
    [["human", "first"], ["gpt", "one"], ["human", "no answer follows"]],
    [["human", "empty"], ["gpt", ""], ["human", "more"], ["gpt", "text"]],
    [["human", "a literal <image> tag"], ["gpt", "is text here"]],
]
TEXT_ONLY = {4, 5, 6, 7, 8}
PLAIN = [[["human", "Describe.\n<image>"], ["gpt", "a red cat sleeps near the river"]],
         [["human", "<image>\nShort."], ["gpt", " lamp "]]]


class Chunked:
    def __init__(self, tokenizer, bos):
        self.tokenizer, self.bos = tokenizer, bos

    def __call__(self, text, split=True):
        """BOS once, IMAGE between the parts."""
        out = [self.bos]
        for i, part in enumerate(text.split("<image>") if split else [text]):
            out += [IMAGE] if i else []
            out += self.tokenizer.encode(part, add_special_tokens=False).ids
        return out


def clean(row, has_image):
    row = row[1:] if row[0][0] != "human" else row
    out = []
    for who, text in row:
        if has_image and "<image>" in text:
            text = ("<image>\n" + text.replace("<image>", "").strip()).strip()
        out.append([who, text])
    return out


def v1_text(row, eos):
    text = SYSTEM + " "
    for i, (who, value) in enumerate(row):
        role = ["USER", "ASSISTANT"][i % 2]
        text += f"{role}: {value}{[' ', eos][i % 2]}" if value else f"{role}:"
    return text


def v1_labels(text, ids, encode, eos):
    """None where the counting is known not to work."""
    labels, at = list(ids), 1
    labels[0] = NONE
    for part in text.split(eos):
        if not part:
            break
        halves = part.split(" ASSISTANT: ")
        if len(halves) != 2:
            return None
        length, asked = len(encode(part)), len(encode(halves[0] + " ASSISTANT: ")) - 2
        labels[at:at + asked] = [NONE] * asked
        at += length
    return labels if at == len(ids) else None


def main():
    out = []
    for name, bos, eos in [("llama2", "<s>", "</s>"), ("metaspace_first", "<s>", "</s>"),
                           ("metaspace_always", "<s>", "</s>"), ("gemma", "<s>", "</s>"),
                           ("llama3", "<s>", "</s>")]:
        tokenizer = Tokenizer.from_file(str(FIXTURES / "tokenizers" / name / "tokenizer.json"))
        encode = Chunked(tokenizer, tokenizer.token_to_id(bos))
        rows = []
        for i, row in enumerate(ROWS):
            has_image = i not in TEXT_ONLY
            text = v1_text(clean(row, has_image), eos)
            ids = encode(text, has_image)
            labels = None
            if name == "llama2":
                labels = v1_labels(text, ids, lambda part: encode(part, has_image), eos)
            rows.append({"kind": "v1", "image": has_image, "turns": row, "ids": ids, "labels": labels})
        for row in PLAIN:
            ids = encode("<image>" + row[1][1] + "\n")
            rows.append({"kind": "plain", "image": True, "turns": row, "ids": ids,
                         "labels": [NONE, NONE] + ids[2:]})
        prompts = [{"question": q, "image": image,
                    "ids": encode(v1_text([["human", ("<image>\n" if image else "") + q]], eos) + "ASSISTANT:")}
                   for q in ("What is it?", "Where is the cat?\nAnswer with one word.") for image in (True, False)]
        out.append({"tokenizer": name, "rows": rows, "prompts": prompts})
        print(name, len(rows), sum(row["labels"] is not None for row in rows))
    (FIXTURES / "conversations.json").write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
