"""Makes the JPEGs of this folder and pixels.json: SHA-256 of what Pillow decodes them to, RGB.

    pip install pillow==13.0.0 && python3 make.py
"""

import hashlib
import json
import math
import pathlib
import random

from PIL import Image

here = pathlib.Path(__file__).parent


def picture(w, h, seed):
    """Smooth parts, noise, and full colours, so that every branch of a decoder is taken."""
    r = random.Random(seed)
    m = Image.new("RGB", (w, h))
    for y in range(h):
        for x in range(w):
            d = math.hypot(x - 0.6 * w, y - 0.4 * h) / (1 + w)
            p = [255 * math.exp(-9 * d * d), 200 * math.exp(-30 * d * d) + r.random() * 30, 90 + 90 * math.sin(x / 5) * (y > h / 2)]
            if x < w // 4 and y > 2 * h // 3:
                p = r.choice([(255, 0, 0), (0, 255, 255), (0, 0, 255), (255, 255, 255), (0, 0, 0)])
            m.putpixel((x, y), tuple(int(v) for v in p))
    return m


cases = {}
for name, w, h, options in [
    ("444", 61, 47, {"subsampling": 0, "quality": 90}),
    ("422", 61, 47, {"subsampling": 1, "quality": 90}),
    ("420", 61, 47, {"subsampling": 2, "quality": 90}),
    ("even-420", 64, 32, {"subsampling": 2, "quality": 75}),
    ("coarse-420", 70, 33, {"subsampling": 2, "quality": 12}),
    ("fine-420", 40, 40, {"subsampling": 2, "quality": 100}),
    ("own-tables", 61, 47, {"subsampling": 2, "quality": 90, "optimize": True}),
    ("tiny-420", 5, 3, {"subsampling": 2, "quality": 90}),
    ("point", 1, 1, {"subsampling": 0, "quality": 90}),
    ("grey", 61, 47, {"quality": 90}),
    ("restarts", 61, 47, {"subsampling": 2, "quality": 90, "restart_marker_rows": 1}),
    ("progressive", 61, 47, {"subsampling": 2, "quality": 90, "progressive": True}),
]:
    m = picture(w, h, name)
    if name == "grey":
        m = m.convert("L")
    path = here / f"{name}.jpg"
    m.save(path, "JPEG", **options)
    pix = Image.open(path).convert("RGB")
    cases[name] = {"size": list(pix.size), "sha256": hashlib.sha256(pix.tobytes()).hexdigest()}
    if name in ("restarts", "progressive"):  # not the same to the bit: compared by value
        pix.save(here / f"{name}.png")
(here / "pixels.json").write_text(json.dumps(cases, indent=1) + "\n")
