"""Writes a first spec for classification, with one label per image or several."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from chattn_nas.data import DataSettings, describe
from chattn_nas.data.description import Description, PartFacts
from chattn_nas.data.enough import LEAST_UPDATES
from chattn_nas.errors import BackboneError, DataError, InputError
from chattn_nas.network import stages
from chattn_nas.network._timm import has_weights, import_timm
from chattn_nas.network.model import create_backbone
from chattn_nas.plural import first_of, plural
from chattn_nas.space import NONE, Backbone
from chattn_nas.spec.draft_backbone import PRETRAINED, as_asked, refuse_without_weights
from chattn_nas.spec.draft_lines import SPACE, head_lines, pair_line, parts_lines, search_lines, space_lines
from chattn_nas.spec.draft_plain import possible
from chattn_nas.spec.draft_source import table_inside
from chattn_nas.spec.recipes import RECIPES, recipe_of

#: Images with a shorter side up to this many pixels are small: for a CIFAR network, without pretrained weights.
SMALL = 64
#: The network for small images without a GPU, and with one; that for larger images.
SMALLEST, SMALL_ON_GPU, COMMON = "cifar_resnet8", "cifar_resnet20", "resnet18"
#: Most parameters, unless the user says otherwise.
DEFAULT_LIMIT = "1.05x"
#: What came nearest to a gain on small images (docs/tables.md). ``triplet`` takes 22 to 36 times as long as a bare gate
#: on a CPU, ``srm`` 4: it is for a GPU.
_SMALL: list[Any] = ["srm"]
_SMALL_ON_GPU: list[Any] = ["srm", {"triplet": {"kernel_size": [3, 7]}}]


_PRETRAINED_LINES = (
    pair_line("pretrained", *PRETRAINED),
    pair_line("layer_decay", 0.7, "earlier stages, whose filters are general, learn more slowly"),
)


def draft_classes(
    task: str,
    source: dict[str, Any],
    out: Path,
    *,
    data: str,
    labels: str | None,
    name: str,
    backbone: str | None,
    parameters: str,
    recipe: str | None,
    pretrained: bool | None,
) -> tuple[str, Description, str]:
    """Write the spec as text, with a description of its data and a sentence on what they are.

    Args:
        task: ``classification`` or ``multilabel``.
        source: Keys of ``data`` that name the set, relative to the folder of ``out``.
        out: The file for the spec.
        data: The set as the user named it.
        labels: The columns with labels, as the user named them.
        name: Name of the run.
        backbone: Any convolutional timm model; ``None`` chooses.
        parameters: Most parameters.
        recipe: A name of :data:`~chattn_nas.spec.recipes.RECIPES`; ``None`` chooses by the backbone.
        pretrained: Whether to start from timm's weights; ``None`` takes them for photos if there are any.

    Raises:
        InputError: The set is malformed, or there are no such weights.
    """
    facts = _described(data, source, out.parent)
    train = facts.parts["train"]
    side, gpu = _typical_side(train), torch.cuda.is_available()
    small = side <= SMALL
    model = backbone or ((SMALL_ON_GPU if gpu else SMALLEST) if small else COMMON)
    pretrained = _starts_pretrained(model, small, recipe, pretrained)
    recipe = recipe or ("finetune" if pretrained else "adamw" if _has_layer_norm(model) else "plain")
    size, size_why = _size(side, small, gpu, model)
    types = [one for one in _space(small, gpu) if one == NONE or possible(one, name, model, size, parameters)]
    classes = "labels, several per image" if facts.multilabel else "classes"
    options = f"--data {shlex.quote(' '.join(data.split()))}"
    if labels:
        options += f" --labels {shlex.quote(' '.join(labels.split()))}"
    lines = [
        *head_lines(
            name, options,
            f"{train.images:,} training images, {len(facts.class_names)} {classes}, "
            f"{plural(facts.channels, 'channel')}", gpu=gpu,
        ),
        "backbone:",
        pair_line("model", model, _model_why(backbone, small, gpu)),
        *(_PRETRAINED_LINES if pretrained else []),
        "data:",
        *(pair_line(key, value, "") for key, value in source.items()),
        pair_line("image_size", size, size_why),
        *(pair_line(key, value, why) for key, (value, why) in recipe_of(recipe).data.items()),
        *_parts(facts),
        *(["task: {type: multilabel}"] if task == "multilabel" else []),
        *space_lines(types, _space_why(small)),
        *_length(facts, small, pretrained),
        *_recipe(recipe, pretrained, without=("mixup", "cutmix") if facts.multilabel else ()),
        *search_lines(
            pair_line("objectives", ["accuracy"], "also parameters, macs, latency: then it searches for trade-offs"),
            f'  constraints: {{parameters: "<= {parameters}"}}  # x: of the backbone without attention',
        ),
    ]  # fmt: skip
    return (
        "\n".join(lines) + "\n",
        facts,
        f"{train.images:,} training images of {len(facts.class_names)} {classes}: {first_of(facts.class_names, 8)}",
    )


def _described(data: str, source: dict[str, Any], folder: Path) -> Description:
    """Read the set, at a small size."""
    try:
        settings = DataSettings.model_validate({"image_size": 32, "bad_files": "skip", **source})
        return describe(settings.placed(folder))
    except DataError as error:
        if error.where[-1:] == ("label_column",):
            said = error.message.replace("data.label_column", "--labels")
            said = said if said != error.message else f"--labels: {said}"
            raise DataError(said, value=error.value, choices=error.choices, where=error.where) from None
        if source["dataset"] == "image_folder" and (meant := table_inside(data)):
            raise DataError(error.message + meant) from None
        raise


def _starts_pretrained(model: str, small: bool, recipe: str | None, asked: bool | None) -> bool:
    """Whether the network starts from timm's weights: as asked, or for photos if there are any."""
    finetune = recipe == "finetune"
    if asked or finetune:
        refuse_without_weights(model, "--recipe finetune" if finetune else "--pretrained")
    if asked is None:
        import_timm()
        return has_weights(model) and (not small or finetune)
    if finetune and not asked:
        raise InputError("--recipe finetune starts from the weights that --no-pretrained forbids: which is it?")
    return asked


