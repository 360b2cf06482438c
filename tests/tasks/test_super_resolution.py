"""Super-resolution: patches as they are cut, trained on and scored; references are Pillow's and torchmetrics'."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from task_data import pictures
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from chattn_nas import tasks
from chattn_nas.data import DataSettings, TensorSet, describe, load_data, load_test, summary
from chattn_nas.errors import DataError, InputError
from chattn_nas.network import build_network, stages
from chattn_nas.proxy import Outcome, ProxySettings, train
from chattn_nas.space import Architecture, Backbone, StageChoice
from chattn_nas.tasks import picture_answer
from chattn_nas.tasks.picture_metrics import brightness, psnr, ssim, without_border
from chattn_nas.tasks.super_resolution import SuperResolutionSettings
from chattn_nas.unit import Unit

TASK = SuperResolutionSettings()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def settings(folder) -> DataSettings:
    return DataSettings(dataset="patches", path=str(folder), image_size=12)


@pytest.fixture(scope="module")
def data(settings) -> tasks.TaskData:
    return tasks.load(TASK, settings)


def built(data: tasks.TaskData, kind: str = "rcan", seed: int = 0) -> torch.nn.Module:
    architecture = Architecture(Backbone("rcan_tiny", options={"width": 8}), (StageChoice(kind),))
    network = build_network(architecture, num_classes=1, image_size=data.image_size, seed=seed)
    return data.task.network(network, seed)


def test_patches_of_one_picture_lie_in_one_part(folder, data) -> None:
    """Ten pictures of 48 px give four patches of 24 px each; two of the pictures score the search."""
    assert (len(data.train), len(data.validation)) == (32, 8)
    assert data.train.images.shape[1:] == (3, 12, 12)
    assert data.train.labels.shape[1:] == (3, 24, 24)
    first = np.asarray(Image.open(folder / "train" / "000.png")).transpose(2, 0, 1)[:, :24, :24]
    places = {patch.numpy().tobytes() for part in (data.train, data.validation) for patch in part.labels}
    assert first.tobytes() in places
    small = Image.fromarray(data.train.labels[0].numpy().transpose(1, 2, 0)).resize((12, 12), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(small).transpose(2, 0, 1), data.train.images[0].numpy())


def test_a_test_part_is_kept_by_pictures(folder, settings) -> None:
    held = settings.changed(path=str(folder / "train"), test=0.2)
    assert (len(load_data(held).train), len(load_data(held).validation), len(load_test(held))) == (24, 8, 8)
    sentences = summary(held, batch_size=8, epochs=100)
    assert all(sentences)
    said = " ".join(summary(held.changed(validation=0.2), batch_size=8, epochs=100))
    assert "2 of the training pictures, all their patches, are the validation set" in said
    assert "own" not in said, "nothing but the split by pictures"
    with pytest.raises(DataError, match=r"test pictures of its own: data\.test is for sets without"):
        load_data(settings.changed(test=0.2))


def test_pairs_are_read_as_they_are(folder, tmp_path, data) -> None:
    for path in (folder / "train").iterdir():
        high = Image.open(path)
        low = high.resize((24, 24), Image.Resampling.BICUBIC)
        for there, picture in (("Set_train_HR", high), ("Set_train_LR_bicubic/X2", low)):
            (tmp_path / there).mkdir(parents=True, exist_ok=True)
            picture.save(tmp_path / there / f"{path.stem}{'x2' if picture is low else ''}.png")
    paired = load_data(DataSettings(dataset="patches", path=str(tmp_path), image_size=12))
    assert torch.equal(paired.train.labels, data.train.labels)
    away = (paired.train.images.float() - data.train.images.float()).abs()
    assert away[:, :, 2:-2, 2:-2].max() <= 1, "reduced as a whole or in patches: only their borders differ"
    Image.new("RGB", (23, 24)).save(next((tmp_path / "Set_train_LR_bicubic" / "X2").iterdir()))
    with pytest.raises(DataError, match=r"is \(23, 24\), not \(24, 24\): 1/2 of"):
        load_data(DataSettings(dataset="patches", path=str(tmp_path), image_size=12))
    for path in (folder / "train").iterdir():
        for there, side in (("high", 48), ("low", 16)):
            (tmp_path / "other" / there).mkdir(parents=True, exist_ok=True)
            Image.open(path).resize((side, side)).save(tmp_path / "other" / there / path.name)
    with pytest.raises(DataError, match=r"is 48 px and .* 16 px, and data\.options say scale: 2: it is 3"):
        load_data(DataSettings(dataset="patches", path=str(tmp_path / "other"), image_size=12))


def test_scores_are_those_of_torchmetrics_and_the_floor_is_pillow_s(data) -> None:
    images, targets = data.validation.images, data.validation.labels
    enlarged = [
        np.asarray(Image.fromarray(one.numpy().transpose(1, 2, 0)).resize((24, 24), Image.Resampling.BICUBIC))
        for one in images
    ]
    given = torch.from_numpy(np.stack(enlarged)).permute(0, 3, 1, 2).float()
    y = [without_border(brightness(one.float()), 2) for one in (given, targets)]
    for one, other, found in zip(*y, psnr(*y), strict=True):
        assert float(found) == pytest.approx(float(peak_signal_noise_ratio(one, other, data_range=255.0)), abs=1e-3)
    # torchmetrics pads the border before it takes means: far inside both are the same
    for one, other in zip(*y, strict=True):
        _, whole = structural_similarity_index_measure(
            one[None], other[None], gaussian_kernel=True, sigma=1.5, data_range=255.0, return_full_image=True
        )
        assert float(ssim(one[None], other[None])) == pytest.approx(float(whole[..., 5:-5, 5:-5].mean()), abs=1e-4)
    assert data.task.floor()["score"] == pytest.approx(float(psnr(*y).mean()), abs=0.02)
    assert data.task.unit.text(28.66) == "28.66 dB"


def test_brightness_is_that_of_bt_601() -> None:
    """White, black and the primaries as the standard tabulates them: what MATLAB's rgb2ycbcr gives."""
    colours = torch.tensor([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]).float()
    found = brightness(colours[:, :, None, None]).flatten()
    assert found.tolist() == pytest.approx([235, 16, 81.48, 144.55, 40.97], abs=0.01)


