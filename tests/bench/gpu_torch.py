# SPDX-License-Identifier: Apache-2.0
"""The peer of bench_gpu: LLaVA as transformers has it, on the same card. One line of JSON.

The same shapes, the same samples with the same lengths, everything in bfloat16 with PyTorch's
scaled dot product attention. It gets what favours it: samples of similar length share a
micro-batch, padding stands on the right, so that no mask keeps attention from its fast path,
weights and optimiser are bfloat16, AdamW is fused, and the largest micro-batch that fits is
taken. SEA's contrastive loss is left out of its alignment step.

usage: gpu_torch.py JOB MODEL [--device D] [--seconds S] [--layers N] [--samples N] [--spec F]
                    [--compile]
  JOB    align, tune, lora, prefill, decode1, decode64
  MODEL  tiny, 0.5b, 2b, 7b
"""
import argparse
import json
import statistics
import sys
import time

import torch
import transformers

MODELS = {  # kind, D, F, layers, H, K, E, vocab, tied, tower
    "tiny": ("llama", 128, 352, 3, 4, 2, 32, 512, True, 64),
    "0.5b": ("qwen2", 896, 4864, 24, 14, 2, 64, 151936, True, 1024),
    "2b": ("gemma", 2048, 16384, 18, 8, 1, 256, 256000, True, 1024),
    "7b": ("llama", 4096, 11008, 32, 32, 32, 128, 32000, False, 1024),
}
KINDS = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config,
         "gemma": transformers.GemmaConfig}
RANK, QUESTION, CONTEXT, FEW, MANY = 16, 64, 700, 8, 40

ap = argparse.ArgumentParser()
ap.add_argument("job")
ap.add_argument("model")
ap.add_argument("--device", default="cuda:0")
ap.add_argument("--seconds", type=float, default=5)
ap.add_argument("--layers", type=int, default=0)
ap.add_argument("--samples", type=int, default=0)
ap.add_argument("--spec", type=float, default=0)
ap.add_argument("--compile", action="store_true")
args = ap.parse_args()
kind, D, F, layers, H, K, E, V, tied, tower = MODELS[args.model]
layers = min(layers, args.layers) if args.layers else layers
device = torch.device(args.device)
cuda = device.type == "cuda"
torch.manual_seed(1)
side = 336 if tower == 1024 else 56
m = (side // 14) ** 2
IMAGE = V - 1


def sync():
    if cuda:
        torch.cuda.synchronize(device)


def text_config():
    config = KINDS[kind](
        hidden_size=D, intermediate_size=F, num_hidden_layers=layers, num_attention_heads=H,
        num_key_value_heads=K, head_dim=E, vocab_size=V, max_position_embeddings=2048,
        tie_word_embeddings=tied)
    config._attn_implementation = "sdpa"
    return config


def build(cls, config):
    """Weights are drawn where they will be used."""
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            return cls(config).to(device)
    finally:
        torch.set_default_dtype(torch.float32)


def llava():
    vision = transformers.CLIPVisionConfig(
        hidden_size=tower, intermediate_size=4 * tower, num_hidden_layers=24 if m > 16 else 2,
        num_attention_heads=16 if m > 16 else 2, image_size=side, patch_size=14,
        projection_dim=768)
    config = transformers.LlavaConfig(
        vision_config=vision, text_config=text_config(), image_token_id=IMAGE,
        vision_feature_layer=-2, vision_feature_select_strategy="default")
    return build(transformers.LlavaForConditionalGeneration, config)


def sample_at(captions, i):
    u = ((i + 1) * 2654435761) & 0xFFFFFFFF
    text = (12 if captions else 24) + (u * (42 if captions else 600) >> 32)
    return text, text if captions else text * 8 // 13


def micro_batches(captions, count, size):
    """Samples sorted by length, `size` at a time, padded to a multiple of 8."""
    samples = sorted(sample_at(captions, i) for i in range(count))
    for at in range(0, count, size):
        some = samples[at:at + size]
        width = (m + 1 + max(t for t, _ in some) + 7) // 8 * 8
        ids = torch.randint(1, V - 2, (len(some), width))
        ids[:, 1:1 + m] = IMAGE
        labels = torch.full_like(ids, -100)
        for row, (text, supervised) in enumerate(some):
            end = m + 1 + text
            labels[row, end - supervised:end] = ids[row, end - supervised:end]
        pixels = torch.randn(len(some), 3, side, side, dtype=torch.bfloat16)
        yield ids.to(device), labels.to(device), pixels.to(device)


def measure(step):
    start = time.perf_counter()
    step()
    sync()
    first = time.perf_counter() - start
    times, until = [], time.perf_counter() + args.seconds
    while len(times) < 3 or time.perf_counter() < until:
        start = time.perf_counter()
        step()
        sync()
        times.append(time.perf_counter() - start)
    return first, statistics.median(times), len(times)


def train():
    captions = args.job == "align"
    count = args.samples or 32
    model = llava()
    for name, p in model.named_parameters():
        p.requires_grad_("multi_modal_projector" in name or
                         (args.job == "tune" and "vision_tower" not in name))
    if args.job == "lora":
        import peft
        modules = [n for n, x in model.named_modules()
                   if isinstance(x, torch.nn.Linear) and "language_model" in n and "head" not in n]
        model = peft.get_peft_model(model, peft.LoraConfig(
            r=RANK, lora_alpha=2 * RANK, target_modules=modules))
        for name, p in model.named_parameters():
            if "multi_modal_projector" in name:
                p.requires_grad_(True)
    model.train()
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=2e-5, weight_decay=0.0, fused=cuda)
    forward = torch.compile(model, dynamic=True) if args.compile else model
    size = min(count, 32)
    while True:
        data = list(micro_batches(captions, count, size))
        total = sum(int((labels != -100).sum()) for _, labels, _ in data)

        def step():
            optimizer.zero_grad(set_to_none=True)
            for ids, labels, pixels in data:
                loss = forward(input_ids=ids, pixel_values=pixels, labels=labels).loss
                (loss * int((labels != -100).sum()) / total).backward()
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            optimizer.step()
        try:
            first, median, windows = measure(step)
            break
        except torch.OutOfMemoryError:
            optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            if size == 1:
                raise
            size //= 2
    rows = sum(m + 1 + sample_at(captions, i)[0] for i in range(count))
    return {"seconds": median, "first_seconds": first, "windows": windows, "samples": count,
            "micro_batch_samples": size, "layers": layers, "samples_per_s": count / median,
            "tokens_per_s": rows / median,
            "packing": rows / sum(ids.numel() for ids, _, _ in data)}


