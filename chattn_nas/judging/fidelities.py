"""Fidelities: cheaper ways to train the networks of a spec, with fewer epochs, pixels, channels or images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from chattn_nas.arguments import at_least, checked
from chattn_nas.errors import InputError
from chattn_nas.image_size import ImageSize, either, pair, pixels, shown
from chattn_nas.proxy.settings import Start
from chattn_nas.results import words
from chattn_nas.spec import Spec
from chattn_nas.spec.recipes import recipe_of, whole

#: A narrower or smaller candidate below these is not proposed by itself.
LEAST_SIZE, LEAST_WIDTH = 8, 4
#: The spec's own recipe, among others.
OWN = "own"


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """How a network is trained.

    Attributes:
        rungs: Epochs.
        image_size: In pixels, or (height, width).
        width: The backbone's option of that name; ``None`` where the spec sets none.
        images: Training images.
        start: How attention starts.
        recipe: Name of one of :data:`~chattn_nas.spec.recipes.RECIPES`, in place of the spec's own ("").
    """

    rungs: tuple[int, ...]
    image_size: ImageSize
    width: int | None
    images: int
    start: Start = "unit"
    recipe: str = ""

    @property
    def name(self) -> str:
        """A short name, used for folders and studies."""
        width = "" if self.width is None else f"-width{self.width}"
        start = "" if self.start == "unit" else f"-{self.start}"
        size = shown(self.image_size).removesuffix(" px")
        recipe = f"-{self.recipe}" if self.recipe else ""
        return f"epochs{self.rungs[-1]}-px{size}{width}-images{self.images}{start}{recipe}"

    def __str__(self) -> str:
        width = "" if self.width is None else f"width {self.width}, "
        length = words.plural(self.rungs[-1], "epoch")
        recipe = f", recipe {self.recipe}" if self.recipe else ""
        size = shown(self.image_size)
        return f"{length}, {size}, {width}{self.images:,} images, {self.start} start{recipe}"

    def work(self, other: Fidelity) -> float:
        """The amount of computation as a multiple of ``other``: an estimate until it has been measured."""
        width = 1.0 if self.width is None or other.width is None else (self.width / other.width) ** 2
        area = pixels(self.image_size) / pixels(other.image_size)
        return self.rungs[-1] / other.rungs[-1] * self.images / other.images * area * width

    def applied(self, spec: Spec) -> Spec:
        """Return the spec at this fidelity."""
        options = spec.backbone.options | ({} if self.width is None else {"width": self.width})
        own = whole(self.recipe) if self.recipe else {}
        data = own.get("data", {}) | {"image_size": self.image_size, "train_limit": self.images}
        proxy = own.get("proxy", {}) | {"rungs": list(self.rungs), "start": self.start}
        return spec.model_copy(
            update={
                "backbone": spec.backbone.model_copy(update={"options": options}),
                "data": spec.data.model_copy(update=data),
                "proxy": spec.proxy.model_copy(update=proxy),
            }
        )

    def spec_lines(self, spec: Fidelity) -> dict[str, Any]:
        """Return the keys in which this differs from the fidelity ``spec``, nested as in a spec."""
        lines: dict[str, Any] = {}
        if self.width != spec.width:
            lines["backbone"] = {"options": {"width": self.width}}
        size = self.image_size if isinstance(self.image_size, int) else list(self.image_size)
        data: dict[str, Any] = {"image_size": size} if self.image_size != spec.image_size else {}
        data |= {"train_limit": self.images} if self.images != spec.images else {}
        if data:
            lines["data"] = data
        proxy: dict[str, Any] = {"rungs": list(self.rungs)} if self.rungs != spec.rungs else {}
        proxy |= {"start": self.start} if self.start != spec.start else {}
        if proxy:
            lines["proxy"] = proxy
        for section, keys in whole(self.recipe).items() if self.recipe else ():
            lines[section] = keys | lines.get(section, {})
        return lines


@checked
def of_spec(spec: Spec, images: int) -> Fidelity:
    """Return the spec's own fidelity; ``images`` is the number of training images.

    Raises:
        InputError: No images.
    """
    at_least(1, "images", images)
    return Fidelity(
        rungs=tuple(spec.proxy.rungs), image_size=spec.data.image_size, width=spec.backbone.options.get("width"),
        images=images, start=spec.proxy.start,
    )  # fmt: skip


@checked
def candidates(
    spec: Fidelity,
    *,
    epochs: Sequence[int] = (),
    image_sizes: Sequence[ImageSize] = (),
    widths: Sequence[int] = (),
    data: Sequence[float] = (),
    starts: Sequence[Start] = (),
    recipes: Sequence[str] = (),
) -> list[Fidelity]:
    """Return the fidelities to try, cheapest first.

    If any list is given: every combination, with the spec's own value for a list that is missing. Otherwise the spec's
    own fidelity, and that with half and a quarter of the epochs, half the image size, half the width, half the images.

    Raises:
        InputError: A value that is not possible.
    """
    sides = [side for size in image_sizes for side in pair(size)]
    for name, values in (("epochs", epochs), ("an image size", sides), ("a width", widths)):
        at_least(1, name, *values)
    for part in data:
        if not 0 < part <= 1:
            raise InputError(f"a part of the data must be above 0 and at most 1, not {part:g}", value=part)
    for start in starts:
        if start not in get_args(Start):
            raise InputError(f"there is no start {start!r}", value=start, choices=get_args(Start))
    for recipe in recipes:
        if recipe != OWN:
            recipe_of(recipe)
    if epochs or image_sizes or widths or data or starts or recipes:
        wide: Sequence[int | None] = widths or [spec.width]
        begun: Sequence[Start | None] = starts or [None]
        fidelities = [
            replace(
                shortened(spec, e),
                image_size=s,
                width=w,
                images=max(2, round(spec.images * part)),
                start=start or _start(recipe, spec),
                recipe="" if recipe == OWN else recipe,
            )
            for e, s, w, part, start, recipe in itertools.product(
                epochs or spec.rungs[-1:],
                image_sizes or [spec.image_size],
                wide,
                data or [1.0],
                begun,
                recipes or [OWN],
            )
        ]
    else:
        fidelities = [spec, *(shortened(spec, spec.rungs[-1] // part) for part in (2, 4) if spec.rungs[-1] >= part)]
        half = [side // 2 for side in pair(spec.image_size)]
        if min(half) >= LEAST_SIZE:
            fidelities.append(replace(spec, image_size=either(half)))
        if spec.width is not None and spec.width // 2 >= LEAST_WIDTH:
            fidelities.append(replace(spec, width=spec.width // 2))
        fidelities.append(replace(spec, images=spec.images // 2))
    return sorted(dict.fromkeys(fidelities), key=lambda one: one.work(spec))


def _start(recipe: str, spec: Fidelity) -> Start:
    """Return the recipe's start if it names one, else the spec's."""
    if recipe == OWN or "start" not in (values := recipe_of(recipe).proxy):
        return spec.start
    start: Start = values["start"][0]
    return start


def shortened(spec: Fidelity, epochs: int) -> Fidelity:
    """Return a fidelity of another length: the rungs below it, then the length itself."""
    return replace(spec, rungs=(*(rung for rung in spec.rungs if rung < epochs), epochs))
