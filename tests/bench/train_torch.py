# SPDX-License-Identifier: Apache-2.0
"""One training step in PyTorch, for tests/bench/run.sh.

The peer of `bench_train`: the same language model (transformers' implementation with SDPA
attention), the same adapter (Linear, GELU, Linear), the same batch, AdamW. Equal lengths: no
padding on either side. Prints one JSON line.

usage: train_torch.py THREADS STEPS STAGE [SHAPE [DTYPE [MODE]]]
  STAGE  tune (all trained), lora (PEFT, rank 16, all linear layers) or align (adapter)
  SHAPE  demo: 16 samples of 36 image rows and 164 text tokens, the demo's models
         qwen: 2 samples of 576 rows of CLIP-L features and 124 tokens, Qwen2.5-0.5B's sizes;
         qwen4: with 4 of its 24 blocks
  DTYPE  f32, or bf16: all of it, weights and optimiser, the fastest that people use
  MODE   eager or compile
A fifth of the text is supervised.
"""
import json
import sys
import time

import torch
import transformers

threads, steps, stage = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
shape, dtype, mode = (sys.argv[4:] + ["demo", "f32", "eager"][len(sys.argv[4:]):])[:3]
torch.set_num_threads(threads)
torch.manual_seed(1)
if shape == "demo":
    B, M, T, DV = 16, 36, 164, 128
    config = transformers.LlamaConfig(
        hidden_size=128, intermediate_size=352, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=4, vocab_size=768, max_position_embeddings=1024,
        tie_word_embeddings=True)
else:
    B, M, T, DV = 2, 576, 124, 1024
    config = transformers.Qwen2Config(
        hidden_size=896, intermediate_size=4864,
        num_hidden_layers=4 if shape == "qwen4" else 24, num_attention_heads=14,
        num_key_value_heads=2, vocab_size=151936, max_position_embeddings=1024,
        tie_word_embeddings=True)
D, V = config.hidden_size, config.vocab_size
number = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
model = transformers.AutoModelForCausalLM.from_config(config, dtype=number)
adapter = torch.nn.Sequential(torch.nn.Linear(DV, D), torch.nn.GELU(),
                              torch.nn.Linear(D, D)).to(number)
if stage == "align":
    model.requires_grad_(False)
if stage == "lora":
    import peft
    model = peft.get_peft_model(model, peft.LoraConfig(r=16, lora_alpha=32,
                                                       target_modules="all-linear"))
params = [p for p in list(model.parameters()) + list(adapter.parameters()) if p.requires_grad]
optimizer = torch.optim.AdamW(params, lr=1e-3, betas=(0.9, 0.999), weight_decay=0.0, fused=True)
features = torch.randn(B, M, DV, dtype=number)
ids = torch.randint(0, V, (B, T))
labels = torch.full((B, M + T), -100)
labels[:, -(T // 5):] = ids[:, -(T // 5):]


def loss_of():
    x = torch.cat([adapter(features), model.get_input_embeddings()(ids)], dim=1)
    return model(inputs_embeds=x, labels=labels).loss


if mode == "compile":
    loss_of = torch.compile(loss_of)


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(params, 1.0)
    optimizer.step()
    return loss


step()
times, cpu = [], time.process_time()
for _ in range(steps):
    start = time.perf_counter()
    step()
    times.append(time.perf_counter() - start)
cpu = (time.process_time() - cpu) / max(1, steps)
times.sort()
median = times[len(times) // 2]
print(json.dumps({"what": "torch", "version": torch.__version__,
                  "transformers": transformers.__version__, "stage": stage, "shape": shape,
                  "dtype": dtype, "mode": mode, "threads": threads,
                  "tokens_per_s": B * (M + T) / median, "cpu_s_per_step": cpu}))
