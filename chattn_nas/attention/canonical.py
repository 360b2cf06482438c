"""Canonical forms that several attention types share; used for registration only, never inside a module."""

from __future__ import annotations

from collections.abc import Sequence

from chattn_nas.attention.attention_type import Site, Values


def largest_reduction(values: Values, sites: Sequence[Site]) -> Values:
    """The largest ``reduction`` that gives the same hidden width ``max(1, channels // reduction)`` at all sites."""
    widths = [(channels, channels // values["reduction"]) for channels, _ in sites]
    # Width 1 is kept by every larger reduction, so only wider sites bound it.
    bounds = [channels // width for channels, width in widths if width > 1]
    return {**values, "reduction": min(bounds) if bounds else max(channels for channels, _ in widths)}
