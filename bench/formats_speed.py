"""How fast FITS and TIFF files become pixels on one core: astropy and tifffile against ours, in turn, in one run.

    python3 bench/formats_speed.py [--rounds 5] [--seconds 0.5] [--only WORD]

Writes made-up images (stars and noise) of 256 and 2048 pixels in each format, and has both sides read them from the disk's cache: astropy
by fits.getdata, tifffile by imread, ours by BenchmarkFile of engine/dataset/fits and engine/dataset/tiff. Needs astropy, tifffile and
imagecodecs (pip install -r bench/requirements-formats.txt), and go. Run it from the repository.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

import numpy as np
import tifffile
from astropy.io import fits

rng = np.random.default_rng(5)


def field(side):
    a = rng.normal(100, 5, (side, side))
    y, x = np.indices((21, 21)) - 10
    for _ in range(side * side // 2000):
        r, c = rng.integers(0, side - 21, 2)
        a[r:r + 21, c:c + 21] += rng.uniform(10, 2000) * np.exp(-(y**2 + x**2) / 6)
    return a


def write(folder):
    for side in (256, 2048):
        a = field(side)
        f32, i16, u16 = a.astype("f4"), a.astype("i2"), a.astype("u2")
        tile = (128, 128)
        fits.writeto(folder / f"float32_{side}.fits", f32)
        fits.writeto(folder / f"uint16_{side}.fits", u16)
        for name, values, algorithm, more in (("rice_int16", i16, "RICE_1", {}), ("rice_float32_dithered", f32, "RICE_1", {"quantize_method": 1, "dither_seed": 7}),
                                              ("gzip2_float32", f32, "GZIP_2", {"quantize_level": 0})):
            fits.CompImageHDU(values, compression_type=algorithm, tile_shape=tile, **more).writeto(folder / f"{name}_{side}.fits")
        tifffile.imwrite(folder / f"float32_{side}.tiff", f32)
        tifffile.imwrite(folder / f"uint16_lzw_{side}.tiff", u16, compression="lzw", rowsperstrip=16)
        tifffile.imwrite(folder / f"float32_deflate_predictor3_{side}.tiff", f32, compression="zlib", predictor=3, tile=tile)
        tifffile.imwrite(folder / f"uint16_deflate_predictor2_{side}.tiff", u16, compression="zlib", predictor=2, rowsperstrip=16)


def read(path):
    if path.suffix == ".fits":
        with fits.open(path, memmap=False) as f:
            a = next(h.data for h in f if h.data is not None)
            return a.astype(a.dtype.newbyteorder("="), copy=False)  # as a network needs it
    return tifffile.imread(path, maxworkers=1)


def theirs(path, seconds):
    """Images a second of processor time, since other programs may run beside."""
    done, began = 0, time.process_time()
    while (took := time.process_time() - began) < seconds or done == 0:
        read(path)
        done += 1
    return done / took


def ours(program, folder, path, seconds):
    """The same of ours, and the MB of pixels."""
    out = subprocess.run([program, "-test.run", "^$", "-test.bench", f"^BenchmarkFile$/^{re.escape(path.name)}$", "-test.cpu", "1", "-test.benchtime", f"{seconds}s"],
                         env=os.environ | {"ANOMALYMATCH_BENCH_FILES": str(folder)}, check=True, capture_output=True, text=True).stdout
    found = {unit: float(v) for v, unit in re.findall(r"([\d.e+]+) (images/s|MB-of-pixels/s)", out)}
    return found["images/s"], found["MB-of-pixels/s"]


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--seconds", type=float, default=0.5)
    a.add_argument("--only", default="")
    a = a.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        folder = pathlib.Path(tmp)
        write(folder)
        programs = {}
        for kind in ("fits", "tiff"):
            programs["." + kind] = folder / f"{kind}.test"
            subprocess.run(["go", "test", "-c", "-o", programs["." + kind], f"./engine/dataset/{kind}"], check=True)
        print(f"one core, images a second of processor time; load {os.getloadavg()[0]:.1f}\n\n| file | ours, images/s | MB/s of pixels | ratio to astropy or tifffile |\n| --- | --- | --- | --- |")
        for path in sorted(p for p in folder.iterdir() if p.suffix in programs and a.only in p.name):
            rates, mb, ratios = [], [], []
            for _ in range(a.rounds):
                t = theirs(path, a.seconds)
                o, m = ours(programs[path.suffix], folder, path, a.seconds)
                rates.append(o)
                mb.append(m)
                ratios.append(o / t)
            print(f"| {path.name} | {statistics.median(rates):.0f} | {statistics.median(mb):.0f} | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |", flush=True)
        print(f"\nload at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
