# SPDX-License-Identifier: Apache-2.0
"""A file of every dtype as the reference implementation of safetensors writes it, its values,
and a model in two shards. Writes tests/oracle/fixtures/tensors. Run by hand:

    python tests/oracle/io_tensors.py [FILE]

With FILE (written by tests/engine/test_safetensors, SEA_KEEP=FOLDER) it also reads ours.
"""
import json
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parent / "fixtures" / "tensors"
FLOATS = [0.0, -0.0, 1.0, -1.5, 3.14159265, 65504.0, 1e-3, 6e-8, -2e-5, 448.0, 0.0078125, 1 / 3]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    x = torch.tensor(FLOATS, dtype=torch.float64).reshape(3, 4)
    kinds = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
             "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}
    tensors = {name: x.to(kind) for name, kind in kinds.items()}
    n = torch.tensor([0, 1, -7, 100, -128, 127])
    for name, kind in {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
                       "U8": torch.uint8, "BOOL": torch.bool}.items():
        tensors[name] = n.to(kind)
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 3)
    save_file(tensors, OUT / "kinds.safetensors", metadata={"format": "pt", "note": "\u00e9 \"x\""})
    values = {name: [repr(float(v)) if name in kinds or name == "scalar" else int(v)
                     for v in tensor.double().flatten()] for name, tensor in tensors.items()}
    (OUT / "kinds.json").write_text(json.dumps(values) + "\n")
    model = OUT / "shards"
    model.mkdir(exist_ok=True)
    parts = {"model-00001-of-00002.safetensors": {"a.weight": torch.arange(6.).reshape(2, 3)},
             "model-00002-of-00002.safetensors": {"b.weight": torch.arange(4.) + 10,
                                                  "b.bias": torch.arange(2.).to(torch.bfloat16)}}
    for name, part in parts.items():
        save_file(part, model / name, metadata={"format": "pt"})
    (model / "model.safetensors.index.json").write_text(json.dumps(
        {"metadata": {"total_size": 44},
         "weight_map": {key: name for name, part in parts.items() for key in part}}) + "\n")
    if len(sys.argv) > 1:
        with safe_open(sys.argv[1], "pt") as ours:
            print(ours.metadata())
            for key in ours.keys():
                tensor = ours.get_tensor(key)
                print(key, tensor.dtype, tuple(tensor.shape), tensor.double().sum().item())


main()
