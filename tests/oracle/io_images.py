# SPDX-License-Identifier: Apache-2.0
"""Reference values for pictures: small files in many layouts, and what Pillow and numpy make
of them. Writes tests/oracle/fixtures/images. Needs Pillow and numpy; run by hand:

    python tests/oracle/io_images.py
"""
import hashlib
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageFilter

OUT = pathlib.Path(__file__).parent / "fixtures" / "images"
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]


def picture(width, height, seed):
    """Noise over slopes: something for every branch of a filter."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1),
                     (x + y) * 127 / max(width + height - 2, 1)], -1)
    noise = rng.integers(-90, 90, size=(height, width, 3))
    return Image.fromarray(np.clip(base + noise, 0, 255).astype(np.uint8), "RGB")


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_gamma(png):
    """The same file with a gamma chunk behind its header."""
    return png[:33] + chunk(b"gAMA", struct.pack(">I", 100000)) + png[33:]


def rgb16(width, height, seed):
    """16 bits per sample, which Pillow reads but does not write."""
    rows = np.random.default_rng(seed).integers(0, 65536, size=(height, width * 3)).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def sha(data):
    return hashlib.sha256(data).hexdigest()


def write_files():
    a, b = picture(61, 43, 1), picture(30, 47, 2).filter(ImageFilter.GaussianBlur(1))
    a.save(OUT / "rgb.png")
    (OUT / "gamma.png").write_bytes(with_gamma((OUT / "rgb.png").read_bytes()))
    a.convert("L").save(OUT / "grey.png")
    a.convert("1").save(OUT / "bits.png")
    b.quantize(13).save(OUT / "palette.png", bits=4)
    b.quantize(200).save(OUT / "palette_alpha.png", transparency=3)
    rgba = b.convert("RGBA")
    rgba.putalpha(b.convert("L"))
    rgba.save(OUT / "rgba.png")
    b.convert("LA").save(OUT / "grey_alpha.png")
    (OUT / "rgb16.png").write_bytes(rgb16(17, 9, 3))
    a.save(OUT / "sub420.jpg", quality=80)
    a.save(OUT / "sub444.jpg", quality=95, subsampling=0)
    b.save(OUT / "progressive.jpg", quality=70, progressive=True)
    a.convert("L").save(OUT / "grey.jpg")
    b.convert("CMYK").save(OUT / "cmyk.jpg", quality=90)
    a.save(OUT / "lossy.webp", quality=60)
    a.save(OUT / "lossless.webp", lossless=True)
    rgba.save(OUT / "alpha.webp", lossless=True, exact=True)


def preprocess(image, size, crop, pad, mean, std):
    """CLIP's processor, step by step."""
    if pad and image.width != image.height:
        side = max(image.size)
        square = Image.new("RGB", (side, side), tuple(int(255 * m) for m in mean))
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        image = square
    short, long = sorted(image.size)
    other = int(size * long / short)
    shape = (size, other) if image.width <= image.height else (other, size)
    array = np.asarray(image.resize(shape, Image.BICUBIC))
    top, left = (array.shape[0] - crop) // 2, (array.shape[1] - crop) // 2
    out = np.zeros((crop, crop, 3), np.uint8)
    for y in range(crop):
        for x in range(crop):
            if 0 <= y + top < array.shape[0] and 0 <= x + left < array.shape[1]:
                out[y, x] = array[y + top, x + left]
    scaled = (out.astype(np.float64) * (1 / 255)).astype(np.float32)
    scaled = (scaled - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)).astype("<f4")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    write_files()
    rows = []
    for path in sorted(OUT.iterdir()):
        image = Image.open(path).convert("RGB")
        row = {"file": path.name, "width": image.width, "height": image.height,
               "rgb": sha(image.tobytes()), "resized": [], "views": []}
        for width, height, kind in [(20, 20, 3), (133, 7, 3), (5, 90, 3), (61, 20, 3),
                                    (16, 43, 2), (100, 99, 2), (33, 21, 1), (1, 1, 3)]:
            small = image.resize((width, height), kind)
            row["resized"].append({"width": width, "height": height, "kind": kind,
                                   "rgb": sha(small.tobytes())})
        for size, crop, pad in [(32, 32, False), (32, 32, True), (28, 41, False), (40, 28, True),
                                (33, 21, False)]:
            pixels = preprocess(image, size, crop, pad, CLIP_MEAN, CLIP_STD)
            row["views"].append({"size": size, "crop": crop, "pad": pad,
                                 "pixels": sha(pixels.tobytes()),
                                 "first": float(pixels[0, crop // 2, crop // 2])})
        rows.append(row)
    (OUT / "images.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(len(rows), "pictures")


main()
