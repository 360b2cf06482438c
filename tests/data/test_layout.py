"""Folders as people have them: found by themselves and said, or refused in one sentence."""

import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import folder, noise
from PIL import Image

from chattn_nas.data import DataSettings, describe, load_data
from chattn_nas.errors import DataError


def settings(root, **changes) -> DataSettings:
    return DataSettings(dataset="image_folder", path=str(root), **{"image_size": 8} | changes)


def images(root) -> dict[str, int]:
    return {part: facts.images for part, facts in describe(settings(root)).parts.items()}


@pytest.mark.parametrize("train", ["train", "Train", "TRAINING", "training", "train_2017"])
@pytest.mark.parametrize(
    ("second", "part"),
    [
        ("val", "validation"),
        ("Validation", "validation"),
        ("valid", "validation"),
        ("Test", "test"),
        ("testing", "test"),
        ("val2017", "validation"),
    ],
)
def test_names_of_parts(tmp_path, train, second, part) -> None:
    folder(tmp_path, (train, second))
    assert images(tmp_path) == {"train": 20, part: 20}


def test_flat_class_folders(tmp_path) -> None:
    folder(tmp_path, ())
    assert images(tmp_path) == {"train": 20}
    assert describe(settings(tmp_path)).class_names == ("ant", "bee")


@pytest.mark.parametrize("parts", [(), ("train", "test")])
def test_one_folder_around_it_all(tmp_path, parts) -> None:
    folder(tmp_path / "set" / "images", parts)
    assert images(tmp_path) == dict.fromkeys(parts or ("train",), 20)


def test_the_training_folder_alone(tmp_path) -> None:
    folder(tmp_path, ("train",))
    assert images(tmp_path) == {"train": 20}
    assert images(tmp_path / "train") == {"train": 20}


def test_classes_above_parts(tmp_path) -> None:
    for name in ("ant", "bee"):
        folder(tmp_path / name, (), ("train", "test"))
    assert images(tmp_path) == {"train": 20, "test": 20}
    assert describe(settings(tmp_path)).class_names == ("ant", "bee")


def test_a_class_may_be_called_train(tmp_path) -> None:
    folder(tmp_path, (), ("bus", "car", "train"))
    assert describe(settings(tmp_path)).class_names == ("bus", "car", "train")


def test_folders_inside_class_folders_belong_to_the_class(tmp_path) -> None:
    folder(tmp_path / "train" / "ant", (), ("monday", "tuesday"))
    folder(tmp_path, ("train",), ("bee",))
    assert describe(settings(tmp_path)).class_names == ("ant", "bee")
    assert images(tmp_path) == {"train": 30}


def test_numbers_are_sorted_as_numbers(tmp_path) -> None:
    folder(tmp_path, (), tuple(map(str, range(12))))
    assert describe(settings(tmp_path)).class_names == tuple(map(str, range(12)))


def test_hidden_and_system_folders_are_no_classes(tmp_path) -> None:
    folder(tmp_path, ())
    for name in (".ipynb_checkpoints", ".git", "__MACOSX", "@eaDir"):
        folder(tmp_path, (), (name,))
    (tmp_path / "ant" / "._000.png").write_bytes(b"resource fork")
    (tmp_path / "ant" / ".DS_Store").write_bytes(b"x")
    assert describe(settings(tmp_path)).class_names == ("ant", "bee")
    assert images(tmp_path) == {"train": 20}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_images_in_hidden_folders_are_told(tmp_path, kind) -> None:
    photos = tmp_path / "photos"
    folder(photos, ("train",))
    folder(photos / "train", (), (".hidden class",))
    folder(photos, (), ("__MACOSX",))
    (photos / "train" / "ant" / "notes.txt").write_text("not for learning")
    place = photos if kind == "folder" else Path(shutil.make_archive(str(tmp_path / "packed"), kind, photos))
    found = describe(settings(place))
    assert found.class_names == ("ant", "bee")
    assert [said for said in found.said if "hidden" in said] == [
        "10 images in hidden folders are left out: .hidden class (10)"
    ]
    assert "1 file is no image by its name and is left out: .txt (1)" in found.said


def test_other_files_and_loose_images_are_left_out_and_said(tmp_path) -> None:
    folder(tmp_path, ("train", "test"))
    (tmp_path / "train" / "labels.txt").write_text("x")
    Image.fromarray(noise(1)).save(tmp_path / "train" / "loose.png")
    folder(tmp_path, ("extra",))
    said = " ".join(describe(settings(tmp_path)).said)
    assert ".txt (1)" in said
    assert "extra/ beside train/ (20 images) is left out" in said
    assert images(tmp_path) == {"train": 20, "test": 20}


def test_endings_in_any_case(tmp_path) -> None:
    folder(tmp_path, ())
    (tmp_path / "ant" / "000.png").rename(tmp_path / "ant" / "000.PNG")
    assert images(tmp_path) == {"train": 20}


