#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Llava and tokenizer folders as they lie on people's disks: image processors in the words of
several releases, files beside each other that disagree, heads that are tied or not, words that
are added by the files beside tokenizer.json.

    found_folders.py SEA [WORD ...]      only cases whose name holds a word

Read by `sea model logits`, `sea image` and `sea tokenize`, and by transformers' Auto classes in
float64: pixels equal, logits within 1e-5, ids equal. Exits 1 when something is off.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        trainers)
from transformers import (AutoConfig, AutoImageProcessor, AutoTokenizer,
                          LlavaForConditionalGeneration)

from lm_families import error

SEA = os.path.abspath(sys.argv[1])
BOUND = 1e-5
failures = total = 0


def report(ok, what, detail=""):
    global failures, total
    total += 1
    failures += not ok
    print(f"{'ok  ' if ok else 'FAIL'} {what}: {detail}", flush=True)


def wanted(what):
    return len(sys.argv) < 3 or any(word in what for word in sys.argv[2:])


def write(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)


def sea(*args, text=None):
    return subprocess.run([SEA, *map(str, args)], input=text, capture_output=True)


# ---- Llava ----

CLIP = dict(model_type="clip_vision_model", hidden_size=36, intermediate_size=50, image_size=56,
            num_hidden_layers=3, num_attention_heads=3, patch_size=14, projection_dim=20)
SIGLIP = dict(model_type="siglip_vision_model", hidden_size=36, intermediate_size=43,
              image_size=59, num_hidden_layers=3, num_attention_heads=2, patch_size=13)
DINO = dict(model_type="dinov2", hidden_size=36, image_size=518, mlp_ratio=2, num_hidden_layers=3,
            num_attention_heads=3, patch_size=14)
TEXT = dict(model_type="llama", hidden_size=32, intermediate_size=44, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
            vocab_size=99, bos_token_id=1, eos_token_id=2)
TIED = dict(TEXT, model_type="qwen2", tie_word_embeddings=True)
IMAGE, TAIL = 96, [10, 20, 30, 44, 61]


def processor(kind, side, **more):
    square = {"height": side, "width": side}
    return dict(dict(image_processor_type=f"{kind}ImageProcessor", do_resize=True, resample=3,
                     do_rescale=True, rescale_factor=1 / 255, do_normalize=True,
                     image_mean=[0.48, 0.46, 0.41], image_std=[0.27, 0.26, 0.28],
                     **(dict(size=square) if kind == "Siglip" else dict(
                         do_center_crop=True, crop_size=square, size={"shortest_edge": side}))),
                **more)


def llava_folders():
    """Name, vision, text, settings at the top, processor files, change of tensors."""
    clip, old, new = processor("CLIP", 56), "preprocessor_config.json", "processor_config.json"
    other = processor("CLIP", 56, resample=2)
    full = dict(vision_feature_select_strategy="full")
    embed = "language_model.model.embed_tokens.weight"
    yield "plain", CLIP, TEXT, {}, {old: clip}, None
    yield "patches that do not fill the picture", dict(CLIP, image_size=60), TEXT, {}, \
        {old: processor("CLIP", 60)}, None
    yield "siglip, 59 pixels", SIGLIP, TEXT, full, {old: processor("Siglip", 59)}, None
    yield "layers as a list of one", CLIP, TEXT, dict(vision_feature_layer=[-2]), {old: clip}, None
    yield "layer -1, all rows", CLIP, TEXT, dict(full, vision_feature_layer=-1), {old: clip}, None
    for act in ("gelu", "gelu_fast", "quick_gelu", "silu"):
        yield f"projector of {act}", CLIP, TEXT, dict(projector_hidden_act=act), {old: clip}, None
    yield "projector without bias", CLIP, TEXT, dict(multimodal_projector_bias=False), {old: clip}, None
    yield "settings of a processor only", CLIP, TEXT, {}, {new: dict(image_processor=clip)}, None
    yield "two processors, the newer counts", CLIP, TEXT, {}, \
        {old: other, new: dict(image_processor=clip)}, None
    yield "a newer file without settings", CLIP, TEXT, {}, {old: clip, new: dict(patch_size=14)}, None
    yield "dinov2, newer file", DINO, TEXT, {}, {new: dict(image_processor=processor("Bit", 98))}, None
    yield "a number that means a square", CLIP, TEXT, {}, \
        {old: dict(clip, size=60, crop_size=56, default_to_square=True)}, None
    yield "a number that means an edge", CLIP, TEXT, {}, {old: dict(clip, size=60, crop_size=56)}, None
    yield "feature extractor", CLIP, TEXT, {}, \
        {old: {("feature_extractor_type" if k == "image_processor_type" else k): v
               for k, v in dict(clip, image_processor_type="CLIPFeatureExtractor").items()}}, None
    yield "no rescaling", CLIP, TEXT, {}, {old: dict(clip, do_rescale=False)}, None
    yield "tied text", CLIP, TIED, {}, {old: clip}, None
    yield "tied text, the same head", CLIP, TIED, {}, {old: clip}, \
        lambda t: dict(t, **{"language_model.lm_head.weight": t[embed].clone()})
    yield "tied text, another head", CLIP, TIED, {}, {old: clip}, \
        lambda t: dict(t, **{"lm_head.weight": t[embed].flip(0).contiguous()})
    yield "positions in the file", CLIP, TEXT, {}, {old: clip}, \
        lambda t: dict(t, **{"vision_tower.vision_model.embeddings.position_ids":
                             torch.arange(17)[None]})


