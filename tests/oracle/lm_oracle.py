#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the language and multimodal models with transformers, in float32.

Not part of `make test`: needs torch and transformers. From the root of the tree:

    make all && python3 tests/oracle/lm_oracle.py [BUILD]

Both directions: folders that we write are loaded by transformers, folders that transformers
writes are loaded by us. Prints the largest errors, and exits 1 when one passes its bound.
"""
import os
import random
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

from lm_families import make_config

# Folders that we write: lm_dump.c's make-lm knows them.
OURS = ("llama", "llama-bias", "llama-llama3", "llama-linear", "qwen2", "qwen2-window", "gemma",
        "gemma2", "gemma2-bias", "mistral", "phi", "phi3", "qwen3", "qwen3-bias",
        "qwen3-window", "stablelm", "stablelm-bias", "stablelm-bias-parallel")
# transformers' Llava has a head of its own, without a bias: it would leave ours out.
NO_LLAVA = {"phi"}
BUILD = sys.argv[1] if len(sys.argv) > 1 else "build/dev"
torch.manual_seed(0)
torch.set_num_threads(1)            # matrices are tiny: more threads only wait
failures = 0


def report(what, error, bound):
    global failures
    bad = not error <= bound
    failures += bad
    print(f"{'FAIL' if bad else 'ok  '} {what}: {error:.3g} (bound {bound:.3g})")


def build(folder):
    tool = os.path.join(folder, "lm_dump")
    flags = subprocess.run(
        ["pkg-config", "--libs", "jansson", "libcrypto", "yaml-0.1", "libpcre2-8", "libutf8proc",
         "libturbojpeg", "libpng", "libwebp"], capture_output=True, text=True, check=True)
    subprocess.run(["gcc", "-std=c17", "-O2", "-D_DEFAULT_SOURCE", "-I.", "-o", tool,
                    "tests/oracle/lm_dump.c", f"{BUILD}/engine.a", f"{BUILD}/kernels.a",
                    *flags.stdout.split(), "-ldl", "-lm", "-pthread"], check=True)
    return tool


def ours(tool, mode, model, tensors, folder):
    into, out = os.path.join(folder, "in.safetensors"), os.path.join(folder, "out.safetensors")
    save_file(tensors, into)
    subprocess.run([tool, mode, model, into, out], check=True)
    return load_file(out)


def compare(what, mine, logits, loss, grads):
    report(f"{what}, logits", (mine["logits"] - logits).abs().max().item(),
           3e-5 * logits.abs().max().item())
    report(f"{what}, loss", abs(mine["loss"].item() - loss), 1e-5 * abs(loss))
    worst, where = 0.0, ""
    largest = max(g.abs().max().item() for g in grads.values())
    for name, grad in grads.items():
        got = mine["grad." + name].reshape(grad.shape)
        off = (got - grad).abs().max().item() / max(grad.abs().max().item(), 1e-3 * largest)
        if off > worst:
            worst, where = off, name
    report(f"{what}, gradients of {len(grads)} tensors (worst {where})", worst, 1e-4)


def ids_and_labels(rows, vocab, image=None, patches=0):
    ids = torch.randint(3, vocab - 1, (rows,), dtype=torch.int32)
    if image is not None:
        ids[4:4 + patches] = image
    labels = ids.clone()
    labels[: 4 + patches] = -100
    labels[rows // 2 : rows // 2 + 5] = -100
    return ids, labels


def check_lm(tool, what, model_dir, folder):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        model_dir, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[kind]:
            report(f"{what}, {kind} {sorted(info[kind])[:3]}", len(info[kind]), 0)
    ids, labels = ids_and_labels(50, model.config.vocab_size)
    mine = ours(tool, "lm", model_dir, {"ids": ids, "labels": labels}, folder)
    model.zero_grad()
    out = model(input_ids=ids[None].long(), labels=labels[None].long())
    out.loss.backward()
    grads = {n: p.grad for n, p in model.named_parameters()}
    compare(what, mine, out.logits[0].detach(), out.loss.item(), grads)


def check_llava(tool, what, model_dir, folder):
    model, info = transformers.LlavaForConditionalGeneration.from_pretrained(
        model_dir, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        report(f"{what}, {kind} {sorted(info[kind])[:3]}", len(info[kind]), 0)
    vision = model.config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    ids, labels = ids_and_labels(50, model.config.text_config.vocab_size,
                                 model.config.image_token_index, patches)
    pixels = torch.randn(1, 3, vision.image_size, vision.image_size)
    tensors = {"ids": ids, "labels": labels, "pixels": pixels}
    mine = ours(tool, "llava", model_dir, tensors, folder)
    model.zero_grad()
    out = model(input_ids=ids[None].long(), labels=labels[None].long(), pixel_values=pixels)
    out.loss.backward()
    grads = {}
    for name, p in model.named_parameters():
        name = name.removeprefix("model.")
        if name.startswith("language_model."):
            name = name.replace("language_model.", "language_model.model.", 1)
        elif name.startswith("lm_head."):
            name = "language_model." + name
        elif not name.startswith("multi_modal_projector."):
            continue
        grads[name] = p.grad
    compare(what, mine, out.logits[0].detach(), out.loss.item(), grads)
    words = ours(tool, "generate", model_dir, tensors, folder)["words"]
    with torch.no_grad():
        got = model.generate(input_ids=ids[None].long(), pixel_values=pixels, do_sample=False,
                             max_new_tokens=12, min_new_tokens=12, eos_token_id=None)
    want = got[0, ids.numel():].int()
    report(f"{what}, greedy words that differ of 12", int((words != want).sum()), 0)


def main():
    with tempfile.TemporaryDirectory() as folder:
        tool = build(folder)
        for family in OURS:
            model_dir = os.path.join(folder, family)
            subprocess.run([tool, "make-lm", family, model_dir], check=True)
            check_lm(tool, f"{family}, our folder", model_dir, folder)
        texts = {}
        config = transformers.LlamaConfig(
            vocab_size=99, hidden_size=48, intermediate_size=80, num_hidden_layers=2,
            num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=128,
            rope_theta=5000.0, rms_norm_eps=1e-5, initializer_range=0.2)
        theirs = os.path.join(folder, "theirs")
        transformers.LlamaForCausalLM(config).save_pretrained(theirs)
        check_lm(tool, "llama, their folder", theirs, folder)
        theirs = os.path.join(folder, "theirs-shards")
        transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(
            theirs, max_shard_size="20KB")
        check_lm(tool, "llama, their bfloat16 shards", theirs, folder)

        for family in OURS:
            if family.split("-")[0] in NO_LLAVA:
                continue
            model_dir = os.path.join(folder, "llava-" + family)
            subprocess.run([tool, "make-llava", family, model_dir], check=True)
            check_llava(tool, f"llava with {family}, our folder", model_dir, folder)
        for family in ("phi", "gemma2", "phi3", "qwen3"):
            texts[family] = make_config(family, random.Random(family), vocab=120)
            texts[family].max_position_embeddings = 200
        vision = transformers.CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
            image_size=28, patch_size=7, initializer_range=0.2)
        config.pad_token_id = 0
        for tied in (False, True):
            config.tie_word_embeddings = tied
            theirs = os.path.join(folder, f"theirs-llava-{tied}")
            transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(
                vision_config=vision, text_config=config, image_token_index=98)
            ).save_pretrained(theirs)
            check_llava(tool, f"llava, tied {tied}, their folder", theirs, folder)
        for family, text in texts.items():
            theirs = os.path.join(folder, "theirs-llava-" + family)
            text.pad_token_id = 0
            transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(
                vision_config=vision, text_config=text, image_token_index=119)
            ).save_pretrained(theirs)
            check_llava(tool, f"llava with {family}, their folder", theirs, folder)
    print("lm_oracle:", "failed" if failures else "passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
