"""First mistakes with boxes: numbers that mean something else, names in another form, files that lie elsewhere."""

import json
import shutil

import pytest
from box_sets import BOXES, HEIGHT, WIDTH, coco, image, yolo
from pictures import noise
from PIL import Image

from chattn_nas.data import DataSettings, describe, load_data
from chattn_nas.data.kinds import kind_of
from chattn_nas.errors import DataError


def settings(root, kind="coco", **changes) -> DataSettings:
    return DataSettings(dataset=kind, path=str(root), **{"image_size": 8} | changes)


def as_corners(rows) -> None:
    for row in rows:
        left, top, width, height = row["bbox"]
        row["bbox"] = [left, top, left + width, top + height]


def as_middles(rows) -> None:
    for row in rows:
        left, top, width, height = row["bbox"]
        row["bbox"] = [left + width / 2, top + height / 2, width, height]


def lines(root, write) -> None:
    """Write the numbers of every line of YOLO's texts in another form."""
    for file in root.rglob("*.txt"):
        rows = [row.split() for row in file.read_text().splitlines()]
        file.write_text("".join(f"{write(row[0], *map(float, row[1:]))}\n" for row in rows))


def test_numbers_in_another_form_are_seen_without_sizes(tmp_path) -> None:
    """COCO's JSON need not tell the sizes of images: those of the pictures count."""

    def bare(rows) -> None:
        for row in rows:
            del row["width"], row["height"]

    coco(tmp_path, images=bare)
    describe(settings(tmp_path))
    coco(tmp_path, images=bare, annotations=as_corners)
    with pytest.raises(DataError, match="none does as left, top, right, bottom"):
        describe(settings(tmp_path, options={"outside": "clip"}))


@pytest.mark.parametrize("outside", ["fail", "clip"])
@pytest.mark.parametrize(
    ("kind", "make", "words"),
    [
        ("coco", lambda root: coco(root, annotations=as_corners),
         r"2 of the 4 boxes of .*test\.json reach beyond their image as left, top, w.* as left, top, right, bottom"),
        ("coco", lambda root: coco(root, annotations=as_middles), "none does as middle x, middle y, width, height"),
        ("yolo", lambda root: lines(root, lambda k, x, y, w, h: f"{k} {x - w / 2} {y - h / 2} {x + w / 2} {y + h / 2}"),
         "boxes of .* reach beyond their image as middle x, .* none does as left, top, right, bottom"),
        ("yolo", lambda root: lines(root, lambda k, x, y, w, h: f"{k} {x - w / 2} {y - h / 2} {w} {h}"),
         "none does as left, top, width, height"),
    ],
)  # fmt: skip
def test_numbers_in_another_form_are_refused(tmp_path, kind, make, words, outside) -> None:
    """They were told as boxes beyond the image one by one, and cut at the border they were learned as other boxes."""
    if kind == "yolo":
        yolo(tmp_path)
    make(tmp_path)
    with pytest.raises(DataError, match=words):
        describe(settings(tmp_path, kind, options={"outside": outside}))


def test_a_box_that_is_drawn_beyond_the_image_is_no_other_form(tmp_path) -> None:
    coco(tmp_path, annotations=lambda rows: rows[0].update(bbox=[-5, 2, 20, 8]))
    with pytest.raises(DataError, match=r"annotation 1: the box from \(-5, 2\) to \(15, 10\) reaches beyond"):
        describe(settings(tmp_path))
    assert describe(settings(tmp_path, options={"outside": "clip"})).parts["train"].boxes == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"annotations": lambda rows: [row.update(image_id=str(row["image_id"])) for row in rows]},
         "annotation 1: there is no image with id '100': it is text here, and not where it is listed"),
        ({"annotations": lambda rows: rows[0].update(category_id="1")},
         "there is no category '1': it is text here, and not where it is listed; possible: 0, 1, 2"),
        ({"annotations": lambda rows: rows[0].update(bbox=[], segmentation=[[1, 1, 5, 1, 5, 5]])},
         r"annotation 1: it has a segmentation but no bbox \(left, top, width, height\), and boxes are"),
        ({"images": lambda rows: [row.update(file_name=row["file_name"].replace("png", "JPG")) for row in rows]},
         r"4 images .* are not there: train0\.JPG, .* \(train/train0\.png is there: endings count, and capitals\)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("bad_files", ["fail", "skip"])
def test_ids_and_names_in_another_form(tmp_path, changes, words, bad_files) -> None:
    coco(tmp_path, parts=("train",), **changes)
    with pytest.raises(DataError, match=words):
        describe(settings(tmp_path, bad_files=bad_files))


@pytest.mark.parametrize("lacking", ["categories", "bbox"])
def test_annotations_that_lack_something_are_still_taken_for_annotations(tmp_path, lacking) -> None:
    """Init took such a set for images of the one class 'train'."""
    coco(tmp_path, parts=("train",))
    content = json.loads((tmp_path / "train.json").read_text())
    content.pop(lacking, None)
    for row in content["annotations"]:
        row.pop(lacking, None)
    (tmp_path / "train.json").write_text(json.dumps(content))
    assert kind_of(tmp_path).dataset == "coco"


def test_keypoints_behind_a_box_are_left_out(tmp_path) -> None:
    """Of an even number they were read as an outline, and the box around box and points was learned."""
    yolo(tmp_path)
    wanted = load_data(settings(tmp_path, "yolo")).train.labels
    lines(tmp_path, lambda *row: " ".join(map(str, (*row, 0.1, 0.1, 0.9, 0.9))))
    said = " ".join(describe(settings(tmp_path, "yolo")).said)
    assert "every line has 8 numbers behind its class, read as 4 points" not in said  # as rotated boxes have them
    (tmp_path / "data.yaml").write_text("names: [ant, bee]\ntrain: images/train\nkpt_shape: [2, 2]\n")
    assert (load_data(settings(tmp_path, "yolo")).train.labels == wanted).all()
    assert "kpt_shape: [2, 2]: what stands behind a box are keypoints" in " ".join(
        describe(settings(tmp_path, "yolo")).said
    )


def test_outlines_are_told_and_doubted_where_all_have_one_length(tmp_path) -> None:
    yolo(tmp_path)
    lines(tmp_path, lambda *row: " ".join(map(str, (*row, 0.9, 0.3))))
    said = " ".join(describe(settings(tmp_path, "yolo")).said)
    assert "12 outlines x1 y1 x2 y2 ...: the box around each is learned" in said
    assert "beware: every line has 6 numbers behind its class, read as 3 points: if they are a box and more" in said


def test_lists_of_images_in_place_of_folders(tmp_path) -> None:
    """They were told to hold no image, and the parts were drawn by chance, the set's own validation among them."""
    yolo(tmp_path, "images", "labels")
    for part in ("train", "val"):
        names = [f"./images/{part}{number}.png" for number in range(len(BOXES))]
        (tmp_path / f"{part}_list.txt").write_text("\n".join([*names, "./images/gone.png", ""]))
    (tmp_path / "data.yaml").write_text("names: [ant, bee]\ntrain: train_list.txt\nval: lists/../val_list.txt\n")
    facts = describe(settings(tmp_path, "yolo"))
    assert {part: one.images for part, one in facts.parts.items()} == {"train": 4, "validation": 4}
    assert "train_list.txt lists 1 image that is not there: ./images/gone.png" in facts.said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("names: {'0': ant, '1': bee}\ntrain: images/train\n", None),
        ("names: [ant, bee]\nnc: '2'\ntrain: images/train\n", None),
        ("names: ant, bee\ntrain: images/train\n", "says names: ant, bee: names of classes are a list"),
        ("names: {1: ant, 2: bee}\ntrain: images/train\n", "must name classes 0, 1, 2, ..., not 1, 2"),
    ],
)
def test_forms_of_the_names(tmp_path, text, words) -> None:
    yolo(tmp_path)
    (tmp_path / "data.yaml").write_text(text)
    if words is None:
        assert describe(settings(tmp_path, "yolo")).class_names == ("ant", "bee")
        return
    with pytest.raises(DataError, match=words):
        describe(settings(tmp_path, "yolo"))