def build(folder, vision, text, top, files, change):
    os.makedirs(folder)
    config = dict(dict(architectures=["LlavaForConditionalGeneration"], model_type="llava",
                       image_token_index=IMAGE, pad_token_id=0, projector_hidden_act="gelu",
                       tie_word_embeddings=False, vision_feature_layer=-2, vision_config=vision,
                       vision_feature_select_strategy="default", text_config=text), **top)
    write(f"{folder}/config.json", config)
    model = LlavaForConditionalGeneration(AutoConfig.from_pretrained(folder))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            one = name.endswith("weight") or "lambda" in name
            p.copy_(noise / p.shape[-1] ** 0.5 if p.dim() > 1 else
                    1 + 0.3 * noise if one else 0.3 * noise)
    model.save_pretrained(folder)
    write(f"{folder}/config.json", config)
    if change:
        path = f"{folder}/model.safetensors"
        save_file(change(load_file(path)), path, {"format": "pt"})
    for name, value in files.items():
        write(f"{folder}/{name}", value)


def theirs(folder, picture):
    model = LlavaForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval().double()
    pixels = torch.tensor(np.asarray(AutoImageProcessor.from_pretrained(folder)(
        Image.open(picture), return_tensors="np").pixel_values))
    with torch.no_grad():
        features = model.get_image_features(pixel_values=pixels.double())
        features = getattr(features, "pooler_output", features)
        rows = sum(part.shape[0] for part in features)
        logits = model(input_ids=torch.tensor([[1] + [IMAGE] * rows + TAIL]),
                       pixel_values=pixels.double()).logits[0]
    return pixels[0], logits


def try_llava(what, folder, picture, parts):
    build(folder, *parts)
    pixels, logits = theirs(folder, picture)
    out = f"{folder}.safetensors"
    sea("image", "--model", folder, "--image", picture, "--aspect", "square", "--out", out)
    got = load_file(out)["pixel_values"] if os.path.exists(out) else None
    same = got is not None and torch.equal(got, pixels)
    done = sea("model", "logits", "--model", folder, "--image", picture, "--out", out,
               "--ids", ",".join(map(str, [1, IMAGE] + TAIL)))
    if done.returncode:
        report(False, what, done.stderr.decode().split("\n")[0])
        return
    found = load_file(out)["logits"]
    off = error(found, logits) if found.shape == logits.shape else 9
    report(same and off <= BOUND, what, f"pixels {'equal' if same else 'DIFFER'}, logits {off:.1e} "
           f"(bound {BOUND:.0e})")


# ---- tokenizers ----

LINES = ["A chat between a curious user and an assistant. It's 12345 o'clock!",
         "naïve café — straße 你好 🙂 \t tabs\n\nnew  lines", "def f(x):\n    return x ** 2"] * 5
