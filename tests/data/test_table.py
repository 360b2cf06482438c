"""Tables of files and labels."""

import pytest
import torch
from pictures import noise
from PIL import Image

from chattn_nas.data import DataSettings, describe, load_data, load_test
from chattn_nas.errors import DataError


def images(root, count=20) -> list[str]:
    (root / "images").mkdir(exist_ok=True)
    for number in range(count):
        Image.fromarray(noise(number)).save(root / "images" / f"{number:03d}.png")
    return [f"images/{number:03d}.png" for number in range(count)]


def settings(root, **changes) -> DataSettings:
    return DataSettings(dataset="csv", path=str(root / "set.csv"), **{"image_size": 8} | changes)


def write(root, text, name="set.csv", encoding="utf-8") -> None:
    (root / name).write_text(text, encoding=encoding)


def table(root, separator=",", header=("path", "label"), labels=("ant", "bee"), end="\n", **options) -> None:
    rows = [separator.join(header)] + [
        separator.join((path, labels[number % len(labels)])) for number, path in enumerate(images(root))
    ]
    write(root, end.join(rows) + end, **options)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_marks_and_line_ends(tmp_path, separator, encoding, end) -> None:
    table(tmp_path, separator, encoding=encoding, end=end)
    assert describe(settings(tmp_path)).class_names == ("ant", "bee")


@pytest.mark.parametrize(
    "header", [("filename", "class"), ("Image", "Target"), ("file_name", "category"), ("img", "y")]
)
def test_usual_columns(tmp_path, header) -> None:
    table(tmp_path, header=header)
    assert describe(settings(tmp_path)).parts["train"].counts == [10, 10]


def test_columns_by_name(tmp_path) -> None:
    table(tmp_path, header=("bild", "art"))
    found = describe(settings(tmp_path))
    assert found.class_names == ("ant", "bee")
    assert "image files are read from column 'bild', the only one that names some" in found.said
    assert "labels are read from column 'art', the only one that is left" in found.said
    named = settings(tmp_path, image_column="bild", label_column="art")
    assert describe(named).class_names == ("ant", "bee")
    with pytest.raises(DataError, match="no column 'arts'; did you mean 'art'"):
        load_data(settings(tmp_path, image_column="bild", label_column="arts"))


def test_the_column_of_images_is_the_one_that_names_files(tmp_path) -> None:
    paths = images(tmp_path)
    write(tmp_path, "id,photo,place,y\n" + "".join(f"{n},{p},x,{n % 2}\n" for n, p in enumerate(paths)))
    assert describe(settings(tmp_path, label_column="y")).parts["train"].counts == [10, 10], "id is no file"
    write(tmp_path, "left,right,y\n" + "".join(f"{p},{p},{n % 2}\n" for n, p in enumerate(paths)))
    with pytest.raises(DataError, match=r"no column called path or image or file: data\.image_column names it.*left"):
        load_data(settings(tmp_path))


def test_labels_are_texts(tmp_path) -> None:
    table(tmp_path, labels=("NA", "None", "10", "9"))
    assert describe(settings(tmp_path)).class_names == ("10", "9", "NA", "None")
    table(tmp_path, labels=("10", "9"))
    assert describe(settings(tmp_path)).class_names == ("9", "10")


def test_quoted_names_and_blanks(tmp_path) -> None:
    paths = images(tmp_path)
    write(tmp_path, "path, label\n" + "".join(f'"{p}", "a, {n % 2}"\n' for n, p in enumerate(paths)))
    assert describe(settings(tmp_path)).class_names == ("a, 0", "a, 1")


def test_a_column_says_the_part(tmp_path) -> None:
    paths = images(tmp_path)
    parts = ["Train"] * 12 + ["val"] * 4 + ["TEST"] * 4
    write(tmp_path, "path,label,split\n" + "".join(f"{p},{n % 2},{parts[n]}\n" for n, p in enumerate(paths)))
    data = load_data(settings(tmp_path))
    assert (len(data.train), len(data.validation), len(load_test(settings(tmp_path)))) == (12, 4, 4)


def test_a_table_per_part(tmp_path) -> None:
    paths = images(tmp_path)
    for name, chosen in (("train", paths[:12]), ("val", paths[12:16]), ("test", paths[16:])):
        write(tmp_path, "path,label\n" + "".join(f"{p},{n % 2}\n" for n, p in enumerate(chosen)), f"{name}.csv")
    for path in (tmp_path, tmp_path / "train.csv"):
        found = settings(tmp_path).model_copy(update={"path": str(path)})
        data = load_data(found)
        assert (len(data.train), len(data.validation), len(load_test(found))) == (12, 4, 4)


@pytest.mark.parametrize("separator", ["|", ";", " "])
def test_several_labels_in_a_column(tmp_path, separator) -> None:
    paths = images(tmp_path)
    rows = [separator.join(["ant"] * (n % 2) + ["bee"] * (n % 3 == 0)) for n in range(20)]
    write(tmp_path, "path,tags\n" + "".join(f"{p},{row}\n" for p, row in zip(paths, rows)))
    data = load_data(settings(tmp_path, multilabel=True, validation=0.25))
    assert data.multilabel
    assert data.class_names == ("ant", "bee")
    assert describe(settings(tmp_path, multilabel=True)).parts["train"].counts == [10, 7]


