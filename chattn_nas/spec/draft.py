"""Writes a first spec for a data set: choices suit the set and the machine, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from chattn_nas.data import DataSettings, divide
from chattn_nas.data.kinds import TASKS
from chattn_nas.errors import InputError
from chattn_nas.network.constraints import Constraint
from chattn_nas.spec.draft_classes import DEFAULT_LIMIT, SMALLEST, draft_classes
from chattn_nas.spec.draft_plain import plain, refuse
from chattn_nas.spec.draft_source import source_of
from chattn_nas.spec.draft_task import draft_task
from chattn_nas.spec.plugins import look_in
from chattn_nas.spec.recipes import recipe_of


@dataclass(frozen=True)
class Draft:
    """A spec as text, with a description of its data.

    Attributes:
        text: YAML with comments.
        said: Sentences on the data, also on oddities.
    """

    text: str
    said: tuple[str, ...]


def draft(
    data: str,
    out: Path,
    *,
    name: str,
    task: str | None = None,
    backbone: str | None = None,
    parameters: str | None = None,
    recipe: str | None = None,
    labels: str | None = None,
    pretrained: bool | None = None,
) -> Draft:
    """Write a spec for a data set, which is read once for it, at a small size.

    Args:
        data: ``digits``, a folder of images, a ``.tar`` or ``.zip`` of one, a table or arrays.
        out: The file for the spec; paths in it are relative to its folder.
        name: Name of the run.
        task: The task; ``None`` recognises it by the layout of the data.
        backbone: Any convolutional timm model; ``None`` chooses.
        parameters: Most parameters, such as ``1.02x`` of the backbone without attention, or ``300k``; ``None`` is 1.05
            times for classification, and no limit for other tasks.
        labels: Label column of a table, or several, separated by commas.
        recipe: A name of :data:`~chattn_nas.spec.recipes.RECIPES`; ``None`` chooses by the backbone.
        pretrained: Whether to start from timm's weights; ``None`` takes them for photos if there are any.

    Raises:
        InputError: The data set, backbone, limit, name or recipe is impossible; raised before the images are read if
            that can be known.
    """
    if recipe is not None:
        recipe_of(recipe)
    source, task = source_of(data, out.parent, task)
    source |= _columns(source["dataset"], task, labels)
    look_in([out.parent.resolve()])  # as from the spec: a module of a backbone may lie beside it
    _refuse_limit(parameters)
    refuse(plain(name, backbone or SMALLEST, parameters or DEFAULT_LIMIT))
    if task in TASKS.values():
        if recipe is not None:
            raise InputError(f"--recipe {recipe}: recipes are for classification; {task} has its own", value=recipe)
        text, facts = draft_task(
            task, source, out, data=data, name=name, backbone=backbone, parameters=parameters,
            pretrained=bool(pretrained),
        )  # fmt: skip
        said = f"taken for {task}"
    else:
        text, facts, said = draft_classes(
            task, source, out, data=data, labels=labels, name=name, backbone=backbone,
            parameters=parameters or DEFAULT_LIMIT, recipe=recipe, pretrained=pretrained,
        )  # fmt: skip
    spec = yaml.safe_load(text)
    if task not in TASKS.values():
        _refuse_too_few(spec["data"], out.parent)
    refuse(spec)
    return Draft(text, (said, *facts.said, *(f"beware: {one}" for one in facts.warned)))


def _columns(dataset: str, task: str, labels: str | None) -> dict[str, Any]:
    """The keys of ``data`` that say where a table holds its labels."""
    if dataset != "csv":
        if labels is not None:
            raise InputError(f"--labels {labels}: only a table (.csv, .tsv) has columns", value=labels)
        return {}
    keys: dict[str, Any] = {}
    if labels is not None:
        columns = [one.strip() for one in labels.split(",") if one.strip()]
        keys["label_column"] = columns if len(columns) > 1 else (*columns, labels)[0]
    if task == "multilabel":
        keys["multilabel"] = not isinstance(keys.get("label_column"), list)
    return keys


def _refuse_too_few(data: dict[str, Any], folder: Path) -> None:
    """Split the set, which is read already, as the spec says."""
    divide(DataSettings.model_validate(data | {"image_size": 32, "bad_files": "skip"}).placed(folder))


def _refuse_limit(parameters: str | None) -> None:
    if parameters is None:
        return
    try:
        Constraint.parse(f"<= {parameters}")
    except InputError:
        possible = "1.02x (of the bare backbone), 300k, 2.5M"
        raise InputError(f"--params {parameters}: it is no limit; possible: {possible}") from None