PROBES = ["Hello", "a<|end|>b", "a <|end|> b", "  <|end|>\n\n x", "<s>hi</s> it</s>", "", " \n",
          "[PAD] [PAD]", "foo<new> bar", "<image>\nWhat?", "foobarfoo foobar foobarz",
          "<|im_start|>user\nhi<|im_end|>\n"]


def bytes_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+"), "isolated"),
         pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(LINES, trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def token_folders(tokenizer):
    """Name, tokenizer, files beside it."""
    size = tokenizer.get_vocab_size()
    named = dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<s>", eos_token="</s>")
    flags = dict(lstrip=False, rstrip=False, normalized=False, single_word=False, special=True)
    decoder = {str(size + 2): dict(flags, content="foobar", normalized=True, single_word=True,
                                   special=False),
               str(size): dict(flags, content="<|end|>", rstrip=True),
               str(size + 1): dict(flags, content="<new>", lstrip=True, special=False)}
    other = Tokenizer.from_str(tokenizer.to_str())
    other.add_special_tokens([AddedToken("<|end|>", normalized=False)])
    other.add_tokens([AddedToken("<new>", normalized=False)])

    def config(**more):
        return {"tokenizer_config.json": dict(named, **more)}

    yield "plain", tokenizer, config()
    yield "a decoder", tokenizer, config(added_tokens_decoder=decoder)
    yield "flags of the decoder", other, config(added_tokens_decoder=decoder)
    yield "a pad word that is new", tokenizer, config(pad_token="[PAD]")
    yield "a pad word with flags", tokenizer, config(pad_token=dict(
        flags, __type="AddedToken", content="[PAD]", rstrip=True))
    yield "a list of more", tokenizer, config(additional_special_tokens=["<|im_start|>", "<|im_end|>"])
    yield "a map of more", tokenizer, config(extra_special_tokens=dict(image_token="<image>"))
    yield "the older map", tokenizer, {"tokenizer_config.json": dict(
        tokenizer_class="PreTrainedTokenizerFast"), "special_tokens_map.json": dict(
            bos_token="<s>", pad_token="[PAD]")}
    yield "the older map beside a decoder", tokenizer, dict(
        config(added_tokens_decoder=decoder), **{"special_tokens_map.json": dict(pad_token="[PAD]")})
    yield "added_tokens.json", tokenizer, dict(config(pad_token="[PAD]"), **{
        "added_tokens.json": {"[PAD]": size + 1, "<image>": size}})


def try_tokens(what, folder, tokenizer, files):
    os.makedirs(folder)
    tokenizer.save(f"{folder}/tokenizer.json")
    for name, value in files.items():
        write(f"{folder}/{name}", value)
    other = AutoTokenizer.from_pretrained(folder)
    want = [other(text).input_ids for text in PROBES]
    done = sea("tokenize", "--model", folder, "--json", text="".join(
        json.dumps(text) + "\n" for text in PROBES).encode())
    got = [json.loads(line) for line in done.stdout.splitlines()]
    back = sea("detokenize", "--model", folder, "--json", "--special", text="".join(
        json.dumps(ids) + "\n" for ids in want).encode())
    texts = [json.loads(line) for line in back.stdout.splitlines()]
    wrong = sum(a != b for a, b in zip(got, want)) + abs(len(got) - len(want))
    wrong += sum(a != other.decode(ids, clean_up_tokenization_spaces=False)
                 for a, ids in zip(texts, want)) + abs(len(texts) - len(want))
    report(not wrong, f"words: {what}", f"{wrong} of {2 * len(PROBES)} texts differ "
           f"{done.stderr.decode()[:120]}")


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as top:
        picture = f"{top}/picture.png"
        Image.fromarray(np.random.default_rng(5).integers(0, 256, (57, 83, 3)).astype(np.uint8)
                        ).save(picture)
        for what, *parts in llava_folders():
            if wanted(what):
                try_llava(what, f"{top}/{re.sub('[^a-z0-9]+', '-', what)}", picture, parts)
        for what, tokenizer, files in token_folders(bytes_tokenizer()):
            if wanted(f"words: {what}"):
                try_tokens(what, f"{top}/words-{re.sub('[^a-z0-9]+', '-', what)}", tokenizer, files)
    print(f"found_folders: {total - failures} passed, {failures} failed, 0 skipped")
    return failures > 0


sys.exit(main())
