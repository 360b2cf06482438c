"""What a search sees of a data set: disjoint parts, never the test set; bad sets are refused in one sentence."""

import numpy as np
import pytest
import torch
from PIL import Image

from chattn_nas.data import DataSettings, load_data, load_test
from chattn_nas.data.sources import SOURCES
from chattn_nas.errors import DataError


def archive(path, n=60, shape=(6, 6), **changes):
    """Images that are all different, so that a part can be recognised by its images."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part in ("train", "test"):
        arrays[f"x_{part}"] = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
        arrays[f"y_{part}"] = np.arange(n) % 3
    arrays |= changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return arrays


def rows(images) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_parts_are_disjoint_stratified_and_never_the_test_set(tmp_path) -> None:
    arrays = archive(tmp_path / "set.npz")
    settings = DataSettings(dataset="npz", path=str(tmp_path / "set.npz"), image_size=6, validation=0.25)
    data, test = load_data(settings), load_test(settings)
    train, validation = rows(data.train.images), rows(data.validation.images)
    assert len(train) == 45
    assert len(validation) == 15
    assert not train & validation
    assert not (train | validation) & rows(test.images)
    assert train | validation == {image.tobytes() for image in arrays["x_train"]}
    assert data.validation.labels.bincount().tolist() == [5, 5, 5]
    again = load_data(settings)
    assert torch.equal(again.train.images, data.train.images)
    other = load_data(settings.model_copy(update={"seed": 1}))
    assert rows(other.validation.images) != validation


def test_load_data_does_not_open_the_test_set(monkeypatch) -> None:
    asked = []
    digits = SOURCES["digits"]
    monkeypatch.setitem(SOURCES, "digits", lambda settings, part: asked.append(part) or digits(settings, part))
    load_data(DataSettings(image_size=8))
    assert asked == ["train"]


def test_digits_are_real_and_never_flipped() -> None:
    data = load_data(DataSettings(image_size=16))
    assert len(data.train) + len(data.validation) + len(load_test(DataSettings(image_size=16))) == 1797
    assert data.train.images.shape[1:] == (1, 16, 16)
    assert data.train.images.dtype == torch.uint8
    assert data.class_names == tuple("0123456789")
    assert not data.augmentation.flip
    assert data.augmentation.crop_padding == 2


def test_statistics_are_those_of_the_training_part(tmp_path) -> None:
    archive(tmp_path / "set.npz", shape=(6, 6, 3))
    data = load_data(DataSettings(dataset="npz", path=str(tmp_path / "set.npz"), image_size=6))
    images = data.train.images.double() / 255
    assert data.in_chans == 3
    assert data.mean == pytest.approx(images.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert data.std == pytest.approx(images.std((0, 2, 3), correction=0).tolist(), abs=1e-9)
    assert data.augmentation.flip, "a set of images may be flipped unless it is known not to be"


def test_train_limit_takes_from_training_only(tmp_path) -> None:
    archive(tmp_path / "set.npz")
    settings = DataSettings(dataset="npz", path=str(tmp_path / "set.npz"), image_size=6)
    less = load_data(settings.model_copy(update={"train_limit": 10}))
    assert len(less.train) == 10
    assert torch.equal(less.validation.images, load_data(settings).validation.images)


def test_class_names_and_resizing(tmp_path) -> None:
    archive(tmp_path / "set.npz")
    with np.load(tmp_path / "set.npz") as found:
        named = {**found, "classes": np.array(["ant", "bee", "cat"])}
    np.savez(tmp_path / "named.npz", **named)
    data = load_data(DataSettings(dataset="npz", path=str(tmp_path / "named.npz"), image_size=9))
    assert data.class_names == ("ant", "bee", "cat")
    assert data.train.images.shape[1:] == (1, 9, 9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": None}, "has no array 'x_train'"),
        ({"x_train": np.zeros((60, 6, 6), np.float32)}, "must be uint8"),
        ({"x_train": np.zeros((60, 6), np.uint8)}, "must be uint8 of shape"),
        ({"y_train": np.zeros(59, np.int64)}, "must be 60 integers"),
        ({"y_train": np.full(60, -1)}, "labels outside"),
        ({"y_train": np.zeros(60)}, "must be 60 integers, not float64"),
        ({"classes": np.array(["one", "two"])}, "labels outside 0..1"),
        ({"y_train": np.arange(60)}, "too few"),
    ],
)
def test_bad_archives_are_refused(tmp_path, changes, words) -> None:
    archive(tmp_path / "set.npz", **changes)
    with pytest.raises(DataError, match=words) as caught:
        load_data(DataSettings(dataset="npz", path=str(tmp_path / "set.npz"), image_size=6))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_archive_are_refused(tmp_path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    for path in ("text.npz", "nothing.npz"):
        with pytest.raises(DataError, match="cannot read"):
            load_data(DataSettings(dataset="npz", path=str(tmp_path / path)))
    with pytest.raises(DataError, match="needs a path"):
        load_data(DataSettings(dataset="npz"))
    np.savez(tmp_path / "pickled.npz", x_train=np.array([{}], object), y_train=np.zeros(1, int))
    with pytest.raises(DataError, match="cannot read"):
        load_data(DataSettings(dataset="npz", path=str(tmp_path / "pickled.npz")))


def folder(root, mode="RGB", sizes=((8, 8), (10, 6))) -> None:
    rng = np.random.default_rng(1)
    for part in ("train", "val"):
        for label in ("ant", "bee"):
            (root / part / label).mkdir(parents=True)
            for number in range(6):
                width, height = sizes[number % len(sizes)]
                pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
                Image.fromarray(pixels).convert(mode).save(root / part / label / f"{number}.png")


def test_image_folder(tmp_path) -> None:
    folder(tmp_path)
    settings = DataSettings(dataset="image_folder", path=str(tmp_path), image_size=8)
    data = load_data(settings)
    assert data.class_names == ("ant", "bee")
    assert data.train.images.shape[1:] == (3, 8, 8)
    assert len(data.train) + len(data.validation) == 12
    assert len(load_test(settings)) == 12


def test_bad_image_folders_are_refused(tmp_path) -> None:
    settings = DataSettings(dataset="image_folder", path=str(tmp_path), image_size=8)
    with pytest.raises(DataError, match="needs a path"):
        load_data(DataSettings(dataset="image_folder"))
    with pytest.raises(DataError, match="no folder train"):
        load_data(settings)
    (tmp_path / "train" / "ant").mkdir(parents=True)
    with pytest.raises(DataError, match="train: "):
        load_data(settings)
    (tmp_path / "train" / "ant" / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png"):
        load_data(settings)


def test_test_images_of_other_classes_are_refused(tmp_path) -> None:
    folder(tmp_path)
    (tmp_path / "val" / "ant").rename(tmp_path / "val" / "cat")
    with pytest.raises(DataError, match="different classes: ant, cat"):
        load_test(DataSettings(dataset="image_folder", path=str(tmp_path), image_size=8))


def test_torchvision_sets_by_name(tmp_path) -> None:
    with pytest.raises(DataError, match="did you mean 'CIFAR10'"):
        load_data(DataSettings(dataset="torchvision", name="CIFAR_10"))
    with pytest.raises(DataError, match="cannot be loaded"):
        load_data(DataSettings(dataset="torchvision", name="CIFAR10", root=str(tmp_path)))
    with pytest.raises(DataError, match="has no data set None"):
        load_data(DataSettings(dataset="torchvision"))


def test_torchvision_images_come_through(monkeypatch) -> None:
    from torchvision import datasets

    class Letters:
        classes = ("a", "b")

        def __init__(self, root, train, download) -> None:
            self.first = 0 if train else 100

        def __iter__(self):
            for number in range(12):
                yield Image.fromarray(np.full((5, 5), self.first + number, np.uint8)), number % 2

    monkeypatch.setattr(datasets, "Letters", Letters, raising=False)
    settings = DataSettings(dataset="torchvision", name="Letters", image_size=5)
    data, test = load_data(settings), load_test(settings)
    assert sorted([*data.train.images[:, 0, 0, 0].tolist(), *data.validation.images[:, 0, 0, 0].tolist()]) == [
        *range(12)
    ]
    assert test.images[:, 0, 0, 0].tolist() == [*range(100, 112)]


def test_a_set_too_large_says_how_large(monkeypatch) -> None:
    def full(*shape, **_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.46 GiB")

    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(DataError, match=r"1,498 images of 1x1024x1024 take 1\.5 GiB, more than cpu has free"):
        load_data(DataSettings(image_size=1024))
