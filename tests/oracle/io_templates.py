# SPDX-License-Identifier: Apache-2.0
"""Reference values for chat templates: small tokenizers with the special words of the
families, and for each template the ids of whole dialogues as `tokenizers` cuts them, with
the labels that LLaVA's counting gives. For v1 and TinyLLaVA's templates that is: cut the
text at the end words, tokenise each round alone, add up; a sum that is wrong masks the whole
sample ("skips"). For the families' own templates: the ids of the text up to an answer, and
up to its end. Writes fixtures/templates.json and fixtures/tokenizers/chat_*. Run by hand:

    python tests/oracle/io_templates.py
"""
import json
import pathlib

from tokenizers import AddedToken, Tokenizer

from io_conversations import IMAGE, NONE, PLAIN, ROWS, SYSTEM, TEXT_ONLY, clean

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
WORDS = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>",
         "<start_of_turn>", "<end_of_turn>", "<eos>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"]
MORE = [
    [["human", "<image>\nIs it <b>ASSISTANT: </b>?"], ["gpt", "No."]],
    [["human", "ask"], ["gpt", "the word ASSISTANT: stands here"], ["human", "and?"], ["gpt", "so"]],
    [["human", "ask"], ["gpt", "a </s> in the middle"], ["human", "and?"], ["gpt", "so"]],
    [["human", "ask \n"], ["gpt", "line\n\nline "], ["human", " and?"], ["gpt", "so"]],
    [["human", "an <unk> word \u2042"], ["gpt", "\u2042\u2042"]],
]
TEXT = TEXT_ONLY | {len(ROWS) + i for i in range(1, 5)}
ENDS = {"v1": None, "tiny-llama": "</s>", "tiny-gemma": "<eos>", "tiny-phi": "<|endoftext|>",
        "tiny-qwen2": "<|endoftext|>", "tiny-qwen2-instruct": "<|im_end|>"}
# before the system text, it, after it; before a question, after; before an answer, its end, after
STYLES = {
    "llama-3": ("<|start_header_id|>system<|end_header_id|>\n\n", SYSTEM, "<|eot_id|>",
                "<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>",
                "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>", ""),
    "phi-3": ("<|system|>\n", "You are a helpful AI assistant.", "<|end|>\n", "<|user|>\n", "<|end|>\n",
              "<|assistant|>\n", "<|end|>", "\n"),
    "gemma": ("", "", "", "<start_of_turn>user\n", "<end_of_turn>\n", "<start_of_turn>model\n", "<end_of_turn>\n<eos>", ""),
    "qwen2": ("<|im_start|>system\n", "You are a helpful assistant.", "<|im_end|>\n", "<|im_start|>user\n", "<|im_end|>\n",
              "<|im_start|>assistant\n", "<|im_end|>", "\n"),
}


class Encoder:
    def __init__(self, folder, legacy):
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.bos, self.legacy = self.tokenizer.token_to_id("<s>"), legacy
        self.unk = self.tokenizer.token_to_id("<unk>")

    def __call__(self, text, has_image):
        """LLaVA's tokenizer_image_token."""
        out = [self.bos]
        for i, part in enumerate(text.split("<image>") if has_image else [text]):
            out += ([IMAGE] if i else []) + self.tokenizer.encode(part, add_special_tokens=False).ids
        return out


def runs(labels):
    """Where there is a loss: [[first, behind the last], ...]."""
    out = []
    for i, label in enumerate(labels):
        if label != NONE and out and out[-1][1] == i:
            out[-1][1] = i + 1
        elif label != NONE:
            out.append([i, i + 1])
    return out


def v1(encode, row, has_image, end, is_tiny, system):
    """(ids, labels, skips), as preprocess_v1 makes them."""
    text = system + " " if system else ""
    for i, (_, value) in enumerate(row):
        role = ["USER", "ASSISTANT"][i % 2]
        text += f"{role}: {value}{[' ', end][i % 2]}" if value else f"{role}:"
    ids = encode(text, has_image)
    labels, at = list(ids), 1
    labels[0] = NONE
    for i, part in enumerate(text.split(end)):
        if part == "":
            break
        halves = part.split(" ASSISTANT: ")
        if len(halves) != 2:
            break
        length = len(encode(part, has_image))
        asked = len(encode(halves[0] + " ASSISTANT: ", has_image)) - 2
        if i and not encode.legacy and not is_tiny:
            length, asked = length - 1, asked - 1
        labels[at:at + asked] = [NONE] * asked
        at += length
    labels[at:] = [NONE] * len(labels[at:])
    total = sum(token != encode.unk for token in ids)
    return ids, labels, at != total


def native(encode, row, has_image, style, no_system):
    """(ids, labels, None); labels None where an answer's first blanks are part of another word."""
    opens, system, closes, user, close, answer, end, after = style
    text, spans = "" if no_system else opens + system + closes, []
    for i, (_, value) in enumerate(row):
        if i % 2 == 0:
            text += user + value + close
        else:
            text += answer
            if value:
                spans.append((len(text), len(text) + len(value) + len(end)))
                text += value + end + after
    ids = encode(text, has_image)
    labels = [NONE] * len(ids)
    for begin, stop in spans:
        first, last = encode(text[:begin], has_image), encode(text[:stop], has_image)
        if ids[:len(first)] != first or ids[:len(last)] != last:
            return ids, None, None
        labels[len(first):len(last)] = ids[len(first):len(last)]
    return ids, labels, None


def make(name, base, strips, legacy):
    folder = FIXTURES / "tokenizers" / name
    folder.mkdir(exist_ok=True)
    tokenizer = Tokenizer.from_file(str(FIXTURES / "tokenizers" / base / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken(word, normalized=False, special=True, rstrip=strips and word in
                                             ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")) for word in WORDS])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | ({} if legacy else {"legacy": False})) + "\n")
    return Encoder(folder, legacy)


def main():
    out = []
    for name, base, strips, legacy in [("chat_bytes", "llama3", False, True), ("chat_marks", "llama2", True, True),
                                       ("chat_first", "metaspace_first", True, False)]:
        encode = make(name, base, strips, legacy)
        rows = []
        for template in ["plain", *ENDS, *STYLES]:
            if template == "plain":
                rows += [{"template": template, "image": True, "turns": row, "ids": encode("<image>" + row[1][1] + "\n", True),
                          "mask": [[2, len(encode("<image>" + row[1][1] + "\n", True))]], "system": None, "skips": None} for row in PLAIN]
                continue
            for i, row in enumerate(ROWS + MORE):
                has_image = i not in TEXT
                if i in (2, 3, 6) and template != "v1":
                    continue
                system = None if i == 0 or template == "v1" and i < 4 else ""
                if template in ENDS:
                    made = v1(encode, clean(row, has_image), has_image, ENDS[template] or "</s>", template != "v1",
                              SYSTEM if system is None else system)
                else:
                    made = native(encode, clean(row, has_image), has_image, STYLES[template], system is not None)
                rows.append({"template": template, "image": has_image, "turns": row, "ids": made[0], "system": system,
                             "mask": None if made[2] or made[1] is None else runs(made[1]), "skips": made[2]})
        out.append({"tokenizer": name, "rows": rows})
        print(name, len(rows), "rows,", sum(row["mask"] is not None for row in rows), "with labels,",
              sum(row["skips"] is True for row in rows), "skipped")
    (FIXTURES / "templates.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
