"""Boxes, masks and larger pictures from a function of the user's own and from Hugging Face's library."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import noise
from PIL import Image

from chattn_nas.data import DataSettings, describe, load_data, load_test
from chattn_nas.errors import DataError

OWN = """\
import numpy as np
import torch
from PIL import Image


def image(seed, width=40, height=20):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


class Boxed(list):
    classes = ["things", "ant", "bee"]


def boxed(change=None, named=True):
    def part(first, count):
        items = []
        for n in range(count):
            target = {"boxes": torch.tensor([[4.0, 2, 14, 10], [20, 10, 40, 20]])[: n % 3],
                      "labels": torch.tensor([1, 2])[: n % 3], "image_id": n}
            items.append((image(first + n), target))
        return Boxed(items) if named else items

    sets = {"train": part(0, 8), "val": part(50, 4), "test": part(70, 3)}
    if change is not None:
        target = sets["train"][2][1]
        target.update({key: torch.tensor(value) for key, value in change.items()})
        if not target["labels"].numel():
            target.pop("labels")
    return sets


def masked(kind="array", change=None):
    def mask(n):
        held = np.zeros((20, 40), np.int64)
        held[:, 20:] = 1
        held[0, :4] = 255
        if change == "size":
            held = held[:-1]
        if change == "value" and n == 3:
            held[5, 5] = 300
        if kind == "tensor":
            return torch.from_numpy(held)
        return Image.fromarray(held.astype(np.uint8)) if kind == "picture" else held

    return [(image(n), mask(n)) for n in range(10)]


