#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Multimodal folders against transformers, driven through the command line.

    llava_folders.py [BUILD [SEED]]     from the root of the tree, after make all

Makes tiny random models of other sizes for every seed: LlavaForConditionalGeneration over
CLIP, SigLIP and DINOv2 towers under the old and the new tensor names, and the same model in
LLaVA-1.5's original layout. For each: `sea model logits` and `sea model generate` against
transformers in float64, `sea image` against the processor, `sea model inspect` for sizes;
then both are written by us (folder_copy.c) and loaded by transformers, as are the towers alone.
Exits 1 when a figure passes its bound. Needs torch, transformers, tokenizers and Pillow.
"""
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (AutoModel, BitImageProcessorPil, CLIPImageProcessorPil, CLIPVisionConfig,
                          Dinov2Config, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration,
                          PreTrainedTokenizerFast, SiglipImageProcessorPil, SiglipVisionConfig)

BUILD = sys.argv[1] if len(sys.argv) > 1 else "build/dev"
SEA = f"{BUILD}/sea"
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
LOGITS_BOUND, NEW = 1e-5, 24
failures = 0
rng = random.Random(SEED)


def report(what, error, bound):
    global failures
    bad = not error <= bound
    failures += bad
    print(f"{'FAIL' if bad else 'ok  '} {what}: {error:.2e} (bound {bound:.0e})", flush=True)


def sea(*arguments):
    done = subprocess.run([SEA, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"sea {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def stir(model, seed):
    """Every tensor gets numbers that matter, and logits that differ clearly."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        one = ("norm" in name and name.endswith("weight")) or "lambda1" in name
        weight.data = (1 + 0.2 * noise if one else 0.25 * noise).float()
    return model.eval()


def tokenizer(folder, words):
    """Byte-level BPE with <image> as its last word; returns that word's id."""
    tool = Tokenizer(models.BPE())
    tool.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tool.decoder = decoders.ByteLevel()
    tool.train_from_iterator(["what is in this picture, and what else? a cat, a dog and a hat"] * 3,
                             trainers.BpeTrainer(vocab_size=words, special_tokens=["<s>", "</s>"],
                                                 initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                                 show_progress=False))
    tool.add_special_tokens(["<image>"])
    PreTrainedTokenizerFast(tokenizer_object=tool, bos_token="<s>",
                            eos_token="</s>").save_pretrained(folder)
    return tool.token_to_id("<image>"), tool.get_vocab_size(), tool


def picture(folder):
    noise = np.random.default_rng(SEED).integers(0, 256, (rng.randint(20, 70), rng.randint(20, 70), 3))
    path = folder / "picture.png"
    Image.fromarray(noise.astype(np.uint8)).save(path)
    return path


