"""Every task as a user does it: searched, confirmed, trained, exported, used elsewhere; one killed and resumed."""

import html
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from task_data import boxes, masks, pictures

from chattn_nas import api, tasks
from chattn_nas.data import load_test
from chattn_nas.errors import InputError
from chattn_nas.export import evaluate_folder
from chattn_nas.judging import confirm
from chattn_nas.report import markdown, write_report
from chattn_nas.spec import load_spec

pytestmark = pytest.mark.slow

SPECS = {
    "segmentation": """\
name: tiny
backbone: {model: cifar_resnet8, options: {width: 8}}
data: {dataset: masks, path: data, image_size: [12, 20], cache: cache}
task: {type: segmentation, stride: 1, width: 8}
space: {all: [none, eca]}
proxy: {rungs: [1, 2], device: cpu}
search: {trials: 5, workers: 2, sampler: random}
training: {epochs: 2}
""",
    "detection": """\
name: tiny
backbone: {model: cifar_resnet8, options: {width: 8}}
data: {dataset: coco, path: data, image_size: 32, cache: cache}
task: {type: detection, stride: 2, width: 16}
space: {all: [none, eca]}
proxy: {rungs: [1, 8], device: cpu}
search: {trials: 5, workers: 2, sampler: random}
training: {epochs: 30}
""",
    "super_resolution": """\
name: tiny
backbone: {model: rcan_tiny, options: {width: 4}}
data: {dataset: patches, path: data, image_size: 12, cache: cache}
task: {type: super_resolution}
space: {all: [none, rcan]}
proxy: {rungs: [1, 2], device: cpu}
search: {trials: 5, workers: 2, sampler: random}
training: {epochs: 2}
""",
}
SAID = {
    "segmentation": ("mean IoU", "Always answering '0' would score", "%", "image.mask.png"),
    "detection": ("mAP", "Finding nothing would score", "", "image.boxes.png"),
    "super_resolution": ("PSNR on Y", "Bicubic enlargement would score", "dB", "image.x2.png"),
}
COMMAND = [sys.executable, "-m", "chattn_nas"]


def _search_and_kill(log: Path) -> None:
    """Two workers, killed hard after a first trial."""
    with log.open("w") as file:
        first = subprocess.Popen([*COMMAND, "search", "spec.yaml"], stdout=file, stderr=file, start_new_session=True)
    deadline = time.monotonic() + 400
    while "complete" not in log.read_text() and time.monotonic() < deadline:
        assert first.poll() is None, log.read_text()
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("task", SPECS)
def test_from_spec_to_a_network_elsewhere(task, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    {"segmentation": masks, "detection": boxes, "super_resolution": pictures}[task](tmp_path / "data")
    (tmp_path / "spec.yaml").write_text(SPECS[task])
    metric, floor, unit, written = SAID[task]
    if task == "detection":
        _search_and_kill(tmp_path / "log")

    spec = load_spec("spec.yaml")
    run = api.search(spec, workers=0, progress=False)
    trials = run.trials()
    assert trials["outcome"].isin(["complete", "pruned"]).sum() == 5
    assert spec.metric in trials
    found = confirm(run, top=1, seeds=2, epochs=2, workers=0, progress=False)
    assert found.test
    assert unit in found.words
    best = run.best()
    assert f" {unit} ".strip() in str(best)
    trained = best.train()
    page = html.unescape(write_report(run.directory, run.study).read_text(encoding="utf-8"))
    for said in (metric, floor, f" {unit}".rstrip()):
        assert said in page
    report = markdown(run.study).partition("<details><summary>The spec")[0]
    assert "accuracy" not in report.lower().replace("pixel accuracy", "")
    assert ("points" in report) == (unit != "dB")
    assert ("| AP50 |" in report) == (task == "detection")

    formats = ["source", "onnx"] if task == "super_resolution" else ["source", "safetensors", "pt2", "onnx"]
    exported = api.export(best, "network", formats)
    assert exported.max_difference < 1e-5
    with pytest.raises(InputError, match="the format timm holds classifiers"):
        api.export(best, "other", ["timm"])
    data = tasks.load(spec.task, spec.data)
    score = evaluate_folder("network", load_test(spec.data), task=data.task)
    assert score.metric == spec.metric
    assert score.score == pytest.approx(trained.test_score, rel=1e-4)
    assert (tmp_path / "network" / "README.md").read_text().count(metric)
    if len(data.class_names) > 1:  # as masks hold other numbers: they would count as other classes
        with pytest.raises(InputError, match=f"tells {len(data.class_names)} classes, the data set holds 17 "):
            evaluate_folder("network", load_test(spec.data), task=data.task, class_names=list(map(str, range(17))))

    part = tmp_path / "data" / "test"
    source = next((part / "images" if task == "segmentation" else part).iterdir())
    Image.open(source).crop((0, 0, 30, 21)).save("image.png")
    alone = (
        "import sys, runpy\n"
        "for name in ('timm', 'optuna', 'chattn_nas', 'torchvision'): sys.modules[name] = None\n"
        "sys.argv = ['model.py', 'image.png']\n"
        "runpy.run_path('network/model.py', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True)
    assert f"wrote {written}" in done.stdout, done.stderr
    made = Image.open(written)
    made.load()  # and so closes the file
    assert made.size == ((60, 42) if task == "super_resolution" else (30, 21))
    if task == "detection":
        found = re.findall(r"^ *(\d+\.\d+) %  (square|wide)  ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+)$", done.stdout, re.M)
        assert found, done.stdout
        assert all(float(left) < float(right) <= 30 for _, _, left, _, right, _ in found)
    if task == "segmentation":
        assert made.mode == "P"
        assert set(bytes(made.tobytes())) <= {0, 1, 2}
