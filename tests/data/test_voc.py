"""Pascal VOC: XML files of boxes, lists of parts, masks."""

import numpy as np
import pytest
from box_sets import BOXES, HEIGHT, WIDTH, coco, image
from voc_sets import voc, xml

from chattn_nas.data import DataSettings, describe, load_data, load_test
from chattn_nas.data.kinds import kind_of
from chattn_nas.errors import DataError


def settings(root, kind="voc", **changes) -> DataSettings:
    return DataSettings(dataset=kind, path=str(root), **{"image_size": (HEIGHT, WIDTH)} | changes)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("inside", ["", "VOCdevkit/VOC2012"])
def test_boxes_are_those_of_coco(tmp_path, inside, first) -> None:
    """VOC counts pixels from 1; other programs write the same files and count from 0."""
    coco(tmp_path / "coco")
    voc(tmp_path / "voc" / inside, first=first)
    assert kind_of(tmp_path / "voc").dataset == "voc"
    ours, theirs = load_data(settings(tmp_path / "voc")), load_data(settings(tmp_path / "coco", "coco"))
    assert ours.class_names == theirs.class_names == ("ant", "bee")
    tests = load_test(settings(tmp_path / "voc")), load_test(settings(tmp_path / "coco", "coco"))
    for one, other in ((ours.train, theirs.train), (ours.validation, theirs.validation), tests):
        assert one.images.equal(other.images)
        np.testing.assert_allclose(one.labels, other.labels)
    told = " ".join(describe(settings(tmp_path / "voc")).said)
    assert f"pixels are counted from {first}" in told
    assert "ImageSets/Main/train.txt lists the train images" in told


def test_files_beside_their_images_and_difficult_objects(tmp_path) -> None:
    for part in ("train", "valid"):
        for number, boxes in enumerate(BOXES):
            image(tmp_path / part / f"{number}.png", number)
            (tmp_path / part / f"{number}.xml").write_text(xml([(*box, box[4] == 2 and box[0]) for box in boxes]))
    data = load_data(settings(tmp_path))
    assert (len(data.train), len(data.validation)) == (4, 4)
    assert data.train.labels[0, :, 5].tolist() == [0, 1]
    assert "2 difficult objects: what lies in them counts for nothing" in " ".join(describe(settings(tmp_path)).said)


def change(file, old, new):
    def mistake(root) -> None:
        path = root / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return mistake


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda root: (root / "JPEGImages/train1.png").unlink(), "1 image of ImageSets.* not there: train1;"),
        (lambda root: (root / "Annotations/val1.xml").unlink(), r"1 image without an annotation \(.xml\): .*val1.png"),
        (change("ImageSets/Main/train.txt", "train2", "gone"), "1 image of ImageSets/Main/train.txt not there: gone"),
        (change("ImageSets/Main/val.txt", "val2", "train2"), "train2.png is listed for train and for validation"),
        (change("Annotations/train0.xml", "<xmax>14</xmax>", "<xmax>x</xmax>"),
         "train0.xml, object 1: a box is four numbers .*x"),
        (change("Annotations/train0.xml", "<xmax>14</xmax>", "<xmax>4</xmax>"),
         "object 1: the box from .* shows nothing"),
        (change("Annotations/train0.xml", "<name>ant</name>", ""), "object 1: it has no name"),
        (change("Annotations/train0.xml", "</annotation>", ""), "train0.xml is no XML"),
        (change("Annotations/train0.xml", "annotation>", "annotations>"), "no annotation of Pascal VOC: .*annotations"),
        (change("Annotations/train0.xml", "<width>40", "<width>41"), "that the image is 41x20 px, but it is 40x20"),
        (change("Annotations/train0.xml", "<xmax>40</xmax>", "<xmax>50</xmax>"), "reaches beyond the image of 40x20"),
        (change("Annotations/train0.xml", "<xmax>14</xmax>", ""), "a box is four numbers"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path, mistake, words) -> None:
    voc(tmp_path)
    mistake(tmp_path)
    with pytest.raises(DataError, match=words):
        load_data(settings(tmp_path))


def test_other_forms_are_refused(tmp_path) -> None:
    voc(tmp_path)
    for file in (tmp_path / "Annotations").iterdir():
        boxes = BOXES[int(file.stem[-1])]
        file.write_text(xml([(x, y, w - x, h - y, *kind) for x, y, w, h, *kind in boxes]))
    with pytest.raises(DataError, match="none does as left, top, width, height"):
        load_data(settings(tmp_path))


def test_what_is_missing_can_be_left_out(tmp_path) -> None:
    voc(tmp_path)
    (tmp_path / "Annotations" / "val1.xml").unlink()
    (tmp_path / "JPEGImages" / "train3.png").unlink()
    data = load_data(settings(tmp_path, bad_files="skip"))
    assert (len(data.train), len(data.validation)) == (3, 3)
    told = " ".join(describe(settings(tmp_path, bad_files="skip")).said)
    assert "1 image without an annotation" in told
    assert "left out: 1 image of ImageSets/Main/train.txt not there: train3" in told


def test_test_images_without_annotations_are_left_out(tmp_path) -> None:
    """Those of VOC2012 are on a server."""
    voc(tmp_path)
    for file in (tmp_path / "Annotations").glob("test*"):
        file.unlink()
    assert "without annotations, left out: 4 test images" in describe(settings(tmp_path)).said


def test_trainval_is_trained_on_where_it_stands_alone(tmp_path) -> None:
    voc(tmp_path, parts=("train", "test"))
    lists = tmp_path / "ImageSets" / "Main"
    (lists / "train.txt").rename(lists / "trainval.txt")
    (lists / "ant_trainval.txt").write_text("train0  1\ntrain1 -1\n")
    data = load_data(settings(tmp_path, validation=0.25))
    assert (len(data.train), len(data.validation), len(load_test(settings(tmp_path)))) == (3, 1, 4)


def test_masks_are_split_by_their_lists(tmp_path) -> None:
    voc(tmp_path, kind="Segmentation", masks=True)
    image(tmp_path / "JPEGImages" / "other.png", 99)
    kind = kind_of(tmp_path)
    assert (kind.dataset, kind.also) == ("voc", "masks")
    assert kind.doubt == "it holds boxes (.xml) and masks: say --task detection or --task segmentation"
    data = load_data(settings(tmp_path, "masks"))
    assert [len(part) for part in (data.train, data.validation, load_test(settings(tmp_path, "masks")))] == [4, 4, 4]
    assert sorted(set(data.train.labels.flatten().tolist())) == [0, 1, 2, 255]
    told = " ".join(describe(settings(tmp_path, "masks")).said)
    assert "1 image that no list in ImageSets/Segmentation names is left out" in told
