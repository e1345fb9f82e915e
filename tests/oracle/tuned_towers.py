#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the stages make over each kind of tower, loaded by transformers.

    tuned_towers.py [BUILD [SEED]]      from the root of the tree, after make all

Makes a tiny CLIP, SigLIP and DINOv2 model (labelled by the CLIP), a language model and a
data set, runs `sea stage label`, `align` and `tune`, and compares `sea model logits` and
`sea model generate` on the tuned folder with transformers. Exits 1 when a figure passes its
bound. Needs torch, transformers, tokenizers and Pillow.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (BitImageProcessorPil, CLIPConfig, CLIPImageProcessorPil, CLIPModel,
                          Dinov2Config, Dinov2Model, LlamaConfig, LlamaForCausalLM,
                          LlavaForConditionalGeneration, PreTrainedTokenizerFast, SiglipConfig,
                          SiglipImageProcessorPil, SiglipModel)

BUILD = sys.argv[1] if len(sys.argv) > 1 else "build/dev"
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
WORDS = "red blue green cat dog hat tree sky sea car".split()
BOUND = 1e-5
failures = 0


def report(what, error, bound):
    global failures
    bad = not error <= bound
    failures += bad
    print(f"{'FAIL' if bad else 'ok  '} {what}: {error:.2e} (bound {bound:.0e})", flush=True)


def sea(*arguments):
    done = subprocess.run([f"{BUILD}/sea", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"sea {' '.join(map(str, arguments))}: {done.stderr}{done.stdout}")
    return done.stdout


def tokenizer():
    tool = Tokenizer(models.BPE())
    tool.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tool.decoder = decoders.ByteLevel()
    tool.train_from_iterator([" ".join(WORDS)], trainers.BpeTrainer(
        vocab_size=290, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tool.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    return tool


def data(top, rng):
    (top / "images").mkdir()
    captions, questions = [], []
    for i in range(12):
        noise = rng.integers(0, 256, (40 + i, 50, 3)).astype(np.uint8)
        Image.fromarray(noise).save(top / f"images/{i}.png")
        for rows, human, answer in ((captions, "x\n<image>", " ".join(rng.choice(WORDS, 4))),
                                    (questions, "<image>\nwhat is red?", "a cat and a dog")):
            rows.append({"id": str(i), "image": f"{i}.png", "conversations": [
                {"from": "human", "value": human}, {"from": "gpt", "value": answer}]})
    (top / "captions.json").write_text(json.dumps(captions))
    (top / "questions.json").write_text(json.dumps(questions))


def write(folder, model, tool, processor=None):
    generator = torch.Generator().manual_seed(SEED)
    for weight in model.parameters():
        weight.data = weight.data + 0.2 * torch.randn(weight.shape, generator=generator)
    model.save_pretrained(folder)
    if processor:
        processor.save_pretrained(folder)
    if tool:
        PreTrainedTokenizerFast(tokenizer_object=tool, bos_token="<s>", eos_token="</s>",
                                pad_token="</s>").save_pretrained(folder)


def models_in(top):
    """Folders; the CLIP also labels for the DINOv2, whose grid is another."""
    tool = tokenizer()
    vision = {"hidden_size": 24, "intermediate_size": 28, "num_hidden_layers": 3,
              "num_attention_heads": 3, "image_size": 24, "patch_size": 4}
    text = {"hidden_size": 20, "intermediate_size": 28, "num_hidden_layers": 2, "num_attention_heads": 2,
            "vocab_size": tool.get_vocab_size(), "max_position_embeddings": 16}
    square = {"height": 24, "width": 24}
    write(top / "clip", CLIPModel(CLIPConfig(
        vision_config=vision, text_config=dict(text, bos_token_id=0, eos_token_id=1),
        projection_dim=16)), tool, CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size=square))
    write(top / "siglip", SiglipModel(SiglipConfig(
        vision_config=vision, text_config=dict(text, projection_size=24))), tool,
        SiglipImageProcessorPil(size=square))
    write(top / "dinov2", Dinov2Model(Dinov2Config(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=3, image_size=40, patch_size=4,
        mlp_ratio=2)), None, BitImageProcessorPil(size={"shortest_edge": 24},
                                                  crop_size={"height": 20, "width": 20}))
    write(top / "language", LlamaForCausalLM(LlamaConfig(
        hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=tool.get_vocab_size(), max_position_embeddings=512,
        bos_token_id=0, eos_token_id=1, pad_token_id=1)), tool)


def run(top, name, tower_lr, extra=""):
    (top / f"{name}.yaml").write_text(f"""name: {name}
model: {{vision: {{path: {top}/{name}}}, language: {{path: {top}/language}}}}
data:
  pretrain: {{json: {top}/captions.json, images: {top}/images}}
  instruct: {{json: {top}/questions.json, images: {top}/images}}
stages:
  label: {{min_count: 1, top: 3{extra}}}
  align: {{batch: 4, steps: 3}}
  tune: {{batch: 4, steps: 2, lr: 1.0e-3, tower_lr: {tower_lr}}}
""")
    out = top / f"{name}-out"
    given = []
    for stage in ("label", "align", "tune"):
        sea("stage", stage, "--config", top / f"{name}.yaml", "--out", out / stage, *given)
        given = ["--in", f"{stage}={out / stage}"]
    return out / "tune" / "model"


def compare(top, name, folder):
    model, told = LlavaForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    report(f"{name}: tensors missing or left over",
           len(told["missing_keys"]) + len(told["unexpected_keys"]), 0)
    model, picture, image = model.eval().double(), top / "images/3.png", model.config.image_token_index
    sea("image", "--model", folder, "--image", picture, "--out", folder / "pixels.safetensors")
    pixels = load_file(folder / "pixels.safetensors")["pixel_values"][None].double()
    rows = model.config.image_seq_length
    ids = torch.tensor([[0] + [image] * rows + list(range(5, 17))])
    with torch.no_grad():
        logits = model(input_ids=ids, pixel_values=pixels).logits[0]
    sea("model", "logits", "--model", folder, "--image", picture, "--out", folder / "logits.safetensors",
        f"--ids={','.join(map(str, [0, image] + list(range(5, 17))))}")
    got = load_file(folder / "logits.safetensors")["logits"].double()
    report(f"{name}: logits of {len(got)} rows, relative",
           ((got - logits).abs().max() / logits.abs().max()).item(), BOUND)


def main():
    with tempfile.TemporaryDirectory() as name:
        top = pathlib.Path(name)
        data(top, np.random.default_rng(SEED))
        models_in(top)
        for tower, extra in (("clip", ""), ("siglip", ""), ("dinov2", f", transfer_tower: {top}/clip")):
            before = load_file(top / tower / "model.safetensors")
            for lr in (0, 1.0e-3):
                folder = run(top, tower, lr, extra)
                compare(top, f"{tower}, tower_lr {lr}", folder)
                after = load_file(folder / "model.safetensors")
                moved = sum(not torch.equal(tensor, after[f"vision_tower.{key}"])
                            for key, tensor in before.items() if f"vision_tower.{key}" in after)
                report(f"{tower}, tower_lr {lr}: {moved} tensors of the tower moved, wrong",
                       (moved > 20) != (lr > 0), 0)
                subprocess.run(["rm", "-r", top / f"{tower}-out"], check=True)
    print(f"{failures} figures passed their bounds" if failures else "all figures within their bounds")
    sys.exit(failures > 0)


main()
