#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tiny vision towers of every family with their values, for tests/engine/test_towers.c.

    towers.py                   writes tests/oracle/fixtures/towers

Weights are random float32 numbers, values are computed by transformers in float64 and
written as float32. Each folder holds what save_pretrained wrote, and values.safetensors:

    pixels (B, C, S, S)         pictures
    hidden.N                    hidden_states[N]
    images, texts, raw_pos      rows in the joint space, unit length, where there is one
    maskclip, surgery           patches read in other ways (docs/models-vision.md)
    ids, start                  the texts, packed without padding
    dout, grad.NAME             gradients of sum(dout * hidden_states[-2]), class row first

Needs torch, transformers and safetensors.
"""
import hashlib
import json
import pathlib
import shutil
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import (CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModelWithProjection,
                          Dinov2Config, Dinov2Model, SiglipConfig, SiglipModel, SiglipVisionConfig,
                          SiglipVisionModel)

OUT = pathlib.Path(__file__).resolve().parent / "fixtures" / "towers"
B = 3


def stir(model, seed):
    """Every tensor gets numbers that matter: no bias is 0, no gain is 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator) * 0.2
        one = ("norm" in name and name.endswith("weight")) or "lambda1" in name
        weight.data = (1 + noise if one else noise).float()
    return model.eval()


def numbers(tensor):
    return tensor.detach().float().contiguous()


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def pooled(found):
    return found if torch.is_tensor(found) else found.pooler_output


def heads_of(x, count):
    return x.view(*x.shape[:2], count, -1).transpose(1, 2)


def values_of(layer, x):
    return layer.self_attn.v_proj(layer.layer_norm1(x))


def maskclip(vision, hidden):
    """In the last block each row attends to itself alone."""
    layer = vision.encoder.layers[-1]
    x = hidden[-2] + layer.self_attn.out_proj(values_of(layer, hidden[-2]))
    return x + layer.mlp(layer.layer_norm2(x))


def surgery(vision, hidden):
    """A second path through the last 6 blocks, of values attending to values."""
    first = max(0, len(vision.encoder.layers) - 6)
    path = hidden[first]
    for layer, x in zip(vision.encoder.layers[first:], hidden[first:]):
        v = heads_of(values_of(layer, x), layer.self_attn.num_heads)
        weights = torch.softmax(v @ v.transpose(-1, -2) / v.shape[-1] ** 0.5, -1)
        path = path + layer.self_attn.out_proj((weights @ v).transpose(1, 2).reshape(x.shape))
    return path


def siglip_patches(vision, rows):
    """Each row as the only one that the pooling head's query sees."""
    head, x = vision.head, vision.post_layernorm(rows)
    width = x.shape[-1]
    weight, bias = head.attention.in_proj_weight, head.attention.in_proj_bias
    u = head.attention.out_proj(x @ weight[2 * width:].T + bias[2 * width:])
    return unit(u + head.mlp(head.layernorm(u)))


def clip_patches(model, rows):
    vision = model.vision_model
    return unit(model.visual_projection(vision.post_layernorm(rows[:, 1:])))


def joint(model, values, out, generator):
    """Pictures, patches and texts in the joint space."""
    name = type(model).__name__
    if name == "SiglipModel":
        out["images"] = unit(pooled(model.get_image_features(pixel_values=values)))
    elif name == "SiglipVisionModel":
        out["images"] = unit(model(pixel_values=values).pooler_output)
    elif name == "CLIPModel":
        out["images"] = unit(pooled(model.get_image_features(pixel_values=values)))
    elif name == "CLIPVisionModelWithProjection":
        out["images"] = unit(model(pixel_values=values).image_embeds)
    vision = getattr(model, "vision_model", model)
    hidden = [out[f"hidden.{n}"] for n in range(len(vision.encoder.layers) + 1)
              ] if not name.startswith("Dino") else []
    for variant, rows in (("raw_pos", lambda: hidden[-1]), ("maskclip", lambda: maskclip(vision, hidden)),
                          ("surgery", lambda: surgery(vision, hidden))) if hidden else ():
        out[variant] = (siglip_patches(vision, rows()) if name.startswith("Siglip")
                        else clip_patches(model, rows()))
    if name not in ("SiglipModel", "CLIPModel"):
        return
    config = model.config.text_config
    room, texts, start = config.max_position_embeddings, [], [0]
    for length in (2, room, 4):
        ids = torch.randint(2, config.vocab_size - 2, (length,), generator=generator)
        if name == "CLIPModel":
            ids[0], ids[-1] = config.bos_token_id, config.eos_token_id
        texts.append(ids)
        start.append(start[-1] + length)
    rows = []
    for ids in texts:
        if name == "SiglipModel":
            ids = torch.nn.functional.pad(ids, (0, room - len(ids)), value=config.pad_token_id)
        rows.append(pooled(model.get_text_features(input_ids=ids[None])))
    out["texts"] = unit(torch.cat(rows))
    out["ids"] = torch.cat(texts).int()
    out["start"] = torch.tensor(start)


