"""An exported network reads an image file as its training did: the same pixels, whatever the file is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chattn_nas.data import DataSettings, load_data
from chattn_nas.data.decoding import Reading, decode
from chattn_nas.export import Card, export_network, open_folder, standalone
from chattn_nas.network import build_network
from chattn_nas.space import Architecture, Backbone, StageChoice


def _noise(height: int, width: int, channels: int = 3, top: int = 255, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top + 1, (height, width, channels))


def _write(folder: Path) -> list[Path]:
    """One file of every kind that cameras, scanners and editors make."""
    rgb = Image.fromarray(_noise(37, 53).astype(np.uint8))
    large = Image.fromarray(np.kron(_noise(60, 90), np.ones((10, 10, 1))).astype(np.uint8))  # 900 x 600: a draft
    alpha = Image.fromarray(_noise(37, 53, 4).astype(np.uint8), "RGBA")
    palette = rgb.quantize(16)
    files = {
        "rgb.png": (rgb, {}),
        "grey.png": (rgb.convert("L"), {}),
        "one_bit.png": (rgb.convert("1"), {}),
        "alpha.png": (alpha, {}),
        "grey_alpha.png": (alpha.convert("LA"), {}),
        "palette.png": (palette, {}),
        "see_through.png": (palette, {"transparency": 3}),
        "key_colour.png": (rgb, {"transparency": rgb.getpixel((0, 0))}),
        "pixel.png": (rgb.crop((0, 0, 1, 1)), {}),
        "wide.png": (rgb.crop((0, 0, 53, 3)), {}),
        "cmyk.jpg": (rgb.convert("CMYK"), {}),
        "photo.jpg": (large, {"quality": 90}),
        "sixteen.png": (Image.fromarray(_noise(37, 53, 1, 65535)[..., 0].astype(np.uint16)), {}),
        "float.tif": (Image.fromarray(_noise(37, 53, 1)[..., 0].astype(np.float32) / 255), {}),
        "moving.gif": (palette, {"save_all": True, "append_images": [palette.rotate(90)]}),
    }
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        files[f"turned_{turn}.jpg"] = (large, {"exif": exif})
    for name, (image, options) in files.items():
        image.save(folder / name, **options)
    return [folder / name for name in files]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    return _write(tmp_path_factory.mktemp("odd"))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_odd_files_give_the_pixels_of_training(files, monkeypatch, resize, channels):
    monkeypatch.setattr(standalone, "RESIZE", resize)
    monkeypatch.setattr(standalone, "BACKGROUND", "orange")
    monkeypatch.setattr(standalone, "IN_CHANS", channels)
    for path in files:
        scale = {"sixteen.png": (0.0, 65535.0), "float.tif": (0.0, 1.0)}.get(path.name)
        monkeypatch.setattr(standalone, "RANGE", scale)
        for size in ((32, 32), (300, 300), (24, 40), (50, 30)):
            reading = Reading(size=size, resize=resize, background="orange", channels=channels, scale=scale)
            with Image.open(path) as image:
                expected = torch.from_numpy(decode(image, reading, path.name)[0].copy())
            found = standalone.pixels(standalone.open_image(path, size))[0]
            assert torch.equal(found, expected), (path.name, size)


def test_sixteen_bits_are_scaled_even_where_training_had_eight(files, monkeypatch):
    monkeypatch.setattr(standalone, "IN_CHANS", 1)
    path = next(path for path in files if path.name == "sixteen.png")
    found = standalone.pixels(standalone.open_image(path))
    assert found.float().std() > 50  # not clipped to black and white
    assert len(found.unique()) > 100
    strange = path.with_name("strange.tif")
    Image.fromarray(np.full((4, 4), 300.0, np.float32)).save(strange)
    with pytest.raises(SystemExit, match=r"strange\.tif holds numbers that are not within 0 to 1"):
        standalone.open_image(strange)


def test_a_whole_folder_is_read_by_the_exported_file_as_it_was_for_training(tmp_path):
    for label, name in enumerate(("cat", "dog")):
        folder = tmp_path / "data" / "train" / name
        folder.mkdir(parents=True)
        for index in range(6):
            image = Image.fromarray(_noise(20 + index, 33, 3, seed=10 * label + index).astype(np.uint8))
            exif = Image.Exif()
            exif[0x0112] = 1 + index
            image.save(folder / f"{index}.png", exif=exif)
    settings = DataSettings(
        dataset="image_folder", path=str(tmp_path / "data"), image_size=16, resize="pad", background="blue",
        cache=str(tmp_path / "cache"), validation=0.5,
    )  # fmt: skip
    data = load_data(settings)
    architecture = Architecture(Backbone("cifar_resnet8", {"width": 4}), (StageChoice(),))
    card = Card(
        name="read", backbone="cifar_resnet8", mean=data.mean, std=data.std, resize=settings.resize,
        background=settings.background, value_range=data.value_range, class_names=data.class_names,
    )  # fmt: skip
    export_network(
        build_network(architecture, num_classes=2, in_chans=3, image_size=16, seed=0), architecture=architecture,
        out_dir=tmp_path / "out", num_classes=2, in_chans=3, image_size=16, card=card, formats=["source"],
    )  # fmt: skip
    model = open_folder(tmp_path / "out").model
    found = {model.pixels(model.open_image(path, model.IMAGE_SIZE)).numpy().tobytes()
             for path in (tmp_path / "data").rglob("*.png")}  # fmt: skip
    trained = {
        images[torch.arange(len(images))].images[index].numpy().tobytes()
        for images in (data.train, data.validation)
        for index in range(len(images))
    }
    assert found == trained
    assert len(found) == 12
    batch = data.validation[torch.tensor([0])].images
    expected = (batch.float() / 255 - torch.tensor(data.mean)[:, None, None]) / torch.tensor(data.std)[:, None, None]
    torch.testing.assert_close(model.normalise(batch), expected)
