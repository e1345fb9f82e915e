#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/oracle/fixtures/models: a tiny model of every family as transformers saves it,
and what transformers computes of it in float64. tests/engine/test_lm_families.c compares.

    lm_fixtures.py [FAMILY ...]

Each folder holds config.json, model.safetensors (bfloat16, also the values that the float64
model has), and expected.safetensors: ids, labels, logits, loss, grad.NAME of every tensor,
trained.NAME after 20 steps of AdamW, words (64 greedy ones after `prompt` ids). One family is
float16 and one comes in shards, so that every kind of file is loaded.
"""
import hashlib
import pathlib
import random
import shutil
import sys

import torch
import transformers
from safetensors.torch import save_file

from lm_families import (FAMILIES, greedy, ids_and_labels, loss_and_gradients, make_config,
                         make_model, train, widen)

HERE = pathlib.Path(__file__).resolve().parent / "fixtures" / "models"
ROWS, WORDS, PROMPT = 31, 64, 9
SEED = 3


def make(family):
    folder = HERE / family
    shutil.rmtree(folder, ignore_errors=True)
    rng = random.Random(f"fixture {family}")
    config = make_config(family, rng, small=True)
    model = make_model(config, SEED, round_bf16=True)
    stored = torch.float32
    if family == "llama":
        stored = torch.float16
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(p.half().float())
    elif family != "llama_linear":
        stored = torch.bfloat16
    small = transformers.AutoModelForCausalLM.from_config(config, dtype=stored)
    small.load_state_dict(model.state_dict())
    small.save_pretrained(folder, max_shard_size="4KB" if family == "qwen2" else "50GB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    wide = widen(model)
    ids, labels = ids_and_labels(ROWS, config.vocab_size, SEED)
    out = {"ids": ids, "labels": labels}
    logits, loss, grads = loss_and_gradients(wide, ids, labels)
    out["logits"], out["loss"] = logits.float(), torch.tensor([loss], dtype=torch.float64)
    out["words"] = torch.tensor(greedy(wide, ids[:PROMPT], WORDS), dtype=torch.int32)
    out.update({"grad." + n: g.float() for n, g in grads.items()})
    out.update({"trained." + n: p.float() for n, p in train(wide, ids, labels).items()})
    save_file({n: t.contiguous() for n, t in out.items()}, folder / "expected.safetensors")
    for file in folder.iterdir():
        file.chmod(0o644)
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{family}: D {config.hidden_size}, {config.num_attention_heads} heads, "
          f"{config.num_key_value_heads} key heads, loss {loss:.6f}, {size} bytes")
    return size


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    total = sum(make(family) for family in sys.argv[1:] or FAMILIES)
    sums = "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(HERE)}\n"
                   for p in sorted(HERE.glob("*/*")))
    (HERE / "SHA256SUMS").write_text(sums)
    print(f"{total} bytes in all")


if __name__ == "__main__":
    main()