def test_the_file_that_names_the_classes_is_chosen(tmp_path) -> None:
    yolo(tmp_path)
    (tmp_path / "args.yaml").write_text("train: true\n")
    assert describe(settings(tmp_path, "yolo")).class_names == ("ant", "bee")
    (tmp_path / "old.yaml").write_text("names: [bee, ant]\n")
    with pytest.raises(DataError, match=r"data\.yaml and old\.yaml name other classes: which is it\?"):
        describe(settings(tmp_path, "yolo"))


def test_capitals_of_folders_and_endings_do_not_count(tmp_path) -> None:
    yolo(tmp_path, "Images/{part}", "Labels/{part}")
    for file in list(tmp_path.rglob("*.txt")):
        file.rename(file.with_suffix(".TXT"))
    assert describe(settings(tmp_path, "yolo")).parts["train"].boxes == 4
    assert kind_of(tmp_path).dataset == "yolo"


def test_two_images_with_the_same_labels_are_refused(tmp_path) -> None:
    yolo(tmp_path)
    image(tmp_path / "images" / "train" / "train0.bmp", 99)
    with pytest.raises(
        DataError, match=r"train0\.bmp and .*train0\.png have the same labels, .*train0\.txt: which is it"
    ):
        describe(settings(tmp_path, "yolo"))


@pytest.mark.parametrize("damage", ["names", "commas", "gone"])
def test_init_takes_labels_with_a_mistake_for_labels(tmp_path, damage) -> None:
    """It said that there are no boxes, where the reader says which line is wrong."""
    yolo(tmp_path)
    if damage == "gone":
        shutil.rmtree(tmp_path / "labels")
        (tmp_path / "data.yaml").write_text("names: [ant, bee]\ntrain: images/train\n")
    else:
        lines(tmp_path, lambda k, *box: ("ant " if damage == "names" else f"{k},") + ", ".join(map(str, box)))
    assert kind_of(tmp_path).dataset == "yolo"
    with pytest.raises(
        DataError, match="no image of .* has labels" if damage == "gone" else r"txt:1: '.* is no number"
    ):
        describe(settings(tmp_path, "yolo"))


def test_images_that_exif_turns_are_told(tmp_path) -> None:
    """Shares of an image's sides fit it however it is turned."""
    yolo(tmp_path, parts=("train",))
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(noise(0, WIDTH, HEIGHT)).save(tmp_path / "images" / "train" / "train0.png", exif=turned)
    (told,) = describe(settings(tmp_path, "yolo")).warned
    assert told.startswith("EXIF turns or mirrors 1 image")


def test_what_an_exported_network_drew_is_no_image(tmp_path) -> None:
    """A picture without labels is one without objects: the answers of a network taught that there is nothing."""
    yolo(tmp_path, parts=("train",))
    shutil.copy(tmp_path / "images" / "train" / "train0.png", tmp_path / "images" / "train" / "train0.boxes.png")
    facts = describe(settings(tmp_path, "yolo"))
    assert facts.parts["train"].images == 4
    assert "left out, as written by an exported network: images/train/train0.boxes.png" in facts.said
