"""Every registered type in one table, and a page of documentation about ours.

python -m chattn_nas.attention.overview > docs/attentions.md
"""

from __future__ import annotations

import sys
import textwrap
from typing import Any

from chattn_nas.attention import registry
from chattn_nas.attention.attention_type import AttentionType, Size

#: The map for which the page gives costs.
SITES: tuple[tuple[int, Size], ...] = ((64, (56, 56)), (256, (14, 14)), (512, (7, 7)))


def row(kind: AttentionType, channels: int, feature_size: Size) -> dict[str, Any]:
    """Describe a type, with its costs at default settings on maps (B, ``channels``, H, W).

    ``problem`` says why it cannot sit there; its costs are ``None`` then.
    """
    values = kind.defaults
    problem = kind.why_not(channels, feature_size, values)
    return {
        "type": kind.name,
        "year": kind.year or None,
        "looks_at": kind.looks_at,
        "settings": settings(kind),
        "parameters": None if problem else kind.parameters(channels, feature_size, values),
        "macs": None if problem else kind.macs(channels, feature_size, values),
        "place": place(kind),
        "title": kind.title,
        "paper": kind.paper,
        "problem": problem,
    }


def settings(kind: AttentionType) -> str:
    """Every setting with the values that ``search`` tries, default first."""
    return "; ".join(
        f"{name}: {', '.join(_word(value) for value in domain.values)}" for name, domain in kind.hyperparameters.items()
    )


def _word(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def place(kind: AttentionType) -> str:
    """The type's default place, such as ``after_add, last``."""
    return kind.placement + ("" if kind.blocks == "all" else f", {kind.blocks}")


def needs(kind: AttentionType) -> list[str]:
    """The type's requirements, in words."""
    return [
        words
        for given, words in (
            (kind.minimal_channels > 1, f"at least {kind.minimal_channels} channels"),
            (kind.needs_batch, "more than one sample in training"),
            (kind.needs_map, "a map larger than 1x1"),
            (kind.needs_feature_size, "the map's size when it is built"),
            (kind.needs_num_classes, "the number of classes"),
            (kind.scope == "stage", "one module for the blocks of a stage"),
        )
        if given
    ]


def documentation(kind: AttentionType) -> str:
    """The docstring of the file that defines the type: the equation, then the facts."""
    return (sys.modules[kind.cls.__module__].__doc__ or "").strip()


def is_ours(kind: AttentionType) -> bool:
    """Whether this package defines the type, without timm's layers and plug-ins."""
    return kind.cls.__module__.startswith(f"{__package__}.") and not kind.name.startswith("timm/")


def page() -> str:
    """Write the documentation page of our own types, in Markdown."""
    kinds = [registry.get(name) for name in registry.names()]
    ours = [kind for kind in kinds if is_ours(kind)]
    theirs = [kind for kind in kinds if kind.name.startswith("timm/")]
    sizes = [f"{channels}x{height}x{width}" for channels, (height, width) in SITES]
    lines = [
        "# The attentions",
        "",
        "<!-- Generated: python -m chattn_nas.attention.overview > docs/attentions.md -->",
        "",
        *textwrap.wrap(
            "Every type that this package defines, with the equation, the settings that `search` tries (default first) "
            "and the costs of the defaults. `chattn-nas attentions` prints the same for any map, for timm's layers "
            "and for installed plug-ins too. MACs are those of convolutions and matrix products, as torch counts them; "
            "what a type does value by value costs time and memory that grow with the map, whatever its MACs: "
            "measured times stand in `scripts/benchmarks/attention.md`.",
            118,
            break_on_hyphens=False,
        ),
        "",
        "| type | year | looks at | " + " | ".join(f"parameters, MACs at {size}" for size in sizes) + " |",
        "|---|---|---|" + "---|" * len(sizes),
    ]
    for kind in ours:
        cells = [_cost(row(kind, *site)) for site in SITES]
        lines.append(f"| [`{kind.name}`](#{kind.name}) | {kind.year or ''} | {kind.looks_at} | {' | '.join(cells)} |")
    lines += [
        "",
        *textwrap.wrap(
            "Not here: ELA (arXiv:2403.01123), whose authors published no code; its copies differ from each other, so "
            "what bears that name, `timm/ela` too, is one of several readings.",
            118,
            break_on_hyphens=False,
        ),
    ]
    for kind in ours:
        lines += ["", f"## {kind.name}", "", *_section(kind)]
    lines += [
        "",
        "## timm's layers",
        "",
        "timm's own modules with timm's defaults, unchanged:",
        "",
        *(f"* `{kind.name}`: {kind.title} ({kind.year}), looks at {kind.looks_at}" for kind in theirs),
    ]
    return "\n".join(lines) + "\n"


def _cost(facts: dict[str, Any]) -> str:
    return "cannot sit there" if facts["problem"] else f"{facts['parameters']:,}, {facts['macs']:,}"


def _section(kind: AttentionType) -> list[str]:
    lines = [part for paragraph in documentation(kind).split("\n\n") for part in (*_paragraph(paragraph), "")]
    facts = {
        "Settings": settings(kind),
        "Default place": f"`{place(kind)}`" if kind.name != "none" else "",
        "Needs": "; ".join(needs(kind)),
        "Paper": f"[{kind.paper}](https://arxiv.org/abs/{kind.paper.partition(':')[2]})"
        if kind.paper.startswith("arXiv:")
        else kind.paper,
    }
    return [*lines, *(f"* {name}: {text}" for name, text in facts.items() if text)]


def _paragraph(text: str) -> list[str]:
    if text.startswith("    "):
        return ["```text", *textwrap.dedent(text).splitlines(), "```"]
    return [line.replace("``", "`").replace(":mod:`.", "`") for line in text.splitlines()]


if __name__ == "__main__":
    print(page(), end="")
