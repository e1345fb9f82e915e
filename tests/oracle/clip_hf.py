#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Values of Hugging Face's CLIPModel for tests/engine/test_clip_hf.c.

    clip_hf.py TEST_PROGRAM     writes clip_values.json beside this script

TEST_PROGRAM is the built test_clip_hf: it writes its model folder and inputs, this script
loads them with transformers and writes what the test then compares with. Needs torch,
transformers and safetensors. Run it again when the test's model changes.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import CLIPModel

HERE = pathlib.Path(__file__).resolve().parent


def numbers(tensor):
    return [float("%.9g" % x) for x in tensor.detach().double().flatten().tolist()]


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def embeddings(found):
    """get_*_features gives the projected row, in newer releases inside an output object."""
    return found if torch.is_tensor(found) else found.pooler_output


def values(folder):
    model = CLIPModel.from_pretrained(folder, attn_implementation="eager").eval()
    inputs = load_file(f"{folder}/inputs.safetensors")
    start = inputs["start"].tolist()
    out = {}
    seen = model.vision_model(pixel_values=inputs["pixels"], output_hidden_states=True)
    for layer, rows in enumerate(seen.hidden_states):
        out[f"hidden_{layer}"] = numbers(rows)
    images = unit(embeddings(model.get_image_features(pixel_values=inputs["pixels"])))
    texts = unit(torch.cat([embeddings(model.get_text_features(
        input_ids=inputs["ids"][None, a:b].long())) for a, b in zip(start, start[1:])]))
    out["images"] = numbers(images)
    out["texts"] = numbers(texts)
    logits = texts @ images.T * model.logit_scale.exp()
    target = torch.arange(len(logits))
    loss = (torch.nn.functional.cross_entropy(logits, target)
            + torch.nn.functional.cross_entropy(logits.T, target)) / 2
    loss.backward()
    out["loss"] = float(loss.detach())
    stored = set(load_file(f"{folder}/model.safetensors"))
    out["gradients"] = {}
    for name, weight in model.named_parameters():
        if name not in stored:
            sys.exit(f"the saved folder has no tensor \"{name}\"")
        grad = weight.grad.double().flatten()
        wave = torch.cos(torch.arange(1, len(grad) + 1, dtype=torch.float64))
        out["gradients"][name] = numbers(torch.stack([grad.norm(), (grad * wave).sum()]))
    missing = stored - set(out["gradients"])
    if missing:
        sys.exit(f"CLIPModel does not know {sorted(missing)}")
    return out


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1]], env=dict(os.environ, SEA_CLIP_DUMP=folder), check=True)
        found = values(folder)
    lines = (json.dumps(key) + ": " + json.dumps(value) for key, value in found.items())
    (HERE / "clip_values.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"loss {found['loss']:.7f}, {len(found['gradients'])} tensors")


if __name__ == "__main__":
    main()