def test_pictures_that_cannot_be_read_right_are_refused(tmp_path) -> None:
    for number in range(5):
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (48, 48, 4), np.uint8)).save(
            tmp_path / f"{number}.png"
        )
    settings = DataSettings(dataset="patches", path=str(tmp_path), image_size=12, background="black")
    behind = np.asarray(Image.open(tmp_path / "0.png")).astype(float)
    behind = behind[..., :3] * behind[..., 3:] / 255
    data = load_data(settings)
    patches = torch.cat([data.train.labels, data.validation.labels]).permute(0, 2, 3, 1).numpy()
    assert (np.abs(patches - behind[:24, :24]).max((1, 2, 3)) <= 1).any(), "transparent pixels show the background"
    Image.fromarray(np.full((48, 48), 40_000, np.uint16)).save(tmp_path / "4.png")
    with pytest.raises(DataError, match=r"4\.png has more than eight bits per pixel"):
        load_data(settings)
    (tmp_path / "4.png").unlink()
    Image.new("RGB", (48, 48)).save(tmp_path / "0.jpg")
    data = load_data(settings)
    assert len(data.train) + len(data.validation) == 5 * 4, "two pictures of one name are two"


def test_a_bad_picture_is_listed_once(tmp_path) -> None:
    """It was listed once for every patch."""
    pictures(tmp_path)
    file = next(iter(sorted(tmp_path.rglob("*.png"))))
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(DataError) as caught:
        load_data(DataSettings(dataset="patches", path=str(tmp_path), image_size=12))
    assert str(caught.value).startswith(f"1 image cannot be read: {file}: ")


@pytest.mark.parametrize(("high", "low"), [("HR", "LR"), ("sharp", "blurred")])
def test_pairs_that_do_not_belong_together_are_told(folder, tmp_path, high, low) -> None:
    """Low resolution that was mirrored trained without a word; folders of other names made both sides pictures."""
    for number, file in enumerate(sorted((folder / "train").iterdir())):
        picture = Image.open(file)
        small = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BICUBIC)
        for there, one in ((high, picture), (low, small)):
            (tmp_path / there).mkdir(exist_ok=True)
            one.save(tmp_path / there / f"{number}.png")
    settings = DataSettings(dataset="patches", path=str(tmp_path), image_size=12)
    if high != "HR":
        with pytest.raises(
            DataError, match=r"blurred/0\.png and sharp/0\.png, of which one is 2 times as large: .*HR and LR"
        ):
            describe(settings)
        return
    shutil.copy(tmp_path / "HR" / "0.png", tmp_path / "HR" / "0.x2.png")  # what an exported network wrote
    facts = describe(settings)
    assert "left out, as written by an exported network: HR/0.x2.png" in facts.said
    assert "pairs looked at" not in " ".join(facts.said)
    for file in (tmp_path / low).iterdir():
        Image.open(file).rotate(90).save(file)
    assert "train pairs looked at do not show the same picture, such as LR/" in " ".join(describe(settings).said)


