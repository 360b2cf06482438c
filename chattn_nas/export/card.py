"""The model card of an exported network: its origin, its score, and the preprocessing of its input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chattn_nas.plural import first_of, plural
from chattn_nas.unit import ACCURACY, Unit


@dataclass(frozen=True, kw_only=True)
class Card:
    """Facts about a network that its weights do not hold.

    Attributes:
        name: What the network is called, such as the name of the run.
        backbone: timm's name of the backbone.
        dataset: Name of the data set.
        class_names: Class names in the order of the logits; empty if the data set has none.
        multilabel: Whether an image may have several classes, each with a logit of its own.
        mean, std: Per channel, for images in [0, 1]: ``(image - mean) / std`` is the network's input.
        resize: How an image is brought to the image size: ``squash`` changes its proportions, ``crop`` takes the
            largest central part of the right proportions, ``pad`` puts the whole image on the background.
        interpolation: ``nearest``, ``bilinear`` or ``bicubic``.
        background: Colour behind transparent pixels and padding, as Pillow names colours.
        value_range: Black and white of images with more than eight bits, if the training images had them.
        accuracy: Raw mean validation score of the proxy training, 0 to 1 unless ``unit`` says otherwise; may be None.
        accuracy_se: Its standard error over the seeds; None with a single seed.
        pooled: Pooled mean and its 95 % interval, as every report shows them; None without a model.
        unit: Unit of ``accuracy``, if it is another score.
        seeds: Number of seeds behind ``accuracy``.
        confirmed: Figures of the confirmation by name; with None the card says "not confirmed".
        costs: Costs by name, such as ``{"parameters": 78042, "macs": 3200000}``.
        origin: Where the network comes from, such as "run quickstart, trial 12".
        loaded_weights: The weights that the backbone started from, in words; empty if they were random.
    """

    name: str
    backbone: str
    dataset: str = "no data set"
    class_names: tuple[str, ...] = ()
    multilabel: bool = False
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: str = "squash"
    interpolation: str = "bilinear"
    background: str = "white"
    value_range: tuple[float, float] | None = None
    accuracy: float | None = None
    accuracy_se: float | None = None
    pooled: tuple[float, float, float] | None = None
    seeds: int = 0
    confirmed: Mapping[str, Any] | None = None
    costs: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""
    loaded_weights: str = ""
    unit: Unit = ACCURACY

    @property
    def evidence(self) -> str:
        """One sentence on the evidence for the network's score."""
        if self.accuracy is None:
            return "It has not been trained: its weights are random."
        spread = (
            f" (standard error {self.unit.shown(self.accuracy_se):.{self.unit.digits}f})"
            if self.accuracy_se is not None
            else ""
        )
        count = plural(self.seeds, "seed")
        unit = self.unit
        if self.pooled is None:
            return f"Proxy validation {unit.title} {unit.text(self.accuracy)}{spread} over {count}."
        mean, low, high = map(unit.shown, self.pooled)
        return (
            f"Proxy validation {unit.title} {unit.written(mean)} (pooled mean, 95 % interval {low:.2f} to {high:.2f}; "
            f"raw mean {unit.text(self.accuracy)}{spread} over {count})."
        )


@dataclass(frozen=True)
class Facts:
    """Facts about the network that the export itself knows.

    Attributes:
        attention: The attention of every stage, in words.
        num_classes: Number of logits.
        in_chans: Channels of the input.
        image_size: (height, width) in pixels.
        versions: Package name to version.
        date: ISO date of the export.
    """

    attention: tuple[str, ...]
    num_classes: int
    in_chans: int
    image_size: tuple[int, int]
    versions: Mapping[str, str]
    date: str


def card_text(card: Card, facts: Facts, files: Mapping[str, str], use: Sequence[str]) -> str:
    """Write the model card in Markdown.

    Args:
        card: Facts from the caller.
        facts: Facts from the export.
        files: Description of each written file, by name.
        use: How to use the files, a paragraph for each format.
    """
    height, width = facts.image_size
    made = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    stages = [f"| {number} | {text} |" for number, text in enumerate(facts.attention, 1)]
    costs = [f"| {name} | {_figure(value)} |" for name, value in card.costs.items()]
    confirmed = (
        ["Retrained on new seeds:", "", "| figure | value |", "|---|---|"]
        + [f"| {name} | {_figure(value)} |" for name, value in card.confirmed.items()]
        if card.confirmed
        else ["Not confirmed: no full-length training with several seeds stands behind this network."]
    )
    names = first_of(card.class_names, 20)
    lines = [
        f"# {card.name}",
        "",
        f"`{card.backbone}` with channel attention{', from ' + card.origin if card.origin else ''}. "
        f"Written by chattn-nas on {facts.date} ({made}).",
        *(["", f"Its backbone started from {card.loaded_weights}."] if card.loaded_weights else []),
        "",
        "## Use",
        *[line for paragraph in use for line in (paragraph, "")],
        "## Attention",
        "| stage | attention |",
        "|---|---|",
        *stages,
        "",
        "## Score" if card.unit != ACCURACY else "## Accuracy",
        card.evidence,
        "",
        *confirmed,
        "",
        "## Costs",
        *(["| cost | value |", "|---|---|", *costs] if costs else ["Not measured."]),
        "",
        "## Data and preprocessing",
        f"- trained on: {card.dataset}",
        *([f"- classes: {facts.num_classes}" + (f" ({names})" if names else "")] if facts.num_classes else []),
        f"- input: {plural(facts.in_chans, 'channel')}, {height} x {width} pixels, turned as "
        f"EXIF says; {_RESIZE[card.resize]}, {card.interpolation}; transparent pixels show {card.background}",
        *([f"- more than eight bits: {card.value_range[0]:g} is black, {card.value_range[1]:g} is white"]
          if card.value_range else []),
        f"- scaled to [0, 1], then minus mean {list(card.mean)}, divided by std {list(card.std)}",
        "",
        "## Files",
        *[f"- `{name}`: {what}" for name, what in files.items()],
        "",
    ]  # fmt: skip
    return "\n".join(lines)


_RESIZE = {
    "squash": "resized whatever its proportions",
    "crop": "the largest part of these proportions in the middle is resized",
    "pad": "the whole image is resized and padded with the background",
}


def _figure(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
