"""Arrays as people save them: understood, or refused with what is wrong."""

import numpy as np
import pytest
import torch
from pictures import arrays

from chattn_nas.data import DataSettings, describe, load_data, load_test
from chattn_nas.data.store import open_set
from chattn_nas.errors import DataError


def settings(tmp_path, **changes) -> DataSettings:
    return DataSettings(dataset="npz", path=str(tmp_path / "set.npz"), **{"image_size": 6} | changes)


def test_class_names_and_resizing(tmp_path) -> None:
    arrays(tmp_path / "set.npz", classes=np.array(["ant", "bee", "cat"]))
    data = load_data(settings(tmp_path, image_size=9))
    assert data.class_names == ("ant", "bee", "cat")
    assert data.train.images.shape[1:] == (1, 9, 9)


@pytest.mark.parametrize(
    "names",
    [("x_train", "y_train"), ("train_images", "train_labels"), ("X_train", "Y_train"), ("images", "labels"), ("x", "y"),
     ("data", "targets"), ("xtrain", "ytrain"), ("image_train", "label_train")],
)  # fmt: skip
def test_usual_names(tmp_path, names) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (30, 6, 6), dtype=np.uint8), np.arange(30) % 3
    np.savez(tmp_path / "set.npz", **dict(zip(names, (images, labels))))
    assert describe(settings(tmp_path)).parts["train"].counts == [10, 10, 10]


def test_channels_first(tmp_path) -> None:
    held = arrays(tmp_path / "set.npz", shape=(3, 6, 6))
    assert (open_set(settings(tmp_path)).images["train"] == held["x_train"]).all()


def test_channels_that_nothing_tells(tmp_path) -> None:
    arrays(tmp_path / "set.npz", shape=(8, 8, 8))
    with pytest.raises(DataError, match=r"data\.channel_axis: first or last"):
        load_data(settings(tmp_path))
    assert load_data(settings(tmp_path, channel_axis="last")).in_chans == 8
    arrays(tmp_path / "set.npz", shape=(3, 6, 3))
    with pytest.raises(DataError, match="nothing says where the channels lie"):
        load_data(settings(tmp_path))


