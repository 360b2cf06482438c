"""A table of image files and their labels: ``.csv`` or ``.tsv``."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.classes import label, sorted_names
from chattn_nas.data.layout import PARTS, is_image
from chattn_nas.data.pictures import Files, Found, Listing, Part
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.label_texts import doubts, separated
from chattn_nas.data.sources.place import path_of, stamp
from chattn_nas.data.tree import Entry, stamp_of
from chattn_nas.errors import DataError
from chattn_nas.plural import first_of, plural, repeated

#: Usual names of the columns, in any case.
IMAGES = ("path", "image", "file", "filename", "file_name", "filepath", "image_path", "img", "image_id", "id", "name")
LABELS = ("label", "labels", "class", "target", "category", "class_name", "y", "tags")
SPLITS = ("split", "part", "subset", "set", "fold")
#: One text per image, or names of classes and their presence (N, classes).
Labels = list[str] | tuple[list[str], NDArray[np.uint8]]
TRUE, FALSE = {"1", "1.0", "true"}, {"0", "0.0", "false"}


class Listed:
    """The files of a table, which may lie anywhere, with as much of a tree's interface as :class:`Files` needs."""

    folders: frozenset[str] = frozenset()
    entries: tuple[Entry, ...] = ()
    passed: tuple[str, ...] = ()

    def name(self, entry: Entry) -> str:
        """The path of a file."""
        return entry.path

    def read(self, entry: Entry) -> bytes:
        """Read a whole file."""
        return Path(entry.path).read_bytes()


def find_csv(settings: DataSettings) -> Found:
    """Find a table, perhaps with a column for the part, or a folder with ``train.csv``, ``test.csv``, ``val.csv``.

    Raises:
        DataError: A table, a column or files are missing.
    """
    path = path_of(settings)
    tables: dict[str, Path] = {"train": path}
    said = []
    if path.is_dir():
        tables = {
            PARTS[file.stem.lower()]: file
            for file in sorted(path.iterdir())
            if file.suffix.lower() in (".csv", ".tsv") and file.stem.lower() in PARTS
        }
        if "train" not in tables:
            raise DataError(f"{path} holds no train.csv", where=("path",))
    elif PARTS.get(path.stem.lower()) == "train":
        beside = {PARTS[f.stem.lower()]: f for f in path.parent.glob(f"*{path.suffix}") if f.stem.lower() in PARTS}
        tables = beside | tables
        if len(tables) > 1:
            said.append(f"{' and '.join(f.name for part, f in tables.items() if part != 'train')} beside {path.name} "
                        f"{'is' if len(tables) == 2 else 'are'} used")  # fmt: skip
    stamps = [stamp(file) for file in tables.values()]
    rows = [(part, file, row) for part, file in tables.items() for row in _rows(file)]
    parts, texts, entries = _columns(rows, settings, said)
    order = [part for part in ("train", "validation", "test") if part in set(parts)]
    if "train" not in order:
        raise DataError(f"{path} has no row to train on", where=("path",))
    files = [f"{entry.path} {entry.stamp}" for entry in entries]
    if settings.multilabel:
        stamps.append("one separator")  # before 2026-11-28 blanks always parted labels

    def listing() -> Listing:
        """List the samples by part; called only if the set is not in the cache."""
        targets, names = _targets(texts, settings, said)
        chosen = {part: np.flatnonzero(np.array([p == part for p in parts])) for part in order}
        return Listing(
            parts={part: Part(Files(Listed(), [entries[i] for i in index]), targets[index])
                   for part, index in chosen.items()},
            class_names=tuple(names), said=tuple(said),
        )  # fmt: skip

    return Found([*stamps, *files, *parts], listing)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        stamp(path)  # says what lies nearby
        raise DataError(f"cannot read {path}: {error.strerror}", where=("path",)) from None
    except UnicodeDecodeError:
        raise DataError(
            f"cannot read {path}: it is not UTF-8 text (spreadsheets save that as 'CSV UTF-8')", where=("path",)
        ) from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    if "\0" in text or not first:
        raise DataError(f"{path} holds no table: its first line is the header, such as path,label", where=("path",))
    delimiter = max(",;\t|", key=first.count)
    lines = io.StringIO(text, newline="")
    table = csv.DictReader(lines, delimiter=delimiter, restval="", skipinitialspace=True)
    header = [name.strip() for name in table.fieldnames or ()]
    if any(map(is_image, header)):
        raise DataError(
            f"the first line of {path} names an image, {next(filter(is_image, header))}: a line such as path,label "
            "must stand above it",
            where=("path",),
        )
    if (twice := repeated(header)) is not None:
        raise DataError(f"{path} has two columns {twice!r}", where=("path",))
    table.fieldnames = header
    rows = []
    try:
        for row in table:
            if any(more := row.pop(None, [])):  # type: ignore[call-overload]
                raise DataError(
                    f"{path}:{table.line_num} holds {len(header) + len(more)} values, and the first line names "
                    f"{plural(len(header), 'column')}: a value with a {delimiter!r} in it stands in quotes",
                    where=("path",),
                )
            rows.append({name: (value or "").strip() for name, value in row.items()})
    except csv.Error as error:
        raise DataError(f"cannot read {path}: line {table.line_num}: {error}", where=("path",)) from None
    if not rows:
        raise DataError(f"{path} has a header but no row", where=("path",))
    return rows


