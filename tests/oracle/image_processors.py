#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures as the image processors of transformers prepare them.

    image_processors.py                     writes tests/oracle/fixtures/processors
    image_processors.py BUILD [SEED [N]]    `sea image` against N random pictures and settings

Pixels are compared after decoding to RGB by Pillow, bit for bit. Needs transformers, Pillow,
numpy and safetensors.
"""
import hashlib
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import zlib

import numpy as np
from PIL import Image
from safetensors.numpy import load_file
from transformers import (BitImageProcessorPil, CLIPImageProcessorPil, LlavaImageProcessorPil,
                          SiglipImageProcessorPil)

OUT = pathlib.Path(__file__).resolve().parent / "fixtures" / "processors"
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def picture(rng, width, height):
    """Noise over slopes: something for every branch of a filter."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1), (x * y) % 256], -1)
    return Image.fromarray(np.clip(base + rng.integers(-120, 120, base.shape), 0, 255).astype(np.uint8))


def processors(draw):
    """Name and processor, of the kinds that towers of ours come with."""
    side, extra = draw.randint(5, 60), draw.randint(0, 30)
    square = {"height": side, "width": side}
    oblong = {"height": draw.randint(3, 70), "width": draw.randint(3, 70)}
    yield "clip", CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=square)
    yield "clip, larger edge", CLIPImageProcessorPil(size={"shortest_edge": side + extra}, crop_size=square)
    yield "clip, smaller edge", CLIPImageProcessorPil(size={"shortest_edge": max(3, side - extra)},
                                                      crop_size=square)
    yield "clip, no resize", CLIPImageProcessorPil(do_resize=False, crop_size=oblong)
    yield "siglip", SiglipImageProcessorPil(size=square)
    yield "siglip, oblong, bilinear", SiglipImageProcessorPil(size=oblong, resample=2)
    yield "bit", BitImageProcessorPil(size={"shortest_edge": side * 8 // 7}, crop_size=square, **IMAGENET)
    yield "bit, bilinear", BitImageProcessorPil(size={"shortest_edge": side + extra}, resample=2,
                                                crop_size=oblong, **IMAGENET)
    yield "llava, padded", LlavaImageProcessorPil(size={"shortest_edge": side}, crop_size=square, do_pad=True)
    yield "llava, whole colours", LlavaImageProcessorPil(
        size={"shortest_edge": side}, crop_size=square, do_pad=True,
        image_mean=[draw.randint(0, 255) / 255 for _ in range(3)])
    yield "other factor", SiglipImageProcessorPil(size=square, rescale_factor=1 / 127.5, do_normalize=False)
    yield "bytes", SiglipImageProcessorPil(size=oblong, do_rescale=False, do_normalize=False)
    yield "normalized bytes", SiglipImageProcessorPil(size=oblong, do_rescale=False)
    yield "lanczos", SiglipImageProcessorPil(size=oblong, resample=1)


def prepare(processor, path):
    values = processor(Image.open(path).convert("RGB"), return_tensors="np").pixel_values[0]
    return np.ascontiguousarray(np.asarray(values).astype("<f4"))


def grey16(rng, width, height):
    rows = rng.integers(0, 65536, size=(height, width)).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return rows, (b"\x89PNG\r\n\x1a\n"
                  + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0))
                  + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def write():
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    rng, draw = np.random.default_rng(7), random.Random(7)
    exif = Image.Exif()
    exif[0x0112] = 6            # to be turned by a quarter, which nobody here does
    picture(rng, 53, 34).save(OUT / "exif.jpg", exif=exif, quality=90)
    picture(rng, 31, 67).save(OUT / "tall.png")
    picture(rng, 97, 29).save(OUT / "wide.png")
    picture(rng, 1, 40).save(OUT / "thin.png")
    rows, data = grey16(rng, 13, 11)
    (OUT / "grey16.png").write_bytes(data)
    found = {"grey16": [int(v >> 8) for v in rows.flatten()], "views": []}
    for path in sorted(OUT.glob("*.*")):
        if path.name == "grey16.png":   # Pillow clips its samples at 255: see sea_image.h
            continue
        for name, processor in processors(draw):
            pixels = prepare(processor, path)
            found["views"].append({
                "file": path.name, "name": name, "config": json.loads(processor.to_json_string()),
                "shape": list(pixels.shape), "pixels": hashlib.sha256(pixels.tobytes()).hexdigest()})
    lines = ",\n".join(json.dumps(view) for view in found["views"])
    (OUT / "processors.json").write_text(
        '{"grey16": ' + json.dumps(found["grey16"]) + ',\n"views": [\n' + lines + "\n]}\n")
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"
            for path in sorted(OUT.iterdir()) if path.name != "SHA256SUMS"]
    (OUT / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    print(len(found["views"]), "views")


def check(build, seed, count):
    rng, draw, bad, done = np.random.default_rng(seed), random.Random(seed), 0, 0
    modes = ["RGB", "RGB", "L", "P", "RGBA", "LA", "1", "CMYK"]
    with tempfile.TemporaryDirectory() as name:
        top = pathlib.Path(name)
        for n in range(count):
            image = picture(rng, draw.randint(1, 160), draw.randint(1, 160)).convert(draw.choice(modes))
            path = top / ("p.jpg" if image.mode == "CMYK" or draw.random() < 0.2 and
                          image.mode in ("RGB", "L") else "p.png")
            image.save(path)
            for what, processor in processors(draw):
                processor.save_pretrained(top)
                aspect = "pad" if what.startswith("llava") else "square"
                run = subprocess.run([f"{build}/sea", "image", "--model", top, "--image", path, "--aspect",
                                      aspect, "--out", top / "out.safetensors"],
                                     capture_output=True, text=True)
                want = prepare(processor, path)
                got = None if run.returncode else load_file(top / "out.safetensors")["pixel_values"]
                done += 1
                if got is None or got.shape != want.shape or got.tobytes() != want.tobytes():
                    bad += 1
                    print(f"FAIL {image.size} {image.mode} {what}: {run.stderr.strip()}",
                          "" if got is None or got.shape != want.shape else abs(got - want).max())
    print(f"{done} views of {count} pictures, {bad} differ")
    sys.exit(bad > 0)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        check(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1,
              int(sys.argv[3]) if len(sys.argv) > 3 else 40)
    write()
