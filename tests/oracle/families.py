#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every language-model family with random sizes and seeds, driven by the command line alone:
`sea model logits` and `sea model generate` on folders that transformers wrote, against
transformers in float64.

    families.py SEA [--seeds N] [--first N] [FAMILY ...]

Checked of each model: logits (relative error <= 1e-5), 64 greedy words, and that answers to
a file of prompts, greedy and sampled, are the same however many are decoded together.
Prints a line per model and exits 1 when one is off. Files are float32, bfloat16, float16 or
shards, in turn.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from lm_families import FAMILIES, error, greedy, ids_and_labels, make_config, make_model, widen

WORDS, BOUND = 64, 1e-5


def write_tokenizer(folder):
    """A word per byte: enough to read any text. The ids from 3 on."""
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for word in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocab[word] = len(vocab)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    return len(vocab)


def sea(tool, *args):
    done = subprocess.run([tool, "model", *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"sea model {args[0]}: {done.stderr.strip()[:400]}")
    return done.stdout


def store(model, folder, kind):
    """As a file of some kind; the model keeps what the file holds."""
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16}.get(kind, torch.float32)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.to(dtype).float())
    small = transformers.AutoModelForCausalLM.from_config(model.config, dtype=dtype)
    small.load_state_dict(model.state_dict())   # model.to(dtype) would round its rotation, too
    small.save_pretrained(folder, max_shard_size="20KB" if kind == "shards" else "50GB")


def answers(tool, folder, texts, *options):
    path = os.path.join(folder, "prompts.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(texts) + "\n")
    return sea(tool, "generate", "--model", folder, "--prompts", path, "--ids-out",
               "--max-new", 12, *options).splitlines()


def batches_differ(tool, folder):
    """Answers that change with the number decoded together, or with the order."""
    texts = ["one", "another text", "x", "one more, longer than all before", "ünï", "one"]
    off = 0
    for options in ((), ("--temperature", 0.9, "--seed", 7),
                    ("--temperature", 1.3, "--top-k", 9, "--top-p", 0.8, "--seed", 3)):
        alone = answers(tool, folder, texts, "--together", 1, *options)
        off += alone != answers(tool, folder, texts, "--together", 4, *options)
        if not options:
            off += alone[::-1] != answers(tool, folder, texts[::-1], "--together", 3)
            off += alone[0] != alone[5]
    return off


def check(tool, family, seed):
    rng = random.Random(f"{family} {seed}")
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(family, rng, vocab=write_tokenizer(folder) + rng.randrange(9))
        model = make_model(config, seed)
        kind = ("f32", "bf16", "f16", "shards")[seed % 4]
        store(model, folder, kind)
        model = widen(model)
        positions = min(config.max_position_embeddings,
                        getattr(config, "original_max_position_embeddings", 1 << 20))
        rows = rng.randrange(15, min(80, positions))
        ids, _ = ids_and_labels(rows, config.vocab_size, seed)
        text = ",".join(map(str, ids.tolist()))
        out = os.path.join(folder, "out.safetensors")
        sea(tool, "logits", "--model", folder, "--ids", text, "--out", out)
        with torch.no_grad():
            want = model(input_ids=ids[None].long()).logits[0]
        off = error(load_file(out)["logits"], want)
        prompt = ids[:min(rows, positions - WORDS)]
        words = json.loads(sea(tool, "generate", "--model", folder, "--ids",
                               ",".join(map(str, prompt.tolist())), "--ids-out", "--max-new",
                               WORDS, "--past-end"))
        wrong = sum(a != b for a, b in zip(words, greedy(model, prompt, WORDS)))
        wrong += abs(len(words) - WORDS)
        batch = batches_differ(tool, folder)
    bad = not off <= BOUND or wrong or batch
    print(f"{'FAIL' if bad else 'ok  '} {family} {seed} ({kind}): D {config.hidden_size}, "
          f"{config.num_attention_heads}/{config.num_key_value_heads} heads, "
          f"{config.num_hidden_layers} layers, {rows} rows: logits {off:.1e} (bound "
          f"{BOUND:.0e}), words off {wrong} of {WORDS}, batches that differ {batch}", flush=True)
    return bool(bad)


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("families", nargs="*", default=[])
    args = parser.parse_args()
    failed = total = 0
    for seed in range(args.first, args.first + args.seeds):
        for family in args.families or FAMILIES:
            total += 1
            try:
                failed += check(args.tool, family, seed)
            except RuntimeError as problem:
                print(f"FAIL {family} {seed}: {problem}", flush=True)
                failed += 1
    print(f"families: {total - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
