#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Language models as they lie on people's disks: configs in the words of many releases and
publishers, files that others wrote, low-rank adapters of PEFT's every kind.

    found_models.py SEA [WORD ...]      only cases whose name holds a word

Each folder is read by `sea model logits` and by transformers (PEFT) in float64: relative error
of the logits at most 1e-5, or both refuse. What only we refuse is in the list below with a word
that our message must hold. Prints a line per case, exits 1 when one is off.
"""
import json
import math
import os
import random
import re
import struct
import subprocess
import sys
import tempfile

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

from lm_families import error, widen

SEA = os.path.abspath(sys.argv[1])
BOUND = 1e-5
failures = total = 0
IDS = torch.randint(3, 90, (40,), generator=torch.Generator().manual_seed(5)).tolist()


def report(ok, what, detail=""):
    global failures, total
    total += 1
    failures += not ok
    print(f"{'ok  ' if ok else 'FAIL'} {what}: {detail}", flush=True)


def wanted(what):
    return len(sys.argv) < 3 or any(word in what for word in sys.argv[2:])


# ---- configs, shrunk; the keys are those of the published ones ----

LLAMA = dict(architectures=["LlamaForCausalLM"], model_type="llama", bos_token_id=1, eos_token_id=2,
             hidden_act="silu", hidden_size=48, initializer_range=0.02, intermediate_size=67,
             max_position_embeddings=96, num_attention_heads=4, num_hidden_layers=2,
             num_key_value_heads=4, pretraining_tp=1, rms_norm_eps=1e-5, rope_scaling=None,
             tie_word_embeddings=False, torch_dtype="float16", use_cache=True, vocab_size=101)
LLAMA3 = dict(LLAMA, max_position_embeddings=131072, num_attention_heads=6, num_key_value_heads=2,
              rope_theta=500000.0, rope_scaling=dict(
                  factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, rope_type="llama3",
                  original_max_position_embeddings=32))
QWEN2 = dict(LLAMA, architectures=["Qwen2ForCausalLM"], model_type="qwen2", max_window_layers=1,
             num_key_value_heads=2, rope_theta=1000000.0, sliding_window=6, use_mrope=False,
             use_sliding_window=False, tie_word_embeddings=True)
GEMMA2 = dict(architectures=["Gemma2ForCausalLM"], model_type="gemma2", vocab_size=109,
              attn_logit_softcapping=5.0, final_logit_softcapping=3.0, bos_token_id=2,
              eos_token_id=1, pad_token_id=0, cache_implementation="hybrid", head_dim=12,
              hidden_act="gelu_pytorch_tanh", hidden_activation="gelu_pytorch_tanh",
              hidden_size=36, intermediate_size=50, max_position_embeddings=128,
              num_attention_heads=4, num_hidden_layers=3, num_key_value_heads=2,
              query_pre_attn_scalar=224, rms_norm_eps=1e-6, rope_theta=10000.0, sliding_window=5)
PHI3 = dict(LLAMA, architectures=["Phi3ForCausalLM"], model_type="phi3", pad_token_id=90,
            original_max_position_embeddings=96, sliding_window=2047, embd_pdrop=0.0)
LONG = dict(PHI3, max_position_embeddings=512, rope_scaling=dict(
    type="longrope", short_factor=[1.0, 1.05, 1.1, 1.5, 2.0, 2.5],
    long_factor=[1.1, 1.5, 3.0, 5.0, 7.0, 9.0]))
STABLELM = dict(LLAMA, architectures=["StableLmForCausalLM"], model_type="stablelm",
                layer_norm_eps=1e-5, partial_rotary_factor=0.5, qk_layernorm=False,
                use_parallel_residual=False, use_qkv_bias=True)


def without(config, *keys, **more):
    return {key: value for key, value in dict(config, **more).items() if key not in keys}


def configs():
    """Name, config, a word of our refusal (None: it is read)."""
    llama3 = LLAMA3["rope_scaling"]
    plain3 = {key: value for key, value in llama3.items() if "original" not in key}
    yield "llama 2", LLAMA, None
    yield "llama 2, no key heads", without(LLAMA, "num_key_value_heads"), None
    yield "llama 2, key heads null", dict(LLAMA, num_key_value_heads=None, head_dim=None), None
    yield "llama 2, pretraining_tp 2", dict(LLAMA, pretraining_tp=2), None
    yield "llama, every bias, tied", dict(LLAMA, attention_bias=True, mlp_bias=True,
                                          tie_word_embeddings=True), None
    yield "llama 3.1", LLAMA3, None
    yield "llama 3.2, head of its own", dict(LLAMA3, head_dim=10, tie_word_embeddings=True), None
    yield "llama 3, rope_parameters", without(LLAMA3, "rope_scaling", rope_parameters=dict(
        llama3, rope_theta=500000.0)), None
    yield "llama 3, positions at the top", dict(
        LLAMA3, max_position_embeddings=64, original_max_position_embeddings=16,
        rope_scaling=plain3), None
    yield "llama 3, positions nowhere", dict(LLAMA3, max_position_embeddings=64,
                                             rope_scaling=plain3), None
    yield "rope_scaling {} beside rope_parameters", dict(LLAMA, rope_scaling={}, rope_parameters=dict(
        rope_type="linear", factor=3.0, rope_theta=99.0)), None
    yield "rope_scaling against rope_parameters", dict(LLAMA3, rope_parameters=dict(
        rope_type="default", rope_theta=33.0)), None
    yield "two values of rope_theta", dict(LLAMA, rope_theta=1234.0, rope_parameters=dict(
        rope_type="default", rope_theta=99.0)), None
    yield "yarn", dict(QWEN2, rope_scaling=dict(type="yarn", factor=4.0,
                                                original_max_position_embeddings=32)), "yarn"
    yield "qwen 2", QWEN2, None
    yield "qwen 2, windows above", dict(QWEN2, use_sliding_window=True), None
    yield "qwen 2, windows by list", dict(QWEN2, use_sliding_window=True, layer_types=[
        "sliding_attention", "full_attention"]), None
    yield "gemma 2", GEMMA2, None
    yield "gemma 2, window 1", dict(GEMMA2, sliding_window=1), None
    yield "gemma 2, no caps", dict(GEMMA2, attn_logit_softcapping=None,
                                   final_logit_softcapping=None), None
    yield "gemma 2, defaults", without(GEMMA2, "query_pre_attn_scalar", "attn_logit_softcapping",
                                       "final_logit_softcapping"), None
    yield "phi 3", PHI3, None
    yield "phi 3, window 3", dict(PHI3, sliding_window=3), None
    yield "phi 3, long", LONG, None
    yield "phi 3, long, at its last position", dict(LONG, original_max_position_embeddings=40), None
    yield "phi 3, long, past it", dict(LONG, original_max_position_embeddings=39), "39 positions"
    yield "phi 4 mini", dict(LONG, hidden_size=64, partial_rotary_factor=0.75, num_key_value_heads=2,
                             tie_word_embeddings=True), None
    yield "stablelm 2", STABLELM, None
    yield "stablelm 2, parallel", dict(STABLELM, use_parallel_residual=True, use_qkv_bias=False), None
    yield "stablelm 2 12b", dict(STABLELM, qk_layernorm=True), "qk_layernorm"
    yield "attention_dropout", dict(LLAMA, attention_dropout=0.1), "attention_dropout"
    yield "quantized", dict(LLAMA, quantization_config=dict(quant_method="gptq", bits=4)), \
        "quantization_config"


# ---- folders ----

def build(folder, config, seed=1):
    os.makedirs(folder)
    write(folder, config)
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.from_pretrained(folder), dtype=torch.float32,
        attn_implementation="eager")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            plain = 0.3 * noise if name.endswith("bias") or "gemma" in config["model_type"] \
                else 1 + 0.3 * noise
            p.copy_(noise * 1.1 / math.sqrt(p.shape[-1]) if p.dim() > 1 else plain)
        if "gemma" in config["model_type"]:
            model.get_input_embeddings().weight.mul_(0.4)
    model.save_pretrained(folder)
    write(folder, config)
    return model


def write(folder, config, name="config.json"):
    with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
        json.dump(config, file)


def tensors(folder, change):
    path = f"{folder}/model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})


def theirs(folder, adapter=None):
    module = None
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager")
        if adapter:
            model = peft.PeftModel.from_pretrained(model, adapter)
        inner = model.base_model.model if adapter else model
        module = sys.modules[type(inner).__module__]
        widen(inner)
        with torch.no_grad():
            return model.eval().double()(input_ids=torch.tensor([IDS])).logits[0]
    finally:
        if module:
            module.torch = torch


def compare(what, folder, refusal=None, reference=None, adapter=None):
    out = f"{folder}.out"
    done = subprocess.run([SEA, "model", "logits", "--model", adapter or folder, "--ids",
                           ",".join(map(str, IDS)), "--out", out], capture_output=True, text=True)
    if done.returncode or refusal:
        report(bool(done.returncode and refusal and refusal in done.stderr), what,
               done.stderr.strip().split("\n")[0][-150:] or "is read")
        return
    off = error(load_file(out)["logits"], theirs(reference or folder, adapter))
    report(off <= BOUND, what, f"{off:.1e} (bound {BOUND:.0e})")


def in_odd_order(folder):
    """Names in one order, data in another, blanks behind the header: all of it is allowed."""
    path = f"{folder}/model.safetensors"
    held, data, places = load_file(path), b"", {}
    for name in sorted(held, reverse=True):
        raw = held[name].contiguous().numpy().tobytes()
        places[name] = [len(data), len(data) + len(raw)]
        data += raw
    names = random.Random(3).sample(list(held), len(held))
    head = json.dumps({name: dict(shape=list(held[name].shape), data_offsets=places[name],
                                  dtype="F32") for name in names}).encode() + b"   "
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + data)


def add(held, **more):
    return dict(held, **{name.replace("__", "."): tensor for name, tensor in more.items()})


WORDS = "model.embed_tokens.weight"


def files():
    """Name, config, what is done to the folder, a word of our refusal."""
    yield "odd order", LLAMA, in_odd_order, None
    yield "tensors that nobody needs", LLAMA, lambda f: tensors(f, lambda t: add(
        t, model__layers__0__self_attn__rotary_emb__inv_freq=torch.ones(6),
        model__layers__0__self_attn__bias=torch.ones(1, 1, 4, 4, dtype=torch.bool),
        x__position_ids=torch.arange(5)[None])), None
    types = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
    yield "a type for each tensor", LLAMA, lambda f: tensors(f, lambda t: {
        name: tensor.to(types[i % 4]) for i, (name, tensor) in enumerate(t.items())}), None
    yield "tied, the same head again", QWEN2, lambda f: tensors(
        f, lambda t: add(t, lm_head__weight=t[WORDS].clone())), None
    yield "tied, another head", QWEN2, lambda f: tensors(
        f, lambda t: add(t, lm_head__weight=t[WORDS].flip(0).contiguous())), None
    yield "tied, under the head's name only", QWEN2, lambda f: tensors(
        f, lambda t: {name.replace(WORDS, "lm_head.weight"): w for name, w in t.items()}), None
    yield "without the class around it", QWEN2, lambda f: tensors(
        f, lambda t: {name.removeprefix("model."): w for name, w in t.items()}), None
    yield "a head that is missing", LLAMA, lambda f: tensors(
        f, lambda t: {name: w for name, w in t.items() if "lm_head" not in name}), "lm_head.weight"
    yield "an index that is old", LLAMA, lambda f: write(
        f, dict(weight_map=dict(a="model-00001-of-00002.safetensors")),
        "model.safetensors.index.json"), None


ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def adapters():
    """Name, options of LoraConfig, a word of our refusal."""
    yield "all-linear", dict(target_modules="all-linear"), None
    yield "an expression", dict(target_modules=r".*layers\.1\..*(q_proj|up_proj)"), None
    yield "layers by number", dict(target_modules=["q_proj", "o_proj"], layers_to_transform=[1]), None
    yield "a whole name", dict(target_modules=["model.layers.1.mlp.down_proj"]), None
    yield "excluded", dict(target_modules=ALL, exclude_modules=["q_proj"]), None
    yield "ranks", dict(target_modules=ALL, rank_pattern={"q_proj": 2, "down_proj": 6}), None
    yield "scales", dict(target_modules=ALL, alpha_pattern={"q_proj": 20}), None
    yield "ranks and scales", dict(target_modules=ALL, rank_pattern={r"layers\.0\..*q_proj": 8},
                                   alpha_pattern={r"layers\.1\.self_attn\.v_proj": 3}), None
    yield "rslora", dict(target_modules=ALL, use_rslora=True), None
    yield "rslora, ranks", dict(target_modules=ALL, use_rslora=True, rank_pattern={"q_proj": 2}), None
    yield "alpha 0", dict(target_modules=ALL, lora_alpha=0), None
    yield "rank above the width", dict(target_modules=["q_proj"], r=100), None
    yield "dora", dict(target_modules=ALL, use_dora=True), "use_dora"
    yield "pissa", dict(target_modules=ALL, init_lora_weights="pissa"), "init_lora_weights"
    yield "olora", dict(target_modules=ALL, init_lora_weights="olora"), "init_lora_weights"
    yield "the head", dict(target_modules=ALL + ["lm_head"]), "lm_head"
    yield "the words", dict(target_modules=ALL + ["embed_tokens"]), "embed_tokens"
    yield "a whole head", dict(target_modules=ALL, modules_to_save=["lm_head"]), "modules_to_save"


def adapt(what, folder, options, refusal):
    model, adapter = build(folder, LLAMA), f"{folder}-peft"
    torch.manual_seed(3)
    model = peft.get_peft_model(model, peft.LoraConfig(**dict(dict(r=4, lora_alpha=7), **options)))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.add_(0.3 * torch.randn(p.shape))
    model.peft_config["default"].base_model_name_or_path = folder
    model.save_pretrained(adapter)
    compare(f"peft, {what}", folder, refusal, adapter=adapter)


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as top:
        for what, config, refusal in configs():
            folder = f"{top}/{re.sub('[^a-z0-9]+', '-', what)}"
            if wanted(what):
                build(folder, without(config, "quantization_config"))
                write(folder, config)
                compare(what, folder, refusal)
        for what, config, change, refusal in files():
            folder = f"{top}/file-{re.sub('[^a-z0-9]+', '-', what)}"
            if wanted(what):
                build(folder, config)
                change(folder)
                compare(what, folder, refusal)
        for what, options, refusal in adapters():
            if wanted(f"peft, {what}"):
                adapt(what, f"{top}/peft-{re.sub('[^a-z0-9]+', '-', what)}", options, refusal)
    print(f"found_models: {total - failures} passed, {failures} failed, 0 skipped")
    return failures > 0


sys.exit(main())
