"""Labels as tables write them: several in a cell, numbers, and what stands for nothing."""

import warnings

import numpy as np
import pytest
from pictures import folder, noise
from PIL import Image

from chattn_nas.data import DataSettings, describe, load_data, summary
from chattn_nas.errors import DataError
from chattn_nas.tasks.label_metrics import build_metric

#: Of every image, in turns: what its cell says, and the labels that are meant.
MEANT = [{"red dress", "blue"}, {"blue"}, {"red dress"}, set()]


def settings(root, **changes) -> DataSettings:
    return DataSettings(dataset="csv", path=str(root / "set.csv"), **{"image_size": 8} | changes)


def table(root, labels, header="path,label", separator=",", count=20) -> None:
    (root / "images").mkdir(exist_ok=True)
    rows = [header]
    for number in range(count):
        Image.fromarray(noise(number)).save(root / "images" / f"{number:02d}.png")
        each = labels(number)
        rows += [f"images/{number:02d}.png{separator}{one}" for one in (each if isinstance(each, list) else [each])]
    (root / "set.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize(
    ("write", "told"),
    [
        ("|".join, "separated by '|'"),
        ("; ".join, "separated by ';'"),
        (lambda labels: f'"{", ".join(labels)}"', "separated by ','"),
        (lambda labels: f'"{labels}"', "stand in lists, as in ["),
        (lambda labels: '"' + str(labels).replace("'", '""') + '"', "stand in lists, as in ["),
        (lambda labels: labels or [""], "stand in rows of their own"),
    ],
)
def test_names_with_blanks_are_kept_whole(tmp_path, write, told) -> None:
    """A blank parted 'red dress' into two labels whatever separated them; commas and brackets became part of names."""
    table(tmp_path, lambda number: write(sorted(MEANT[number % 4])))
    facts = describe(settings(tmp_path, multilabel=True))
    assert facts.class_names == ("blue", "red dress")
    assert facts.parts["train"].counts == [10, 10]
    assert any(told in said for said in facts.said), facts.said
    data = load_data(settings(tmp_path, multilabel=True))
    assert data.train.labels.sum(0).add(data.validation.labels.sum(0)).tolist() == [10, 10]


def test_blanks_separate_where_nothing_else_does(tmp_path) -> None:
    table(tmp_path, lambda number: ["ant bee", "ant", "bee"][number % 3])
    facts = describe(settings(tmp_path, multilabel=True))
    assert facts.class_names == ("ant", "bee")
    assert any("separated by blanks (names with blanks need another sign" in said for said in facts.said)


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("nothing", ["nan", "NA", "None", "null"])
def test_what_stands_for_nothing_is_told(tmp_path, nothing, several) -> None:
    table(tmp_path, lambda number: ["ant", "bee", nothing, "bee"][number % 4])
    said = describe(settings(tmp_path, multilabel=several)).said
    assert any(f"beware: {nothing!r} (5 rows) is learned as a class" in one for one in said), said
    kept = describe(settings(tmp_path, multilabel=several, classes={nothing: None}))
    assert kept.class_names == ("ant", "bee")


@pytest.mark.parametrize("point", [".", ","])
def test_measured_numbers_are_no_classes(tmp_path, point) -> None:
    """They were hundreds of classes, or refused for too few images of each."""
    table(tmp_path, lambda number: f"{(number // 2) * 1.37:.2f}".replace(".", point), "path;price", ";")
    with pytest.raises(
        DataError, match=rf"10 different numbers from 0 to 12\.33, such as 1\{point}37: these are no classes"
    ):
        describe(settings(tmp_path))
    table(tmp_path, lambda number: f"{number % 4 / 2}".replace(".", point), "path;stars", ";")
    facts = describe(settings(tmp_path))
    assert len(facts.class_names) == 4
    assert any("4 different numbers from 0 to 1.5: each is learned as a class of its own" in one for one in facts.said)


