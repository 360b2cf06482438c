"""The specs that come with the package, found by their names."""

from __future__ import annotations

import re
from pathlib import Path

from chattn_nas.errors import InputError

#: What holds data, and is given where a spec is asked for.
_DATA = (".csv", ".tsv", ".npz", ".npy", ".tar", ".zip")
_PACKAGE = Path(__file__).parents[1]


def shipped() -> dict[str, Path]:
    """Every shipped spec by its name: inside the package in an installation, beside it in a checkout."""
    for folder in (_PACKAGE / "search_spaces", _PACKAGE.parent / "search_spaces"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def find_spec(path: Path | str) -> Path:
    """The file at ``path`` or, if there is none, the shipped spec of that name.

    Raises:
        InputError: There is neither.
    """
    path = Path(path)
    ours = shipped()
    if not path.is_file() and str(path).removesuffix(".yaml") in ours:
        return ours[str(path).removesuffix(".yaml")]
    if not path.exists():
        here = [str(path.parent / one.name) for one in sorted(path.parent.glob("*.y*ml"))][:20]
        raise InputError(
            f"cannot read the spec {path}: No such file or directory", value=str(path), choices=(*here, *ours)
        )
    if path.is_dir() or path.suffix.lower() in _DATA:
        what = "a folder" if path.is_dir() else f"no YAML, but {path.suffix}"
        if (path / "spec.yaml").is_file():
            way = f"the spec of the run that lies there is {path / 'spec.yaml'}"
        elif path.name and (near := path.with_name(f"{path.name}.yaml")).is_file():
            way = f"did you mean {near}?"
        else:
            way = f"where it holds your data, 'chattn-nas init --data {path}' writes a spec for them"
        raise InputError(f"cannot read the spec {path}: it is {what}; {way}", value=str(path))
    return path


def one_line(path: Path) -> str:
    """The purpose of a shipped spec: the first sentence of its comment."""
    comments = []
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        if not line.startswith("#"):
            break
        comments.append(line.removeprefix("#").strip())
    return re.split(r"(?<=[.?!])\s", " ".join(comments))[0]
