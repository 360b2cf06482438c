"""``chattn-nas evaluate`` on exports and data that are not what they were: one sentence, with ``--json`` the same."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from chattn_nas.data import store
from chattn_nas.export import Card, export_network
from chattn_nas.network import build_network
from chattn_nas.space import Architecture, Backbone, StageChoice

ARCHITECTURE = Architecture(Backbone("cifar_resnet8", {"width": 4}), (StageChoice("eca"),))
SPEC = """
name: plain
backbone: {model: cifar_resnet8, options: {width: 4}}
data: {dataset: image_folder, path: images, image_size: 8, test: 0.25, validation: 0.25}
space: {all: [none, eca]}
proxy: {rungs: [1], batch_size: 16}
search: {trials: 2, workers: 0}
"""
CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A spec, its images, and an export of a network for them, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "_open", type(store._open)())
    (tmp_path / "spec.yaml").write_text(SPEC)
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(8):
            content = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (8, 8)).astype("uint8")).save(content, "PNG")
            (tmp_path / "images" / name / f"{number}.png").write_bytes(content.getvalue())
    export_network(
        build_network(ARCHITECTURE, num_classes=3, in_chans=1, image_size=8, seed=0), architecture=ARCHITECTURE,
        out_dir="network", num_classes=3, in_chans=1, image_size=8, formats=["source"],
        card=Card(name="plain", backbone="cifar_resnet8", class_names=CLASSES),
    )  # fmt: skip
    return tmp_path


CHANGES = {
    "a class is gone": (lambda here: shutil.rmtree(here / "images" / "dog"), "the set lacks 'dog'"),
    "a class has another name": (
        lambda here: (here / "images" / "dog").rename(here / "images" / "zebra"),
        "the set lacks 'dog'; the network does not know 'zebra'",
    ),
    "a class more": (lambda here: shutil.copytree(here / "images" / "dog", here / "images" / "ant"), "not know 'ant'"),
    "an image is rubbish": (lambda here: (here / "images" / "dog" / "3.png").write_bytes(b"xx"), "dog/3.png"),
    "all images are gone": (lambda here: [shutil.rmtree(one) for one in (here / "images").iterdir()], "images"),
    "the set is gone": (lambda here: shutil.rmtree(here / "images"), "images"),
    "half the spec": (lambda here: (here / "spec.yaml").write_text(SPEC[:80]), "spec.yaml:"),
    "no spec": (lambda here: (here / "spec.yaml").unlink(), "cannot read the spec spec.yaml"),
    "half the weights": (lambda here: (here / "network" / "weights.pt").write_bytes(b"PK"), "network/weights.pt"),
    "no model": (lambda here: (here / "network" / "model.py").unlink(), "has no model.py"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_as_it_was_is_one_sentence(place, invoke, change) -> None:
    do, said = CHANGES[change]
    do(place)
    _, told = invoke("evaluate", "network", "--data", "spec.yaml", code=2)
    last = told.strip().splitlines()[-1]
    assert last.startswith("chattn-nas: ")
    assert said in last
    again, same = invoke("evaluate", "network", "--data", "spec.yaml", "--json", code=2)
    assert (again, same.strip().splitlines()[-1]) == ("", last)


def test_images_prepared_otherwise_than_in_training_are_told(place, invoke, caplog) -> None:
    (place / "spec.yaml").write_text(SPEC.replace("image_size: 8,", "image_size: 8, resize: pad,"))
    score, _ = invoke("evaluate", "network", "--data", "spec.yaml", "--json")
    assert json.loads(score)["images"] == 6
    assert "data.resize is pad in spec.yaml, the network was trained with squash" in caplog.text


def test_an_export_that_does_not_tell_how_is_scored_all_the_same(place, invoke) -> None:
    file = place / "network" / "model.py"
    file.write_text(file.read_text(encoding="utf-8").replace("RESIZE", "RESIZED"), encoding="utf-8")
    score, _ = invoke("evaluate", "network", "--data", "spec.yaml", "--json")
    assert json.loads(score)["images"] == 6


def test_names_of_any_bytes_are_classes(place, invoke) -> None:
    """Folders unpacked from an archive of another system: names that are no UTF-8."""
    (place / "images" / "dog").rename(place / "images" / "d\udcf6g")
    _, told = invoke("evaluate", "network", "--data", "spec.yaml", code=2)
    assert r"does not know 'd\\xf6g'" in told
    invoke("data", "spec.yaml")
