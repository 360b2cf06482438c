"""Augmentation of whole batches: every image is a crop of its padded self, flipped where that is allowed."""

import pytest
import torch
from torch.nn import functional as F

from chattn_nas.data import Augmentation, Data, Normalize, TensorSet, augment


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [0, 2])
def test_every_image_is_a_crop_of_itself(flip, padding) -> None:
    images = torch.randint(1, 256, (64, 3, 7, 9), dtype=torch.uint8)
    found = augment(images, Augmentation(padding, flip), generator())
    assert found.dtype == torch.uint8
    padded = F.pad(images, (padding,) * 4)
    seen = set()
    for image, source in zip(found, padded):
        places = [
            (row, column, flipped)
            for row in range(2 * padding + 1)
            for column in range(2 * padding + 1)
            for flipped in (False, True)
            if torch.equal(
                image,
                (source[:, row : row + 7, column : column + 9].flip(2) if flipped
                 else source[:, row : row + 7, column : column + 9]),
            )
        ]  # fmt: skip
        assert len(places) == 1, "exactly one crop fits"
        seen |= set(places)
    assert {place[2] for place in seen} == ({False, True} if flip else {False})
    if padding:
        assert {place[0] for place in seen} == {*range(2 * padding + 1)}


def test_draws_come_from_the_generator_alone() -> None:
    images = torch.randint(256, (32, 1, 8, 8), dtype=torch.uint8)
    state = torch.random.get_rng_state()
    first = augment(images, Augmentation(2, True), generator(5))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(7)
    assert torch.equal(augment(images, Augmentation(2, True), generator(5)), first)
    assert not torch.equal(augment(images, Augmentation(2, True), generator(6)), first)


def test_normalised_images_have_zero_mean_and_unit_deviation() -> None:
    images = torch.randint(256, (50, 3, 8, 8), dtype=torch.uint8)
    scaled = images.double() / 255
    data = Data(
        train=TensorSet(images, torch.zeros(50, dtype=torch.int64)), validation=TensorSet(images, torch.zeros(50)),
        num_classes=1, in_chans=3, image_size=8, mean=tuple(scaled.mean((0, 2, 3)).tolist()),
        std=tuple(scaled.std((0, 2, 3), correction=0).tolist()), class_names=("a",), augmentation=Augmentation(),
    )  # fmt: skip
    found = Normalize(data, "cpu")(images)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)
