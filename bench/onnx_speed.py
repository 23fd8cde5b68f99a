#!/usr/bin/env python3
"""The network alone on ONNX Runtime: this program against Python's onnxruntime, on the same ONNX file, in turn.

    pip install -r bench/requirements-onnx.txt
    python3 bench/onnx_speed.py PROGRAM [--sizes 64 224] [--rounds 5] [--seconds 3]

PROGRAM is a built anomalymatch that has `runtime install onnx` behind it. Each takes its own best batch; the ratio is the median over the
rounds of ours to Python's, measured one after the other. Where other work runs, figures of processor time are disturbed less; of Python's threads they
count the waiting for each other too, so the last figure is of one thread, which waits for nobody.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime as ort

OURS, PYTHONS = [64, 256], [8, 16, 32, 64, 128]  # batches that are tried


def ours(program, size, batches, seconds, keep=None):
    argv = [program, "bench", "network", "--json", "--runtimes", "onnx", "--rounds", "1", "--sizes", str(size),
            "--batches", ",".join(map(str, batches)), "--time", f"{seconds}s"]
    if keep:
        argv += ["--keep", keep]
    run = json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout)["runs"][0]
    return run["images_per_second"], run["images_per_cpu_second"], run["batch"]


def load(file, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def theirs(session, size, batch, seconds):
    pixels = np.random.default_rng(1).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    session.run(["logits"], {"pixels": pixels})
    begin, cpu, images = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begin < seconds:
        session.run(["logits"], {"pixels": pixels})
        images += batch
    return images / (time.perf_counter() - begin), images / (time.process_time() - cpu)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program")
    p.add_argument("--sizes", type=int, nargs="+", default=[64, 224])
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=3)
    a = p.parse_args()
    print(f"onnxruntime {ort.__version__}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    for size in a.sizes:
        with tempfile.TemporaryDirectory() as d:
            file = os.path.join(d, "network.onnx")
            _, _, our_batch = ours(a.program, size, OURS, a.seconds, file)
            session, alone = load(file, len(os.sched_getaffinity(0))), load(file, 1)
            their_batch = max(PYTHONS, key=lambda b: theirs(session, size, b, a.seconds / 2)[0])
            pairs = []
            for _ in range(a.rounds):
                pairs.append((ours(a.program, size, [our_batch], a.seconds)[:2], theirs(session, size, their_batch, a.seconds)
                              + theirs(alone, size, 8, a.seconds)[1:]))
        for what, i, k in ("images/s", 0, 0), ("a second of processor time", 1, 1), ("the same, Python on one thread", 1, 2):
            ratios = sorted(o[i] / t[k] for o, t in pairs)
            print(f"{size:3} px, {what}: ours {statistics.median(o[i] for o, _ in pairs):.0f} (batches of {our_batch}), Python {statistics.median(t[k] for _, t in pairs):.0f} "
                  f"(of {8 if k == 2 else their_batch}), ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); goal 0.95", flush=True)


if __name__ == "__main__":
    main()
