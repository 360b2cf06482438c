"""Images with boxes: COCO's JSON and YOLO's texts, however they lie, read into one array; hostile files are refused."""

import json
import zipfile

import numpy as np
import pytest
import torch
from box_sets import coco, image, yolo

from chattn_nas.data import Augmentation, DataSettings, describe, draw_moves, load_data, load_test, moved, moved_boxes
from chattn_nas.data import summary as summary_of
from chattn_nas.data.duplicates import duplicates
from chattn_nas.data.inspection import counts, mean_pictures
from chattn_nas.errors import DataError


def settings(root, kind="coco", **changes) -> DataSettings:
    return DataSettings(dataset=kind, path=str(root), **{"image_size": 8} | changes)


EXPECTED = [
    [[0.8, 0.8, 2.8, 4.0, 0, 0], [4, 4, 8, 8, 1, 0]],
    [[0, 0, 8, 8, 1, 0], [0, 0, 0, 0, -1, 0]],
    [[0, 0, 0, 0, -1, 0]] * 2,
    [[6.1, 1.4, 6.9, 3.8, 0, 0], [0, 0, 0, 0, -1, 0]],
]


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("coco", coco),
        ("coco", lambda root: coco(root, "images/{part}2017/{name}.png", "annotations/instances_{part}2017.json")),
        ("coco", lambda root: coco(root, "set/{part}/{name}.png", "set/{part}/_annotations.coco.json")),
        ("yolo", yolo),
        ("yolo", lambda root: yolo(root, "set/{part}/images", "set/{part}/labels")),
        ("yolo", lambda root: yolo(root, "{part}", "{part}")),
        ("yolo", lambda root: yolo(root, "images/{part}2017", "labels/{part}2017")),
    ],
)
def test_layouts_are_found_by_themselves(tmp_path, kind, make) -> None:
    make(tmp_path)
    data = load_data(settings(tmp_path, kind))
    test = load_test(settings(tmp_path, kind))
    assert (len(data.train), len(data.validation), len(test)) == (4, 4, 4)
    assert data.class_names == ("ant", "bee")
    for part in (data.train, data.validation, test):
        np.testing.assert_allclose(part.labels.numpy(), np.array(EXPECTED, np.float32), atol=1e-5)


def test_what_is_told_of_them(tmp_path) -> None:
    coco(tmp_path)
    told = "\n".join(summary_of(settings(tmp_path), batch_size=2, epochs=4))
    assert "nothing is of class things: left out" in told
    assert "at most 2 objects" in told
    assert "4 boxes in the training images, 1.0 in each: ant 50.0 %, bee 50.0 %" in told
    assert "25 % of the boxes are less than 4 px" in told or "50 % of the boxes are less than 4 px" in told
    assert counts(settings(tmp_path))[0] == {"class": "ant", "training": 2, "validation": 2, "test": 2}
    assert describe(settings(tmp_path)).parts["train"].boxes == 4
    assert not duplicates(settings(tmp_path))
    assert mean_pictures(settings(tmp_path)).width > 0


def test_a_box_that_is_drawn_twice_is_told(tmp_path) -> None:
    """It counted as two objects, of which a network can find one."""
    yolo(tmp_path)
    assert "drawn twice" not in " ".join(describe(settings(tmp_path, "yolo")).said)
    file = next(iter(sorted((tmp_path / "labels" / "train").glob("*.txt"))))
    first = file.read_text().splitlines()[0]
    file.write_text(file.read_text() + f"{first}\n")
    told = " ".join(describe(settings(tmp_path, "yolo")).said)
    assert "beware: a box is drawn twice, each counting as an object of its own: " in told
    assert f"{file.name}, line 3" in told


def test_the_whole_image_can_be_shown(tmp_path) -> None:
    """Twice as wide as high: a quarter of the picture above and below is background."""
    coco(tmp_path)
    padded = load_data(settings(tmp_path, resize="pad")).train.labels[0, 0]
    np.testing.assert_allclose(padded[:4].numpy(), [0.8, 2.4, 2.8, 4.0], atol=1e-5)
    with pytest.raises(DataError, match=r"data\.resize: crop would cut objects away"):
        load_data(settings(tmp_path, resize="crop"))


def test_classes_are_chosen_merged_and_left_out(tmp_path) -> None:
    coco(tmp_path)
    assert load_data(settings(tmp_path, classes=["bee"])).train.labels[..., 4].tolist()[:2] == [[0, -1], [0, -1]]
    merged = load_data(settings(tmp_path, classes={"ant": "insect", "bee": "insect"}))
    assert merged.class_names == ("insect",)
    assert (merged.train.labels[..., 4] == 0).sum() == 4


