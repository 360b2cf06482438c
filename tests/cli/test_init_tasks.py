"""``init`` for data of every task, however they lie: recognised, asked for, or refused in a sentence."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chattn_nas import tasks
from chattn_nas.data import describe
from chattn_nas.spec import load_spec

SIZE = 64


@pytest.fixture
def said(monkeypatch, invoke, tmp_path):
    """What a command prints in an empty folder; on stderr where it is to fail."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATTN_NAS_CACHE", str(tmp_path / "cache"))

    def run_command(*arguments: object, code: int = 0) -> str:
        out, error = invoke(*arguments, code=code)
        return error if code == 2 else out + error

    return run_command


def picture(path: Path, seed: int, width: int = SIZE, height: int = 48) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def pictures(root: Path) -> None:
    for number in range(12):
        picture(root / f"{number}.png", number)


def classes(root: Path) -> None:
    for number in range(12):
        picture(root / "ab"[number % 2] / f"{number}.png", number)


def pairs(root: Path) -> None:
    for number in range(12):
        picture(root / "HR" / f"{number}.png", number)
        picture(root / "LR" / f"{number}x4.png", number, SIZE // 4, 12)


def masks(images: str, names: str, parts=("train", "val")):
    def make(root: Path) -> None:
        for part in parts:
            for number in range(12):
                picture(root / images.format(part=part) / f"{number}.jpg", number)
                mask = np.zeros((48, SIZE), np.uint8)
                mask[:, : number + 20] = 1
                folder = root / names.format(part=part)
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(folder / f"{number}.png")

    return make


def coco(root: Path) -> None:
    told = {"images": [], "annotations": [], "categories": [{"id": 7, "name": "cell"}]}
    for number in range(12):
        picture(root / "images" / f"{number}.png", number)
        told["images"].append({"id": number, "file_name": f"{number}.png"})
        told["annotations"].append({"id": number, "image_id": number, "category_id": 7, "bbox": [4, 4, 30, 20]})
    (root / "annotations.json").write_text(json.dumps(told))


def yolo(root: Path) -> None:
    for number in range(12):
        picture(root / "images" / f"{number}.png", number)
        (root / "labels").mkdir(exist_ok=True)
        (root / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.3 0.4\n" if number else "")


@pytest.mark.parametrize(
    ("make", "arguments", "task", "dataset"),
    [
        (classes, (), "classification", "image_folder"),
        (masks("{part}/images", "{part}/masks"), (), "segmentation", "masks"),
        (masks("img_dir/{part}", "ann_dir/{part}"), (), "segmentation", "masks"),
        (masks("JPEGImages", "SegmentationClass", ("",)), (), "segmentation", "masks"),
        (coco, (), "detection", "coco"),
        (yolo, (), "detection", "yolo"),
        (pairs, (), "super_resolution", "patches"),
        (pictures, ("--task", "super_resolution"), "super_resolution", "patches"),
        (classes, ("--task", "super_resolution"), "super_resolution", "patches"),
    ],
)
def test_the_task_is_told_by_how_the_data_lie_and_the_spec_can_be_searched(
    said, tmp_path, make, arguments, task, dataset
):
    make(tmp_path / "set")
    shutil.make_archive("packed", "zip", "set")
    for place in ("set", "packed.zip"):
        said("init", "--data", place, *arguments, "--yes", "--out", "spec.yaml")
        spec = load_spec("spec.yaml")
        Path("spec.yaml").unlink()
        assert (spec.task.type, spec.data.dataset) == (task, dataset)
    types = {candidate.type for stage in spec.search_space().candidates for candidate in stage}
    assert types > {"none", "eca"}
    found = tasks.load(spec.task, spec.data)  # at the size of the spec, with its split
    assert len(found.validation)
    if task in ("segmentation", "detection"):
        assert spec.data.image_size == (48, SIZE)
        assert spec.proxy.rungs == [10, 40]
    if make is pairs:
        assert (spec.data.options, spec.data.image_size) == ({"scale": 4}, 8)
        assert describe(spec.data).parts["train"].images > 12
        assert spec.data.test == spec.data.validation == 0.2


@pytest.mark.parametrize(
    ("make", "arguments", "expected"),
    [
        (pictures, (), "12 images, but no class folders, masks or boxes"),
        (pictures, (), "pictures alone are for --task super_resolution"),
        (
            pictures,
            ("--task", "detection"),
            "--task detection: set has no boxes: COCO's JSON, YOLO's texts or Pascal VOC's XML",
        ),
        (classes, ("--task", "segmentation"), "has no masks: folders images and masks, or img_dir and ann_dir"),
        (coco, ("--task", "segmentation"), "it looks like detection"),
        (yolo, ("--task", "classification"), "it looks like detection"),
        (classes, ("--task", "multilabel"), "several labels per image stand in a table"),
        (classes, ("--task", "segmentaton"), "did you mean 'segmentation'"),
        (coco, ("--recipe", "plain"), "recipes are for classification; detection has its own"),
        (coco, ("--labels", "kind"), "only a table"),
        (coco, ("--backbone", "resnet81"), "did you mean"),
    ],
)
def test_what_does_not_serve_is_refused_and_nothing_is_written(said, tmp_path, make, arguments, expected):
    make(tmp_path / "set")
    assert expected in " ".join(said("init", "--data", "set", *arguments, "--yes", code=2).split())
    assert not list(tmp_path.glob("*.yaml"))


def test_one_class_alone_is_told_from_pictures_alone(said, tmp_path):
    classes(tmp_path / "my set")
    inside = min(one for one in (tmp_path / "my set").iterdir() if one.is_dir())
    refused = " ".join(said("init", "--data", f"my set/{inside.name}", "--yes", code=2).split())
    assert "did you mean --data 'my set'?" in refused
    (tmp_path / "my set" / "labels.csv").write_text("file,label\n")
    refused = " ".join(said("init", "--data", f"my set/{inside.name}", "--yes", code=2).split())
    assert "did you mean --data 'my set/labels.csv'?" in refused


def test_a_table_inside_the_folder_is_named(said, tmp_path):
    pictures(tmp_path / "set" / "photos")
    (tmp_path / "set" / "labels.csv").write_text("file,label\n")
    refused = " ".join(said("init", "--data", "set", "--yes", code=2).split())
    assert refused.endswith("a table lies there: did you mean --data set/labels.csv?")


def test_labels_stand_in_the_first_line(said, tmp_path):
    pictures(tmp_path / "set")
    rows = "".join(f"{number}.png,{number % 2},{number % 3 % 2}\n" for number in range(12))
    (tmp_path / "set" / "labels.csv").write_text(f"file,ant,bee\n{rows}")
    said("init", "--data", "set/labels.csv", "--labels", "ant,bee", "--yes", "--out", "spec.yaml")
    assert "for --data set/labels.csv --labels ant,bee\n" in Path("spec.yaml").read_text()


def test_a_value_of_masks_that_no_class_has_is_ignored(said, tmp_path):
    """As CamVid has it: eleven classes, and 11 is void."""
    masks("{part}/images", "{part}/masks")(tmp_path / "set")
    for file in (tmp_path / "set").glob("*/masks/*.png"):
        mask = np.array(Image.open(file))
        mask[:10] = 2
        Image.fromarray(mask).save(file)
    (tmp_path / "set" / "classes.txt").write_text("ground\nthing\n")
    assert "masks hold 2, and classes.txt names only 0 to 1" in said("init", "--data", "set", "--yes")
    spec = load_spec("set.yaml")
    assert spec.task.ignore_index == 2
    assert tasks.load(spec.task, spec.data).class_names == ("ground", "thing")


def test_masks_of_greys_and_a_class_called_void_get_a_spec_that_can_be_searched(said, tmp_path):
    masks("{part}/images", "{part}/masks")(tmp_path / "set")
    for file in (tmp_path / "set").glob("*/masks/*.png"):
        mask = np.array(Image.open(file))
        mask[:10] = 2
        Image.fromarray(np.choose(mask, [0, 127, 255]).astype(np.uint8)).save(file)
    assert "beware: the classes are called by the values that masks hold" in said("init", "--data", "set", "--yes")
    spec = load_spec("set.yaml")
    assert tasks.load(spec.task, spec.data).class_names == ("0", "127", "255")
    masks("{part}/images", "{part}/masks")(tmp_path / "other")
    (tmp_path / "other" / "classes.txt").write_text("ground\nvoid\nthing\n")
    said("init", "--data", "other", "--yes")
    spec = load_spec("other.yaml")
    assert spec.task.ignore_index == 1
    assert tasks.load(spec.task, spec.data).class_names == ("ground", "thing")


def test_other_annotations_are_named(said, tmp_path):
    pictures(tmp_path / "set")
    (tmp_path / "set" / "0.xml").write_text("<annotation/>")
    assert "1 .xml files hold no boxes as Pascal VOC has them" in " ".join(
        said("init", "--data", "set", "--yes", code=2).split()
    )
    (tmp_path / "set" / "0.xml").unlink()
    (tmp_path / "set" / "0.json").write_text('{"shapes": [], "imagePath": "0.png"}')
    assert "1 .json files are labelme's" in " ".join(said("init", "--data", "set", "--yes", code=2).split())


def test_on_a_terminal_the_task_of_pictures_alone_is_asked(said, tmp_path, monkeypatch):
    pictures(tmp_path / "set")
    answers = iter(["set", "detection", "super_resolution", "by the images", "any", "24 trials"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", lambda question, default: next(answers))
    assert "Wrote set.yaml" in said("init")
    assert load_spec("set.yaml").task.type == "super_resolution"
    assert next(answers, None) is None
