"""Images of every kind come out as what they show, or are refused by name."""

import numpy as np
import pytest
import torch
from pictures import folder, noise
from PIL import Image

from chattn_nas.data import DataSettings, describe, load_data, sample_batch, summary
from chattn_nas.data.decoding import Reading, decode_arrays
from chattn_nas.data.inspection import contact_sheet
from chattn_nas.data.store import open_set
from chattn_nas.errors import DataError


def settings(root, **changes) -> DataSettings:
    return DataSettings(dataset="image_folder", path=str(root), **{"image_size": 8} | changes)


def first(root, **changes) -> np.ndarray:
    """The image ``ant/000``, (C, S, S)."""
    return np.array(open_set(settings(root, **changes)).images["train"][0])


def with_first(tmp_path, image: Image.Image, name: str = "000.png", mode="RGB", **save):
    """A set whose first image is this one."""
    folder(tmp_path, (), mode=mode, width=8, height=8)
    (tmp_path / "ant" / "000.png").unlink()
    image.save(tmp_path / "ant" / name, **save)
    return tmp_path


@pytest.mark.parametrize(("bits", "top"), [(16, 65535), (12, 4095)])
def test_sixteen_bits_keep_their_order(tmp_path, bits, top) -> None:
    ramp = np.linspace(0, top, 64).round().astype(np.uint16).reshape(8, 8)
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(10):
            Image.fromarray(np.roll(ramp, number + (name == "bee") * 20)).save(tmp_path / name / f"{number:03d}.png")
    found = first(tmp_path)
    assert found.shape == (1, 8, 8)
    np.testing.assert_allclose(found[0], np.linspace(0, 255, 64).reshape(8, 8), atol=0.6)
    assert any(f"0 to {top}" in said for said in describe(settings(tmp_path)).said)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_float_images_of_a_usual_range(tmp_path, low, high) -> None:
    ramp = np.linspace(low, high, 64, dtype=np.float32).reshape(8, 8)
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(10):
            Image.fromarray(np.roll(ramp, number + (name == "bee") * 20)).save(tmp_path / name / f"{number:03d}.tiff")
    np.testing.assert_allclose(first(tmp_path)[0], np.linspace(0, 255, 64).reshape(8, 8), atol=0.6)


def test_float_images_of_another_range_ask_for_it(tmp_path) -> None:
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(10):
            values = (noise(number + 20 * (name == "bee"), 8, 8, 1).astype(np.float32) - 100) * 3.5
            Image.fromarray(values).save(tmp_path / name / f"{number:03d}.tiff")
    with pytest.raises(DataError, match=r"data\.range: \[-3") as caught:
        load_data(settings(tmp_path))
    assert "\n" not in str(caught.value)
    found = first(tmp_path, range=(-350.0, 542.5))
    np.testing.assert_allclose(found[0], noise(0, 8, 8, 1), atol=0.6)


def test_one_float_image_beyond_the_others_is_named(tmp_path) -> None:
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(300):
            seed = number + 300 * (name == "bee")
            Image.fromarray(noise(seed, 8, 8, 1).astype(np.float32) / 255).save(tmp_path / name / f"{number:03d}.tiff")
    Image.fromarray(np.full((8, 8), 7, np.float32)).save(tmp_path / "ant" / "001.tiff")
    with pytest.raises(DataError, match=r"001\.tiff holds numbers from 7 to 7"):
        load_data(settings(tmp_path))


def test_numbers_that_are_not_finite_are_bad_files(tmp_path) -> None:
    root = with_first(tmp_path, Image.fromarray(np.full((8, 8), np.nan, np.float32)), "000.tiff", mode="L")
    with pytest.raises(DataError, match=r"000\.tiff: holds numbers that are not finite"):
        load_data(settings(root, range=(0, 1)))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