def larger(size=24, scale=2):
    found = []
    for n in range(10):
        high = image(n, size, size)
        found.append((high.resize((size // scale, size // scale)), high if n else high))
    return found
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Settings of a function in a module of its own."""
    name = f"own_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield lambda function, size=8, **options: DataSettings(
        dataset=f"{name}:{function}", image_size=size, options=options
    )
    sys.modules.pop(name, None)


def test_boxes_of_a_function(own) -> None:
    data = load_data(own("boxed"))
    assert (len(data.train), len(data.validation), len(load_test(own("boxed")))) == (8, 4, 3)
    assert data.class_names == ("ant", "bee"), "nothing is of the background that torchvision's detectors begin with"
    wanted = [[0.8, 0.8, 2.8, 4, 0, 0], [4, 4, 8, 8, 1, 0]]
    np.testing.assert_allclose(data.train.labels[2].numpy(), np.array(wanted, np.float32), atol=1e-5)
    assert data.train.labels[:2, :, 4].tolist() == [[-1, -1], [0, -1]]
    crowd = load_data(own("boxed", change={"iscrowd": [0, 1]})).train.labels
    assert crowd[2, :, 5].tolist() == [0, 1]
    assert load_data(own("boxed", named=False)).class_names == ("1", "2")


def test_the_function_of_the_page_on_data(tmp_path, monkeypatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    (tmp_path / "page_on_data.py").write_text(re.search(r"```python\n(.*?)```", page, re.S)[1])
    monkeypatch.syspath_prepend(str(tmp_path))
    data = load_data(DataSettings(dataset="page_on_data:cells", image_size=[48, 64]))
    assert data.class_names == ("cell", "dust")
    for image, ((left, top, right, bottom, *_),) in zip(data.train.images, data.train.labels.int(), strict=True):
        assert (image[:, top:bottom, left:right] == 220).all()
        assert (image == 220).sum() == 3 * 12 * 18


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": []}, r"target of item 2 of own_\w+:boxed, train must hold boxes .*, not boxes, image_id"),
        ({"labels": [1]}, "item 2 of .* has 2 boxes and 1 label"),
        ({"labels": [1, 3]}, "item 2 of .*, box 1: there is no class 3: there are 3, from 0 on"),
        ({"labels": [1.0, 2.0]}, "labels of boxes are numbers of classes, not float32"),
        ({"boxes": [[4, 2, 14], [20, 10, 40]]}, r"boxes are numbers \(n, 4\)"),
        ({"boxes": [[4, 2, 14, 10], [20, 10, 20, 9]]}, r"box 1: from \(20, 10\) to \(20, 9\) there is nothing"),
        ({"boxes": [[4, 2, 14, 10], [20, 10, 50, 20]]}, r"item 2 of .*, box 1: .* beyond the image of 40x20.*cut it"),
    ],
)
def test_boxes_that_make_no_sense(own, change, words) -> None:
    with pytest.raises(DataError, match=words):
        load_data(own("boxed", change=change))
    with pytest.raises(DataError, match="crop would cut objects away"):
        load_data(own("boxed").changed(resize="crop"))


def test_masks_of_a_function(own) -> None:
    found = [load_data(own("masked", size=(20, 40), kind=kind)) for kind in ("array", "tensor", "picture")]
    for data in found:
        assert data.class_names == ("0", "1")
        assert torch.equal(data.train.labels, found[0].train.labels)
        assert data.train.labels[0, 0].tolist() == [255] * 4 + [0] * 16 + [1] * 20
    with pytest.raises(DataError, match=r"target of item 0 .* is 40x19 px and its image 40x20 px: a mask is as large"):
        load_data(own("masked", change="size"))
    with pytest.raises(DataError, match=r"masked, train\[3\] holds int64 from 0 to 300, not numbers of classes"):
        load_data(own("masked", change="value"))


def test_pictures_of_a_function(own) -> None:
    data = load_data(own("larger", size=12))
    assert (data.train.images.shape[1:], data.train.labels.shape[1:]) == ((3, 12, 12), (3, 24, 24))
    assert load_data(own("larger", size=8, scale=3)).train.labels.shape[1:] == (3, 24, 24)
    with pytest.raises(DataError, match="is 12x12 px, not 8x8 px: a picture for super-resolution is not resized"):
        load_data(own("larger", size=8))


def hugging_face(tmp_path, features, row) -> DataSettings:
    datasets = pytest.importorskip("datasets")
    columns = {name: [row(number)[name] for number in range(8)] for name in row(0)}
    found = datasets.Dataset.from_dict(columns, features=features(datasets))
    datasets.DatasetDict({"train": found}).save_to_disk(str(tmp_path / "set"))
    return DataSettings(dataset="hf", path=str(tmp_path / "set"), image_size=8)


@pytest.mark.parametrize("records", [False, True])
def test_boxes_from_hugging_face(tmp_path, records) -> None:
    """Columns of a record, and a list of records: both are written so."""

    def features(datasets):
        kind = datasets.ClassLabel(names=["ant", "bee"])
        if records:
            objects = [{"bbox": datasets.Sequence(datasets.Value("float32"), length=4), "category": kind}]
        else:
            four = datasets.Sequence(datasets.Value("float32"), length=4)
            objects = {"bbox": datasets.Sequence(four), "category": datasets.Sequence(kind)}
        return datasets.Features({"image": datasets.Image(), "objects": objects})

    def row(number):
        boxes, kinds = [[4, 2, 10, 8], [20, 10, 20, 10]][: number % 3], [0, 1][: number % 3]
        objects = [{"bbox": box, "category": kind} for box, kind in zip(boxes, kinds, strict=True)]
        objects = objects if records else {"bbox": boxes, "category": kinds}
        return {"image": Image.fromarray(noise(number, 40, 20)), "objects": objects}

    settings = hugging_face(tmp_path, features, row)
    assert describe(settings).parts["train"].counts == [5, 2]
    labels = load_data(settings).train.labels
    wanted = [[0.8, 0.8, 2.8, 4, 0, 0], [4, 4, 8, 8, 1, 0]]
    assert any(np.allclose(one.numpy(), wanted) for one in labels)


def test_masks_from_hugging_face(tmp_path) -> None:
    def features(datasets):
        return datasets.Features({"image": datasets.Image(), "annotation": datasets.Image()})

    def row(number):
        mask = np.zeros((20, 40), np.uint8)
        mask[number:] = 2
        return {"image": Image.fromarray(noise(number, 40, 20)), "annotation": Image.fromarray(mask)}

    data = load_data(hugging_face(tmp_path, features, row))
    assert data.class_names == ("0", "1", "2")
    assert data.train.labels.shape[1:] == (8, 8)
