"""Operations of the learned augmentations are torchvision's, and are drawn from the batch's own generator alone."""

import pytest
import torch
from torchvision.transforms.v2 import functional as by

from chattn_nas.data import Augmentation, DataSettings, augment, load_data
from chattn_nas.data import operations as module
from chattn_nas.errors import DataError


def batch(count=400, channels=3) -> torch.Tensor:
    return torch.randint(256, (count, channels, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def drawn(monkeypatch, name: str, strength: float, images: torch.Tensor, sign: int) -> torch.Tensor:
    """Every image gets this operation."""
    monkeypatch.setattr(
        torch, "randint", lambda high, size, **_: torch.full(size, module.NAMES.index(name) if high > 2 else sign)
    )
    return module._operate(
        images, torch.full((len(images),), strength), torch.Generator(), shear=0.99, translate=32 / 224, rotate=135.0,
        enhance=0.99, bits=6,
    )  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "expected", "most"),
    [
        ("identity", lambda x: x, 0),
        ("brightness", lambda x: by.adjust_brightness(x, 1.495), 1),
        ("contrast", lambda x: by.adjust_contrast(x, 1.495), 2),
        ("posterize", lambda x: by.posterize(x, 5), 0),
        ("solarize", lambda x: by.solarize(x, 127.5), 0),
        ("autocontrast", by.autocontrast, 1),
        ("equalize", by.equalize, 1),
        ("sharpness", lambda x: by.adjust_sharpness(x, 1.495), 2),
    ],
)
def test_operations_are_torchvisions(monkeypatch, name, expected, most, channels) -> None:
    images = (batch(8, channels).float() * 0.7 + 20).to(torch.uint8)
    found = drawn(monkeypatch, name, 0.5, images, 1)
    assert (found.int() - expected(images).int()).abs().max() <= most


def test_colour_is_torchvisions(monkeypatch) -> None:
    images = batch(8)
    found = drawn(monkeypatch, "color", 0.5, images, 1)
    assert (found.int() - by.adjust_saturation(images, 1.495).int()).abs().max() <= 2


@pytest.mark.parametrize(
    ("name", "sign"),
    [("rotate", 0), ("rotate", 1), ("translate_x", 1), ("translate_y", 0), ("shear_x", 1), ("shear_y", 1)],
)
def test_geometry_moves_pixels_and_invents_none(monkeypatch, name, sign) -> None:
    images = batch(4)
    found = drawn(monkeypatch, name, 0.3, images, sign)
    assert not torch.equal(found, images)
    for before, after in zip(images.flatten(2), found.flatten(2)):
        pixels = {tuple(p) for p in before.T.tolist()} | {(0, 0, 0)}
        assert {tuple(p) for p in after.T.tolist()} <= pixels


def test_rotation_is_by_the_angle(monkeypatch) -> None:
    image = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    image[:, :, :8] = 200
    turned = drawn(monkeypatch, "rotate", 90 / 135, image, 1)
    assert {int(turned[0, 0, 8, 2]), int(turned[0, 0, 8, 13])} == {0, 200}
    assert int(turned[0, 0, 2, 8 - 3]) == int(turned[0, 0, 13, 8 - 3])


@pytest.mark.parametrize("function", [module.trivial, module.randaugment])
@pytest.mark.parametrize("channels", [1, 3])
def test_draws_come_from_the_generator_alone(function, channels) -> None:
    images = batch(channels=channels)
    state = torch.random.get_rng_state()
    first = function(images, torch.Generator().manual_seed(5))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.dtype == torch.uint8
    assert first.shape == images.shape
    assert torch.equal(function(images, torch.Generator().manual_seed(5)), first)
    assert not torch.equal(function(images, torch.Generator().manual_seed(6)), first)
    changed = (first != images).flatten(1).any(1).float().mean()
    assert changed > 0.7, "most images"


def test_augmentations_of_a_spec(tmp_path, monkeypatch) -> None:
    plain = load_data(DataSettings(image_size=8)).augmentation
    assert plain == Augmentation(1, False)
    assert load_data(DataSettings(image_size=8, augment="none")).augmentation == Augmentation()
    trivial = load_data(DataSettings(image_size=8, augment="trivial")).augmentation
    assert trivial.further is module.trivial
    (tmp_path / "own_augment.py").write_text("def dark(images, generator):\n    return images // 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    own = load_data(DataSettings(image_size=8, augment="own_augment:dark", crop_padding=0)).augmentation
    images = batch(4, 1)
    assert torch.equal(augment(images, own, torch.Generator()), images // 2)
    with pytest.raises(DataError, match="has no 'bright' that could be an augmentation"):
        load_data(DataSettings(image_size=8, augment="own_augment:bright"))
    with pytest.raises(DataError, match="did you mean 'trivial'"):
        DataSettings(augment="trivail")
    with pytest.raises(DataError, match="did you mean 'macro_f1'"):
        DataSettings(metric="makro_f1")
