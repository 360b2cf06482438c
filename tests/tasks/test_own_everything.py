"""A spec whose backbone, data, metric, attention and all else come from a user's own file, from search to elsewhere."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from chattn_nas import api
from chattn_nas.errors import RunError
from chattn_nas.judging import confirm
from chattn_nas.report import write_report
from chattn_nas.spec import load_spec
from chattn_nas.study.attributes import study_attributes

pytestmark = pytest.mark.slow

MINE = '''\
"""All of it mine."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mine_helper import LEAST


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.drop_path = nn.Identity()

    def forward(self, x):
        return F.relu(x + self.drop_path(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))))


class Net(nn.Module):
    """Says nothing of stages, and ignores the device that it is built for."""

    def __init__(self, num_classes, in_chans, width):
        super().__init__()
        self.stem = nn.Conv2d(in_chans, width, 3, padding=1, device="cpu")
        self.layer1 = nn.Sequential(Block(width), Block(width))
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.layer2 = nn.Sequential(Block(2 * width))
        self.fc = nn.Linear(2 * width, num_classes)

    def forward(self, x):
        x = self.layer2(F.relu(self.down(self.layer1(F.relu(self.stem(x))))))
        return self.fc(x.mean((2, 3)))


def net(num_classes, in_chans, width=8):
    return Net(num_classes, in_chans, width)


class Gate(nn.Module):
    """Channels by their largest value."""

    def __init__(self, channels, *, slope: float = 1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), slope))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return x * torch.sigmoid(self.scale * x.amax((2, 3)) + self.shift)[:, :, None, None]


def shapes(count=240, seed=0):
    """Bars: class 0 lie, class 1 stand, class 2 are crosses."""
    rng = np.random.default_rng(seed)
    found = {}
    for part, images in (("train", count), ("val", count // 2), ("test", count // 2)):
        labels = np.arange(images) % 3
        x = rng.integers(0, 90, (images, 8, 12), dtype=np.uint8)
        for image, label in zip(x, labels):
            if label != 1:
                image[rng.integers(1, 7)] = 230
            if label != 0:
                image[:, rng.integers(1, 11)] = 230
        found |= {f"x_{part}": x, f"y_{part}": labels}
    return found | {"classes": np.array(["lying", "standing", "cross"])}


def worst_class(logits, targets):
    """Recall of the class that is known worst."""
    said = logits.argmax(1)
    return min(float((said[targets == one] == one).float().mean()) for one in targets.unique())


def loss(output, targets):
    return F.cross_entropy(output.float(), targets).clamp(min=LEAST)


def brighter(images, generator):
    more = torch.randint(0, 40, (len(images), 1, 1, 1), generator=generator, device=images.device)
    return (images.int() + more).clamp(max=255).to(torch.uint8)


def linear(step, steps, warmup):
    return 1 - step / steps


class Descent(torch.optim.SGD):
    def __init__(self, groups, lr, weight_decay):
        super().__init__(groups, lr=lr, momentum=0.8, weight_decay=weight_decay)
'''
SPEC = """\
name: own
backbone: {model: "mine:net", options: {width: 6}}
data:
  {dataset: "mine:shapes", image_size: [8, 12], cache: cache, metric: "mine:worst_class", augment: "mine:brighter"}
space: {all: [none, "mine:Gate"]}
proxy:
  {rungs: [1, 3], batch_size: 32, device: cpu, loss: "mine:loss", optimizer: "mine:Descent", scheduler: "mine:linear",
   ema: 0.8}
search: {trials: 5, workers: 2, sampler: "optuna.samplers:RandomSampler", log_to: ["mine_logger:Logger"]}
training: {epochs: 2}
"""
LOGGER = """\
from chattn_nas.search import Callback


class Logger(Callback):
    def __init__(self, run):
        self.path = run.directory / "mine.txt"

    def on_trial_end(self, trial):
        with self.path.open("a") as file:
            file.write(f"{trial.number} {trial.outcome}\\n")
"""
COMMAND = [sys.executable, "-m", "chattn_nas"]


@pytest.mark.timeout(600)
def test_from_a_file_of_one_s_own_to_a_network_elsewhere(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "mine.py": MINE,
        "mine_helper.py": "LEAST = 0.0\n",
        "mine_logger.py": LOGGER,
        "spec.yaml": SPEC,
    }.items():
        (tmp_path / name).write_text(text)
    with (tmp_path / "log").open("w") as log:
        first = subprocess.Popen(
            [*COMMAND, "search", "spec.yaml", "--no-plan"], stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + 200
    while "complete" not in (tmp_path / "log").read_text() and time.monotonic() < deadline:
        assert first.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()

    spec = load_spec("spec.yaml")
    run = api.search(spec, progress=False)  # two workers again
    trials = run.trials()
    assert trials["outcome"].isin(["complete", "pruned"]).sum() == 5
    assert "worst_class" in trials
    assert len({line.split()[0] for line in (run.directory / "mine.txt").read_text().splitlines()}) >= 5
    kept = study_attributes(run.study).plugin_fingerprint
    assert {"mine:net", "mine:Gate", "mine:worst_class", "mine:brighter", "mine:loss", "mine_helper"} <= kept.keys()

    found = confirm(run, top=1, seeds=2, epochs=3, workers=0, progress=False)
    assert found.test
    best = run.best()
    best.train()
    page = write_report(run.directory, run.study).read_text(encoding="utf-8")
    assert "worst class" in page
    assert "What it answers" in page
    exported = api.export(best, "network", ["source", "safetensors", "pt2", "onnx"])
    assert exported.max_difference < 1e-5

    alone = (
        "import sys\n"
        "for name in ('timm', 'optuna', 'chattn_nas', 'mine', 'mine_helper'): sys.modules[name] = None\n"
        "sys.path.insert(0, 'network')\n"
        "import torch, model\n"
        "network = model.load()\n"
        "print(network(torch.zeros(2, 1, 8, 12)).flatten().tolist())"
    )
    done = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        here = best.network()(torch.zeros(2, 1, 8, 12)).flatten()
    torch.testing.assert_close(torch.tensor(eval(done.stdout)), here, atol=1e-5, rtol=1e-4)

    (tmp_path / "mine_helper.py").write_text("LEAST = 0.1\n")
    with pytest.raises(RunError, match="mine_helper was edited"):
        api.search(spec, trials=6, progress=False)
    for name in ("mine", "mine_helper", "mine_logger"):
        sys.modules.pop(name, None)