def test_crowds_and_images_without_objects(tmp_path) -> None:
    coco(tmp_path, annotations=lambda rows: rows[0].update(iscrowd=1))
    data = load_data(settings(tmp_path))
    assert data.train.labels[0, 0].tolist()[4:] == [0, 1]
    assert describe(settings(tmp_path)).parts["train"].counts == [1, 2]
    said = " ".join(describe(settings(tmp_path)).said)
    assert "3 crowds" in said
    assert "3 images show no object" in said
    coco(tmp_path, annotations=lambda rows: [row.update(iscrowd=1) for row in rows if row["category_id"] == 1])
    told = describe(settings(tmp_path))
    assert told.class_names == ("bee",)
    assert "nothing is of class things, ant: left out, with 6 crowds, whose places are background" in told.said


def test_archives(tmp_path) -> None:
    coco(tmp_path / "set")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in (tmp_path / "set").rglob("*"):
            archive.write(path, path.relative_to(tmp_path))
    packed, open_ = load_data(settings(tmp_path / "set.zip")), load_data(settings(tmp_path / "set"))
    assert torch.equal(packed.train.labels, open_.train.labels)
    assert torch.equal(packed.train.images, open_.train.images)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": lambda r: r[1].update(bbox=[35, 3, 10, 10])},
         r"train\.json, annotation 2: the box from \(35, 3\) to \(45, 13\) reaches beyond the image of 40x20"),
        ({"annotations": lambda r: r[1].update(bbox=[5, 3, -2, 10])}, "annotation 2: a box of width -2 and height 10"),
        ({"annotations": lambda r: r[1].update(bbox=[5, 3, float("nan"), 10])}, "annotation 2: a box is four"),
        ({"annotations": lambda r: r[1].update(bbox=[5, 3])}, r"annotation 2: a box is four numbers .*not \[5, 3\]"),
        ({"annotations": lambda r: r[1].update(category_id=7)}, "annotation 2: there is no category 7; possible: 0, 1"),
        ({"annotations": lambda r: r[1].update(category_id=[1])}, r"annotation 2: there is no category \[1\]"),
        ({"annotations": lambda r: r[1].update(image_id=None)}, "annotation 2: there is no image with id None"),
        ({"images": lambda r: r[1].update(width=-3)}, r"image 101 has no size that makes sense: \(-3, 20\)"),
        ({"annotations": lambda r: r[1].update(image_id=7)}, "annotation 2: there is no image with id 7"),
        ({"images": lambda r: r[1].update(file_name="gone.png")}, r"3 images .* are not there: gone\.png; add them"),
        ({"images": lambda r: r[1].update(width=41)}, r"says that the image is 41x20 px, but it is 40x20 px"),
        ({"images": lambda r: r[1].update(id=100)}, "two images with id 100"),
        ({"images": lambda r: r[1].pop("file_name")}, "an image without id or file_name"),
        ({"categories": lambda r: r[1].update(name="bee")}, "two categories of .* are called 'bee'"),
        ({"annotations": lambda r: r.clear()}, "show no object: there is no box to learn from"),
    ],
)  # fmt: skip
def test_hostile_annotations(tmp_path, changes, message) -> None:
    coco(tmp_path, **changes)
    with pytest.raises(DataError, match=message):
        load_data(settings(tmp_path))


def test_what_can_be_left_out_or_cut(tmp_path) -> None:
    coco(tmp_path, images=lambda r: r[1].update(file_name="gone.png"),
         annotations=lambda r: r[3].update(bbox=[35, 15, 10, 10]))  # fmt: skip
    kept = load_data(settings(tmp_path, bad_files="skip"))
    assert len(kept.train) == 2
    cut = load_data(settings(tmp_path, bad_files="skip", options={"outside": "clip"})).train.labels
    assert len(cut) == 3
    np.testing.assert_allclose(cut[2, 0].numpy(), [7, 6, 8, 8, 0, 0], atol=1e-5)
    with pytest.raises(DataError, match=r"data\.options of coco are outside: fail or clip"):
        load_data(settings(tmp_path, options={"outsides": "clip"}))


