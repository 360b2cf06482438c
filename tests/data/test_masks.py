"""Masks as people have them: colours, black and white, sixteen bits, void or not; what cannot be read is refused."""

import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pictures import noise
from PIL import Image

from chattn_nas.data import DataSettings, describe, load_data
from chattn_nas.data.inspection import contact_sheet
from chattn_nas.data.kinds import kind_of
from chattn_nas.errors import DataError

SIZE = 16


def masks(folder: Path, made=lambda mask: Image.fromarray(mask), *, images: int = 6, ending: str = "png") -> Path:
    """Left half 0, right half 1, a corner of 255 (void)."""
    for number in range(images):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[:, SIZE // 2 :] = 1
        mask[0, 0] = 255
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(number, SIZE, SIZE)).save(folder / "images" / f"{number}.jpg")
        made(mask).save(folder / "masks" / f"{number}.{ending}")
    return folder


def settings(folder: Path, **changes) -> DataSettings:
    return DataSettings(dataset="masks", path=str(folder), **{"image_size": SIZE} | changes)


def painted(mask: np.ndarray) -> Image.Image:
    return Image.fromarray(np.array([[10, 20, 30], [200, 0, 0], [0, 0, 0]], np.uint8)[np.minimum(mask, 2)])


def palette(mask: np.ndarray) -> Image.Image:
    image = Image.fromarray(mask, "P")
    image.putpalette(list(np.random.default_rng(0).integers(0, 256, 768)))
    return image


COLOURS = {"ground": [10, 20, 30], "thing": [200, 0, 0], "void": [0, 0, 0]}


