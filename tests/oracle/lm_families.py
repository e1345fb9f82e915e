# SPDX-License-Identifier: Apache-2.0
"""Tiny random models of every language-model family, and what transformers computes of them
in float64. Used by lm_fixtures.py (committed values) and families.py (other sizes).

Needs torch and transformers 5. Sizes are awkward on purpose, and weights are not degenerate:
norms are not 1, biases are not 0, scores and logits are large enough for soft caps to bend
them, texts are longer than windows.
"""
import math
import random
import sys
import types

import torch
import transformers

torch.set_num_threads(1)            # matrices are tiny: more threads only wait


def sizes(rng, even_heads, vocab, small):
    """Sizes that are multiples of little; transformers wants a width of heads times something.
    small: for files that are committed."""
    heads = rng.choice((2, 3, 4) if small else (2, 3, 4, 5, 6, 9))
    keys = rng.choice([k for k in range(1, heads + 1) if heads % k == 0 and k < heads])
    size = rng.choice((6, 8) if small else (6, 8, 10, 12, 14, 18))
    width = heads * (size if even_heads else rng.choice((5, 6, 7) if small else (5, 6, 7, 9)))
    out = dict(vocab_size=vocab or rng.choice((43, 47, 53) if small else (53, 59, 61, 131)), hidden_size=width,
               intermediate_size=rng.choice((27, 38) if small else (27, 38, 45, 52, 77)),
               num_hidden_layers=2 if small else rng.choice((2, 3, 5)), num_attention_heads=heads,
               num_key_value_heads=keys, max_position_embeddings=rng.choice((96, 130, 160)),
               bos_token_id=1, eos_token_id=2, pad_token_id=None)
    if not even_heads:
        out["head_dim"] = size
    return out


def rope(rng, **more):
    return dict(rope_type="default", rope_theta=rng.choice((50.0, 300.0, 1000.0, 10000.0)),
                **more)


def partial(rng, size):
    """A factor that gives an even number of rotated numbers, not all."""
    return rng.choice([f / 100 for f in range(20, 96) if int(size * (f / 100)) % 2 == 0
                       and 2 <= int(size * (f / 100)) < size])


