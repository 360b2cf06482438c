"""The way to use: trained on digits, exported, then a picture of a digit goes through a process with torch alone."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from PIL import Image

from chattn_nas.data import DataSettings, load_data
from chattn_nas.export import Card, evaluate_folder, export_network
from chattn_nas.network import build_network
from chattn_nas.proxy import ProxySettings, evaluate, train
from chattn_nas.space import Architecture, Backbone, StageChoice

#: Ten lines, torch only: timm, chattn_nas and torchvision may not even be imported.
SCRIPT = """
import sys
for name in ("timm", "optuna", "chattn_nas", "torchvision", "safetensors"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
import model
network = model.load()
logits = network(model.read_image(sys.argv[2]))
print(model.CLASS_NAMES[logits.argmax()])
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    data = load_data(DataSettings(dataset="digits", image_size=8))
    architecture = Architecture(Backbone("cifar_resnet8", {"width": 8}), (StageChoice("se", {"reduction": 4}),))
    network = build_network(architecture, num_classes=10, in_chans=data.in_chans, image_size=8, seed=0)
    train(network, data, ProxySettings(rungs=[3], device="cpu"), seed=0)
    accuracy, _ = evaluate(network, data.validation, data, batch_size=256, device=torch.device("cpu"))
    folder = tmp_path_factory.mktemp("digits") / "out"
    card = Card(
        name="digits", backbone="cifar_resnet8", dataset="digits", class_names=data.class_names, mean=data.mean,
        std=data.std, accuracy=accuracy, seeds=1,
    )  # fmt: skip
    report = export_network(
        network, architecture=architecture, out_dir=folder, num_classes=10, in_chans=data.in_chans, image_size=8,
        card=card,
    )  # fmt: skip
    return data, network, accuracy, folder, report


def test_the_folder_scores_as_the_network(trained):
    data, _, accuracy, folder, report = trained
    assert report.max_difference < 1e-6
    assert accuracy > 0.5
    assert evaluate_folder(folder, data.validation).accuracy == pytest.approx(accuracy, abs=1e-9)


def test_a_picture_of_a_digit_is_recognised_with_torch_alone(trained, tmp_path):
    data, network, _, folder, _ = trained
    mean, std = torch.tensor(data.mean)[:, None, None], torch.tensor(data.std)[:, None, None]
    with torch.no_grad():
        answers = network.eval()((data.validation.images.float() / 255 - mean) / std).argmax(1)
    index = int((answers == data.validation.labels).nonzero()[0])
    Image.fromarray(data.validation.images[index, 0].numpy()).save(tmp_path / "digit.png")
    command = [sys.executable, "-I", "-c", SCRIPT, str(folder), str(tmp_path / "digit.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == data.class_names[int(data.validation.labels[index])]