@torch.inference_mode()
def prefill():
    count = args.samples or 64
    model = llava().eval()
    size = min(count, 16)
    ids = torch.randint(1, V - 2, (count, m + QUESTION - 1), device=device)
    ids[:, 1:1 + m] = IMAGE
    pixels = torch.randn(count, 3, side, side, dtype=torch.bfloat16)

    def step():
        for at in range(0, count, size):
            out = model(input_ids=ids[at:at + size], logits_to_keep=1,
                        pixel_values=pixels[at:at + size].to(device))
            out.logits.argmax(-1).cpu()
    first, median, windows = measure(step)
    return {"seconds": median, "first_seconds": first, "windows": windows, "prompts": count,
            "layers": layers, "images_per_s": count / median}


@torch.inference_mode()
def decode():
    count = args.samples or (1 if args.job == "decode1" else 64)
    model = build(transformers.AutoModelForCausalLM.from_config, text_config()).eval()
    words = 24 if args.model == "tiny" else CONTEXT - (FEW + MANY) // 2
    ids = torch.randint(1, V - 2, (count, words), device=device)
    mask = torch.ones_like(ids)
    took = {}
    for new in (FEW, MANY):
        def step():
            model.generate(ids, attention_mask=mask, max_new_tokens=new, min_new_tokens=new,
                           do_sample=False, pad_token_id=0)
        _, took[new], windows = measure(step)
    each = (took[MANY] - took[FEW]) / (MANY - FEW)
    return {"seconds": each, "windows": windows, "batch": count, "layers": layers,
            "tokens_per_s": count / each, "tokens_per_s_each": 1 / each}


row = {"job": args.job, "model": args.model,
       "by": "torch" + (" compiled" if args.compile else ""), "torch": torch.__version__,
       "transformers": transformers.__version__}
if cuda and not torch.cuda.is_available():
    print("gpu_torch.py: PyTorch finds no CUDA device", file=sys.stderr)
    sys.exit(69)
try:
    row.update({"align": train, "tune": train, "lora": train, "prefill": prefill,
                "decode1": decode, "decode64": decode}[args.job]())
except torch.OutOfMemoryError as e:
    row["skipped"] = "out of memory: " + str(e).split(".")[0]
if cuda:
    row["peak_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
print(json.dumps(row))
