"""What a search sees of a data set: disjoint parts, never the test set, split class by class."""

import numpy as np
import pytest
import torch
from pictures import arrays, folder

from chattn_nas.data import DataSettings, describe, has_test, load_data, load_test
from chattn_nas.data.tensors import channel_statistics
from chattn_nas.errors import DataError


def rows(images) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def npz(tmp_path, **changes) -> DataSettings:
    return DataSettings(dataset="npz", path=str(tmp_path / "set.npz"), **{"image_size": 6} | changes)


def test_parts_are_disjoint_stratified_and_never_the_test_set(tmp_path) -> None:
    held = arrays(tmp_path / "set.npz")
    settings = npz(tmp_path, validation=0.25)
    data, test = load_data(settings), load_test(settings)
    train, validation = rows(data.train.images), rows(data.validation.images)
    assert len(train) == 45
    assert len(validation) == 15
    assert not train & validation
    assert not (train | validation) & rows(test.images)
    assert train | validation == {image.tobytes() for image in held["x_train"]}
    assert data.validation.labels.bincount().tolist() == [5, 5, 5]
    again = load_data(settings)
    assert torch.equal(again.train.images, data.train.images)
    other = load_data(settings.model_copy(update={"seed": 1}))
    assert rows(other.validation.images) != validation


def test_digits_are_real_and_never_flipped() -> None:
    data = load_data(DataSettings(image_size=16))
    assert len(data.train) + len(data.validation) + len(load_test(DataSettings(image_size=16))) == 1797
    assert data.train.images.shape[1:] == (1, 16, 16)
    assert data.train.images.dtype == torch.uint8
    assert data.class_names == tuple("0123456789")
    assert not data.augmentation.flip
    assert data.augmentation.crop_padding == 2


def test_statistics_are_those_of_the_training_part(tmp_path, monkeypatch) -> None:
    arrays(tmp_path / "set.npz", shape=(6, 6, 3))
    data = load_data(npz(tmp_path))
    images = data.train.images.double() / 255
    assert data.in_chans == 3
    assert data.mean == pytest.approx(images.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert data.std == pytest.approx(images.std((0, 2, 3), correction=0).tolist(), abs=1e-9)
    assert data.augmentation.flip, "a set of images may be flipped unless it is known not to be"
    monkeypatch.setattr("chattn_nas.data.tensors.COUNTED", 36 * 3 * 10)
    few = channel_statistics(data.train.images)
    assert few != (data.mean, data.std)
    assert few[0] == pytest.approx(data.mean, abs=0.1)


def test_a_limit_takes_every_class_in_its_proportion(tmp_path) -> None:
    labels = np.repeat([0, 1, 2], [40, 16, 4])
    arrays(tmp_path / "set.npz", y_train=labels)
    settings = npz(tmp_path, validation=0.25)
    whole = load_data(settings)
    less = load_data(settings.model_copy(update={"train_limit": 15}))
    assert torch.equal(less.validation.images, whole.validation.images)
    assert less.train.labels.bincount().tolist() == [10, 4, 1]
    least = load_data(settings.model_copy(update={"train_limit": 3}))
    assert least.train.labels.bincount().tolist() == [1, 1, 1], "no class is lost"
    with pytest.raises(DataError, match="below the 3 classes"):
        load_data(settings.model_copy(update={"train_limit": 2}))


def test_classes_too_small_for_the_split_are_all_named(tmp_path) -> None:
    folder(tmp_path, (), ("ant", "bee"), 10)
    folder(tmp_path, (), ("cat", "dog"), 1)
    settings = DataSettings(dataset="image_folder", path=str(tmp_path), image_size=8)
    with pytest.raises(DataError, match=r"'cat' \(1\), 'dog' \(1\).*data\.classes: {cat: null}") as caught:
        load_data(settings)
    assert caught.value.where == ("data", "validation")
    assert load_data(settings.model_copy(update={"classes": ["ant", "bee"]})).num_classes == 2


def test_a_test_part_is_carved_where_there_is_none(tmp_path) -> None:
    folder(tmp_path, ())
    settings = DataSettings(dataset="image_folder", path=str(tmp_path), image_size=8)
    assert not has_test(settings)
    with pytest.raises(DataError, match=r"no test images.*data\.test: 0\.2"):
        load_test(settings)
    carved = settings.model_copy(update={"test": 0.3})
    data, test = load_data(carved), load_test(carved)
    assert (len(data.train), len(data.validation), len(test)) == (10, 4, 6)
    assert not rows(test.images) & (rows(data.train.images) | rows(data.validation.images))
    assert test.labels.bincount().tolist() == [3, 3]


def test_a_test_part_of_its_own_is_not_carved_again(tmp_path) -> None:
    folder(tmp_path, ("train", "test"))
    settings = DataSettings(dataset="image_folder", path=str(tmp_path), image_size=8, test=0.2)
    with pytest.raises(DataError, match="20 test images of its own"):
        load_data(settings)


def test_validation_images_of_the_set_are_used(tmp_path) -> None:
    folder(tmp_path, ("train", "val", "test"))
    settings = DataSettings(dataset="image_folder", path=str(tmp_path), image_size=8)
    data = load_data(settings)
    assert (len(data.train), len(data.validation), len(load_test(settings))) == (20, 20, 20)


@pytest.mark.parametrize(
    ("classes", "names", "counts"),
    [
        (["cat", "ant"], ("cat", "ant"), [10, 10]),
        ({"bee": None}, ("ant", "cat"), [10, 10]),
        ({"ant": "insect", "bee": "insect"}, ("insect", "cat"), [20, 10]),
        ({"cat": "Katze"}, ("ant", "bee", "Katze"), [10, 10, 10]),
    ],
)
def test_classes_are_selected_renamed_merged_and_left_out(tmp_path, classes, names, counts) -> None:
    folder(tmp_path, (), ("ant", "bee", "cat"))
    settings = DataSettings(dataset="image_folder", path=str(tmp_path), image_size=8, classes=classes)
    found = describe(settings)
    assert found.class_names == names
    assert found.parts["train"].counts == counts
    assert load_data(settings).num_classes == len(names)


def test_a_class_that_there_is_not(tmp_path) -> None:
    folder(tmp_path, ())
    with pytest.raises(DataError, match=r"no class 'beee'; did you mean 'bee'\?"):
        load_data(DataSettings(dataset="image_folder", path=str(tmp_path), image_size=8, classes=["ant", "beee"]))


def test_a_set_too_large_says_how_large(monkeypatch) -> None:
    load_data(DataSettings(image_size=64))

    def full(*shape, **_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.46 GiB")

    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(DataError, match=r"images of 1x64x64 take 0\.0 GiB, more than cpu has free"):
        load_data(DataSettings(image_size=64), data_on="device")


def test_what_does_not_fit_well_stays_on_disk(monkeypatch) -> None:
    settings = DataSettings(image_size=8)
    held = load_data(settings)
    monkeypatch.setattr("chattn_nas.data.load._free", lambda device: 1000.0)
    mapped = load_data(settings)
    assert type(mapped.train).__name__ == "MappedSet"
    assert torch.equal(mapped.train.images, held.train.images)
    assert torch.equal(mapped.train.labels, held.train.labels)
    index = torch.tensor([5, 3, 1])
    assert torch.equal(mapped.train[index].images, held.train[index].images)
