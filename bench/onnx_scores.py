#!/usr/bin/env python3
"""Scores of an exported network in Python's onnxruntime against those of this program, on the same images.

    pip install -r bench/requirements-onnx.txt
    python3 bench/onnx_scores.py PROGRAM [--images 64] [--size 64] [--channels 3]

PROGRAM is a built anomalymatch. Makes a project of drawn images (PNGs; of other than three channels one npy) in a temporary folder, trains two steps, scores, exports, and compares. Ends with 1 where
a score differs by more than 1e-5.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime as ort
from PIL import Image


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program")
    p.add_argument("--images", type=int, default=64)
    p.add_argument("--size", type=int, default=64)
    p.add_argument("--channels", type=int, default=3)
    a = p.parse_args()
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as d:
        def run(*argv):
            subprocess.run([os.path.abspath(a.program), *argv], check=True, cwd=d, stdout=subprocess.DEVNULL)

        os.mkdir(os.path.join(d, "images"))
        names = [f"i{i:04}.png" if a.channels == 3 else f"{i:0{len(str(a.images - 1))}}" for i in range(a.images)]
        drawn = []
        y, x = np.mgrid[:a.size, :a.size] / a.size
        for name in names:  # blobs of all colours: nothing is resized and PNG loses nothing
            c, r = random.random((2, a.channels)), random.random(a.channels) * 0.3 + 0.05
            blob = np.exp(-((x[..., None] - c[0]) ** 2 + (y[..., None] - c[1]) ** 2) / r**2) * random.random(a.channels)
            drawn.append(np.clip(blob * 255 + random.normal(0, 10, blob.shape), 0, 255).astype(np.uint8))
            if a.channels == 3:
                Image.fromarray(drawn[-1]).save(os.path.join(d, "images", name))
        source = ["images"]
        if a.channels != 3:
            np.save(os.path.join(d, "cubes.npy"), np.stack(drawn))
            source = ["cubes.npy", "--channels", str(a.channels)]
        with open(os.path.join(d, "labels.csv"), "w") as f:
            f.write("filename,label\n" + "".join(f"{n},{'anomaly' if i < 4 else 'normal'}\n" for i, n in enumerate(names[:12])))
        try:
            run("new", "p", "--images", *source, "--labels", "labels.csv", "--size", str(a.size))
            run("train", "p", "--iterations", "2")
            run("score", "p", "--by", "deep", "--out", "scores.csv")
            run("export", "p", "--onnx", "network.onnx")
        finally:
            subprocess.run([os.path.abspath(a.program), "stop", "p"], cwd=d, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(os.path.join(d, "scores.csv")) as f:
            scores = {os.path.basename(r["id"]): float(r["score"]) for r in csv.DictReader(f)}
        session = ort.InferenceSession(os.path.join(d, "network.onnx"), providers=["CPUExecutionProvider"])
        theirs, = session.run(["score"], {"pixels": np.stack(drawn)})
    ours = np.array([scores[n] for n in names])
    worst = np.abs(ours - theirs).max()
    print(f"{len(names)} images, scores from {ours.min():.3f} to {ours.max():.3f}: largest difference {worst:.1e}, allowed 1e-5")
    sys.exit(int(worst > 1e-5))


if __name__ == "__main__":
    main()
