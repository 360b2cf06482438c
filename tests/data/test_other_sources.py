"""torchvision, the user's own function, shards, and Hugging Face's library."""

import io
import json
import sys
import tarfile

import numpy as np
import pytest
import torch
from pictures import noise
from PIL import Image

from chattn_nas.data import DataSettings, describe, load_data, load_test
from chattn_nas.errors import DataError


def test_torchvision_sets_by_name(tmp_path) -> None:
    with pytest.raises(DataError, match="did you mean 'CIFAR10'"):
        load_data(DataSettings(dataset="torchvision", name="CIFAR_10"))
    with pytest.raises(DataError, match=r"CIFAR10 cannot be loaded.*data\.download: true fetches it"):
        load_data(DataSettings(dataset="torchvision", name="cifar10", root=str(tmp_path)))
    with pytest.raises(DataError, match="has no data set None"):
        load_data(DataSettings(dataset="torchvision"))
    with pytest.raises(DataError, match="takes no option 'sise'; did you mean 'size'"):
        load_data(DataSettings(dataset="torchvision", name="FakeData", options={"sise": 3}))


def test_torchvision_images_come_through(monkeypatch) -> None:
    from torchvision import datasets

    class Letters:
        classes = ("a", "b")

        def __init__(self, root, train, download) -> None:
            self.first = 0 if train else 100

        def __len__(self):
            return 12

        def __getitem__(self, number):
            if number >= 12:
                raise IndexError
            return Image.fromarray(np.full((5, 5), self.first + number, np.uint8)), number % 2

    monkeypatch.setattr(datasets, "Letters", Letters, raising=False)
    settings = DataSettings(dataset="torchvision", name="letters", root="nowhere", image_size=5)
    data, test = load_data(settings), load_test(settings)
    both = torch.cat([data.train.images, data.validation.images])[:, 0, 0, 0]
    assert sorted(both.tolist()) == [*range(12)]
    assert test.images[:, 0, 0, 0].tolist() == [*range(100, 112)]
    assert data.class_names == ("a", "b")


def test_torchvision_sets_without_parts_and_with_options() -> None:
    options = {"size": 40, "image_size": [3, 12, 10], "num_classes": 2}
    settings = DataSettings(dataset="torchvision", name="FakeData", options=options, image_size=8, test=0.2)
    assert load_data(settings).in_chans == 3
    assert 5 <= len(load_test(settings)) <= 11
    assert any("no parts of its own" in said for said in describe(settings).said)


OWN = """
import numpy as np
import torch


class Items:
    def __init__(self, first, count=20):
        self.first, self.count = first, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(self.first + index)
        return torch.randint(256, (3, 6, 6), dtype=torch.uint8, generator=generator), index % 2


def arrays(scale=1):
    rng = np.random.default_rng(0)
    return {"x_train": rng.integers(0, 256, (20, 6, 6, 3), dtype=np.uint8) // scale, "y_train": np.arange(20) % 2}


def sets():
    return {"train": Items(0), "val": Items(100, 6), "test": Items(200, 4)}


def one():
    return Items(0)


def broken():
    raise KeyError("no such column")


def lists():
    return {"x_train": np.arange(20 * 192).reshape(20, 8, 8, 3), "y_train": [0, 1] * 10, "classes": ["ant", "bee"]}


def ragged():
    return lists() | {"x_train": [np.zeros((4, side, 3)) for side in range(4, 24)], "y_train": np.arange(20) % 2}


def wrong():
    return 3


def numbers():
    return [1, 2, 3]


def boxes():
    return [(np.zeros((4, 4, 3), np.uint8), {"box": 1})] * 20
"""


@pytest.fixture
def own(tmp_path, monkeypatch) -> str:
    name = f"own_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


