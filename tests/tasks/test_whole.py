"""Every task as a user does it: two workers, killed, resumed, confirmed, trained, exported, used elsewhere."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from task_data import masks, pictures

pytestmark = pytest.mark.slow

SPECS = {
    "segmentation": """\
name: tiny
backbone: {model: cifar_resnet8, options: {width: 8}}
data: {dataset: masks, path: data, image_size: 16, cache: cache}
task: {type: segmentation, stride: 1, width: 8}
space: {all: [none, eca]}
proxy: {rungs: [1, 2], device: cpu}
search: {trials: 5, workers: 2, sampler: random}
training: {epochs: 2}
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
    "super_resolution": ("PSNR on Y", "Bicubic enlargement would score", "dB", "image.x2.png"),
}
COMMAND = [sys.executable, "-m", "chattn_nas"]


def chattn_nas(*arguments: str, cwd: Path) -> str:
    done = subprocess.run([*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("task", SPECS)
def test_from_spec_to_a_network_elsewhere(task, tmp_path) -> None:
    {"segmentation": masks, "super_resolution": pictures}[task](tmp_path / "data")
    (tmp_path / "spec.yaml").write_text(SPECS[task])
    metric, floor, unit, written = SAID[task]
    with (tmp_path / "log").open("w") as log:
        first = subprocess.Popen([*COMMAND, "search", "spec.yaml"], cwd=tmp_path, stdout=log, stderr=log,
                                 start_new_session=True)  # fmt: skip
    deadline = time.monotonic() + 200
    while "complete" not in (tmp_path / "log").read_text() and time.monotonic() < deadline:
        assert first.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    chattn_nas("search", "spec.yaml", cwd=tmp_path)
    rows = json.loads(chattn_nas("trials", "tiny", "--json", cwd=tmp_path))
    assert sum(row["outcome"] in ("complete", "pruned") for row in rows) == 5
    chattn_nas("confirm", "tiny", "--seeds", "2", "--top", "1", "--epochs", "2", "--workers", "0", cwd=tmp_path)
    assert "Test" in chattn_nas("train", "tiny", cwd=tmp_path)
    chattn_nas("report", "tiny", cwd=tmp_path)
    page = (tmp_path / "runs" / "tiny" / "report.html").read_text()
    assert metric in page
    assert floor in page
    assert "ccuracy" not in page.partition("<body")[2].partition("<script")[0].replace("data.metric", "")

    said = chattn_nas("export", "tiny", "--out", "network", "--format", "source,safetensors,pt2,onnx", cwd=tmp_path)
    assert "largest difference" in said
    scored = chattn_nas("evaluate", "network", "--data", "spec.yaml", "--part", "test", cwd=tmp_path)
    assert metric in scored
    assert f" {unit}" in scored
    part = tmp_path / "data" / "test"
    source = next((part / "images" if task == "segmentation" else part).iterdir())
    Image.open(source).crop((0, 0, 30, 21)).save(tmp_path / "image.png")
    alone = subprocess.run(
        [sys.executable, "-c",
         "import sys, runpy\n"
         "for name in ('timm', 'optuna', 'chattn_nas', 'torchvision'): sys.modules[name] = None\n"
         "sys.argv = ['model.py', 'image.png']; runpy.run_path('network/model.py', run_name='__main__')"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    assert f"wrote {written}" in alone.stdout
    made = Image.open(tmp_path / written)
    assert made.size == ((30, 21) if task == "segmentation" else (60, 42))
    if task == "segmentation":
        assert made.mode == "P"
        assert set(made.get_flattened_data() if hasattr(made, "get_flattened_data") else made.getdata()) <= {0, 1, 2}