@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_boxes_without_area_can_be_left_out(tmp_path, kind) -> None:
    """COCO's own training images have some."""
    if kind == "coco":
        coco(tmp_path, annotations=lambda rows: rows[1].update(bbox=[5, 3, 0, 10]))
    else:
        yolo(tmp_path)
        (tmp_path / "labels" / "train" / "train0.txt").write_text("0 0.225 0.3 0.25 0.4\n1 0.5 0.5 0 0.5\n")
    with pytest.raises(DataError, match=r"shows nothing; remove it, or leave such boxes out with data.bad_files: skip"):
        load_data(settings(tmp_path, kind))
    skipped = settings(tmp_path, kind, bad_files="skip")
    np.testing.assert_allclose(load_data(skipped).train.labels[0, 0].numpy(), EXPECTED[0][0], atol=1e-5)
    assert any("left out, such as " in one for one in describe(skipped).said)


def test_broken_files(tmp_path) -> None:
    coco(tmp_path)
    (tmp_path / "val.json").write_text('{"images": [')
    with pytest.raises(DataError, match=r"val\.json is no JSON: .*line 1 column 13"):
        load_data(settings(tmp_path))
    coco(tmp_path, parts=("val",))
    (tmp_path / "test.json").write_text('{"images": []}')
    assert any("no test images, since " in one for one in describe(settings(tmp_path)).said)
    (tmp_path / "train.json").write_text('{"images": [')
    for name in ("val", "test"):
        (tmp_path / f"{name}.json").unlink()
    with pytest.raises(DataError, match=r"train\.json is no JSON: .*line 1 column 13"):
        load_data(settings(tmp_path))
    (tmp_path / "train.json").write_text("[]")
    with pytest.raises(DataError, match="holds no COCO annotations: it has no list 'images'"):
        load_data(settings(tmp_path))
    (tmp_path / "train.json").unlink()
    with pytest.raises(DataError, match=r"holds no annotations: they are looked for as \.json files"):
        load_data(settings(tmp_path))
    coco(tmp_path, parts=("train",))
    (tmp_path / "more_train.json").write_bytes((tmp_path / "train.json").read_bytes())
    with pytest.raises(DataError, match=r"more_train\.json and train\.json for train: which is it"):
        load_data(settings(tmp_path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2", r"train0\.txt:2: a line is a class and x, y, width and height .* not 4 numbers"),
        ("0 0.5 0.5 0.2 x", r"train0\.txt:2: '0 0.5 0.5 0.2 x' holds something that is no number"),
        ("2 0.5 0.5 0.2 0.2", r"train0\.txt:2: there is no class 2: there are 2 classes, 0 to 1"),
        ("0.5 0.5 0.5 0.2 0.2", r"train0\.txt:2: there is no class 0.5"),
        ("0 0.5 0.5 -0.2 0.2", r"train0\.txt:2: the box 0.5 0.5 -0.2 0.2 shows nothing"),
        ("0 nan 0.5 0.2 0.2", r"train0\.txt:2: the box nan 0.5 0.2 0.2 is no box"),
        ("0 20 10 8 4", r"train0\.txt:2: 20 lies beyond the image: numbers are shares"),
        ("0 0.9 0.5 0.4 0.2", r"train0\.txt, line 2: the box from \(28, 8\) to \(44, 12\) reaches beyond"),
    ],
)
def test_hostile_labels(tmp_path, line, message) -> None:
    yolo(tmp_path)
    path = tmp_path / "labels" / "train" / "train0.txt"
    path.write_text(f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(DataError, match=message):
        load_data(settings(tmp_path, "yolo"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"categories": lambda rows: rows[1].update(id=0)},
         r"train\.json calls category 0 'ant', and .*train\.json calls it 'things'"),
        ({"images": lambda rows: rows[1].update(file_name="train0.png")},
         r"train\.json lists train/train0\.png twice, as images 100 and 101"),
        ({"annotations": lambda rows: [row.update(bbox=[0.1, 0.2, 0.5, 0.5]) for row in rows]},
         r"train\.json lie in the first pixel of their image: they look like shares"),
    ],
)  # fmt: skip
def test_annotations_that_contradict_themselves(tmp_path, changes, words) -> None:
    coco(tmp_path, parts=("train",), **changes)
    with pytest.raises(DataError, match=words):
        load_data(settings(tmp_path))


