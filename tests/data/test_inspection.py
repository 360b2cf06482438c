"""A closer look: what leaks from part to part is found and named."""

import json
import shutil

import numpy as np
import pytest
from pictures import folder
from PIL import Image
from typer.testing import CliRunner

from chattn_nas.cli import app
from chattn_nas.data import DataSettings, summary
from chattn_nas.data.duplicates import duplicates
from chattn_nas.data.inspection import contact_sheet, counts, mean_pictures


def settings(root, **changes) -> DataSettings:
    return DataSettings(dataset="image_folder", path=str(root), **{"image_size": 8} | changes)


def test_images_that_another_part_holds_as_well(tmp_path) -> None:
    folder(tmp_path, ("train", "val", "test"))
    assert duplicates(settings(tmp_path)) == []
    shutil.copy(tmp_path / "train" / "ant" / "003.png", tmp_path / "test" / "ant" / "900.png")
    shutil.copy(tmp_path / "train" / "ant" / "003.png", tmp_path / "test" / "bee" / "901.png")
    shutil.copy(tmp_path / "val" / "bee" / "001.png", tmp_path / "train" / "bee" / "902.png")
    Image.open(tmp_path / "train" / "ant" / "005.png").save(tmp_path / "train" / "ant" / "903.bmp")  # other bytes
    found = {(one.first, one.second): one for one in duplicates(settings(tmp_path))}
    assert set(found) == {("training", "training"), ("training", "validation"), ("training", "test")}
    test = found["training", "test"]
    assert (test.count, test.contradicting) == (2, 1)
    assert test.examples[0][0].endswith("train/ant/003.png")
    assert test.examples[0][1].endswith("test/ant/900.png")
    assert test.leaks
    assert found["training", "training"].count == 1
    assert not found["training", "training"].leaks


def test_counts_by_class_and_part(tmp_path) -> None:
    folder(tmp_path, ("train", "test"))
    assert counts(settings(tmp_path)) == [
        {"class": name, "training": 8, "validation": 2, "test": 10} for name in ("ant", "bee")
    ]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pictures(tmp_path, mode) -> None:
    folder(tmp_path, (), mode=mode)
    means = mean_pictures(settings(tmp_path))
    assert means.size == (2 * 98 + 2, 98 + 2)
    inside = np.asarray(means)[10:90, 10:90].astype(int)
    assert abs(inside.mean() - 127) < 30
    assert contact_sheet(settings(tmp_path)).size == (8 * 98 + 2, 2 * 98 + 2)


def test_the_command(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "images", ("train", "test"))
    shutil.copy(tmp_path / "images" / "train" / "ant" / "003.png", tmp_path / "images" / "test" / "ant" / "900.png")
    (tmp_path / "spec.yaml").write_text(
        "name: look\nbackbone: {model: cifar_resnet8, options: {width: 8}}\nspace: {all: [none, se]}\n"
        "data: {dataset: image_folder, path: images, image_size: 8}\n"
    )
    done = CliRunner().invoke(app, ["data", "spec.yaml"])
    assert done.exit_code == 0, done.output
    for words in ("16 training, 4 validation, 21 test images of 2 classes",
                  "beware: 1 test image is a training image as well",
                  "±39.2 points", "updates of 128 images", "look-data/batch.png"):  # fmt: skip
        assert words in done.output.replace("\n", " "), words
    with Image.open(tmp_path / "look-data" / "classes.png") as picture:
        assert picture.size[0] > 100
    done = CliRunner().invoke(app, ["data", "spec.yaml", "--json"])
    assert json.loads(done.output)["classes"][0]["training"] == 8


def test_what_few_images_can_tell_depends_on_the_metric(tmp_path) -> None:
    """The mean of the classes' accuracies is as uncertain as its smallest class: 6 and 2 images."""
    images, labels = np.zeros((40, 8, 8, 3), np.uint8), np.repeat([0, 1], [30, 10])
    np.savez(tmp_path / "set.npz", x_train=images + np.arange(40, dtype=np.uint8)[:, None, None, None], y_train=labels)
    chosen = DataSettings(dataset="npz", path=str(tmp_path / "set.npz"), image_size=8, validation=0.2)
    expected = {
        None: "tell an accuracy of 80 % only to within ±27.7",
        "balanced_accuracy": "tell a balanced accuracy of 80 % only to within ±32.0",
    }
    for metric, words in expected.items():
        said = "\n".join(summary(chosen.changed(metric=metric), batch_size=8, epochs=1000))
        assert words in said
        assert ("data.metric" in said) == (metric is None)


def test_copies_are_told_before_anything_is_trained(tmp_path) -> None:
    folder(tmp_path, ("train", "val"))
    assert not [line for line in summary(settings(tmp_path), batch_size=8, epochs=1) if "as well" in line]
    for number in (1, 2):
        shutil.copy(tmp_path / "train" / "ant" / "003.png", tmp_path / "val" / "ant" / f"90{number}.png")
    told = [line for line in summary(settings(tmp_path), batch_size=8, epochs=1) if "as well" in line]
    assert len(told) == 1
    assert told[0].startswith("beware: 2 validation images are training images as well: the score is too good by them")