def _columns(
    rows: Sequence[tuple[str, Path, Mapping[str, str]]], settings: DataSettings, said: list[str]
) -> tuple[list[str], Labels, list[Entry]]:
    """Part, label and file of every row."""
    header = list(rows[0][2])
    for _, file, row in rows:
        if list(row) != header:
            raise DataError(f"{file} has other columns than {rows[0][1]}: {', '.join(row)}", where=("path",))
    image = _image_column(header, rows, settings, said)
    several = settings.label_column if isinstance(settings.label_column, list) else None
    if several is None:
        one = settings.label_column if isinstance(settings.label_column, str) else None
        known = {*IMAGES, *SPLITS}
        left = [name for name in header if name != image and name.lower() not in known]
        if one is None and len(left) == 1 and left[0].lower() not in LABELS:
            one = left[0]
            said.append(f"labels are read from column {one!r}, the only one that is left")
        hot = [name for name in left if {row[name].lower() for _, _, row in rows} <= TRUE | FALSE]
        also = f"; {','.join(hot)} hold 0 and 1 and can be named together" if len(hot) > 1 else ""
        labelled = [_column(header, one, LABELS, "label_column", rows[0][1], also)]
    else:
        labelled = [_column(header, name, (), "label_column", rows[0][1]) for name in several]
    if one_of := [name for name in header if name.lower() in SPLITS and name not in (image, *labelled)]:
        parts = _parts(rows, one_of[0], said)
    else:
        parts = [part for part, _, _ in rows]
    without = [number for number, (_, _, row) in enumerate(rows) if not row[image] or not (several or row[labelled[0]])]
    if without and not settings.multilabel:
        number = without[0]
        what = "image" if not rows[number][2][image] else "label"
        before = next(other for other, (_, file, _) in enumerate(rows) if file == rows[number][1])
        raise DataError(
            f"{rows[number][1]} lacks the {what} in {len(without)} of {plural(len(rows), 'row')}: the first is "
            f"row {number - before + 2}",
            where=("path",),
        )
    if several is None and not settings.multilabel and len(rows) > 2:
        _refuse_no_labels(rows, labelled[0], [name for name in header if name not in (image, labelled[0])])
    entries = [_entry(file.parent, row[image]) for _, file, row in rows]
    _refuse_none_there(entries, rows[0][1], image, rows[0][2][image])
    kept, texts = _once(entries, rows, parts, labelled, merge=settings.multilabel and several is None)
    if len(kept) < len(rows):
        said.append(f"{plural(len(rows) - len(kept), 'row')} of a file that another row names: each file is read once")
    parts, entries = [parts[i] for i in kept], [entries[i] for i in kept]
    if several is None:
        return parts, [text for (text,) in texts], entries
    for number, entry, values in zip(kept, entries, texts):
        if odd := next((pair for pair in zip(labelled, values) if pair[1].lower() not in TRUE | FALSE), None):
            raise DataError(
                f"{rows[number][1]} gives {entry.path} {odd[1]!r} as {odd[0]}: columns of labels hold 0 and 1",
                where=("label_column",),
            )
    presence = np.array([[value.lower() in TRUE for value in row] for row in texts], np.uint8)
    return parts, (labelled, presence), entries


def _image_column(
    header: Sequence[str], rows: Sequence[tuple[str, Path, Mapping[str, str]]], settings: DataSettings, said: list[str]
) -> str:
    """The column of the spec, else the one that names image files, else one with a usual name."""
    if settings.image_column is None:
        named = [name for name in header if sum(is_image(row[name]) for _, _, row in rows) > 0.5 * len(rows)]
        usual = [name for name in named if name.lower() in IMAGES]
        if len(candidates := usual or named) == 1:
            if not usual:
                said.append(f"image files are read from column {candidates[0]!r}, the only one that names some")
            return candidates[0]
    return _column(header, settings.image_column, IMAGES, "image_column", rows[0][1])


