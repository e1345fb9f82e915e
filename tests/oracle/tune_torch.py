#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the tune stage with PyTorch and PEFT: parameters after 20 AdamW steps, folders.

Not part of `make test`: needs torch, transformers, peft, Pillow. From the root of the tree:

    make all && python3 tests/oracle/tune_torch.py [BUILD] [CASE ...]

Tiny random Llava folders are made by transformers; `sea stage tune` trains them further on a
data set whose rows all take part in every step, so that no order of rows matters; the same
steps are made by torch in float64 (the reference) and in float32 (to see what rounding alone
does). Written folders are loaded by transformers and PEFT. Exits 1 when a bound is passed.
"""
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile

import peft
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer

import lm_families

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build/dev")
WANTED = sys.argv[2:]
TOKENIZER = "tests/oracle/fixtures/tokenizers/llama2"
SYSTEM = ("A chat between a curious user and an artificial intelligence assistant. The assistant "
          "gives helpful, detailed, and polite answers to the user's questions.")
IMAGE, NONE, STEPS, SIDE, PATCH = -200, -100, 20, 28, 7
ROWS = [("img0.png", [("<image>\nWhat is in the picture?", "A red cat."), ("Where?", "Here.")]),
        ("img1.png", [("<image>\nName it.", "house")]),
        (None, [("Hello there", "Hi. How are you?"), ("fine", "ok")]),
        ("img2.png", [("Is it a lamp?\n<image>", "Yes, under the old tree, near the river.")]),
        (None, [("one two three", "four five six seven eight")])]
failures = 0


def report(what, error, bound):
    global failures
    bad = not error <= bound
    failures += bad
    print(f"{'FAIL' if bad else 'ok  '} {what}: {error:.3g} (bound {bound:.3g})", flush=True)


# ---- a model and data ----

def make_model(family, folder, seed):
    torch.manual_seed(seed)
    tokenizer = Tokenizer.from_file(f"{TOKENIZER}/tokenizer.json")
    words = tokenizer.get_vocab_size()
    vocab = (words // 64 + 1) * 64
    sizes = dict(vocab_size=vocab, hidden_size=48, intermediate_size=72, num_hidden_layers=3,
                 num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=512,
                 initializer_range=0.1, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    if family in ("llama", "qwen2"):
        text = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config}[family](
            tie_word_embeddings=family == "qwen2", **sizes)
    else:                       # sizes that are multiples of nothing
        text = lm_families.make_config(family, random.Random(seed), vocab)
        text.max_position_embeddings, text.pad_token_id = 512, 0
    vision = transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=56, num_hidden_layers=3, num_attention_heads=4,
        image_size=SIDE, patch_size=PATCH, initializer_range=0.2)
    model = transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=tokenizer.token_to_id("<image>"),
        tie_word_embeddings=text.tie_word_embeddings))
    with torch.no_grad():       # biases and norms that matter
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.add_(0.1 * torch.randn_like(p))
        if family not in ("llama", "qwen2"):
            alone = lm_families.make_model(text, seed)
            model.model.language_model.load_state_dict(alone.model.state_dict())
            model.lm_head.load_state_dict(alone.lm_head.state_dict(), strict=False)
    model.save_pretrained(folder)
    for name in os.listdir(TOKENIZER):
        if "tokenizer" in name:
            shutil.copy(f"{TOKENIZER}/{name}", folder)
    transformers.CLIPImageProcessor(size={"shortest_edge": SIDE},
                                    crop_size={"height": SIDE, "width": SIDE}
                                    ).save_pretrained(folder)
    return words


def make_data(folder):
    os.makedirs(f"{folder}/images")
    rows = []
    for i, (image, turns) in enumerate(ROWS):
        talk = []
        for human, gpt in turns:
            talk += [{"from": "human", "value": human}, {"from": "gpt", "value": gpt}]
        row = {"id": str(i), "conversations": talk}
        if image:
            row["image"] = image
            torch.manual_seed(100 + i)
            pixels = torch.randint(0, 256, (SIDE, SIDE, 3), dtype=torch.uint8).numpy()
            Image.fromarray(pixels).save(f"{folder}/images/{image}")
        rows.append(row)
    with open(f"{folder}/instruct.json", "w", encoding="utf-8") as file:
        json.dump(rows, file)


def encode_rows(word, data):
    """Ids, labels and pixels of every row, as LLaVA's v1 template has them."""
    tokenizer = Tokenizer.from_file(f"{TOKENIZER}/tokenizer.json")
    processor = transformers.CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    patches, out = (SIDE // PATCH) ** 2, []

    def ids_of(text):
        return tokenizer.encode(text, add_special_tokens=False).ids

    for image, turns in ROWS:
        ids, labels, text = [1], [NONE], SYSTEM
        for t, (human, gpt) in enumerate(turns):
            if image and t == 0:
                human = "<image>\n" + human.replace("<image>", "").strip()
            asked = f"{text}{' ' if t == 0 else ''}USER: {human} ASSISTANT:"
            # The answer's ids are what the whole round has behind the ids of the question.
            before = []
            for i, part in enumerate(asked.split("<image>")):
                before += ([word] * patches if i else []) + ids_of(part)
            whole = []
            for i, part in enumerate(f"{asked} {gpt}".split("<image>")):
                whole += ([word] * patches if i else []) + ids_of(part)
            assert whole[:len(before)] == before
            ids += whole + [2]
            labels += [NONE] * len(before) + whole[len(before):] + [2]
            text = ""
        pixels = None
        if image:
            picture = Image.open(f"{data}/images/{image}").convert("RGB")
            pixels = processor(picture, return_tensors="pt")["pixel_values"]
        out.append((torch.tensor([ids]), torch.tensor([labels]), pixels))
    return out


# ---- the reference ----

def decays(name, p):
    return p.dim() > 1


def train(model, rows, groups, warmup, schedule, wd):
    """STEPS updates; groups: (parameters by name, learning rate)."""
    dtype = next(model.parameters()).dtype
    params = []
    for named, lr in groups:
        params.append({"params": [p for n, p in named if decays(n, p)], "lr": lr, "base": lr,
                       "weight_decay": wd})
        params.append({"params": [p for n, p in named if not decays(n, p)], "lr": lr, "base": lr,
                       "weight_decay": 0.0})
    every = [p for g in params for p in g["params"]]
    optimizer = torch.optim.AdamW(params, betas=(0.9, 0.999), eps=1e-8)
    total = sum(int((labels[:, 1:] != NONE).sum()) for _, labels, _ in rows)
    first = math.ceil(warmup * STEPS)
    for t in range(STEPS):
        u = (t - first) / max(1, STEPS - first)
        factor = t / first if t < first else {"cosine": 0.5 * (1 + math.cos(math.pi * u)),
                                              "linear": 1 - u, "constant": 1}[schedule]
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * factor
        optimizer.zero_grad()
        for ids, labels, pixels in rows:
            logits = model(input_ids=ids, pixel_values=None if pixels is None
                           else pixels.to(dtype)).logits
            loss = torch.nn.functional.cross_entropy(
                logits[0, :-1], labels[0, 1:], ignore_index=NONE, reduction="sum")
            if loss.requires_grad:      # a row without a picture may move nothing
                (loss / total).backward()
        torch.nn.utils.clip_grad_norm_(every, 1.0)
        optimizer.step()


def load(folder, dtype):
    model = transformers.LlavaForConditionalGeneration.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager")
    if dtype == torch.float64:
        lm_families.widen(model.model.language_model)
    else:                       # the module's own torch again
        sys.modules[type(model.model.language_model).__module__].torch = torch
    return model


def parts_of(model, mode, tower):
    """Named parameters of language model, projector and tower."""
    parts = {"language": [], "adapter": [], "tower": []}
    for name, p in model.named_parameters():
        if "lora_" in name:
            parts["language"].append((name, p))
        elif "multi_modal_projector" in name:
            parts["adapter"].append((name, p))
        elif "vision_tower" in name:
            parts["tower"].append((name, p))
        elif mode == "full":
            parts["language"].append((name, p))
    if mode == "adapter":
        parts["language"] = []
    if not tower:
        parts["tower"] = []
    for p in model.parameters():
        p.requires_grad_(False)
    for named in parts.values():
        for _, p in named:
            p.requires_grad_(True)
    return parts


def reference(folder, adapter, rows, case, dtype):
    model = load(folder, dtype)
    if adapter:
        model = peft.PeftModel.from_pretrained(model, adapter, is_trainable=True).to(dtype)
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    parts = parts_of(model, case["mode"], case.get("tower_lr", 0) > 0)
    groups = [(parts["language"], case["lr"]),
              (parts["adapter"], case.get("adapter_lr") or case["lr"]),
              (parts["tower"], case.get("tower_lr", 0))]
    # What the features do not come from has no gradient and stays.
    train(model, rows, [g for g in groups if g[0]], case.get("warmup", 0.1),
          case.get("schedule", "cosine"), case.get("weight_decay", 0.0))
    return model, start


# ---- ours ----

def run(*args):
    done = subprocess.run([f"{BUILD}/sea", *map(str, args)], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise SystemExit(f"sea {' '.join(map(str, args))}:\n{done.stderr}")
    return done.stdout


def tune(work, name, folder, data, case, steps=STEPS, extra=None, threads=2):
    keys = {"batch": len(ROWS), "template": "v1", "micro_rows": 180, "steps": steps, "warmup": 0.1,
            "max_length": 500, "checkpoint_every": 7, **case, **(extra or {})}
    lora = {k[5:]: keys.pop(k) for k in list(keys) if k.startswith("lora_")}
    if lora:
        keys["lora"] = lora
    config = {"name": "oracle", "seed": 3, "model": {"path": folder},
              "data": {"instruct": {"json": f"{data}/instruct.json", "images": f"{data}/images"}},
              "stages": {"tune": keys}}
    path, out = f"{work}/{name}.json", f"{work}/{name}"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    run("stage", "tune", "--config", path, "--out", out, "--device", f"cpu:{threads}")
    return f"{out}/model"


def our_logits(work, model, ids, image, word):
    out = f"{work}/logits.safetensors"
    patches, listed, i = (SIDE // PATCH) ** 2, [], 0
    while i < len(ids):         # the image token stands once
        listed.append(ids[i])
        i += patches if ids[i] == word else 1
    args = ["model", "logits", "--model", model, "--ids", ",".join(map(str, listed)), "--out", out]
    run(*args, *(["--image", image] if image else []))
    return load_file(out)["logits"]


# ---- comparing ----

def worst(found, want, names):
    """Largest error of a tensor: of its norm, and of the norm of what training changed."""
    most, where = 0.0, ""
    for name in names:
        off = ((found[name].double() - want[name].double()).norm() /
               want[name].double().norm()).item()
        if off >= most:
            most, where = off, name
    return most, where


def moved(start, want, names):
    return min(((want[n] - start[n]).norm() / want[n].norm()).item() for n in names)


def compare(what, ours, want, single, start, names):
    off, where = worst(ours, want, names)
    torch_off, _ = worst(single, want, names)
    # AdamW makes steps of full length out of a gradient that is nothing but rounding, as a key
    # bias has it: no float32 program comes closer there than torch's.
    bound = max(1e-4, 1.5 * torch_off)
    print(f"     {what}: {len(names)} tensors, least moved by {moved(start, want, names):.2g}, "
          f"torch float32 is off by {torch_off:.2g}")
    report(f"{what}, parameters after {STEPS} steps (worst {where})", off, bound)


def check_logits(what, work, model_dir, model, rows, word, data, bound=1e-5):
    most = 0.0
    for (ids, _, pixels), (image, _) in zip(rows, ROWS):
        with torch.no_grad():
            want = model(input_ids=ids, pixel_values=pixels).logits[0]
        got = our_logits(work, model_dir, ids[0].tolist(), image and f"{data}/images/{image}",
                         word)
        got = got[:, :want.shape[1]]
        most = max(most, ((got - want).norm() / want.norm()).item())
    report(f"{what}, logits of the written folder", most, bound)


CASES = {
    "full": dict(mode="full", lr=1e-3, weight_decay=0.05),
    "full-linear": dict(mode="full", lr=1e-3, adapter_lr=3e-3, schedule="linear", recompute=True,
                        order="modality_length", chunk=5),
    "full-tower": dict(mode="full", lr=1e-3, tower_lr=2e-4, schedule="constant"),
    "adapter": dict(mode="adapter", lr=1e-3),
    "lora": dict(mode="lora", lr=2e-3, adapter_lr=1e-3, lora_rank=4, lora_alpha=8,
                 lora_merge=False),
    "lora-some": dict(mode="lora", lr=2e-3, lora_rank=3, lora_alpha=5.5, lora_merge=True,
                      lora_targets=["q_proj", "v_proj", "down_proj"]),
}


def check(work, family, name):
    case, what = CASES[name], f"{family} {name}"
    folder, data = f"{work}/{family}", f"{work}/data"
    if not os.path.isdir(folder):
        make_model(family, folder, 11)
    word = json.load(open(f"{folder}/config.json", encoding="utf-8"))
    word = word.get("image_token_index", word.get("image_token_id"))
    rows, adapter = encode_rows(word, data), None
    if case["mode"] == "lora":  # one step at learning rate 0 writes the first adapters
        adapter = tune(work, f"{what}-first", folder, data, case, 1,
                       {"warmup": 1.0, "lora_merge": False})
    out = tune(work, what, folder, data, case)
    want, start = reference(folder, adapter, rows, case, torch.float64)
    single, _ = reference(folder, adapter, rows, case, torch.float32)
    want_p, single_p = dict(want.named_parameters()), dict(single.named_parameters())
    base = f"{out}/base" if case["mode"] == "lora" and not case["lora_merge"] else out
    written = load(base, torch.float32)
    merged = written
    if base != out:
        merged = peft.PeftModel.from_pretrained(written, out)
    ours = dict(merged.named_parameters())
    if case["mode"] == "lora" and case["lora_merge"]:
        want, single = want.merge_and_unload(), single.merge_and_unload()
        start = {n.replace("base_model.model.", "").replace(".base_layer", "")
                 .replace(".modules_to_save.default", ""): p
                 for n, p in start.items() if "original_module" not in n}
        want_p, single_p = dict(want.named_parameters()), dict(single.named_parameters())
        names = [n for n in want_p if (want_p[n] - start[n]).norm() > 0]
    else:
        names = [n for n in want_p if (want_p[n] - start[n]).norm() > 0]
    still = [n for n in ours if n not in names and n in start and "vision_tower" not in n and
             "original_module" not in n]        # PEFT's copy of what the folder replaces
    compare(what, {n: p.detach() for n, p in ours.items()}, want_p, single_p, start, names)
    report(f"{what}, {len(still)} frozen tensors that moved",
           sum(not torch.equal(ours[n], start[n].float()) for n in still), 0)
    check_logits(what, work, out, merged, rows, word, data)
    if base != out:             # the adapters, with the projector, on the model as it was
        first = peft.PeftModel.from_pretrained(load(folder, torch.float32), out)
        check_logits(f"{what}, on the untrained base", work, out, first, rows, word, data)


def check_foreign(work):
    """PEFT folders that we did not write, on a language model alone and on Llava."""
    for what, rslora in (("llama", False), ("qwen2", True)):
        folder, adapter = f"{work}/{what}", f"{work}/{what}-peft"
        if not os.path.isdir(folder):
            make_model(what, folder, 11)
        llava = load(folder, torch.float32)
        alone = f"{work}/{what}-alone"
        text = transformers.AutoModelForCausalLM.from_config(
            llava.config.text_config, dtype=torch.float32, attn_implementation="eager")
        text.save_pretrained(alone)
        for base, model, targets in ((alone, text, ["q_proj", "k_proj", "o_proj", "up_proj"]),
                                     (folder, llava, ".*language_model.*(v_proj|gate_proj)")):
            torch.manual_seed(4)
            wrapped = peft.get_peft_model(model, peft.LoraConfig(
                r=5, lora_alpha=7, target_modules=targets, init_lora_weights=False,
                use_rslora=rslora))
            wrapped.peft_config["default"].base_model_name_or_path = os.path.abspath(base)
            wrapped.save_pretrained(adapter)
            ids = torch.randint(4, 500, (1, 30))
            with torch.no_grad():
                want = wrapped(input_ids=ids).logits[0]
            got = our_logits(work, adapter, ids[0].tolist(), None, -1)
            report(f"{what}, PEFT's folder on {os.path.basename(base)}",
                   ((got - want).norm() / want.norm()).item(), 1e-5)
            shutil.rmtree(adapter)
        llava = load(folder, torch.float32)
        wrapped = peft.get_peft_model(llava, peft.LoraConfig(
            r=3, lora_alpha=7, target_modules=".*language_model.*q_proj",
            modules_to_save=["multi_modal_projector"], init_lora_weights=False))
        with torch.no_grad():
            for name, p in wrapped.named_parameters():
                if "modules_to_save" in name:
                    p.add_(0.1 * torch.randn_like(p))
        wrapped.peft_config["default"].base_model_name_or_path = os.path.abspath(folder)
        wrapped.save_pretrained(adapter)
        word = getattr(llava.config, "image_token_index", llava.config.image_token_id)
        rows = encode_rows(word, f"{work}/data")[:1]
        for extra in ("preprocessor_config.json",):
            shutil.copy(f"{folder}/{extra}", adapter)
        check_logits(f"{what}, PEFT's folder with a projector", work, adapter, wrapped, rows, word,
                     f"{work}/data")


def main():
    transformers.logging.set_verbosity_error()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, "
          f"peft {peft.__version__}")
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as work:
        make_data(f"{work}/data")
        for family in ("llama", "qwen2", *(f for f in lm_families.FAMILIES
                                           if f not in ("llama", "qwen2"))):
            for name in CASES:
                if family not in ("llama", "qwen2") and name not in ("full", "lora"):
                    continue
                if not WANTED or name in WANTED or f"{family}-{name}" in WANTED:
                    check(work, family, name)
        if not WANTED or "foreign" in WANTED:
            check_foreign(work)
    print("tune_torch:", "failed" if failures else "passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