def _has_layer_norm(model: str) -> bool:
    """Whether plain SGD can hardly train a backbone in a short time."""
    network = create_backbone(Backbone(model), num_classes=10, in_chans=3, device="meta")
    return any(isinstance(module, torch.nn.LayerNorm) for module in network.modules())


def _typical_side(part: PartFacts) -> int:
    """The median of the shorter sides, in pixels."""
    sides = sorted((min(width, height), images) for width, height, images in part.sizes)
    half = sum(images for _, images in sides) / 2
    for side, images in sides:
        half -= images
        if half <= 0:
            return side
    return 32


def _size(side: int, small: bool, gpu: bool, model: str) -> tuple[int, str]:
    """Choose height and width to train at, with the reason."""
    size, why = _size_by_images(side, small, gpu)
    least = _least(model, size)
    if least > size:
        return least, f"the images' shorter side is {side} px; {model} takes none smaller than {least} px"
    return size, why


def _size_by_images(side: int, small: bool, gpu: bool) -> tuple[int, str]:
    """A size that suits the images and the machine, with the reason."""
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


def _space(small: bool, gpu: bool) -> list[Any]:
    """The types worth trying first with this backbone on this device."""
    return [*SPACE, *((_SMALL_ON_GPU if gpu else _SMALL) if small else [])]


def _model_why(requested: str | None, small: bool, gpu: bool) -> str:
    if requested:
        return as_asked(requested)
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


def _space_why(small: bool) -> list[str]:
    """Comments on these attentions, from real trainings."""
    if small:
        return [
            "  # In our table of small images srm and triplet came nearest to a gain, in the last stage; one learned",
            "  # factor per channel, which is in every race, had a third of it; mixed types are not shown to beat one.",
        ]
    return [
        "  # In our table of photos no attention is shown to gain, and each mean lies below none: so none may be",
        "  # best, and only what a confirmed verdict shows to be better here is worth taking.",
    ]


def _length(facts: Description, small: bool, pretrained: bool) -> list[str]:
    """Write how long a trial trains, in batches of which size, and where."""
    known = 1 - 0.2 * ("validation" not in facts.parts) - 0.2 * ("test" not in facts.parts)
    images = round(known * facts.parts["train"].images)
    batch = min(128 if small else 32, 2 ** max(4, (images // 16).bit_length() - 1))
    steps = max(1, images // batch)
    return [
        "proxy:",
        pair_line("rungs", *_rungs(steps, pretrained)),
        pair_line("batch_size", batch, f"about {plural(steps, 'step')} per epoch of {plural(images, 'image')}"),
        pair_line("device", "auto", "the GPU, where there is one"),
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