def test_outlines_names_and_what_is_missing(tmp_path) -> None:
    yolo(tmp_path)
    (tmp_path / "labels" / "train" / "train2.txt").write_text("0 0.25 0.5 0.75 0.5 0.5 1\n")
    data = load_data(settings(tmp_path, "yolo"))
    np.testing.assert_allclose(data.train.labels[2, 0].numpy(), [2, 4, 6, 8, 0, 0], atol=1e-5)
    (tmp_path / "data.yaml").write_text("names: [ant]\nnc: 2\ntrain: images/train\n")
    with pytest.raises(DataError, match=r"data\.yaml says nc: 2 and names 1 class"):
        load_data(settings(tmp_path, "yolo"))
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("emmet\nbumblebee\n")
    assert load_data(settings(tmp_path, "yolo")).class_names == ("emmet", "bumblebee")
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfemmet\r\nbumblebee\r\n")
    assert load_data(settings(tmp_path, "yolo")).class_names == ("emmet", "bumblebee")
    (tmp_path / "classes.txt").unlink()
    assert load_data(settings(tmp_path, "yolo")).class_names == ("0", "1")
    (tmp_path / "images" / "train" / "train0.png").unlink()
    with pytest.raises(DataError, match=r"1 label file has no image in .*: labels/train/train0\.txt; add"):
        load_data(settings(tmp_path, "yolo"))
    assert len(load_data(settings(tmp_path, "yolo", bad_files="skip")).train) == 3
    for path in tmp_path.rglob("*.txt"):
        path.unlink()
    with pytest.raises(DataError, match=r"no image of .* has labels: .* are looked for in labels/"):
        load_data(settings(tmp_path, "yolo"))


def test_no_image_is_in_two_parts(tmp_path) -> None:
    """Small example sets name one folder for training and validation: a score on it would say nothing."""
    yolo(tmp_path)
    names = "names: [ant, bee]\ntrain: images/train\n"
    (tmp_path / "data.yaml").write_text(names + "val: images/train\n")
    told = describe(settings(tmp_path, "yolo"))
    assert {part: facts.images for part, facts in told.parts.items()} == {"train": 4, "validation": 4, "test": 4}
    assert "data.yaml says val: images/train, whose images are those of another part: it is left out" in told.said
    (tmp_path / "data.yaml").write_text(
        names.replace("images/train", "[images/train, images/val]") + "val: images/val\n"
    )
    assert describe(settings(tmp_path, "yolo")).parts.keys() == {"train", "test"}
    (tmp_path / "data.yaml").write_text(names + "val: [images/train, images/val]\n")
    with pytest.raises(DataError, match=r"names 4 images for val and for another part, such as images/train/train0"):
        describe(settings(tmp_path, "yolo"))


def test_an_image_that_two_files_of_annotations_name_is_refused(tmp_path) -> None:
    coco(tmp_path, places="images/{name}.png", file="annotations/instances_{part}2017.json", parts=("train", "val"))
    held = json.loads((tmp_path / "annotations/instances_val2017.json").read_text())
    held["images"][0]["file_name"] = "train0.png"
    (tmp_path / "annotations/instances_val2017.json").write_text(json.dumps(held))
    with pytest.raises(DataError, match=r"val2017\.json name the same 1 image, such as images/train0\.png: a score"):
        describe(settings(tmp_path))


def test_images_without_annotations_are_told(tmp_path) -> None:
    coco(tmp_path)
    image(tmp_path / "train" / "more.png", 99)
    assert "images that no annotations name are left out: 1" in describe(settings(tmp_path)).said


def test_boxes_follow_their_pixels() -> None:
    """A bright rectangle in every image: where it is after flips and crops, its box says."""
    generator = torch.Generator().manual_seed(0)
    images, boxes = torch.zeros(64, 1, 24, 32, dtype=torch.uint8), torch.zeros(64, 2, 6)
    boxes[:, 1, 4] = -1
    for number in range(64):
        top, left = torch.randint(0, 12, (2,), generator=generator).tolist()
        images[number, 0, top : top + 8, left : left + 14] = 255
        boxes[number, 0, :4] = torch.tensor([left, top, left + 14, top + 8])
    moves = draw_moves(64, images.device, Augmentation(crop_padding=6, flip=True), generator)
    pixels, found = moved(images, moves), moved_boxes(boxes, moves, (24, 32))
    assert (found[:, 1, 4] == -1).all()
    for picture, (left, top, right, bottom, label, crowd) in zip(pixels[:, 0], found[:, 0].tolist(), strict=True):
        rows, columns = picture.nonzero(as_tuple=True)
        assert (label == 0) == (len(rows) > 0)
        assert (crowd == 1) == (0 < len(rows) < 0.25 * 14 * 8)
        if len(rows):
            assert [left, top, right - 1, bottom - 1] == [columns.min(), rows.min(), columns.max(), rows.max()]