@pytest.mark.parametrize(("background", "expected"), [("white", 255), ("black", 0)])
def test_transparency_shows_the_background(tmp_path, mode, background, expected) -> None:
    image = Image.new("RGBA", (8, 8), (200, 10, 10, 0)).convert("LA" if mode == "LA" else "RGBA")
    image.putpixel((0, 0), (50, 255) if mode == "LA" else (50, 50, 50, 255))
    if mode == "PA":
        image = image.quantize(4)
    found = first(with_first(tmp_path, image), background=background)
    assert found[:, 4, 4].tolist() == [expected] * 3
    assert found[:, 0, 0].tolist() == [50] * 3


def test_one_transparent_colour(tmp_path) -> None:
    image = Image.new("RGB", (8, 8), (1, 2, 3))
    image.putpixel((0, 0), (50, 60, 70))
    found = first(with_first(tmp_path, image, transparency=(1, 2, 3)), background="#00ff00")
    assert found[:, 4, 4].tolist() == [0, 255, 0]
    assert found[:, 0, 0].tolist() == [50, 60, 70]


def test_palette(tmp_path) -> None:
    image = Image.new("RGB", (8, 8), (200, 100, 50))
    found = first(with_first(tmp_path, image.convert("P", palette=Image.Palette.ADAPTIVE)))
    assert found[:, 0, 0].tolist() == [200, 100, 50]


def test_cmyk(tmp_path) -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    found = first(with_first(tmp_path, image, "000.jpg", quality=100)).astype(int)
    assert abs(found[:, 4, 4] - [255, 0, 0]).max() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path, orientation) -> None:
    """Whatever the camera's position, the same scene is upright."""
    scene = Image.new("RGB", (64, 64))
    scene.paste((250, 250, 250), (0, 0, 32, 32))
    scene.paste((250, 0, 0), (32, 0, 64, 32))
    undo = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270}.get(orientation)  # fmt: skip
    stored = scene.transpose(undo) if undo is not None else scene
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = first(with_first(tmp_path, stored, "000.jpg", exif=exif, quality=95)).astype(int)
    assert abs(found[:, 1, 1] - 250).max() < 12
    assert abs(found[:, 1, 6] - [250, 0, 0]).max() < 16
    assert found[:, 6, :].max() < 12


def test_grey_folders_have_one_channel_unless_asked(tmp_path) -> None:
    folder(tmp_path, (), mode="L")
    assert load_data(settings(tmp_path)).in_chans == 1
    data = load_data(settings(tmp_path, channels=3))
    assert data.in_chans == 3
    assert torch.equal(data.train.images[:, 0], data.train.images[:, 1])


def test_one_colour_image_among_grey_ones_gives_three_channels(tmp_path) -> None:
    folder(tmp_path, (), mode="L")
    Image.fromarray(noise(99)).save(tmp_path / "bee" / "009.png")
    data = load_data(settings(tmp_path))
    assert data.in_chans == 3
    assert load_data(settings(tmp_path, channels=1)).in_chans == 1


@pytest.mark.parametrize("policy", ["squash", "crop", "pad"])
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_resize_policies(tmp_path, policy, ending) -> None:
    """A wide image: black, grey and white thirds."""
    wide = np.repeat(np.repeat([[0, 128, 255]], 40, 1), 40, 0).astype(np.uint8)
    image = Image.fromarray(np.stack([wide] * 3, -1))
    found = first(with_first(tmp_path, image, f"000.{ending}"), resize=policy, background="red").astype(int)
    middle = found[:, 4]
    if policy == "squash":
        assert middle[0, 0] < 30
        assert middle[0, 7] > 225
    elif policy == "crop":
        assert abs(middle - 128).max() < 12
    else:
        assert abs(found[:, 0, 4] - [255, 0, 0]).max() < 6
        assert middle[0, 0] < 30
        assert middle[0, 7] > 225


