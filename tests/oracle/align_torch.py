#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The label and align stages against torch in float64.

    align_torch.py [BUILD [SEED [WORD ...]]]    from the root of the tree; only cases with a word

Labels: every variant over a CLIP and a SigLIP tower, for pictures and words made up: the kept
words are the nearest ones, their scores the cosines. Align: 20 steps of the adapter and the
temperature, with draws that leave nothing to chance (the best label, no word left out, groups
or negatives that the order does not change), against the same steps in torch: losses, norms,
scales, and the adapter that is written. Needs torch, transformers, tokenizers, Pillow; exits 1
when a figure passes its bound.
"""
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (CLIPConfig, CLIPImageProcessorPil, CLIPModel, LlamaConfig, LlamaForCausalLM,
                          PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessorPil, SiglipModel)

import lm_families

BUILD = sys.argv[1] if len(sys.argv) > 1 else "build/dev"
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
WANTED = sys.argv[3:]
WORDS = "red blue green cat dog hat tree sky sea car old lamp river house stone wood".split()
PICTURES, SIDE, PATCH, STEPS, TOP = 12, 21, 4, 20, 5
rng = random.Random(SEED)
failures = 0


def report(what, error, bound):
    global failures
    bad = not error <= bound
    failures += bad
    print(f"{'FAIL' if bad else 'ok  '} {what}: {error:.2g} (bound {bound:.2g})", flush=True)


def sea(*arguments):
    done = subprocess.run([f"{BUILD}/sea", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"sea {' '.join(map(str, arguments))}: {done.stderr}{done.stdout}")
    return done.stdout


# ---- a world ----

def tokenizer():
    tool = Tokenizer(models.BPE())
    tool.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tool.decoder = decoders.ByteLevel()
    tool.train_from_iterator([" ".join(WORDS[:8])], trainers.BpeTrainer(
        vocab_size=280, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tool.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    return tool


def write(folder, model, tool, processor=None):
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.25 * torch.randn(weight.shape, generator=generator))
    model.save_pretrained(folder)
    if processor:
        processor.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tool, bos_token="<s>", eos_token="</s>",
                            pad_token="</s>").save_pretrained(folder)


def make(top, tool):
    vision = dict(hidden_size=24, intermediate_size=28, num_hidden_layers=8, num_attention_heads=3,
                  image_size=SIDE, patch_size=PATCH)
    text = dict(hidden_size=20, intermediate_size=28, num_hidden_layers=2, num_attention_heads=2,
                vocab_size=tool.get_vocab_size(), max_position_embeddings=16)
    square = dict(height=SIDE, width=SIDE)
    write(top / "clip", CLIPModel(CLIPConfig(
        vision_config=vision, text_config=dict(text, bos_token_id=0, eos_token_id=1),
        projection_dim=14)), tool,
        CLIPImageProcessorPil(size=dict(shortest_edge=SIDE), crop_size=square))
    write(top / "siglip", SiglipModel(SiglipConfig(
        vision_config=vision, text_config=dict(text, projection_size=24))), tool,
        SiglipImageProcessorPil(size=square))
    write(top / "language", LlamaForCausalLM(LlamaConfig(
        hidden_size=40, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=tool.get_vocab_size() + 3, max_position_embeddings=512,
        bos_token_id=0, eos_token_id=1, pad_token_id=1, tie_word_embeddings=False)), tool)
    (top / "images").mkdir()
    noise, rows = np.random.default_rng(SEED), []
    for i in range(PICTURES):
        pixels = noise.integers(0, 256, (SIDE + i % 3, SIDE + i % 5, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(top / f"images/{i}.png")
        # Captions of one length: groups of equal weight, however pictures fall into them.
        caption = " ".join(["a"] + rng.sample(WORDS[:5], 5))
        rows.append(dict(id=str(i), image=f"{i}.png", conversations=[
            {"from": "human", "value": "what?\n<image>"}, {"from": "gpt", "value": caption}]))
    (top / "captions.json").write_text(json.dumps(rows))
    (top / "words.txt").write_text("\n".join(WORDS) + "\n")
    return [row["conversations"][1]["value"] for row in rows]


def stage(name, top, out, config, *more):
    path = top / f"{out.name}.json"
    path.write_text(json.dumps(config))
    sea("stage", name, "--config", path, "--out", out, "--events", f"{out}.jsonl", *more)
    return out


def config_of(top, tower, **stages):
    return dict(name="oracle", seed=SEED, stages=stages,
                model=dict(vision=dict(path=str(top / tower)), language=dict(path=str(top / "language"))),
                data=dict(pretrain=dict(json=str(top / "captions.json"), images=str(top / "images"))))


def pixels_of(top, tower):
    out = []
    for i in range(PICTURES):
        sea("image", "--model", top / tower, "--image", top / f"images/{i}.png", "--aspect", "square",
            "--out", top / "pixels")
        out.append(load_file(top / "pixels")["pixel_values"])
    return torch.stack(out).double()


# ---- labels ----

def unit(rows):
    return rows / rows.norm(dim=-1, keepdim=True)


def values(layer, x):
    return layer.self_attn.v_proj(layer.layer_norm1(x))


def v_v(layer, x):
    """Attention in which queries and keys are values."""
    v, heads = values(layer, x), layer.self_attn.num_heads
    v = v.unflatten(-1, (heads, -1)).transpose(1, 2)
    weights = (v @ v.transpose(-1, -2) / math.sqrt(v.shape[-1])).softmax(-1)
    return layer.self_attn.out_proj((weights @ v).transpose(1, 2).flatten(-2))


def dense(model, pixels, variant):
    """Patches in the joint space."""
    tower, clip = model.vision_model, hasattr(model, "visual_projection")
    x = tower.embeddings(pixels)
    if clip:
        x = tower.pre_layrnorm(x)
    layers = list(tower.encoder.layers)
    plain = {"maskclip": layers[:-1], "surgery": layers[:-6]}.get(variant, layers)
    for layer in plain:
        x = layer(x, None)
        x = x[0] if isinstance(x, tuple) else x
    if variant == "maskclip":
        last = layers[-1]
        x = x + last.self_attn.out_proj(values(last, x))
        x = x + last.mlp(last.layer_norm2(x))
    if variant == "surgery":
        new = x
        for layer in layers[-6:]:
            new = new + v_v(layer, x)
            x = layer(x, None)
            x = x[0] if isinstance(x, tuple) else x
        x = new
    x = tower.post_layernorm(x)
    if clip:
        return unit(model.visual_projection(x[:, 1:]))
    head, D = tower.head, x.shape[-1]
    u = x @ head.attention.in_proj_weight[2 * D:].T + head.attention.in_proj_bias[2 * D:]
    u = head.attention.out_proj(u)
    return unit(u + head.mlp(head.layernorm(u)))


def names_of(model, tool):
    """Words in the joint space."""
    rows = []
    for word in WORDS:
        ids = tool.encode(word).ids
        if not hasattr(model, "visual_projection"):
            ids = ids + [1] * (16 - len(ids))
        out = model.get_text_features(input_ids=torch.tensor([ids]))
        rows.append(out if torch.is_tensor(out) else out.pooler_output)
    return unit(torch.cat(rows))


def labels(top, tower, tool):
    kind = CLIPModel if tower == "clip" else SiglipModel
    model = kind.from_pretrained(top / tower, attn_implementation="eager").eval()
    sys.modules[type(model).__module__].torch = lm_families.Wide("torch")
    model, pixels = model.double(), pixels_of(top, tower)
    with torch.no_grad():
        words = names_of(model, tool)
        for variant in ("raw_pos", "raw_neg", "maskclip", "surgery"):
            scores = dense(model, pixels, variant) @ words.T
            scores = -scores if variant == "raw_neg" else scores
            out = stage("label", top, top / f"label-{tower}-{variant}", config_of(
                top, tower, label=dict(words=str(top / "words.txt"), top=TOP, variant=variant)))
            held = load_file(out / "shard-00000.safetensors")
            order = [int(pathlib.Path(line).stem) for line in
                     (out / "images.txt").read_text().split()]
            index, score = held["index"].long(), held["score"].double()
            scores = scores[order]
            best = scores.sort(dim=-1, descending=True).values[..., :TOP].clamp(min=0)
            told = scores.gather(-1, index.clamp(min=0)).where(index >= 0, torch.tensor(0.0).double())
            report(f"{tower} {variant}: scores of {index.numel()} labels, "
                   f"{int((index < 0).sum())} empty", (score - told).abs().max().item(), 2e-6)
            report(f"{tower} {variant}: they are the best ones", (score - best).abs().max().item(), 2e-6)
    sys.modules[type(model).__module__].torch = torch


# ---- align ----

CASES = {           # tower, keys of stages.align
    "baseline": ("clip", dict({"lambda": 0})),
    "sea": ("clip", dict()),
    "sea, linear": ("clip", dict(schedule="linear", warmup=0.25, clip=0, weight_decay=0.1,
                                 **{"lambda": 0.5})),
    "fixed scale": ("clip", dict(tau=dict(init=2.6, learn=False), clip=0.05)),
    "scale at its limit": ("clip", dict(tau=dict(init=0.0, max_scale=1.03), schedule="constant",
                                        lr=5e-3, warmup=0)),
    "groups, global negatives": ("clip", dict(group_images=4, negatives="global")),
    "windows": ("clip", dict(window=2, window_edge="floor", tau=dict(init=1.5))),
    "siglip": ("siglip", dict(window=3, window_edge="ceil")),
    "siglip, lambda 30": ("siglip", dict(tau=dict(init=1.0), clip=1.0, **{"lambda": 30.0})),
}


def windows(index, score, side, edge):
    """For every window its patch with the best label: (patch, word)."""
    grid, pairs = SIDE // PATCH, []
    count = -(-grid // side) if edge == "ceil" else grid // side
    for y in range(count):
        for x in range(count):
            cells = [r * grid + c for r in range(y * side, min(grid, (y + 1) * side))
                     for c in range(x * side, min(grid, (x + 1) * side))]
            at = max(cells, key=lambda cell: (score[cell, 0].item(), -cell))
            if index[at, 0] >= 0:
                pairs.append((at, int(index[at, 0])))
    return pairs


class World:
    """What does not change in training."""

    def __init__(self, top, tower, tool, captions, store, keys, dtype):
        kind = CLIPModel if tower == "clip" else SiglipModel
        vision = kind.from_pretrained(top / tower, attn_implementation="eager").to(dtype).vision_model
        lm = LlamaForCausalLM.from_pretrained(top / "language", attn_implementation="eager").to(dtype)
        if dtype == torch.float64:
            lm_families.widen(lm)
            lm_families.widen(vision)
        self.lm, self.embed = lm, lm.get_input_embeddings().weight.detach()
        with torch.no_grad():
            x = vision(pixels_of(top, tower).to(dtype), output_hidden_states=True).hidden_states[-2]
        self.features = x[:, 1:] if tower == "clip" else x
        for module in (vision, lm):
            sys.modules[type(module).__module__].torch = torch

        def ids(text):
            return tool.encode(text, add_special_tokens=False).ids
        self.captions = [ids(text + "\n") for text in captions]
        self.words = torch.stack([self.embed[ids(" " + word)].mean(0) for word in WORDS])
        held = load_file(store / "shard-00000.safetensors")
        order = [int(pathlib.Path(line).stem) for line in (store / "images.txt").read_text().split()]
        self.pairs = [None] * PICTURES
        for place, picture in enumerate(order):
            self.pairs[picture] = windows(held["index"][place], held["score"][place],
                                          keys["window"], keys.get("window_edge", "ceil"))
        assert len({len(c) for c in self.captions}) == 1

    def losses(self, adapter, theta, keys):
        text, rows, words = 0, [], []
        for features, caption, pairs in zip(self.features, self.captions, self.pairs):
            x = adapter(features)
            ids = torch.tensor(caption)
            seen = torch.cat([self.embed[:1], x, self.embed[ids]])
            logits = self.lm(inputs_embeds=seen[None]).logits[0]
            text = text + torch.nn.functional.cross_entropy(logits[-len(ids) - 1:-1], ids) / PICTURES
            rows += [x[patch] for patch, _ in pairs]
            words += [word for _, word in pairs]
        scale = theta.exp().clamp(max=keys["tau"].get("max_scale", 100.0))
        z = scale * unit(torch.stack(rows)) @ unit(self.words[words]).T
        diagonal = torch.arange(len(words))
        cross = torch.nn.functional.cross_entropy
        return text, (cross(z, diagonal) + cross(z.T, diagonal)) / 2, scale, len(words)


def reference(world, start, keys):
    dtype = world.features.dtype
    adapter = torch.nn.Sequential(torch.nn.Linear(24, 40), torch.nn.GELU(), torch.nn.Linear(40, 40))
    adapter = adapter.to(dtype)
    adapter.load_state_dict(start)
    theta = torch.tensor(keys["tau"].get("init", 0.0), dtype=dtype,
                         requires_grad=keys["tau"].get("learn", True) and keys["lambda"] > 0)
    named = list(adapter.named_parameters())
    groups = [dict(params=[p for _, p in named if p.dim() > 1], weight_decay=keys.get("weight_decay", 0)),
              dict(params=[p for _, p in named if p.dim() == 1] + [theta] * theta.requires_grad,
                   weight_decay=0)]
    optimizer = torch.optim.AdamW(groups, lr=keys["lr"], betas=(0.9, 0.999), eps=1e-8)
    kind = keys.get("schedule", "cosine")
    schedule = transformers.get_scheduler(
        "constant_with_warmup" if kind == "constant" else kind, optimizer,
        num_warmup_steps=math.ceil(keys["warmup"] * STEPS), num_training_steps=STEPS)
    told = {name: [] for name in ("loss_text", "loss_words", "scale", "grad_norm", "pairs")}
    every = [p for group in groups for p in group["params"]]
    for _ in range(STEPS):
        optimizer.zero_grad()
        text, words, scale, pairs = world.losses(adapter, theta, keys)
        (text + keys["lambda"] * words).backward()
        norm = torch.nn.utils.clip_grad_norm_(every, keys["clip"] or 1e30)
        optimizer.step()
        schedule.step()
        for name, value in zip(told, (text, words, scale, norm, pairs)):
            told[name].append(float(torch.as_tensor(value).detach()))
    return adapter.state_dict(), told


def metrics(out):
    told = {}
    for line in open(f"{out}.jsonl", encoding="utf-8"):
        event = json.loads(line)
        if event["t"] == "metric":
            told.setdefault(event["name"].removeprefix("align."), {})[event["step"]] = event["value"]
    return told


def adapter_in(out):
    """As torch.nn.Sequential has it: LLaVA's names are its numbers."""
    return {name.removeprefix("model.mm_projector."): weight for name, weight in
            load_file(out / "adapter.safetensors").items()}


