"""How fast JPEGs become pixels of the model's size on one core: Pillow against ours, in turn, in one run.

    python3 bench/decode.py --images FOLDER [--tags turbojpeg] [--from 300] [--to 224] [--n 300] [--rounds 7]

FOLDER holds any JPEGs; n of them are enlarged to --from pixels and written to a temporary folder as JPEGs of quality 90. Each side
reads them from memory: Pillow opens, converts to RGB and resizes (BILINEAR); ours is BenchmarkDecodeResize of engine/dataset.
Needs Pillow 13 (pip install pillow==13.0.0) and go. Run it from the repository.
"""

import argparse
import io
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from PIL import Image, features


def pillow(files, size, seconds):
    """Images a second of processor time, since other programs may run beside."""
    done, began = 0, time.process_time()
    while True:
        for data in files:
            Image.open(io.BytesIO(data)).convert("RGB").resize((size, size), Image.BILINEAR)
        done += len(files)
        took = time.process_time() - began
        if took >= seconds:
            return done / took


def ours(program, folder, size, seconds):
    """Images a second, of each benchmark with its name."""
    out = subprocess.run(
        [program, "-test.run", "^$", "-test.bench", "^BenchmarkDecodeResize$", "-test.cpu", "1", "-test.benchtime", f"{seconds}s"],
        env=os.environ | {"ANOMALYMATCH_BENCH_JPEGS": folder, "ANOMALYMATCH_BENCH_SIZE": str(size)},
        check=True, capture_output=True, text=True).stdout
    found = {name: float(rate) for name, rate in re.findall(r"^BenchmarkDecodeResize/?(\S*)\s.*?([\d.]+) images/s", out, re.M)}
    if not found:
        sys.exit(f"no figure in what the benchmark says:\n{out}")
    return found


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--images", required=True, type=pathlib.Path)
    a.add_argument("--tags", default="")
    a.add_argument("--from", dest="source", type=int, default=300)
    a.add_argument("--to", type=int, default=224)
    a.add_argument("--n", type=int, default=300)
    a.add_argument("--quality", type=int, default=90)
    a.add_argument("--rounds", type=int, default=7)
    a.add_argument("--seconds", type=float, default=1.5)
    a = a.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        program, folder = os.path.join(tmp, "dataset.test"), os.path.join(tmp, "jpegs")
        os.mkdir(folder)
        files = []
        for f in sorted(a.images.glob("*.jp*g"))[: a.n]:
            b = io.BytesIO()
            Image.open(f).convert("RGB").resize((a.source, a.source), Image.BICUBIC).save(b, "JPEG", quality=a.quality)
            files.append(b.getvalue())
            pathlib.Path(folder, f.name).write_bytes(b.getvalue())
        if not files:
            sys.exit(f"no JPEG in {a.images}")
        subprocess.run(["go", "test", "-c", "-tags", a.tags, "-o", program, "./engine/dataset"], check=True)
        print(f"Pillow with libjpeg-turbo {features.version('libjpeg_turbo')}; {len(files)} JPEGs of {a.source} px, {sum(map(len, files)) // len(files)} bytes each, to {a.to} px; one core; load {os.getloadavg()[0]:.1f}")
        theirs, mine = [], {}
        for _ in range(a.rounds):
            theirs.append(pillow(files, a.to, a.seconds))
            for name, rate in ours(program, folder, a.to, a.seconds).items():
                mine.setdefault(name, []).append(rate)
        print(f"Pillow: {statistics.median(theirs):.0f} images/s")
        for name, rates in mine.items():
            ratios = sorted(r / p for r, p in zip(rates, theirs))
            print(f"{name or 'ours'}: {statistics.median(rates):.0f} images/s, {statistics.median(ratios):.2f} × Pillow ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
