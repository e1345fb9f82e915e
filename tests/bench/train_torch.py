# SPDX-License-Identifier: Apache-2.0
"""One training step of the demo's models in PyTorch, for tests/bench/run.sh.

The peer of `bench_train`: the same language model (Llama, transformers' implementation with
SDPA attention), the same adapter (Linear, GELU, Linear), the same batch (16 samples of 36
image rows and 164 text tokens, a fifth of them supervised), AdamW, float32. Equal lengths:
no padding on either side. Prints one JSON line.

usage: train_torch.py THREADS STEPS STAGE      STAGE: tune (all trained) or align (adapter)
"""
import json
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

threads, steps, stage = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(threads)
torch.manual_seed(1)
B, M, T, D, DV, V = 16, 36, 164, 128, 128, 768
config = LlamaConfig(hidden_size=D, intermediate_size=352, num_hidden_layers=3,
                     num_attention_heads=4, num_key_value_heads=4, vocab_size=V,
                     max_position_embeddings=1024, tie_word_embeddings=True)
model = LlamaForCausalLM(config)
adapter = torch.nn.Sequential(torch.nn.Linear(DV, D), torch.nn.GELU(), torch.nn.Linear(D, D))
if stage == "align":
    model.requires_grad_(False)
params = [p for p in list(model.parameters()) + list(adapter.parameters()) if p.requires_grad]
optimizer = torch.optim.AdamW(params, lr=1e-3, betas=(0.9, 0.999), weight_decay=0.0, fused=True)
features = torch.randn(B, M, DV)
ids = torch.randint(0, V, (B, T))
labels = torch.full((B, M + T), -100)
labels[:, -(T // 5):] = ids[:, -(T // 5):]


def step():
    optimizer.zero_grad(set_to_none=True)
    x = torch.cat([adapter(features), model.get_input_embeddings()(ids)], dim=1)
    loss = model(inputs_embeds=x, labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(params, 1.0)
    optimizer.step()
    return loss


step()
times = []
for _ in range(steps):
    start = time.perf_counter()
    step()
    times.append(time.perf_counter() - start)
times.sort()
median = times[len(times) // 2]
print(json.dumps({"what": "torch", "version": torch.__version__, "stage": stage,
                  "threads": threads, "tokens_per_s": B * (M + T) / median}))