def gradients(model, vision, values, out, generator):
    """Of a weighted sum of hidden_states[-2]."""
    rows = vision(pixel_values=values, output_hidden_states=True).hidden_states[-2]
    dout = torch.randn(rows.shape, generator=generator).double()
    out["dout"] = dout
    (rows * dout).sum().backward()
    for weight in model.parameters():
        weight.data = weight.grad if weight.grad is not None else torch.zeros_like(weight)
    # Written as a model, gradients get the names of files. What is 0 but for rounding (the
    # bias of keys) is left out, and must be about 0 in the test.
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        for name, grad in load_file(f"{folder}/model.safetensors").items():
            if grad.abs().max() > 1e-9:
                out["grad." + name] = grad


def write(name, model, side, seed):
    folder = OUT / name
    generator = torch.Generator().manual_seed(seed + 100)
    stir(model, seed).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = model.double()
    values = torch.randn(B, 3, side, side, generator=generator).float().double()
    vision = getattr(model, "vision_model", model)
    out = {"pixels": values}
    seen = vision(pixel_values=values, output_hidden_states=True)
    for layer, rows in enumerate(seen.hidden_states):
        out[f"hidden.{layer}"] = rows
    joint(model, values, out, generator)
    gradients(model, vision, values, out, generator)
    out = {k: v if v.dtype in (torch.int32, torch.int64) else numbers(v) for k, v in out.items()}
    save_file(out, folder / "values.safetensors")
    print(name, len(out), "values")


def processor(name, side):
    (OUT / name / "preprocessor_config.json").write_text(json.dumps({
        "image_processor_type": "BitImageProcessor", "do_resize": True, "resample": 3,
        "size": {"shortest_edge": side + 4}, "do_center_crop": True,
        "crop_size": {"height": side, "width": side}, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "do_convert_rgb": True,
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}, indent=1))


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    small = {"hidden_size": 24, "intermediate_size": 28, "num_hidden_layers": 3,
             "num_attention_heads": 3, "image_size": 14, "patch_size": 4}
    text = {"hidden_size": 20, "intermediate_size": 26, "num_hidden_layers": 2,
            "num_attention_heads": 2, "vocab_size": 23, "max_position_embeddings": 7}
    write("clip_gelu", CLIPModel(CLIPConfig(
        vision_config=dict(small, hidden_act="gelu", projection_dim=18),
        text_config=dict(text, hidden_act="gelu", bos_token_id=21, eos_token_id=22,
                         projection_dim=18), projection_dim=18)), 14, 1)
    write("clip_projection", CLIPVisionModelWithProjection(CLIPVisionConfig(
        **dict(small, hidden_size=26, num_attention_heads=2, projection_dim=10))), 14, 2)
    write("siglip", SiglipModel(SiglipConfig(
        vision_config=small, text_config=dict(text, projection_size=24))), 14, 3)
    write("siglip_vision", SiglipVisionModel(SiglipVisionConfig(
        **dict(small, hidden_size=30, num_attention_heads=5))), 14, 4)
    dino = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3,
            "image_size": 20, "patch_size": 4, "mlp_ratio": 2}
    write("dinov2", Dinov2Model(Dinov2Config(**dino)), 20, 5)
    write("dinov2_smaller", Dinov2Model(Dinov2Config(**dino)), 13, 6)
    processor("dinov2_smaller", 13)
    write("dinov2_larger", Dinov2Model(Dinov2Config(**dict(dino, qkv_bias=False))), 26, 7)
    processor("dinov2_larger", 26)
    write("dinov2_swiglu", Dinov2Model(Dinov2Config(**dict(dino, use_swiglu_ffn=True,
                                                           mlp_ratio=3))), 20, 8)
    sums = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(OUT)}"
            for p in sorted(OUT.rglob("*")) if p.is_file()]
    (OUT / "SHA256SUMS").write_text("\n".join(sums) + "\n")


if __name__ == "__main__":
    main()