@pytest.mark.parametrize(
    ("made", "options", "names"),
    [
        (Image.fromarray, {}, ("0", "1")),
        (palette, {}, ("0", "1")),
        (lambda mask: Image.fromarray(mask.astype(np.uint16)), {}, ("0", "1")),
        (lambda mask: Image.fromarray(mask).convert("RGB"), {}, ("0", "1")),
        (lambda mask: Image.fromarray(mask).convert("LA"), {}, ("0", "1")),
        (painted, {"colours": COLOURS}, ("ground", "thing")),
        (lambda mask: painted(mask).convert("RGBA"), {"colours": COLOURS}, ("ground", "thing")),
        (lambda mask: painted(mask).convert("P", palette=Image.Palette.ADAPTIVE), {"colours": COLOURS},
         ("ground", "thing")),
        (lambda mask: Image.fromarray(np.array([7, 90, 255], np.uint8)[np.minimum(mask, 2)]),
         {"colours": {"ground": 7, "thing": 90, "void": 255}}, ("ground", "thing")),
    ],
)  # fmt: skip
def test_the_same_masks_in_any_form(tmp_path, made, options, names) -> None:
    data = load_data(settings(masks(tmp_path, made), options=options))
    assert data.class_names == names
    row = [255] + [0] * (SIZE // 2 - 1) + [1] * (SIZE // 2)
    assert data.train.labels[:, 0].tolist() == [row] * len(data.train)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_black_and_white(tmp_path, mode) -> None:
    """As most tools write two classes: 255 is no void where there is nothing else."""
    masks(tmp_path, lambda mask: Image.fromarray(np.where(mask == 1, 255, 0).astype(np.uint8)).convert(mode))
    found = load_data(settings(tmp_path))
    assert found.class_names == ("0", "1")
    assert found.train.labels[0, 0].tolist() == [0] * (SIZE // 2) + [1] * (SIZE // 2)
    assert ("masks hold 0 and 255 alone: 255 is class 1" in describe(settings(tmp_path)).said) == (mode == "L")
    (tmp_path / "classes.txt").write_text("ground\nthing\n")
    assert load_data(settings(tmp_path)).train.labels[0, 0].tolist() == found.train.labels[0, 0].tolist()


@pytest.mark.parametrize(
    ("made", "ending", "options", "words"),
    [
        (painted, "png", {}, r"0\.png holds colours, such as \(10, 20, 30\), not the number .*data\.options: .colours"),
        (painted, "png", {"colours": {"ground": [10, 20, 30], "thing": [200, 0, 0]}},
         r"0\.png holds \(0, 0, 0\) at x 0, y 0, which data\.options: colours does not name"),
        (Image.fromarray, "jpg", {}, r"0\.jpg is a JPEG, which blurs numbers at every border: masks are PNG"),
        (lambda mask: Image.fromarray(mask * 100), "webp", {}, r"0\.webp is a lossy WebP, which blurs numbers"),
        (lambda mask: Image.fromarray(mask.astype(np.uint16) * 300), "png", {},
         r"0\.png holds \w+ from 0 to 10964, not numbers of classes"),
        (lambda mask: Image.fromarray(mask[:8]), "png", {}, "its mask is 16x8 px, the image 16x16"),
        (lambda mask: Image.fromarray(mask * 0), "png", {}, "hold one class: there is nothing to tell apart"),
        (lambda mask: Image.fromarray(mask * 0 + 7), "png", {}, "hold one class: there is nothing to tell apart"),
        (lambda mask: Image.fromarray(mask * 0 + 255), "png", {}, "hold one class: there is nothing to tell apart"),
        (Image.fromarray, "png", {"colors": {}}, "data.options of masks are colours, not"),
        (Image.fromarray, "png", {"colours": {"a": [1, 2]}}, r"colours of a is \[red, green, blue\] or one number"),
        (Image.fromarray, "png", {"colours": {"a": 1, "b": 1}}, "colours names 1 twice"),
        (Image.fromarray, "png", {"colours": {"a": 1}}, "colours names two classes or more"),
        (Image.fromarray, "png", {"colours": [1, 2]}, "colours names two classes or more"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(tmp_path, made, ending, options, words) -> None:
    with pytest.raises(DataError, match=words):
        load_data(settings(masks(tmp_path, made, ending=ending), options=options))


def test_names_of_classes(tmp_path) -> None:
    """A byte order mark is no part of a name; values without a name are told, whichever part holds them."""
    masks(tmp_path, lambda mask: Image.fromarray(np.where(mask == 1, 2, mask)))
    names = tmp_path / "classes.txt"
    names.write_bytes(b"\xef\xbb\xbfground\r\n\r\ngrass\r\nthing\r\n")
    found = describe(settings(tmp_path))
    assert found.class_names == ("ground", "grass", "thing")
    assert found.said == ("classes are named by classes.txt",)
    names.write_text("ground\ngrass\n")
    assert "masks hold 2, and classes.txt names only 0 to 1" in describe(settings(tmp_path)).said
    for content, words in ((b"ground\ngrass\ngrass\n", "names two classes 'grass'"), (b"k\xe4se\n", "not UTF-8")):
        names.write_bytes(content)
        with pytest.raises(DataError, match=rf"classes\.txt.* {words}"):
            describe(settings(tmp_path))


def test_masks_of_other_names(tmp_path) -> None:
    masks(tmp_path)
    for file in (tmp_path / "masks").iterdir():
        file.rename(file.with_name(f"of-{file.name}"))
    with pytest.raises(DataError, match=r"a mask has its image's name, .*; masks/of-\d\.png belongs to none"):
        describe(settings(tmp_path))


def test_gaps_are_told_and_bare_images_can_be_left_out(tmp_path) -> None:
    masks(tmp_path, lambda mask: Image.fromarray(np.where(mask == 1, 3, mask)))
    said = " ".join(describe(settings(tmp_path)).said)
    assert "no mask holds 1, 2, and yet 4 classes, 0 to 3, are learned" in said
    (tmp_path / "masks" / "3.png").unlink()
    with pytest.raises(DataError, match=r"1 image has no mask: images/3\.jpg; data\.bad_files: skip"):
        load_data(settings(tmp_path))
    assert describe(settings(tmp_path, bad_files="skip")).parts["train"].images == 5
    (tmp_path / "images" / "5.jpg").unlink()
    said = describe(settings(tmp_path, bad_files="skip")).said
    assert "without an image, left out: 1 mask, such as masks/5.png" in said


def test_values_that_number_no_classes_are_refused_until_they_are_named(tmp_path) -> None:
    """Three greys made 128 classes, of which 126 were never there, with no more than a warning."""
    masks(tmp_path, lambda mask: Image.fromarray(np.array([0, 127, 255], np.uint8)[mask % 3]))
    with pytest.raises(DataError, match=r"masks hold 0, 127.* 128 classes, of which 126 never occur.*colours: \{a: 0,"):
        describe(settings(tmp_path))
    named = settings(tmp_path, options={"colours": {"ground": 0, "thing": 127, "void": 255}})
    assert describe(named).class_names == ("ground", "thing")
    (tmp_path / "classes.txt").write_text("\n".join(map(str, range(128))))
    assert len(describe(settings(tmp_path)).class_names) == 128


def test_a_class_called_void_is_told(tmp_path) -> None:
    masks(tmp_path)
    (tmp_path / "classes.txt").write_text("ground\nVoid\n")
    told = " ".join(describe(settings(tmp_path)).said)
    assert (
        "beware: classes.txt names class 1 'Void', which is learned as any other unless task.ignore_index is 1" in told
    )


def indexed(number: int, mask: np.ndarray) -> Image.Image:
    """A palette of the mask's own, as programs make that shrink files: the colours are right, the numbers are not."""
    order = [0, 1, 2] if number % 2 else [2, 0, 1]
    image = Image.fromarray(np.array(order, np.uint8)[np.minimum(mask, 2)], "P")
    colours = np.zeros((256, 3), np.uint8)
    colours[order] = [[10, 20, 30], [200, 0, 0], [0, 0, 0]]
    image.putpalette(colours.ravel().tolist())
    return image


def test_palettes_that_differ_are_refused_until_their_colours_are_named(tmp_path) -> None:
    """Number 1 was the ground in one file and the thing in another, without a word."""
    counted = iter(range(6))
    masks(tmp_path, lambda mask: indexed(next(counted), mask))
    with pytest.raises(DataError, match=r"palettes of masks differ: 0 is the colour \[200, 0, 0\] in masks/0\.png and"):
        describe(settings(tmp_path))
    data = load_data(settings(tmp_path, options={"colours": COLOURS}))
    row = [255] + [0] * (SIZE // 2 - 1) + [1] * (SIZE // 2)
    assert data.train.labels[:, 0].tolist() == [row] * len(data.train)


def smoothed(mask: np.ndarray) -> Image.Image:
    down, right = np.mgrid[:53, :53]
    disc = np.where((down - 26) ** 2 + (right - 26) ** 2 < 200, 255, 0).astype(np.uint8)
    return Image.fromarray(disc).resize(mask.shape, Image.Resampling.BILINEAR)


def coded(mask: np.ndarray) -> Image.Image:
    content = BytesIO()
    smoothed(mask).save(content, "JPEG", quality=60)
    return Image.open(content).convert("L")


@pytest.mark.parametrize("made", [smoothed, coded])
@pytest.mark.parametrize("names", [True, False])
def test_values_that_smoothing_left_are_no_classes(tmp_path, made, names) -> None:
    """Black and white that was resized smoothly made up to 255 classes; named, its greys counted for others."""
    masks(tmp_path, made)
    if names:
        (tmp_path / "classes.txt").write_text("\n".join(map(str, range(255))))
    with pytest.raises(
        DataError, match="lie mostly at borders, between two others in value and place: smoothing leave"
    ):
        describe(settings(tmp_path))


def test_classes_in_thin_lines_are_not_smooth(tmp_path) -> None:
    """A border of one pixel, whose number lies between those on its sides, and one class in every second row."""

    def lines(mask: np.ndarray) -> Image.Image:
        numbers = np.where(mask == 1, 2, 0).astype(np.uint8)
        numbers[:, SIZE // 2] = 1
        numbers[3:13, :3] = np.arange(3, 8, dtype=np.uint8).repeat(2)[:, None]
        return Image.fromarray(numbers)

    assert len(describe(settings(masks(tmp_path, lines))).class_names) == 8


def test_colours_are_listed(tmp_path) -> None:
    masks(tmp_path, painted)
    with pytest.raises(DataError, match=r"names them: there are \[0, 0, 0\], \[10, 20, 30\], \[200, 0, 0\]") as caught:
        describe(settings(tmp_path))
    assert (caught.value.where, caught.value.value) == (
        ("data", "options", "colours"), [[0, 0, 0], [10, 20, 30], [200, 0, 0]],
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for file in (tmp_path / "masks").iterdir():
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(file)
    with pytest.raises(DataError, match=r"they hold 1,5\d\d colours, though, more than classes have"):
        describe(settings(tmp_path))


@pytest.mark.parametrize("name", ["{}_MASK", "{}-mask", "{}.seg", "mask_{}", "{}_segmentation", "{}"])
@pytest.mark.parametrize("folders", [("images", "masks"), ("train_images", "train_masks"), ("Img", "Ground_Truth")])
def test_masks_are_found_by_the_usual_names(tmp_path, name, folders) -> None:
    masks(tmp_path)
    for file in list((tmp_path / "masks").iterdir()):
        file.rename(file.with_name(name.format(file.stem) + ".PNG"))
    for old, new in zip(("images", "masks"), folders):
        (tmp_path / old).rename(tmp_path / new)
    assert describe(settings(tmp_path)).parts["train"].images == 6


@pytest.mark.parametrize(
    ("folders", "name"),
    [(("imagesTr", "labelsTr"), "{}_0000"), (("train", "trainannot"), "{}"), (("train", "train_masks"), "{}")],
)
def test_folders_of_nnu_net_and_camvid_are_found(tmp_path, folders, name) -> None:
    masks(tmp_path, ending="png")
    masks(tmp_path / "other")
    for file in list((tmp_path / "images").iterdir()):
        file.rename(file.with_name(name.format(file.stem) + ".jpg"))
    ends = [one.replace("Tr", "Ts").replace("train", "test") for one in folders]
    for old, new in zip(("images", "masks", "other/images", "other/masks"), (*folders, *ends)):
        (tmp_path / old).rename(tmp_path / new)
    (tmp_path / "other").rmdir()
    if name != "{}":  # every picture of it has a number of its channel
        for file in list((tmp_path / ends[0]).iterdir()):
            file.rename(file.with_name(name.format(file.stem) + ".jpg"))
    assert kind_of(tmp_path).dataset == "masks"
    parts = describe(settings(tmp_path)).parts
    assert {part: one.images for part, one in parts.items()} == {"train": 6, "test": 6}
    if name == "{}":
        shutil.copy(tmp_path / "train" / "0.jpg", tmp_path / "train" / "0.png")
        with pytest.raises(DataError, match=r"holds train/0\.jpg and train/0\.png: which is it\?"):
            kind_of(tmp_path)


def test_two_files_of_one_name_are_refused_by_init_as_well(tmp_path) -> None:
    """They made init take images and masks for the two classes of a classification."""
    masks(tmp_path)
    shutil.copy(tmp_path / "images" / "0.jpg", tmp_path / "images" / "0.png")
    for look in (kind_of, lambda path: describe(settings(path))):
        with pytest.raises(DataError, match=r"holds images/0\.jpg and images/0\.png: which is it\?"):
            look(tmp_path)


@pytest.mark.parametrize(("tag", "size"), [(3, (SIZE, SIZE)), (6, (SIZE, SIZE)), (6, (24, SIZE))])
def test_images_that_exif_turns_are_told(tmp_path, tag, size) -> None:
    """Photos are read as they are shown; a mask that was drawn on the stored pixels lay on something else, unseen."""
    masks(tmp_path)
    turned = Image.Exif()
    turned[0x0112] = tag
    Image.fromarray(noise(0, *size)).save(tmp_path / "images" / "0.jpg", exif=turned)
    if size[0] == size[1]:
        (told,) = describe(settings(tmp_path)).warned
        assert told.startswith("EXIF turns or mirrors 1 image, read as shown: boxes and masks must lie on it as shown")
        return
    Image.new("L", size).save(tmp_path / "masks" / "0.png")
    with pytest.raises(DataError, match=r"its mask is 24x16 px, the image 16x24; EXIF turns or mirrors this image"):
        describe(settings(tmp_path))


def test_the_contact_sheet_shows_masks_on_their_images(tmp_path) -> None:
    """A mask that lies on something else was seen nowhere."""
    masks(tmp_path)
    for file in (tmp_path / "images").iterdir():
        Image.new("RGB", (SIZE, SIZE), (64, 64, 64 + int(file.stem))).save(file, quality=100)
    sheet = np.asarray(contact_sheet(settings(tmp_path, augment="none", validation=0.5)))[20:90, 2:98].astype(int)
    left, right = sheet[:, 10:40].reshape(-1, 3), sheet[:, 60:90].reshape(-1, 3)
    assert left.std(0).max() < 3
    assert right.std(0).max() < 3
    assert np.abs(left.mean(0) - right.mean(0)).max() > 60
    assert np.abs(left.mean(0) - 64).max() > 40


def test_classes_that_only_validation_masks_show(tmp_path) -> None:
    masks(tmp_path / "train")
    masks(tmp_path / "val", lambda mask: Image.fromarray(np.where(mask == 1, 2, mask)), images=2)
    (tmp_path / "classes.txt").write_text("ground\ngrass\nthing\n")
    assert describe(settings(tmp_path)).warned == (
        "the validation masks show thing, which no training mask shows: nothing can learn it",
    )


def test_what_an_exported_network_painted_is_no_image(tmp_path) -> None:
    masks(tmp_path)
    Image.new("P", (SIZE, SIZE)).save(tmp_path / "images" / "0.mask.png")
    facts = describe(settings(tmp_path))
    assert facts.parts["train"].images == 6
    assert "left out, as written by an exported network: images/0.mask.png" in facts.said