def test_links_are_followed_but_not_in_a_circle(tmp_path) -> None:
    folder(tmp_path / "real", (), ("ant",))
    folder(tmp_path / "set", (), ("bee",))
    (tmp_path / "set" / "ant").symlink_to(tmp_path / "real" / "ant")
    assert images(tmp_path / "set") == {"train": 20}
    (tmp_path / "set" / "bee" / "again").symlink_to(tmp_path / "set")
    with pytest.raises(DataError, match="link to a folder above it"):
        load_data(settings(tmp_path / "set"))


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archives_are_folders(tmp_path, kind) -> None:
    folder(tmp_path / "set", ("train", "test"))
    plain = load_data(settings(tmp_path / "set"))
    path = shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path, "set")
    found = load_data(settings(path))
    assert torch.equal(found.train.images, plain.train.images)
    assert found.class_names == ("ant", "bee")


def test_names_in_an_archive_as_windows_writes_them(tmp_path) -> None:
    folder(tmp_path / "set", ())
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in (tmp_path / "set").rglob("*.png"):
            archive.write(path, f"..\\set\\{path.parent.name}\\{path.name}")
    assert describe(settings(tmp_path / "set.zip")).class_names == ("ant", "bee")


def test_links_inside_a_tar(tmp_path) -> None:
    folder(tmp_path / "set", ())
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", "set")
        link = tarfile.TarInfo("set/bee/999.png")
        link.type, link.linkname = tarfile.LNKTYPE, "set/ant/000.png"
        archive.addfile(link)
    assert images(tmp_path / "set.tar") == {"train": 21}


def test_compressed_and_broken_archives(tmp_path) -> None:
    folder(tmp_path / "set", ())
    path = shutil.make_archive(str(tmp_path / "set"), "gztar", tmp_path, "set")
    with pytest.raises(DataError, match=r"it is compressed.*unpack it"):
        load_data(settings(path))
    (tmp_path / "text.tar").write_text("no archive " * 100)
    with pytest.raises(DataError, match=r"cannot read the archive .*neither a folder nor a \.tar or \.zip"):
        load_data(settings(tmp_path / "text.tar"))
    whole = Path(shutil.make_archive(str(tmp_path / "w"), "tar", tmp_path, "set")).read_bytes()
    (tmp_path / "half.tar").write_bytes(whole[: len(whole) // 2 - 100])
    with pytest.raises(DataError):
        load_data(settings(tmp_path / "half.tar"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "there are no images in .*: it is empty"),
        (lambda root: (root / "a.txt").write_text("x"), "it holds 1 file of other kinds"),
        (lambda root: [Image.fromarray(noise(n)).save(root / f"{n}.png") for n in range(3)], "no class folders"),
        (lambda root: folder(root, (), ("ant",)), "all 10 images are of one class, 'ant'"),
        (lambda root: folder(root, ("test",)), "holds test images but none to train on"),
        (lambda root: folder(root, ("train", "training")), "both (train|training)/ and (training|train)/ for train"),
        (lambda root: folder(root, ("train",)) and folder(root, ("test",), ("ant", "cow")),
         r"test images hold classes that no training image has: 'cow' \(10 images\)"),
        (lambda root: folder(root, ("train",)) and folder(root, ("test",), ("Ant", "bee")),
         r"'Ant' \(10 images\); they differ in case alone: .*data\.classes: {Ant: ant}"),
        (lambda root: [(root / one / f"{n}.heic").write_bytes(b"x") for n in range(2) for one in
                       ("a", "b") if (root / one).mkdir(exist_ok=True) is None], r"\.heic has to be converted to JPEG"),
        (lambda root: folder(root, ()) and (root / "cow").mkdir(), r"no image is of class 'cow'.*{cow: null}"),
        (lambda root: folder(root, (), ("train", "test")), "(train|test) holds images but no class folders: sort them"),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_used(tmp_path, make, words) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=words) as caught:
        load_data(settings(tmp_path))
    assert "\n" not in str(caught.value)
    assert caught.value.where[0] == "data"


def test_a_class_that_the_test_images_lack_is_said(tmp_path) -> None:
    folder(tmp_path, ("train", "test"))
    shutil.rmtree(tmp_path / "test" / "bee")
    assert "the test images hold none of class bee" in describe(settings(tmp_path)).warned


def test_a_path_that_is_not_there(tmp_path) -> None:
    folder(tmp_path / "flowers", ())
    with pytest.raises(DataError, match=r"did you mean .*flowers\?"):
        load_data(settings(tmp_path / "flower"))
    with pytest.raises(DataError, match="needs a path"):
        load_data(DataSettings(dataset="image_folder"))


def test_order_is_that_of_the_names(tmp_path) -> None:
    folder(tmp_path, ())
    found = np.array([np.asarray(Image.open(path).resize((8, 8), Image.Resampling.BILINEAR))[0, 0]
                      for path in sorted(tmp_path.glob("*/*.png"))])  # fmt: skip
    from chattn_nas.data.store import open_set

    assert (open_set(settings(tmp_path)).images["train"][:, :, 0, 0] == found).all()