def test_several_columns_of_labels(tmp_path) -> None:
    paths = images(tmp_path)
    write(tmp_path, "path,ant,bee\n" + "".join(f"{p},{n % 2},{n % 3 == 0:d}\n" for n, p in enumerate(paths)))
    data = load_data(settings(tmp_path, label_column=["ant", "bee"]))
    assert data.multilabel
    assert torch.cat([data.train.labels, data.validation.labels]).sum(0).tolist() == [10, 7]
    with pytest.raises(DataError, match=r"no column called label .*; ant,bee hold 0 and 1 and can be named together"):
        load_data(settings(tmp_path))
    write(tmp_path, "path,ant,bee\n" + "".join(f"{p},1,{'0' if n else 'yes'}\n" for n, p in enumerate(paths)))
    with pytest.raises(DataError, match=r"gives .*000\.png 'yes' as bee: columns of labels hold 0 and 1"):
        load_data(settings(tmp_path, label_column=["ant", "bee"]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no table"),
        ("path,label\n", "a header but no row"),
        ("path,path\na,b\n", "two columns 'path'"),
        ("images/000.png,ant\nimages/001.png,bee\n", "first line of .* names an image, images/000.png: a line such as"),
        ("path,label\nimages/000.png,\n", "lacks the label in 1 of 1 row: the first is row 2"),
        ("path,label\n,ant\n", "lacks the image in 1 of 1 row"),
        ("path,label\nimages/000.png,ant\nimages/000.png,bee\n", "two labels: ant and bee"),
        ("path,label\nimages/000.png,ant\nimages/none.png,bee\n", r"none\.png: No such file"),
        ("path,label,split\nimages/000.png,a,train\nimages/001.png,b,trian\n", "holds 'trian'; did you mean"),
        ("path,label,split\nimages/000.png,a,test\n", "no row to train on"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used(tmp_path, text, words) -> None:
    images(tmp_path)
    write(tmp_path, text)
    with pytest.raises(DataError, match=words) as caught:
        load_data(settings(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_file_in_two_rows_is_read_once(tmp_path) -> None:
    paths = images(tmp_path)
    rows = [f"{path},{'ant' if n % 2 else 'bee'}\n" for n, path in enumerate(paths)]
    write(tmp_path, "path,label\n" + "".join(rows + rows[3:9]))
    facts = describe(settings(tmp_path))
    assert facts.parts["train"].counts == [10, 10]
    assert "6 rows of a file that another row names: each file is read once" in facts.said
    data = load_data(settings(tmp_path))
    assert len(data.train) + len(data.validation) == 20


def test_a_file_for_two_parts_is_refused(tmp_path) -> None:
    paths = images(tmp_path)
    rows = [f"{path},{'ant' if n % 2 else 'bee'},train\n" for n, path in enumerate(paths)]
    write(tmp_path, "path,label,split\n" + "".join(rows) + f"{paths[4]},bee,test\n")
    with pytest.raises(
        DataError, match=r"names .*004\.png for train and for test: a score on images that were trained"
    ):
        load_data(settings(tmp_path))


def test_one_row_per_label(tmp_path) -> None:
    paths = images(tmp_path)
    rows = [f"{path},ant\n" for path in paths[:12]] + [f"{path},bee\n" for path in paths[8:]]
    write(tmp_path, "path,label\n" + "".join(rows))
    assert describe(settings(tmp_path, multilabel=True)).parts["train"].counts == [12, 12]
    assert describe(settings(tmp_path, multilabel=True)).parts["train"].images == 20


def test_columns_that_contradict_each_other(tmp_path) -> None:
    paths = images(tmp_path)
    write(tmp_path, "path,ant,bee\n" + "".join(f"{path},0,1\n" for path in paths) + f"{paths[2]},1,1\n")
    with pytest.raises(DataError, match=r"two labels: 0, 1 and 1, 1$"):
        load_data(settings(tmp_path, label_column=["ant", "bee"]))


def test_files_that_are_no_table(tmp_path) -> None:
    (tmp_path / "set.csv").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(DataError, match="not UTF-8"):
        load_data(settings(tmp_path))
    with pytest.raises(DataError, match=r"did you mean .*set\.csv"):
        load_data(settings(tmp_path).model_copy(update={"path": str(tmp_path / "sets.csv")}))


def test_all_missing_files_are_named(tmp_path) -> None:
    table(tmp_path)
    for number in (3, 4):
        (tmp_path / "images" / f"{number:03d}.png").unlink()
    with pytest.raises(DataError, match=r"2 images cannot be read: .*003\.png.*004\.png"):
        load_data(settings(tmp_path))
    assert describe(settings(tmp_path, bad_files="skip")).parts["train"].images == 18


def test_a_table_that_points_elsewhere_is_one_sentence(tmp_path) -> None:
    table(tmp_path)
    (tmp_path / "images").rename(tmp_path / "pictures")
    with pytest.raises(DataError, match=r"none of the 20 images .*is there: the first.*; .*pictures.*\.png is there$"):
        load_data(settings(tmp_path))


def test_names_are_no_labels(tmp_path) -> None:
    table(tmp_path)
    with pytest.raises(DataError, match=r"another value in each of 20 rows: these are no classes; possible: "):
        load_data(settings(tmp_path, label_column="path"))
