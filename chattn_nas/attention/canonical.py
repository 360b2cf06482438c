"""Canonical forms that several attention types share; for their registration only, never inside a module."""

from __future__ import annotations

from collections.abc import Sequence

from chattn_nas.attention.registry import Site, Values


def largest_reduction(values: Values, sites: Sequence[Site]) -> Values:
    """The largest ``reduction`` that gives the same hidden width ``max(1, channels // reduction)`` at all sites."""
    reduction = values["reduction"]
    # A site with fewer channels than the reduction has hidden width 1 and keeps it for every larger reduction.
    bounds = [channels // (channels // reduction) for channels, _ in sites if channels >= reduction]
    return {**values, "reduction": min(bounds) if bounds else max(channels for channels, _ in sites)}