@pytest.mark.parametrize("policy", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(8, 20), (20, 8)])
def test_images_that_are_not_square(tmp_path, policy, size) -> None:
    """From files as from arrays: the same pixels where no JPEG decoder and no other filter is between."""
    image = np.repeat(np.repeat(noise(1, 10, 5), 4, 0), 4, 1)  # 40 wide, 20 high
    found = first(with_first(tmp_path, Image.fromarray(image)), resize=policy, image_size=size, background="red")
    assert found.shape == (3, *size)
    reading = Reading(size=size, resize=policy, background="red")
    of_array = decode_arrays(image[None], reading, "x")[0].astype(int)
    if policy == "pad":
        assert ((found == [[[255]], [[0]], [[0]]]).all(0) == (of_array == [[[255]], [[0]], [[0]]]).all(0)).mean() > 0.8
    assert abs(found.astype(int) - of_array).mean() < (20 if policy == "pad" else 2)
    data = load_data(settings(tmp_path, resize=policy, image_size=size, background="red"))
    assert (data.image_size, data.train.images.shape[2:]) == (size, size)
    assert summary(settings(tmp_path, image_size=size), batch_size=4, epochs=1)[0].endswith(f"{size[1]}x{size[0]} px")
    assert sample_batch(data).shape[2:] == size
    sheet = contact_sheet(settings(tmp_path, image_size=size))
    assert sheet.size == (8 * (12 * size[1] + 2) + 2, 2 * (12 * size[0] + 2) + 2)


def test_a_reduced_jpeg_is_close_to_the_whole_one(tmp_path) -> None:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        (800, 600), Image.Resampling.BICUBIC
    )
    found = first(with_first(tmp_path, smooth, "000.jpg", quality=95)).astype(int)
    whole = np.asarray(smooth.resize((8, 8), Image.Resampling.BILINEAR)).transpose(2, 0, 1).astype(int)
    assert abs(found - whole).mean() < 2


def bad(root) -> None:
    whole = (root / "ant" / "000.png").read_bytes()
    (root / "ant" / "900.png").write_bytes(whole[: len(whole) // 2])
    (root / "ant" / "901.png").write_bytes(b"")
    (root / "bee" / "902.jpg").write_bytes(b"no image at all")
    (root / "bee" / "903.png").symlink_to(root / "nowhere.png")
    (root / "bee" / "904.heic").write_bytes(b"\0\0\0\x18ftypheic")


def test_all_bad_files_are_named_at_once(tmp_path) -> None:
    bad(folder(tmp_path, ()))
    with pytest.raises(DataError, match="5 images cannot be read") as caught:
        load_data(settings(tmp_path))
    words = str(caught.value)
    for name in ("900.png", "901.png: the file is empty", "902.jpg", "903.png: No such file", "904.heic"):
        assert name in words
    assert "data.bad_files: skip" in words
    assert "\n" not in words


def test_bad_files_are_left_out_when_asked(tmp_path) -> None:
    bad(folder(tmp_path, ()))
    data = load_data(settings(tmp_path, bad_files="skip"))
    assert len(data.train) + len(data.validation) == 20
    facts = describe(settings(tmp_path, bad_files="skip"))
    assert len(facts.parts["train"].bad) == 5
    assert any("5 images cannot be read and are left out" in said for said in facts.said)


def test_at_most_twenty_bad_files_are_shown(tmp_path) -> None:
    folder(tmp_path, (), count=20)
    for path in tmp_path.glob("*/*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="and 20 more") as caught:
        load_data(settings(tmp_path))
    assert (str(caught.value).count(".png"), str(caught.value).count("the file is empty")) == (20, 1)


def test_images_that_are_all_equal_are_refused(tmp_path) -> None:
    folder(tmp_path, ())
    for path in tmp_path.glob("*/*.png"):
        Image.new("RGB", (8, 8), (1, 2, 3)).save(path)
    with pytest.raises(DataError, match="all 20 training images are the same"):
        load_data(settings(tmp_path))


def test_one_pixel_is_told(tmp_path) -> None:
    root = with_first(tmp_path, Image.new("RGB", (1, 1), (9, 9, 9)))
    assert (first(root) == 9).all()
    assert any("1 image is smaller than 4 px" in said for said in describe(settings(root)).said)


def test_the_first_of_several_frames_is_read_and_told(tmp_path) -> None:
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (250, 20)]
    root = with_first(tmp_path, frames[0], "000.gif", save_all=True, append_images=frames[1:])
    assert first(root)[0, 0, 0] == 250
    assert any("1 file holds several frames" in said for said in describe(settings(root)).said)
