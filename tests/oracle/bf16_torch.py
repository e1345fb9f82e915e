#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What bfloat16 costs PyTorch: the bounds of tests/engine/test_bf16.c.

For every model of tests/oracle/fixtures/models: the error of transformers' logits in bfloat16
against those in float64, relative to their norm, and that of all gradients in one piece
(the loss itself in float64). Writes fixtures/models_bf16.json. With a
build folder, `sea model logits --precision bf16` is compared, too, and on float32 folders
whose weights bfloat16 does not hold; exits 1 when its error is above 1.5 times PyTorch's.

    bf16_torch.py [BUILD]
"""
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file

from lm_families import (FAMILIES, ids_and_labels, loss_and_gradients, make_config, make_model,
                         widen)

FIXTURES = pathlib.Path(__file__).resolve().parent / "fixtures"


def error(got, want):
    return ((got.double() - want.double()).norm() / want.double().norm()).item()


def gradient_error(model, expected):
    _, _, grads = loss_and_gradients(model, expected["ids"], expected["labels"])
    return error(torch.cat([g.flatten().double() for g in grads.values()]),
                 torch.cat([expected["grad." + n].flatten() for n in grads]))


def ours(build, folder, ids):
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as out:
        subprocess.run([f"{build}/sea", "model", "logits", "--model", folder, "--ids",
                        ",".join(str(i) for i in ids.tolist()),
                        "--precision", "bf16", "--out", out.name], check=True)
        return load_file(out.name)["logits"]


def check_wide(build, family):
    """A float32 folder: the reference has the weights as they are."""
    model = make_model(make_config(family, random.Random(f"bf16 {family}")), 17)
    ids, _ = ids_and_labels(40, model.config.vocab_size, 5)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        model.save_pretrained(folder)
        got = ours(build, folder, ids)
        half = model.bfloat16()(input_ids=ids[None].long(), use_cache=False).logits[0]
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager").eval()
        want = widen(model)(input_ids=ids[None].long(), use_cache=False).logits[0]
    mine, theirs = error(got, want), error(half, want)
    print(f"{family}, float32 folder: torch {theirs:.2e}, sea {mine:.2e} "
          f"({mine / theirs:.2f} of it, bound 1.5)", flush=True)
    return not mine <= 1.5 * theirs


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    build, failures, errors = sys.argv[1] if len(sys.argv) > 1 else None, 0, {}
    for folder in sorted(p.parent for p in (FIXTURES / "models").glob("*/expected.safetensors")):
        expected = load_file(folder / "expected.safetensors")
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16, attn_implementation="eager").eval()
        with torch.no_grad():
            logits = model(input_ids=expected["ids"][None].long(), use_cache=False).logits[0]
        errors[folder.name] = {"logits": error(logits, expected["logits"]),
                               "gradients": gradient_error(model, expected)}
        line = "{}: torch {logits:.2e}, gradients {gradients:.2e}".format(
            folder.name, **errors[folder.name])
        if build:
            mine = error(ours(build, folder, expected["ids"]), expected["logits"])
            theirs = errors[folder.name]["logits"]
            failures += not mine <= 1.5 * theirs
            line += f", sea {mine:.2e} ({mine / theirs:.2f} of it, bound 1.5)"
        print(line, flush=True)
    # Last: widening changes transformers' modules for good.
    failures += sum(check_wide(build, family) for family in FAMILIES) if build else 0
    (FIXTURES / "models_bf16.json").write_text(
        json.dumps({n: {k: float(f"{e:.6g}") for k, e in pair.items()}
                    for n, pair in errors.items()}, indent=1) + "\n",
        encoding="utf-8")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