def _column(
    header: Sequence[str], wanted: str | None, usual: Sequence[str], key: str, file: Path, also: str = ""
) -> str:  # fmt: skip
    if wanted is not None:
        if wanted not in header:
            raise DataError(f"{file} has no column {wanted!r}", where=(key,), value=wanted, choices=header)
        return wanted
    lower = {name.lower(): name for name in header}
    column = next((lower[name] for name in usual if name in lower), None)
    if column is None:
        raise DataError(
            f"{file} has no column called {' or '.join(usual[:3])}: data.{key} names it (its first line is the header)"
            f"{also}",
            where=(key,), value=usual[0], choices=header,
        )  # fmt: skip
    return column


def _parts(rows: Sequence[tuple[str, Path, Mapping[str, str]]], column: str, said: list[str]) -> list[str]:
    met = {row[column].lower() for _, _, row in rows}
    if not met <= PARTS.keys():
        if met & PARTS.keys():
            odd = sorted(met - PARTS.keys())[0]
            raise DataError(
                f"column {column!r} of {rows[0][1]} holds {odd!r}", where=("path",), value=odd, choices=PARTS
            )
        said.append(f"column {column!r} holds {first_of(sorted(met))}, which are no parts: it is not used")
        return [part for part, _, _ in rows]
    said.append(f"column {column!r} says which part an image is of")
    return [PARTS[row[column].lower()] for _, _, row in rows]


def _entry(folder: Path, name: str) -> Entry:
    path = Path(os.path.expanduser(name.replace("\\", "/")))
    path = path if path.is_absolute() else folder / path
    try:
        status = path.stat()
        return Entry(str(path), status.st_size, stamp_of(status))
    except OSError:
        return Entry(str(path), -1, "")


def _refuse_no_labels(rows: Sequence[tuple[str, Path, Mapping[str, str]]], column: str, others: Sequence[str]) -> None:
    """Refuse a label column with a different value in almost every row, such as names or numbers."""
    if len({row[column] for _, _, row in rows}) == len(rows):
        raise DataError(
            f"column {column!r} of {rows[0][1]} holds another value in each of {len(rows)} rows: these are no classes",
            where=("label_column",), choices=others,
        )  # fmt: skip


def _refuse_none_there(entries: Sequence[Entry], file: Path, column: str, first: str) -> None:
    """Refuse a table none of whose images exist; a few missing ones are treated as bad files."""
    if any(entry.size >= 0 for entry in entries):
        return
    folders = (one for one in sorted(file.parent.iterdir()) if one.is_dir())
    near = next((path for one in folders if (path := one / Path(first.replace("\\", "/")).name).is_file()), None)
    hint = f"; {near} is there" if near else ""
    raise DataError(
        f"none of the {len(entries)} images that {file} names in column {column!r} is there: the first is looked for "
        f"at {entries[0].path}, from the table's folder on{hint}",
        where=("path",),
    )


def _once(
    entries: Sequence[Entry], rows: Sequence[tuple[str, Path, Mapping[str, str]]], parts: Sequence[str],
    labelled: Sequence[str], *, merge: bool,
) -> tuple[list[int], list[tuple[str, ...]]]:  # fmt: skip
    """The first row of every file, and what its label columns say; ``merge`` joins the labels of several rows.

    A file that was read twice would be trained on and score the networks as well.

    Raises:
        DataError: A file belongs to two parts, or has two labels.
    """
    first: dict[str, int] = {}
    texts: dict[str, tuple[str, ...]] = {}
    for number, (entry, (_, file, row)) in enumerate(zip(entries, rows, strict=True)):
        labels = tuple(row[name] for name in labelled)
        known = first.setdefault(entry.path, number)
        if parts[known] != parts[number]:
            raise DataError(
                f"{file} names {entry.path} for {parts[known]} and for {parts[number]}: a score on images that were "
                "trained on says nothing",
                where=("path",),
            )
        before = texts.setdefault(entry.path, labels)
        if before != labels and merge:
            texts[entry.path] = ("\n".join(filter(None, (*before, *labels))),)
        elif before != labels:
            way = "" if len(labelled) > 1 else "; several labels per image are asked for with data.multilabel: true"
            raise DataError(
                f"{file} gives {entry.path} two labels: {', '.join(before)} and {', '.join(labels)}{way}",
                where=("path",),
            )
    return list(first.values()), list(texts.values())


def _targets(
    texts: Labels, settings: DataSettings, said: list[str]
) -> tuple[NDArray[np.uint8] | NDArray[np.int64], list[str]]:
    if isinstance(texts, tuple):
        return texts[1], texts[0]
    if not settings.multilabel:
        names = sorted_names(set(texts))
        said += doubts(texts)
        return label(texts, names), names
    several = separated(texts, said)
    names = sorted_names({one for row in several for one in row})
    said += doubts([one for row in several for one in row], numbers=False)
    hot = np.zeros((len(texts), len(names)), np.uint8)
    for number, row in enumerate(several):
        hot[number, label(row, names)] = 1
    return hot, names