def towers():
    """Name, config, processor, rows' strategy: sizes are drawn."""
    heads, patch = rng.choice([2, 3]), rng.choice([3, 4, 5])
    width, grid, odd = heads * rng.choice([4, 8, 10]), rng.randint(2, 4), rng.randint(0, 2)
    side = grid * patch + odd
    size = {"hidden_size": width, "num_hidden_layers": 3, "num_attention_heads": heads,
            "image_size": side, "patch_size": patch}
    wide = dict(size, intermediate_size=rng.randint(10, 40))
    square = {"height": side, "width": side}
    clip = CLIPImageProcessorPil(size={"shortest_edge": side + rng.randint(0, 5)}, crop_size=square)
    yield "clip", CLIPVisionConfig(**wide), clip, "default"
    yield "clip, full", CLIPVisionConfig(**wide, hidden_act="gelu"), clip, "full"
    yield "siglip", SiglipVisionConfig(**wide), SiglipImageProcessorPil(size=square), "full"
    yield ("siglip, no head", SiglipVisionConfig(**wide, vision_use_head=False),
           SiglipImageProcessorPil(size=square), "full")
    bit = BitImageProcessorPil(size={"shortest_edge": side + 4}, crop_size=square, resample=3,
                               image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
    ratio = rng.choice([2, 3])
    yield "dinov2", Dinov2Config(**size, mlp_ratio=ratio), bit, "default"
    yield ("dinov2, interpolated", Dinov2Config(**dict(size, image_size=(grid + 3) * patch),
                                                mlp_ratio=ratio), bit, "default")
    yield "dinov2, swiglu", Dinov2Config(**size, mlp_ratio=ratio, use_swiglu_ffn=True), bit, "full"


def newer_names(folder):
    """The names of transformers' own memory, which some folders hold."""
    tensors, out = load_file(folder / "model.safetensors"), {}
    for name, tensor in tensors.items():
        if name.startswith("language_model.lm_head"):
            name = name.removeprefix("language_model.")
        elif name.startswith("language_model.model."):
            name = "model.language_model." + name.removeprefix("language_model.model.")
        else:
            name = "model." + name
        out[name] = tensor
    save_file(out, folder / "model.safetensors", {"format": "pt"})


def original(folder, model, vision, to):
    """LLaVA-1.5's own layout beside a folder with the tower."""
    to.mkdir()
    names = {"linear_1": "0", "linear_2": "2"}
    tensors = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if name.startswith("language_model."):
            tensors[name.removeprefix("language_model.")] = tensor
        elif name.startswith("multi_modal_projector."):
            _, layer, kind = name.split(".")
            tensors[f"model.mm_projector.{names[layer]}.{kind}"] = tensor
    save_file(tensors, to / "model.safetensors", {"format": "pt"})
    config = model.config.text_config.to_dict()
    config = {k: v for k, v in config.items() if k not in ("transformers_version", "dtype")}
    config.update(model_type="llava_llama", architectures=["LlavaLlamaForCausalLM"],
                  mm_vision_tower="openai/tower", mm_projector_type="mlp2x_gelu",
                  mm_hidden_size=vision.hidden_size, mm_vision_select_layer=-2,
                  mm_vision_select_feature="patch", mm_use_im_start_end=False,
                  mm_use_im_patch_token=False, image_aspect_ratio="square", use_mm_proj=True,
                  tune_mm_mlp_adapter=False, freeze_mm_mlp_adapter=False)
    (to / "config.json").write_text(json.dumps(config, indent=1))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (to / name).write_bytes((folder / name).read_bytes())
    tower = to / "tower"
    model.model.vision_tower.float().save_pretrained(tower)
    (tower / "preprocessor_config.json").write_bytes(
        (folder / "preprocessor_config.json").read_bytes())


def build(folder):
    tool = folder / "folder_copy"
    flags = subprocess.run(
        ["pkg-config", "--libs", "jansson", "libcrypto", "yaml-0.1", "libpcre2-8", "libutf8proc",
         "libturbojpeg", "libpng", "libwebp"], capture_output=True, text=True, check=True)
    subprocess.run(["gcc", "-std=c17", "-O2", "-D_DEFAULT_SOURCE", "-I.", "-o", tool,
                    "tests/oracle/folder_copy.c", f"{BUILD}/engine.a", f"{BUILD}/kernels.a",
                    *flags.stdout.split(), "-ldl", "-lm", "-pthread"], check=True)
    return tool


def written(what, tool, folder, path, processor, ids, logits, *token):
    """Our copy of the folder, loaded by transformers: nothing missing, the same logits."""
    copy = folder / "copy"
    subprocess.run([tool, "llava", folder, copy, *map(str, token)], check=True)
    model, told = LlavaForConditionalGeneration.from_pretrained(copy, output_loading_info=True)
    report(f"{what}, written by us: tensors missing or left over",
           len(told["missing_keys"]) + len(told["unexpected_keys"]), 0)
    pixels = torch.tensor(np.asarray(processor(Image.open(path), return_tensors="np").pixel_values))
    with torch.no_grad():
        got = model.eval().double()(input_ids=ids, pixel_values=pixels.double()).logits[0]
    report(f"{what}, written by us: logits, relative",
           ((got - logits).abs().max() / logits.abs().max()).item(), LOGITS_BOUND)


def expected(model, processor, path, ids):
    pixels = torch.tensor(np.asarray(processor(Image.open(path), return_tensors="np").pixel_values))
    pixels = pixels.double()
    with torch.no_grad():
        logits = model(input_ids=ids, pixel_values=pixels).logits[0]
        words = model.generate(input_ids=ids, pixel_values=pixels, max_new_tokens=NEW, do_sample=False,
                               eos_token_id=None, pad_token_id=0)[0, ids.shape[1]:]
    return pixels[0], logits, words.tolist()


def compare(what, folder, path, prompt, image, logits, words, *more):
    """Logits of the ids with one image token, and the greedy words."""
    short = [i for n, i in enumerate(prompt) if i != image or n == 0 or prompt[n - 1] != image]
    token = -200 if more else image
    out = folder / "logits.safetensors"
    sea("model", "logits", "--model", folder, "--image", path, "--out", out, "--device", "cpu:2",
        f"--ids={','.join(str(token if i == image else i) for i in short)}", *more)
    got = load_file(out)["logits"].double()
    report(f"{what}: logits of {len(got)} rows, relative", ((got - logits).abs().max() /
           logits.abs().max()).item() if got.shape == logits.shape else 9, LOGITS_BOUND)
    found = json.loads(sea("model", "generate", "--model", folder, "--image", path, "--prompt",
                           "<image>what is in this", "--aspect", "square", "--max-new", NEW, "--ids-out",
                           "--device", "cpu:2", *more))
    same = found == words[:len(found)] and (len(found) == NEW or not words[len(found):] or
                                            words[len(found)] in (1,))
    report(f"{what}: {len(found)} greedy words, wrong", 0 if same else 1, 0)


def try_tower(folder, tool_path, name, vision, processor, strategy, index):
    image, words, tool = tokenizer(folder, 270)
    heads = rng.choice([2, 4])
    text = LlamaConfig(hidden_size=heads * 8, intermediate_size=rng.randint(20, 50), num_hidden_layers=2,
                       num_attention_heads=heads, num_key_value_heads=rng.choice([1, heads]),
                       vocab_size=words + rng.randint(0, 5), max_position_embeddings=256,
                       bos_token_id=0, eos_token_id=1)
    model = LlavaForConditionalGeneration(LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=image,
        vision_feature_select_strategy=strategy,
        vision_feature_layer=-2 if index == 0 else rng.choice([-1, -2, 1]),
        projector_hidden_act="gelu", multimodal_projector_bias=index % 2 == 0))
    processor.save_pretrained(folder)
    path = picture(folder)
    side = processor.crop_size["height"] if processor.crop_size else processor.size["height"]
    rows = (side // vision.patch_size) ** 2 + (strategy == "full" and vision.model_type != "siglip_vision_model")
    # As `sea model generate` makes them: the words around <image>, each encoded alone.
    ids = tool.encode("what is in this").ids
    prompt = [image] * rows + ids
    for number in range(9):     # weights that say more than one word again and again
        stir(model.float(), SEED + index + 1000 * number).save_pretrained(folder)
        pixels, logits, answer = expected(model.double(), processor, path, torch.tensor([prompt]))
        if len(set(answer)) >= 4:
            break
    sea("image", "--model", folder, "--image", path, "--aspect", "square", "--out",
        folder / "pixels.safetensors")
    got = load_file(folder / "pixels.safetensors")["pixel_values"]
    report(f"{name}: greedy words too much alike", len(set(answer)) < 4, 0)
    report(f"{name}: pixels, largest difference", (got.double() - pixels).abs().max().item(), 0)
    report(f"{name}: sizes told wrong", json.loads(sea("model", "inspect", folder, "--json"))[
        "vision"]["patches"] != (side // vision.patch_size) ** 2, 0)
    compare(name, folder, path, prompt, image, logits, answer)
    written(name, tool_path, folder, path, processor, torch.tensor([prompt]), logits)
    if index == 0:              # CLIP without the class row: what LLaVA-1.5 is
        original(folder, model, vision, folder / "original")
        compare(f"{name}, original layout", folder / "original", path, prompt, image, logits,
                answer, "--tower", folder / "original" / "tower")
        written(f"{name}, original layout", tool_path, folder / "original", path, processor,
                torch.tensor([prompt]), logits, image)
    newer_names(folder)
    compare(f"{name}, newer names", folder, path, prompt, image, logits, answer)


def whole_towers():
    """Folders of vision models as transformers names them."""
    vision = {"hidden_size": 20, "intermediate_size": 28, "num_hidden_layers": 2,
              "num_attention_heads": 2, "image_size": 13, "patch_size": 4}
    text = {"hidden_size": 24, "intermediate_size": 18, "num_hidden_layers": 2,
            "num_attention_heads": 3, "vocab_size": 33, "max_position_embeddings": 9}
    ends = {"bos_token_id": 31, "eos_token_id": 32}
    yield "CLIPModel", "CLIPConfig", {"vision_config": vision, "text_config": dict(text, **ends),
                                      "projection_dim": 14}
    yield "CLIPVisionModel", "CLIPVisionConfig", vision
    yield "CLIPVisionModelWithProjection", "CLIPVisionConfig", dict(vision, projection_dim=6)
    yield "SiglipModel", "SiglipConfig", {"vision_config": vision,
                                          "text_config": dict(text, projection_size=20)}
    yield "SiglipVisionModel", "SiglipVisionConfig", vision
    yield "Dinov2Model", "Dinov2Config", dict(vision, mlp_ratio=3)
    yield "Dinov2Model", "Dinov2Config", dict(vision, mlp_ratio=3, use_swiglu_ffn=True)


def try_whole(top, tool):
    for index, (name, config, options) in enumerate(whole_towers()):
        folder, copy = top / f"tower{index}", top / f"copy{index}"
        kind = getattr(transformers, name)
        model = stir(kind(getattr(transformers, config)(**options)), SEED + index)
        model.save_pretrained(folder)
        subprocess.run([tool, "tower", folder, copy], check=True)
        again, told = kind.from_pretrained(copy, output_loading_info=True)
        report(f"{name}, written by us: tensors missing or left over",
               len(told["missing_keys"]) + len(told["unexpected_keys"]), 0)
        theirs = again.state_dict()
        report(f"{name}, written by us: weights, largest difference",
               max((theirs[key] - tensor).abs().max().item()
                   for key, tensor in model.state_dict().items()), 0)
        report(f"{name}: its automatic class is another", type(AutoModel.from_pretrained(copy)) not in
               (kind, getattr(transformers, name.removesuffix("WithProjection"))), 0)


def main():
    with tempfile.TemporaryDirectory() as top:
        tool = build(pathlib.Path(top))
        try_whole(pathlib.Path(top), tool)
        for index, (name, vision, processor, strategy) in enumerate(towers()):
            folder = pathlib.Path(top) / f"model{index}"
            folder.mkdir()
            try_tower(folder, tool, name, vision, processor, strategy, index)
    print(f"{failures} figures passed their bounds" if failures else "all figures within their bounds")
    sys.exit(failures > 0)


main()
