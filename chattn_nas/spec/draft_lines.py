"""Lines of a first spec: a key, its value, and the reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from chattn_nas.data.description import Description

SCHEMA = Path(__file__).with_name("schema.json")
#: Worth a first look everywhere: cheap in parameters and in time (scripts/benchmarks/attention.md).
SPACE: list[Any] = ["none", {"se": {"reduction": [4, 16]}}, {"eca": {"kernel_size": [3, 5]}}, "gct"]


def scalar(value: Any) -> str:
    """Write a value in one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).splitlines()[0]


def pair_line(key: str, value: Any, why: str) -> str:
    """Write a key of a section, with its comment if there is one."""
    line = f"  {key}: {scalar(value)}"
    return f"{line:<31} # {why}" if why else line


def head_lines(name: str, options: str, contents: str, *, gpu: bool) -> list[str]:
    """Write the first lines: where the spec comes from, and the run's name.

    Args:
        name: Name of the run.
        options: Options of ``init`` that say what the data are.
        contents: The training set in words.
        gpu: Whether this machine has one.
    """
    return [
        f"# yaml-language-server: $schema={SCHEMA}",
        f"# Written by chattn-nas init, for {options}",
        f"# {contents}; {'a GPU' if gpu else 'no GPU'} here. Nothing below is tuned.",
        "# What it holds and costs: chattn-nas space SPEC. What the data are: chattn-nas data SPEC.",
        f"name: {scalar(name)}",
    ]


def space_lines(types: Sequence[Any], why: Sequence[str] = ()) -> list[str]:
    """Write the types of attention to choose from in every stage."""
    return [
        "space:",
        *why,
        "  all:                          # in every stage; a stage's number (1, 2, ...) overrides it there",
        *(f"    - {scalar(one)}" for one in types),
        "    # more types: chattn-nas attentions",
    ]


def search_lines(*limits: str) -> list[str]:
    """Write the section of the search, with ``limits`` as its lines in the middle."""
    return [
        "search:",
        pair_line("trials", 24, "a first look; the same search goes on with --trials 48"),
        *limits,
        pair_line("seed", 0, "of the search; trials with one seed share weights and batches"),
    ]


def parts_lines(facts: Description, *, scored: float | None = None) -> list[str]:
    """Write how the set is split.

    Args:
        facts: Description of the data.
        scored: Share of the training images that suffices for scoring; ``None`` takes a fifth.
    """
    share = 0.2 if scored is None else min(0.2, -(-scored // 0.001) / 1000)  # rounded up
    lines = []
    if bad := sum(len(part.bad) for part in facts.parts.values()):
        lines.append(pair_line("bad_files", "skip", f"{bad} cannot be read and {'is' if bad == 1 else 'are'} left out"))
    if "validation" in facts.parts:
        lines.append(
            f"  # the search is scored on the {facts.parts['validation'].images:,} validation images of the set"
        )
    else:
        why = "of the training images, to score the search on: the set has no such part"
        lines.append(pair_line("validation", share, why))
    if "test" in facts.parts:
        lines.append(f"  # its {facts.parts['test'].images:,} test images are for the last word; no search sees them")
    else:
        why = "of the training images, for the last word: the set has no test part"
        lines.append(pair_line("test", share, why))
    return lines