def test_a_function_of_the_user(own) -> None:
    data = load_data(DataSettings(dataset=f"{own}:arrays", image_size=6))
    assert len(data.train) == 16
    darker = load_data(DataSettings(dataset=f"{own}:arrays", image_size=6, options={"scale": 4}))
    assert darker.mean[0] < data.mean[0] / 2
    data = load_data(DataSettings(dataset=f"{own}:sets", image_size=6))
    assert (len(data.train), len(data.validation)) == (20, 6)
    assert len(load_test(DataSettings(dataset=f"{own}:sets", image_size=6))) == 4
    assert load_data(DataSettings(dataset=f"{own}:one", image_size=6)).num_classes == 2
    assert load_data(DataSettings(dataset=f"{own}:lists", image_size=6)).class_names == ("ant", "bee")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("nothing", {}, "has no 'nothing' that could be a data set"),
        ("broken", {}, "raised KeyError: 'no such column'"),
        ("wrong", {}, "must return arrays by name.*not int"),
        ("ragged", {}, r"x_train of own_.*:ragged cannot be read as one array: .*inhomogeneous"),
        ("numbers", {}, r":numbers are pairs of image and label, not int"),
        ("arrays", {"sacle": 2}, "raised TypeError.*sacle"),
        ("boxes", {}, r"must hold boxes \(n, 4\) and labels \(n,\), not box"),
    ],
)
def test_functions_that_cannot_be_used(own, name, options, words) -> None:
    with pytest.raises(DataError, match=words) as caught:
        load_data(DataSettings(dataset=f"{own}:{name}", image_size=6, options=options))
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"cannot be imported as a data set .ModuleNotFoundError: No module named"):
        load_data(DataSettings(dataset="no_such_module_here:data"))


def shard(path, first, count, label="cls") -> None:
    with tarfile.open(path, "w") as archive:
        for number in range(first, first + count):
            image = io.BytesIO()
            Image.fromarray(noise(number)).save(image, "png")
            text = json.dumps({"label": number % 2}) if label == "json" else str(number % 2)
            for ending, content in (("png", image.getvalue()), (label, text.encode())):
                member = tarfile.TarInfo(f"{number:06d}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("label", ["cls", "json", "txt"])
def test_shards(tmp_path, label) -> None:
    for number in range(3):
        shard(tmp_path / f"set-train-{number:03d}.tar", 10 * number, 10, label)
    shard(tmp_path / "set-val-000.tar", 50, 6, label)
    shard(tmp_path / "set-test-000.tar", 60, 4, label)
    whole = DataSettings(dataset="webdataset", path=str(tmp_path), image_size=8)
    data = load_data(whole)
    assert (len(data.train), len(data.validation), len(load_test(whole))) == (30, 6, 4)
    assert data.class_names == ("0", "1")
    some = whole.model_copy(update={"path": str(tmp_path / "set-train-{000..001}.tar")})
    assert describe(some).parts["train"].images == 20
    starred = whole.model_copy(update={"path": str(tmp_path / "set-train-*.tar")})
    assert describe(starred).parts["train"].images == 30


def test_shards_that_cannot_be_used(tmp_path) -> None:
    with pytest.raises(DataError, match="no shards at"):
        load_data(DataSettings(dataset="webdataset", path=str(tmp_path)))
    shard(tmp_path / "a.tar", 0, 4, "nothing")
    with pytest.raises(DataError, match=r"has an image but no label.*image_folder"):
        load_data(DataSettings(dataset="webdataset", path=str(tmp_path)))


def test_hugging_face_on_disk(tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "bee"])})
    parts = {
        part: datasets.Dataset.from_dict(
            {
                "image": [Image.fromarray(noise(first + n)) for n in range(count)],
                "label": [n % 2 for n in range(count)],
            },
            features=features,
        )
        for part, first, count in (("train", 0, 20), ("test", 100, 6))
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "set"))
    settings = DataSettings(dataset="hf", path=str(tmp_path / "set"), image_size=8)
    data = load_data(settings)
    assert data.class_names == ("ant", "bee")
    assert (len(data.train), len(load_test(settings))) == (16, 6)
    with pytest.raises(DataError, match="no column of images called 'picture'"):
        load_data(settings.model_copy(update={"image_column": "picture"}))
    with pytest.raises(DataError, match="there is no folder"):
        load_data(settings.model_copy(update={"path": str(tmp_path / "none")}))


def test_hugging_face_needs_its_library(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(Exception, match=r"pip install 'chattn-nas\[hf\]'"):
        load_data(DataSettings(dataset="hf", path="x"))