def test_picture_and_target_turn_together(data) -> None:
    small = torch.arange(144, dtype=torch.uint8).view(1, 1, 12, 12).repeat(32, 3, 1, 1)
    batch = TensorSet(small, small.repeat_interleave(2, 2).repeat_interleave(2, 3))
    inputs, targets = data.task.prepare(batch, torch.Generator().manual_seed(0))
    assert torch.equal(inputs, targets[:, :, ::2, ::2])
    assert len({one.numpy().tobytes() for one in inputs}) == 8


def test_it_starts_as_the_bilinear_enlargement_and_learns(data) -> None:
    network = built(data)
    assert len(network.attention_slots) == 9
    x = torch.randn(2, 3, 12, 12)
    with torch.no_grad():
        start = network(x)
    assert start.shape == (2, 3, 24, 24)
    bilinear = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(start, bilinear, atol=0.05, rtol=0)
    found = train(network, data, ProxySettings(rungs=[1, 30], device="cpu", **data.task.recipe), seed=0)
    assert found.outcome is Outcome.COMPLETE
    assert found.rungs[1].score > found.rungs[0].score + 0.3
    assert 0 < found.rungs[-1].figures["ssim"] < 1


def test_groups_are_stages() -> None:
    found = stages(Backbone("rcan_tiny"), image_size=12)
    assert [(stage.name, stage.kind, stage.blocks) for stage in found] == [
        (f"group{number}", "native", 3) for number in (1, 2, 3)
    ]


def test_tiles_join_to_the_picture(monkeypatch) -> None:
    """Of a network that only repeats pixels, whatever the size of the picture."""
    for name, value in {"IMAGE_SIZE": (8, 8), "MEAN": (0.5,) * 3, "STD": (0.25,) * 3, "SCALE": 3}.items():
        monkeypatch.setattr(picture_answer, name, value)
    for height, width in ((8, 8), (21, 30), (5, 13), (8, 9)):
        picture = torch.randint(256, (1, 3, height, width)).float()
        monkeypatch.setattr(picture_answer, "open_image", lambda path, size=None: None)
        monkeypatch.setattr(picture_answer, "pixels", lambda image, picture=picture: picture)
        monkeypatch.setattr(picture_answer, "normalise", lambda images: (images / 255 - 0.5) / 0.25)
        tiles = picture_answer.read_image("x.png")
        assert tiles.shape[1:] == (3, 8, 8)
        large = tiles.repeat_interleave(3, 2).repeat_interleave(3, 3)
        wanted = picture[0].repeat_interleave(3, 1).repeat_interleave(3, 2)
        assert torch.equal(picture_answer.joined(large, height, width), wanted)


def test_what_does_not_fit_is_refused_in_a_sentence(settings) -> None:
    with pytest.raises(InputError, match="needs a larger picture per image"):
        tasks.load(TASK, DataSettings(image_size=8))
    with pytest.raises(DataError, match="scale: 2, 3 or 4"):
        load_data(settings.changed(options={"scale": 5}))
    with pytest.raises(InputError, match="the window of SSIM is 11"):
        tasks.load(SuperResolutionSettings(shave=8), settings)
    with pytest.raises(DataError, match="as large as a patch of 200 px"):
        load_data(settings.changed(image_size=100))


def test_patches_that_are_not_square(settings) -> None:
    data = tasks.load(TASK, settings.changed(image_size=(8, 12)))
    assert (len(data.train), data.train.labels.shape[2:]) == (8 * 3 * 2, (16, 24))
    inputs, targets = data.task.prepare(data.train[torch.arange(16)], torch.Generator().manual_seed(0))
    assert built(data)(inputs).shape == targets.shape == (16, 3, 16, 24)


def test_intervals_are_as_fine_as_what_they_tell() -> None:
    """Decibels differ in the second digit: "27.96, 27.9 to 28.0" says nothing."""
    assert Unit(unit="dB", scale=1).reach(27.934, 27.981) == "27.93 to 27.98"
    assert Unit().reach(8.26, 14.02) == "8.3 to 14.0"
