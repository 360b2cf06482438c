"""Writes a first spec for tasks other than classification."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chattn_nas.data import DataSettings, describe, divide
from chattn_nas.data.description import Description
from chattn_nas.data.kinds import pictures_at
from chattn_nas.data.sources.mask_values import VOID, VOID_NAME
from chattn_nas.errors import DataError
from chattn_nas.image_size import either, shown
from chattn_nas.plural import plural
from chattn_nas.spec.draft_backbone import PRETRAINED, as_asked, refuse_without_weights
from chattn_nas.spec.draft_lines import SPACE, head_lines, pair_line, parts_lines, search_lines, space_lines
from chattn_nas.tasks import find

#: Pixels of the longer side, without and with a GPU; what is smaller stays as it is.
LONGEST, LONGEST_ON_GPU = 160, 512
#: Images that a trial looks at at least, over all its epochs; and the epochs that this may come to.
LOOKS, FEWEST, MOST = 4000, 4, 40
#: Pixels of a patch in low resolution at least (SSIM needs so many) and at most, and patches that a first search trains
#: on and is scored on.
LEAST, PATCH, TRAINED, SCORED = 8, 48, 2000, 400


_NAMES = "the values that masks hold: name them under data.options; void counts for nothing"


@dataclass(frozen=True)
class FirstSpec:
    """The parts of a first spec that depend on its task.

    Attributes:
        backbone: Keys and values with their reasons.
        space: Types of attention.
        targets: The training images' targets in words, from their number and classes.
        note: Further settings of the task, as a comment.
    """

    backbone: Mapping[str, tuple[Any, str]]
    space: list[Any]
    targets: Callable[[Description], str]
    note: str = ""


_MOBILE = {
    "model": ("mobilenetv3_small_050", "small and quick; any timm model: chattn-nas backbones"),
    "existing": ("replace", "its own squeeze-and-excite is one candidate among others"),
}
FIRST = {
    "segmentation": FirstSpec(
        _MOBILE, [*SPACE, "enc_module"], lambda facts: f"masks of {len(facts.class_names)} classes",
        "ignore_index: 11, where a value of the masks counts for nothing; 255 does always",
    ),
    "detection": FirstSpec(
        _MOBILE, [*SPACE, {"coordinate": {"reduction": [8, 32]}}],
        lambda facts: f"{plural(facts.parts['train'].boxes or 0, 'box')} of {plural(len(facts.class_names), 'class')}",
        "stride: 4 finds smaller objects and costs more",
    ),
    "super_resolution": FirstSpec(
        {"model": ("rcan_tiny", "three residual groups, which are the stages; larger: rcan_small")},
        ["none", {"rcan": {"reduction": [4, 8]}}, "soca", "eca", "gct"], lambda facts: "pictures in high resolution",
    ),
}  # fmt: skip


def draft_task(
    task: str,
    source: dict[str, Any],
    out: Path,
    *,
    data: str,
    name: str,
    backbone: str | None,
    parameters: str | None,
    pretrained: bool,
) -> tuple[str, Description]:
    """Write the spec as text, with a description of its data.

    Args:
        task: One of :data:`FIRST`.
        source: Keys of ``data`` that name the set, relative to the folder of ``out``.
        out: The file for the spec.
        data: The set as the user named it.
        name: Name of the run.
        backbone: Any convolutional timm model; ``None`` chooses.
        parameters: Most parameters; ``None`` is no limit.
        pretrained: Whether to start from timm's weights.

    Raises:
        InputError: The set is malformed, or there are no such weights.
    """
    first, gpu = FIRST[task], torch.cuda.is_available()
    pictures, patch = _patches(source, out.parent) if task == "super_resolution" else ({}, None)
    source, settings, facts = _described(source, patch or 32, out.parent)
    images = facts.parts["train"].images
    taken = min(images, TRAINED) if patch else images
    size = (patch, "of a low-resolution patch") if patch else _size(facts, LONGEST_ON_GPU if gpu else LONGEST)
    parts, notes = parts_lines(facts), {"options": _NAMES} if "colours" in source.get("options", {}) else {}
    if patch:  # what was split off by pictures already is no part of its own
        split = replace(facts, parts={part: one for part, one in facts.parts.items() if part in pictures})
        parts = parts_lines(split, scored=max(SCORED / images, 1 / pictures["train"]))
    limits = [f'  constraints: {{parameters: "<= {parameters}"}}  # x: of the bare backbone'] if parameters else []
    lines = [
        *head_lines(
            name, f"--data {shlex.quote(' '.join(data.split()))} --task {task}",
            f"{images:,} training {'patches' if patch else 'images'}, {first.targets(facts)}", gpu=gpu,
        ),
        "backbone:",
        *(pair_line(key, value, why) for key, (value, why) in _backbone(first, backbone, pretrained).items()),
        "data:",
        *(pair_line(key, value, notes.get(key, "")) for key, value in source.items()),
        pair_line("image_size", *size),
        *parts,
        *([pair_line("train_limit", TRAINED, "patches, for a first look")] if taken < images else []),
        "task:",
        pair_line("type", task, ""),
        *(_ignored(facts, settings) if task == "segmentation" else []),
        *([f"  # {first.note}"] if first.note else []),
        *space_lines(first.space),
        *_proxy(task, taken, pretrained),
        *search_lines(*limits),
    ]  # fmt: skip
    return "\n".join(lines) + "\n", facts


def _described(source: dict[str, Any], size: int, folder: Path) -> tuple[dict[str, Any], DataSettings, Description]:
    """Read the set, at a small size; where masks hold values that number no classes, the keys name the values."""
    first: DataError | None = None
    for bad_files in ("fail", "skip"):
        settings = DataSettings.model_validate({"bad_files": bad_files, **source, "image_size": size}).placed(folder)
        try:
            return source, settings, describe(settings)
        except DataError as error:
            if error.where[-1:] == ("colours",) and error.value is not None:
                values = [(value, value if isinstance(value, list) else [value]) for value in error.value]
                named = source | {"options": {"colours": {"-".join(map(str, sides)): value for value, sides in values}}}
                source, settings, facts = _described(named, size, folder)
                told = (*facts.said, f"beware: the classes are called by {_NAMES}")
                return source, settings, replace(facts, said=told)
            first = first or error
    assert first is not None
    raise first  # of all files: what is wrong once bad ones are left out may be no more than what they leave


def _backbone(first: FirstSpec, model: str | None, pretrained: bool) -> dict[str, tuple[Any, str]]:
    """The backbone's keys and values with their reasons."""
    keys = dict(first.backbone)
    if model:
        keys = {"model": (model, as_asked(model))}
    if pretrained:
        refuse_without_weights(str(keys["model"][0]), "--pretrained")
        keys.pop("existing", None)  # its own attention is part of what was trained
        keys["pretrained"] = PRETRAINED
    return keys