def align(top, tool, captions, name):
    tower, given = CASES[name]
    keys = dict({"batch": PICTURES, "group_images": PICTURES, "steps": STEPS, "lr": 2e-3, "warmup": 0.1,
                 "clip": 1.0, "lambda": 1.0, "window": 1, "window_pick": "score", "draw": "best",
                 "dedup": "none", "tau": {}, "checkpoint_every": 7}, **given)
    store = stage("label", top, top / f"label-{name}", config_of(
        top, tower, label=dict(words=str(top / "words.txt"), top=TOP, variant="raw_pos")))
    first = stage("align", top, top / f"first-{name}", config_of(top, tower, align=dict(
        keys, steps=1, lr=1e-12)), "--in", f"label={store}")
    out = stage("align", top, top / f"align-{name}", config_of(top, tower, align=keys),
                "--in", f"label={store}", "--device", "cpu:3")
    start, ours, told = adapter_in(first), adapter_in(out), metrics(out)
    want, steps = reference(World(top, tower, tool, captions, store, keys, torch.float64), start, keys)
    single, alone = reference(World(top, tower, tool, captions, store, keys, torch.float32), start, keys)

    def off(found):
        return max(((found[n].double() - want[n]).norm() / (want[n] - start[n].double()).norm()).item()
                   for n in want)

    def apart(values, wanted):
        return max(abs(a - b) / max(abs(b), 1e-9) for a, b in zip(values, wanted))
    # A number whose gradient is nearly 0 is moved by its rounding, as far as any other, and what
    # follows from that is the same in every program: torch float32 says how much.
    report(f"{name}: adapter after {STEPS} steps, of its change (torch float32 {off(single):.1e})",
           off(ours), max(1e-4, 20 * off(single)))
    for key, wanted in steps.items():
        if key in ("loss_words", "scale", "pairs") and keys["lambda"] == 0:
            continue
        found = [told[key][t + 1] for t in range(STEPS)]
        least = {"pairs": 0, "grad_norm": 1e-5}.get(key, 1e-6)
        report(f"{name}: {key}, {wanted[0]:.4g} to {wanted[-1]:.4g}", apart(found, wanted),
               max(least, 20 * apart(alone[key], wanted)))


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(SEED)
    with tempfile.TemporaryDirectory() as folder:
        top = pathlib.Path(folder)
        tool = tokenizer()
        captions = make(top, tool)
        for tower in ("clip", "siglip"):
            if not WANTED or "labels" in WANTED:
                labels(top, tower, tool)
        for name in CASES:
            if not WANTED or any(word in name for word in WANTED):
                align(top, tool, captions, name)
    print(f"{failures} figures passed their bounds" if failures else "all figures within their bounds")
    sys.exit(failures > 0)


main()