def test_ages_are_told_and_numbers_of_classes_are_not(tmp_path) -> None:
    table(tmp_path, lambda number: str(number // 2 * 3), count=60)
    assert any("30 different numbers from 0 to 87: each is learned" in one for one in describe(settings(tmp_path)).said)
    table(tmp_path, lambda number: str(number // 2), count=60)
    assert not any("different numbers" in one for one in describe(settings(tmp_path)).said)


def test_names_that_differ_in_case_or_form_alone_are_told(tmp_path) -> None:
    table(tmp_path, lambda number: ["Cat", "cat", "1", "1.0"][number % 4])
    warned = describe(settings(tmp_path)).warned
    assert warned == (
        "'1' and '1.0' are two classes: if they are meant as one, data.classes: {'1.0': '1'} merges them",
        "'Cat' and 'cat' are two classes: if they are meant as one, data.classes: {'cat': 'Cat'} merges them",
    )
    assert describe(settings(tmp_path, classes={"1.0": "1", "cat": "Cat"})).warned == ()
    folder(tmp_path / "folders", (), ("Bee", "bee"))
    found = describe(DataSettings(dataset="image_folder", path=str(tmp_path / "folders"), image_size=8))
    assert len(found.warned) == 1


def test_values_beyond_the_columns_are_refused(tmp_path) -> None:
    """The second label of a row without quotes was dropped."""
    table(tmp_path, lambda number: "red,blue" if number == 4 else "red,", "path,label")
    with pytest.raises(
        DataError, match=r"set\.csv:6 holds 3 values, and the first line names 2 columns: a value with a ','"
    ):
        describe(settings(tmp_path, multilabel=True))
    table(tmp_path, lambda number: "red," if number % 2 else "blue,,", "path,label")  # spreadsheets end rows so
    assert describe(settings(tmp_path)).class_names == ("blue", "red")


def test_the_row_of_a_second_table_is_counted_in_it(tmp_path) -> None:
    table(tmp_path, lambda number: "ab"[number % 2])
    lines = (tmp_path / "set.csv").read_text().splitlines()
    (tmp_path / "train.csv").write_text("\n".join(lines[:13]) + "\n")
    (tmp_path / "test.csv").write_text("\n".join([lines[0], lines[14], lines[15].split(",")[0] + ",", ""]))
    with pytest.raises(DataError, match=r"(test|train)\.csv lacks the label in 1 of 14 rows: the first is row 3"):
        describe(settings(tmp_path).changed(path=str(tmp_path / "train.csv")))


def test_a_column_of_folds_is_said_to_be_unused(tmp_path) -> None:
    table(tmp_path, lambda number: f"{'ab'[number % 2]},{number % 5}", "path,label,fold")
    assert "column 'fold' holds 0, 1, 2, 3, 4, which are no parts: it is not used" in describe(settings(tmp_path)).said


def test_lines_inside_quotes(tmp_path) -> None:
    table(tmp_path, lambda number: f'{"ab"[number % 2]},"first\nsecond"', "path,label,note")
    assert np.array_equal(describe(settings(tmp_path)).parts["train"].counts, [10, 10])


def test_labels_that_no_validation_image_has_are_told(tmp_path) -> None:
    """They count as 0 in the mean over classes, and torchmetrics warned of it in its own words, in every trial."""
    table(tmp_path, lambda number: f"{number % 2},{number == 3:d},{'train' if number < 15 else 'val'}",
          "path,ant,bee,split")  # fmt: skip
    chosen = settings(tmp_path, label_column=["ant", "bee"])
    told = " ".join(summary(chosen, batch_size=4, epochs=1))
    assert "beware: no validation image is of class bee: in means over classes it counts as nothing found" in told
    data = load_data(chosen)
    for metric in ("average_precision", "auroc"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            score = build_metric(metric, 2, multilabel=True)(
                data.validation.labels.float() * 2 - 1, data.validation.labels
            )
        assert score == pytest.approx(0.5)