@pytest.mark.parametrize(("scale", "offset"), [(1 / 255, 0), (1, 0), (2 / 255, -1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_images(tmp_path, scale, offset, dtype) -> None:
    held = arrays(tmp_path / "set.npz")
    changed = {name: (held[name] * scale + offset).astype(dtype) for name in ("x_train", "x_test")}
    arrays(tmp_path / "set.npz", **changed)
    assert (open_set(settings(tmp_path)).images["train"][:, 0] == held["x_train"]).all()


def test_normalised_images_ask_for_their_range(tmp_path) -> None:
    rng = np.random.default_rng(0)
    arrays(tmp_path / "set.npz", x_train=rng.normal(size=(60, 6, 6)), x_test=rng.normal(size=(60, 6, 6)))
    with pytest.raises(DataError, match=r"nothing says which is black.*data\.range"):
        load_data(settings(tmp_path))
    assert load_data(settings(tmp_path, range=(-4, 4))).in_chans == 1


@pytest.mark.parametrize(("dtype", "top"), [(np.uint16, 65535), (np.int64, 255), (np.int32, 1023)])
def test_integers_of_more_bits(tmp_path, dtype, top) -> None:
    ramp = np.resize(np.linspace(0, top, 360), (60, 6, 6)).round().astype(dtype)
    arrays(tmp_path / "set.npz", x_train=ramp, x_test=ramp[::-1])
    np.testing.assert_allclose(open_set(settings(tmp_path)).images["train"][:, 0], ramp / top * 255, atol=0.51)


def test_labels_from_one(tmp_path) -> None:
    arrays(tmp_path / "set.npz", y_train=np.arange(60) % 3 + 1, y_test=np.arange(60) % 3 + 1)
    found = describe(settings(tmp_path))
    assert found.class_names == ("1", "2", "3")
    assert any("labels are 1, 2, 3" in said for said in found.said)
    assert load_data(settings(tmp_path)).train.labels.unique().tolist() == [0, 1, 2]
    arrays(tmp_path / "set.npz", y_train=np.arange(60) % 3 + 1, y_test=np.arange(60) % 3 + 1,
           classes=np.array(["ant", "bee", "cat"]))  # fmt: skip
    found = describe(settings(tmp_path))
    assert found.class_names == ("ant", "bee", "cat")
    assert any("run from 1 to 3: 1 is 'ant'" in said for said in found.said)


def test_labels_with_gaps(tmp_path) -> None:
    arrays(tmp_path / "set.npz", y_train=np.arange(60) % 3 * 5, y_test=np.arange(60) % 3 * 5)
    found = describe(settings(tmp_path))
    assert found.class_names == ("0", "5", "10")
    assert load_data(settings(tmp_path)).train.labels.unique().tolist() == [0, 1, 2]
    assert any("labels are 0, 5, 10" in said for said in found.said)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, bool])
def test_one_hot(tmp_path, dtype) -> None:
    hot = np.eye(3, dtype=dtype)[np.arange(60) % 3]
    arrays(tmp_path / "set.npz", y_train=hot, y_test=hot)
    assert describe(settings(tmp_path)).parts["train"].counts == [20, 20, 20]
    assert not load_data(settings(tmp_path)).multilabel


def test_several_labels_per_image(tmp_path) -> None:
    hot = np.random.default_rng(0).integers(0, 2, (60, 4))
    arrays(tmp_path / "set.npz", y_train=hot, y_test=hot)
    data = load_data(settings(tmp_path))
    assert data.multilabel
    assert data.num_classes == 4
    assert data.train.labels.shape == (48, 4)
    assert describe(settings(tmp_path)).parts["train"].counts == hot.sum(0).tolist()


@pytest.mark.parametrize("make", [lambda y: y[:, None], lambda y: y.astype(np.float32), lambda y: y.astype(np.uint8)])
def test_labels_in_other_forms(tmp_path, make) -> None:
    labels = make(np.arange(60) % 3)
    arrays(tmp_path / "set.npz", y_train=labels, y_test=labels)
    assert load_data(settings(tmp_path)).train.labels.unique().tolist() == [0, 1, 2]


def test_labels_that_are_names(tmp_path) -> None:
    names = np.array(["bee", "ant", "cat"])[np.arange(60) % 3]
    arrays(tmp_path / "set.npz", y_train=names, y_test=names)
    assert describe(settings(tmp_path)).class_names == ("ant", "bee", "cat")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": None, "y_train": None}, "has no array 'x_train'"),
        ({"x_train": None}, "has no array 'x_train'"),
        ({"y_train": None}, "has no array 'y_train'"),
        ({"x_train": np.zeros((60, 6), np.uint8)}, "must be of shape"),
        ({"x_train": np.zeros((0, 6, 6), np.uint8)}, "must be of shape"),
        ({"x_train": np.full((60, 6, 6), "a")}, "must hold numbers"),
        ({"y_train": np.zeros(59, np.int64)}, "must be 60 labels"),
        ({"y_train": np.zeros((60, 2, 2), np.int64)}, "must be 60 labels"),
        ({"y_train": np.arange(60) % 3 - 1}, "labels outside"),
        ({"y_train": np.linspace(0, 1, 60)}, "must be 60 integers or names, not float64"),
        ({"classes": np.array(["one", "two"])}, "labels outside 0..1"),
        ({"y_train": np.arange(60), "y_test": np.arange(60)}, "too few"),
        ({"y_train": np.zeros(60, int), "y_test": np.zeros(60, int)}, "one class"),
        ({"y_test": np.arange(60) % 4}, "test images hold classes that no training image has: '3'"),
        ({"x_test": np.zeros((60, 6, 6, 3), np.uint8)}, "x_test of .* has 3 channels, x_train has 1"),
        ({"x_test": np.zeros((60, 6, 6), np.float32)}, "x_test of .* holds float32, x_train uint8"),
        ({"x_train": np.zeros((60, 6, 6), np.uint8)}, "all 48|all 60 training images are the same"),
        ({"x_train": np.full((60, 6, 6), np.nan), "x_test": np.zeros((60, 6, 6))}, "not finite|holds numbers"),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path, changes, words) -> None:
    arrays(tmp_path / "set.npz", **changes)
    with pytest.raises(DataError, match=words) as caught:
        load_data(settings(tmp_path))
    assert "\n" not in str(caught.value)
    assert caught.value.where[0] == "data"


def test_files_that_are_no_archive(tmp_path) -> None:
    arrays(tmp_path / "set.npz")
    whole = (tmp_path / "set.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "pickled.npz", x_train=np.array([{}], object), y_train=np.zeros(1, int))
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    for name in ("half", "text", "empty", "pickled", "nothing", "one"):
        with pytest.raises(DataError, match=rf"cannot read .*{name}|{name}\.npz is a single array") as caught:
            load_data(DataSettings(dataset="npz", path=str(tmp_path / f"{name}.npz")))
        assert "\n" not in str(caught.value)
        assert "allow_pickle" not in str(caught.value)
    with pytest.raises(DataError, match="needs a path"):
        load_data(DataSettings(dataset="npz"))


def test_a_folder_of_arrays(tmp_path) -> None:
    held = arrays(tmp_path / "set.npz")
    for name, array in held.items():
        np.save(tmp_path / f"{name}.npy", array)
    found = DataSettings(dataset="npy", path=str(tmp_path), image_size=6)
    assert torch.equal(load_data(found).train.images, load_data(settings(tmp_path)).train.images)
    assert len(load_test(found)) == 60
    by_file = found.model_copy(update={"path": str(tmp_path / "x_train.npy")})
    assert len(load_test(by_file)) == 60
    with pytest.raises(DataError, match=r"holds no x_train\.npy"):
        load_data(found.model_copy(update={"path": str(tmp_path.parent)}))
