"""Writes a first spec for a data set: choices suit the set and the machine, each with its reason."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import yaml

from chattn_nas.data import DataSettings, describe, divide
from chattn_nas.data.description import Description, PartFacts
from chattn_nas.data.enough import LEAST_UPDATES
from chattn_nas.data.kinds import TASKS
from chattn_nas.errors import BackboneError, DataError, InputError
from chattn_nas.network import stages
from chattn_nas.network._timm import import_timm
from chattn_nas.network.constraints import Constraint
from chattn_nas.network.model import create_backbone
from chattn_nas.plural import first_of, plural
from chattn_nas.space import NONE, Backbone
from chattn_nas.spec.draft_lines import SCHEMA, pair_line, parts_lines, scalar
from chattn_nas.spec.draft_source import source_of, table_inside
from chattn_nas.spec.draft_task import draft_task
from chattn_nas.spec.plugins import look_in
from chattn_nas.spec.recipes import RECIPES, recipe_of
from chattn_nas.spec.spec import Spec

#: Images with a shorter side up to this many pixels are small: for a CIFAR network, without pretrained weights.
SMALL = 64
#: What every suggestion holds: cheap in parameters and in time (scripts/benchmarks/attention.md).
_SPACE: list[Any] = ["none", {"se": {"reduction": [4, 16]}}, {"eca": {"kernel_size": [3, 5]}}, "gct"]
#: What came nearest to a gain on small images (docs/tables.md). ``triplet`` takes 22 to 36 times as long as a bare gate
#: on a CPU, ``srm`` 4: it is for a GPU.
_SMALL: list[Any] = ["srm"]
_SMALL_ON_GPU: list[Any] = ["srm", {"triplet": {"kernel_size": [3, 7]}}]


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
    if labels is not None:
        if source["dataset"] != "csv":
            raise InputError(f"--labels {labels}: only a table (.csv, .tsv) has columns", value=labels)
        columns = [one.strip() for one in labels.split(",") if one.strip()]
        source["label_column"] = columns if len(columns) > 1 else labels
    if task == "multilabel" and source["dataset"] == "csv":
        source["multilabel"] = not isinstance(source.get("label_column"), list)
    look_in([out.parent.resolve()])  # as from the spec: a module of a backbone may lie beside it
    model = backbone or "cifar_resnet8"
    if parameters is not None:
        try:
            Constraint.parse(f"<= {parameters}")
        except InputError:
            possible = "1.02x (of the bare backbone), 300k, 2.5M"
            raise InputError(f"--params {parameters}: it is no limit; possible: {possible}") from None
    _check(_plain(name, model, {"dataset": "digits", "image_size": 32}, parameters or "1.05x"))
    if task in TASKS.values():
        if recipe is not None:
            raise InputError(f"--recipe {recipe}: recipes are for classification; {task} has its own", value=recipe)
        text, facts = draft_task(
            task, source, out, data=data, name=name, backbone=backbone, parameters=parameters,
            pretrained=bool(pretrained),
        )  # fmt: skip
        _check(parsed := yaml.safe_load(text))
        return Draft(text, (f"taken for {task}", *facts.said, *facts.warned))
    parameters = parameters or "1.05x"
    try:
        facts = describe(
            DataSettings.model_validate({"image_size": 32, "bad_files": "skip", **source}).placed(out.parent)
        )
    except DataError as error:
        if error.where[-1:] == ("label_column",):
            said = error.message.replace("data.label_column", "--labels")
            said = said if said != error.message else f"--labels: {said}"
            raise DataError(said, value=error.value, choices=error.choices, where=error.where) from None
        if source["dataset"] == "image_folder" and (meant := table_inside(data)):
            raise DataError(error.message + meant) from None
        raise
    train = facts.parts["train"]
    side = _typical_side(train)
    small = side <= SMALL
    gpu = torch.cuda.is_available()
    model = backbone or (("cifar_resnet20" if gpu else "cifar_resnet8") if small else "resnet18")
    import_timm()
    weights = timm.models.is_model_pretrained(model)
    if (pretrained or recipe == "finetune") and not weights:
        flag = "--recipe finetune" if recipe == "finetune" else "--pretrained"
        raise InputError(f"{flag}: timm has no pretrained weights for {model}", value=recipe)
    if pretrained is None:
        pretrained = weights and (not small or recipe == "finetune")
    elif recipe == "finetune" and not pretrained:
        raise InputError("--recipe finetune starts from the weights that --no-pretrained forbids: which is it?")
    chosen = recipe or ("finetune" if pretrained else "adamw" if _has_layer_norm(model) else "plain")
    size, size_why = _size(side, small, gpu)
    least = _least(model, size)
    if least > size:
        size, size_why = least, f"the images' shorter side is {side} px; {model} takes none smaller than {least} px"
    types = [one for one in _space(small, gpu) if one == NONE or _possible(one, name, model, size, parameters)]
    known = 1 - 0.2 * ("validation" not in facts.parts) - 0.2 * ("test" not in facts.parts)
    images = round(known * train.images)
    batch = min(128 if small else 32, 2 ** max(4, (images // 16).bit_length() - 1))

    steps = max(1, images // batch)
    classes = "labels, several per image" if facts.multilabel else "classes"
    lines = [
        f"# yaml-language-server: $schema={SCHEMA}",
        f"# Written by: chattn-nas init --data {shlex.quote(' '.join(data.split()))}"
        + (f" --labels {shlex.quote(' '.join(labels.split()))}" if labels else ""),
        f"# {train.images:,} training images, {len(facts.class_names)} {classes}, "
        f"{plural(facts.channels, 'channel')}; {'a GPU' if gpu else 'no GPU'} here. Nothing below is tuned.",
        "# What it holds and costs: chattn-nas space SPEC. What the data are: chattn-nas data SPEC.",
        f"name: {scalar(name)}",
        "backbone:",
        pair_line("model", model, _model_why(backbone, small, gpu)),
    ]
    if pretrained:
        lines += [
            pair_line("pretrained", True, "timm's weights, downloaded at the first trial; or a file: weights: FILE"),
            pair_line("layer_decay", 0.7, "earlier stages, whose filters are general, learn more slowly"),
        ]
    lines += ["data:", *(pair_line(key, value, "") for key, value in source.items())]
    lines.append(pair_line("image_size", size, size_why))
    lines += [pair_line(key, value, why) for key, (value, why) in recipe_of(chosen).data.items()]
    lines += _parts(facts)
    lines += [
        *(["task: {type: multilabel}"] if task == "multilabel" else []),
        "space:",
        *_space_why(small),
        "  all:                          # in every stage; a stage's number (1, 2, ...) overrides it there",
        *(f"    - {scalar(one)}" for one in types),
        "    # more types: chattn-nas attentions",
        "proxy:",
        pair_line("rungs", *_rungs(steps, pretrained)),
        pair_line("batch_size", batch, f"about {steps:,} steps per epoch of {images:,} images"),
        pair_line("device", "auto", "the GPU, where there is one"),
    ]
    lines += _recipe(chosen, pretrained, without=("mixup", "cutmix") if facts.multilabel else ())
    lines += [
        "search:",
        pair_line("trials", 24, "a first look; the same search goes on with --trials 48"),
        pair_line("objectives", ["accuracy"], "also parameters, macs, latency: then it searches for trade-offs"),
        f'  constraints: {{parameters: "<= {parameters}"}}  # x: of the backbone without attention',
        pair_line("seed", 0, "of the search; trials with one seed share weights and batches"),
    ]
    text = "\n".join(lines) + "\n"
    _check(parsed := yaml.safe_load(text))
    divide(
        DataSettings.model_validate(parsed["data"] | {"image_size": 32, "bad_files": "skip"}).placed(out.parent)
    )  # read already
    return Draft(text, (_held(train, facts.class_names, classes), *facts.said, *facts.warned))


def _held(train: PartFacts, names: Sequence[str], what: str) -> str:
    """Describe the data set in one sentence."""
    return f"{train.images:,} training images of {len(names)} {what}: {first_of(names, 8)}"


def _recipe(name: str, pretrained: bool, without: tuple[str, ...]) -> list[str]:
    """Write the recipe key by key, ``without`` what the data forbid, and the other recipes as comments."""
    settings = {key: entry for key, entry in recipe_of(name).proxy.items() if key not in without}
    if pretrained:
        settings["start"] = RECIPES["finetune"].proxy["start"]
    others = [f"  #   {other}: {recipe.what}" for other, recipe in RECIPES.items() if other != name]
    return [
        f"  # recipe {name}: {recipe_of(name).what}",
        *(pair_line(key, value, why) for key, (value, why) in settings.items()),
        "  # What attention is worth hangs on the recipe: search with that of your final training. There are also",
        "  # (chattn-nas init --recipe NAME)",
        *others,
    ]


def _rungs(steps: int, pretrained: bool) -> tuple[list[int], str]:
    """Choose the epochs of a trial, with the reason: enough updates that networks differ by what they learn."""
    first, last = (1, 3) if pretrained else (4, 16)
    if (enough := -(-LEAST_UPDATES // steps)) > last:
        return [max(first, enough // 4), enough], f"epochs: in fewer than {LEAST_UPDATES} updates networks hardly learn"
    why = (
        "fine-tuning needs few" if pretrained else "which length ranks as full training does: chattn-nas calibrate SPEC"
    )
    return [first, last], f"epochs; {why}"


def _has_layer_norm(model: str) -> bool:
    """Whether plain SGD can hardly train a backbone in a short time."""
    network = create_backbone(Backbone(model), num_classes=10, in_chans=3, device="meta")
    return any(isinstance(module, torch.nn.LayerNorm) for module in network.modules())


def _plain(name: str, model: str, data: dict[str, Any], parameters: str) -> dict[str, Any]:
    limits = {"constraints": {"parameters": f"<= {parameters}"}}
    return {"name": name, "backbone": {"model": model}, "data": data, "space": {"all": _SPACE}, "search": limits}


def _space(small: bool, gpu: bool) -> list[Any]:
    """The types worth trying first with this backbone on this device."""
    return [*_SPACE, *((_SMALL_ON_GPU if gpu else _SMALL) if small else [])]


def _possible(entry: Any, name: str, model: str, size: int, parameters: str) -> bool:
    """Whether a type can sit in every stage of this backbone: some need more than one pixel."""
    spec = _plain(name, model, {"dataset": "digits", "image_size": size}, parameters) | {
        "space": {"all": [NONE, entry]}
    }
    try:
        Spec.model_validate(spec).search_space()
    except InputError:
        return False
    return True


def _space_why(small: bool) -> list[str]:
    """Comments on these attentions, from real trainings."""
    if small:
        return [
            "  # In our table of small images srm and triplet came nearest to a gain, in the last stage; one learned",
            "  # factor per channel, which is in every race, took a third of it; mixed types gained nothing over one.",
        ]
    return [
        "  # In our table of photos no attention gained anything, and eca lost: expect that none may be best, and take",
        "  # only what a confirmed verdict shows to be better here.",
    ]


def _check(data: dict[str, Any]) -> None:
    """Refuse what a search would refuse, with the name of the flag that asked for it."""
    flags = {"name": "--name", "backbone": "--backbone", "search": "--params"}
    try:
        Spec.model_validate(data).search_space()
    except InputError as error:
        if error.where and (flag := flags.get(str(error.where[0]))):
            value = None if isinstance(error.value, dict) else error.value  # of the spec, which nobody wrote
            raise InputError(f"{flag}: {error.message}", value=value, choices=error.choices) from None
        raise


def _typical_side(part: PartFacts) -> int:
    """The median of the shorter sides, in pixels."""
    sides = sorted((min(width, height), images) for width, height, images in part.sizes)
    half = sum(images for _, images in sides) / 2
    for side, images in sides:
        half -= images
        if half <= 0:
            return side
    return 32


def _size(side: int, small: bool, gpu: bool) -> tuple[int, str]:
    """Choose height and width to train at, with the reason."""
    if small:
        size = max(16, -(-side // 8) * 8)
        return size, f"the images' own {side} px" + (", made to divide by 8, at least 16" if size != side else "")
    most = 224 if gpu else 128
    if side >= most:
        more = (
            "what most timm weights were trained at" if gpu else "224 px would cost three times as much, without a GPU"
        )
        return most, f"the images' shorter side is {side} px; {more}"
    return side // 32 * 32, f"the images' shorter side is {side} px; a multiple of the backbone's stride"


def _least(model: str, size: int) -> int:
    """The size, doubled until the backbone's maps do not vanish."""
    for tried in (size, 2 * size, 4 * size, 8 * size):
        with suppress(BackboneError):
            stages(Backbone(model), image_size=tried)
            return tried
    return size


def _model_why(requested: str | None, small: bool, gpu: bool) -> str:
    if requested:
        return "as asked; where attention goes in it: chattn-nas backbones " + requested
    if small:
        return f"small images; {'a GPU' if gpu else 'no GPU'} here; any timm model: chattn-nas backbones"
    return "a common network with pretrained weights; any timm model: chattn-nas backbones"


def _parts(facts: Description) -> list[str]:
    """Write how the set is split, and how it is scored."""
    lines = parts_lines(facts)
    counts = facts.parts["train"].counts
    if counts and not facts.multilabel and max(counts) > 3 * max(1, min(counts)):
        why = f"classes have {min(counts):,} to {max(counts):,} images: all shall count the same"
        lines.append(pair_line("metric", "balanced_accuracy", why))
    return lines
