"""Sets read image by image hold the same images as those read at once."""

import numpy as np
import pytest
import torch
from PIL import Image

from chattn_nas.data import DataSettings, load_data, load_lazy, load_lazy_test, load_test
from chattn_nas.errors import DataError


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(1)
    for part in ("train", "test"):
        for label in ("ant", "bee"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(8):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / label / f"{number}.png")
    return DataSettings(dataset="image_folder", path=str(tmp_path), image_size=8)


def stacked(items):
    images, labels = zip(*(items[index] for index in range(len(items))))
    return torch.stack(images), torch.tensor([int(label) for label in labels])


@pytest.mark.parametrize("kind", ["folder", "digits"])
def test_streams_are_the_same_set(kind, folder) -> None:
    settings = folder if kind == "folder" else DataSettings(image_size=8)
    whole, streams = load_data(settings), load_lazy(settings)
    for part, items in ((whole.train, streams.train), (whole.validation, streams.validation),
                        (load_test(settings), load_lazy_test(settings))):  # fmt: skip
        images, labels = stacked(items)
        assert torch.equal(images, part.images)
        assert torch.equal(labels, part.labels)
    for name in ("num_classes", "in_chans", "image_size", "class_names", "augmentation"):
        assert getattr(whole, name) == getattr(streams, name)
    assert streams.mean == pytest.approx(whole.mean)
    assert len(streams.both) == len(whole.train) + len(whole.validation)


def test_bad_folders_are_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="no folder train"):
        load_lazy(DataSettings(dataset="image_folder", path=str(tmp_path)))