def make_config(family, rng, vocab=None, small=False):
    """The transformers config of a family: "llama", "llama_bias", ..."""
    even = family.startswith(("stablelm", "phi"))
    s = sizes(rng, even, vocab, small)
    head = s.get("head_dim", s["hidden_size"] // s["num_attention_heads"])
    eps = rng.choice((1e-6, 1e-5, 3e-5))
    r = rope(rng)
    layers = s["num_hidden_layers"]
    window = rng.choice((5, 7, 9))
    t = transformers
    if family == "llama":
        return t.LlamaConfig(**s, rms_norm_eps=eps, rope_parameters=r, tie_word_embeddings=True)
    if family == "llama_bias":
        return t.LlamaConfig(**s, rms_norm_eps=eps, rope_parameters=r, attention_bias=True,
                             mlp_bias=True, tie_word_embeddings=False)
    if family == "llama3":
        r.update(rope_type="llama3", factor=rng.choice((4.0, 8.0)), low_freq_factor=1.0,
                 high_freq_factor=4.0, original_max_position_embeddings=rng.choice((16, 32)))
        return t.LlamaConfig(**s, rms_norm_eps=eps, rope_parameters=r)
    if family == "llama_linear":
        r.update(rope_type="linear", factor=rng.choice((2.0, 3.5)))
        return t.LlamaConfig(**s, rms_norm_eps=eps, rope_parameters=r)
    if family == "gemma":
        return t.GemmaConfig(**s, rms_norm_eps=eps, rope_parameters=r)
    if family == "gemma2":
        return t.Gemma2Config(**s, rms_norm_eps=eps, rope_parameters=r, sliding_window=window,
                              query_pre_attn_scalar=rng.choice((5, 11)),
                              attn_logit_softcapping=rng.choice((2.5, 4.0)),
                              final_logit_softcapping=rng.choice((3.0, 5.0)))
    if family == "mistral":
        return t.MistralConfig(**s, rms_norm_eps=eps, rope_parameters=r, sliding_window=window)
    if family == "phi":
        return t.PhiConfig(**s, layer_norm_eps=eps, rope_parameters=rope(
            rng, partial_rotary_factor=partial(rng, head)))
    if family == "phi3":
        return t.Phi3Config(**s, rms_norm_eps=eps, sliding_window=window, rope_parameters=rope(
            rng, partial_rotary_factor=partial(rng, head)))
    if family == "phi3_long":           # positions: those of the training, and twice as many
        part = rng.choice([f / 100 for f in range(40, 101) if int(head * (f / 100)) % 2 == 0
                           and int(head * (f / 100)) >= 4])
        factors = [[round(1 + k * rng.random(), 3) for _ in range(int(head * part) // 2)]
                   for k in (1, 9)]
        s["original_max_position_embeddings"] = s["max_position_embeddings"]
        s["max_position_embeddings"] *= 2
        return t.Phi3Config(**s, rms_norm_eps=eps, sliding_window=None, rope_parameters=dict(
            rope_type="longrope", rope_theta=rng.choice((300.0, 10000.0)),
            partial_rotary_factor=part, short_factor=factors[0], long_factor=factors[1],
            original_max_position_embeddings=s["original_max_position_embeddings"]))
    if family in ("qwen2", "qwen2_window"):
        slide = dict(use_sliding_window=True, sliding_window=window,
                     max_window_layers=layers - 1) if family.endswith("window") else {}
        s.pop("head_dim")
        s["hidden_size"] = s["num_attention_heads"] * rng.choice((6, 8, 10))
        return t.Qwen2Config(**s, **slide, rms_norm_eps=eps, rope_parameters=r,
                             tie_word_embeddings=rng.random() < 0.5)
    if family == "qwen3":
        return t.Qwen3Config(**s, rms_norm_eps=eps, rope_parameters=r,
                             attention_bias=rng.random() < 0.5)
    if family == "qwen3_window":
        return t.Qwen3Config(**s, rms_norm_eps=eps, rope_parameters=r, use_sliding_window=True,
                             sliding_window=window, max_window_layers=layers,
                             layer_types=["sliding_attention"] + ["full_attention"] *
                             (layers - 1), tie_word_embeddings=True)
    if family in ("stablelm", "stablelm_parallel"):
        return t.StableLmConfig(**s, layer_norm_eps=eps, use_qkv_bias=rng.random() < 0.7,
                                use_parallel_residual=family.endswith("parallel"),
                                rope_parameters=rope(
                                    rng, partial_rotary_factor=partial(rng, head)))
    raise ValueError(family)


FAMILIES = ("llama", "llama_bias", "llama3", "llama_linear", "gemma", "gemma2", "mistral",
            "phi", "phi3", "phi3_long", "qwen2", "qwen2_window", "qwen3", "qwen3_window", "stablelm",
            "stablelm_parallel")


def make_model(config, seed, round_bf16=False):
    """A float32 model with random weights; rounded to what bfloat16 holds when asked for."""
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32,
                                                          attn_implementation="eager")
    model.eval()
    plus_one = config.model_type.startswith("gemma")
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1:
                p.normal_(0, 1.1 / math.sqrt(p.shape[-1]))
            elif name.endswith(".bias"):
                p.normal_(0, 0.3)
            else:
                p.normal_(0 if plus_one else 1, 0.3)
            if round_bf16:
                p.copy_(p.bfloat16().float())
        if plus_one:                    # words enter times sqrt(D)
            model.get_input_embeddings().weight.mul_(0.5)
    return model


class Wide(types.ModuleType):
    """torch, where float32 means float64: the modelling code of transformers widens to
    float32 for norms and softmax, whatever the model is in."""

    def __getattr__(self, name):
        return torch.float64 if name == "float32" else getattr(torch, name)


def widen(model):
    """The model in float64, in every step but the rotation's angles: those are float32 by
    definition, as published models were trained with them."""
    module = sys.modules[type(model).__module__]
    module.torch = Wide("torch")
    return model.double()


def ids_and_labels(rows, vocab, seed):
    gen = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, vocab, (rows,), dtype=torch.int32, generator=gen)
    labels = ids.clone()
    labels[:5] = -100
    labels[rows // 2:rows // 2 + 4] = -100
    return ids, labels


def loss_and_gradients(model, ids, labels):
    model.zero_grad()
    out = model(input_ids=ids[None].long())
    logits = out.logits[0].double()
    target = labels[1:].long()
    loss = torch.nn.functional.cross_entropy(logits[:-1], target, ignore_index=-100)
    loss.backward()
    return logits.detach(), loss.item(), {n: p.grad.clone() for n, p in
                                          model.named_parameters()}


STEPS, RATE, DECAY, EPS = 20, 1e-3, 0.01, 1e-8


def train(model, ids, labels):
    """STEPS steps of AdamW on one batch; decay on matrices only."""
    groups = [dict(params=[p for p in model.parameters() if p.dim() > 1], weight_decay=DECAY),
              dict(params=[p for p in model.parameters() if p.dim() == 1], weight_decay=0.0)]
    optim = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.999), eps=EPS)
    for _ in range(STEPS):
        loss_and_gradients(model, ids, labels)
        optim.step()
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def greedy(model, ids, count):
    """The best word after the whole sequence, again and again; without a cache."""
    seq = ids.tolist()
    with torch.no_grad():
        for _ in range(count):
            logits = model(input_ids=torch.tensor([seq]), use_cache=False).logits[0, -1]
            seq.append(int(logits.argmax()))
    return seq[len(ids):]


def error(got, want):
    want = want.double()
    return ((got.double() - want).norm() / want.norm()).item()