def _proxy(task: str, images: int, pretrained: bool) -> list[str]:
    """Write how a trial is trained on so many images."""
    epochs = min(MOST, max(FEWEST, -(-LOOKS // images)))
    recipe = find(task).recipe
    return [
        "proxy:",
        pair_line("rungs", [max(1, epochs // 4), epochs], f"epochs; about {plural(images * epochs // 16, 'step')}"),
        "  # The task's own recipe: " + ", ".join(f"{key} {value}" for key, value in recipe.items()),
        "  # What suits these data: chattn-nas calibrate SPEC --recipe",
        *([pair_line("start", "identity", "training starts from the pretrained network")] if pretrained else []),
        pair_line("device", "auto", "the GPU, where there is one"),
    ]


def _ignored(facts: Description, settings: DataSettings) -> list[str]:
    """The value that masks hold beyond the named classes, if it is one, or the class called void."""
    held = np.unique(divide(settings)[0].targets["train"])
    beyond = [int(value) for value in held if len(facts.class_names) <= value < VOID]
    if len(beyond) == 1:
        return [pair_line("ignore_index", beyond[0], "masks hold it, and no class has this number")]
    void = [number for number, name in enumerate(facts.class_names) if name.lower() == VOID_NAME]
    return [pair_line("ignore_index", number, "its class is called void") for number in void[:1]]


def _size(facts: Description, longest: int) -> tuple[Any, str]:
    """A size with the most common proportions, whose sides are multiples of 8."""
    width, height, _ = facts.parts["train"].sizes[0]
    scale = min(1.0, longest / max(width, height))
    size = either([max(32, round(side * scale / 8) * 8) for side in (height, width)])
    why = f"most images are {shown([height, width])}"
    if scale < 1:
        why += "; larger ones see smaller things and cost more"
    return size if isinstance(size, int) else list(size), why


def _patches(source: Mapping[str, Any], folder: Path) -> tuple[dict[str, int], int]:
    """Number of pictures per part, and a patch size of which every picture holds at least four."""
    settings = DataSettings.model_validate(source).placed(folder)
    pictures, side = pictures_at(Path(str(settings.path)))
    return pictures, max(LEAST, min(PATCH, side // (2 * int(settings.options.get("scale", 2))) // 4 * 4))
