"""How the networks of a study started, and which of them had a handicap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from chattn_nas.results import words
from chattn_nas.study.record import Record

#: A ratio outside of these is a handicap (or a head start), and so is a first epoch's loss so far above none's.
FAIR, SLOW = (0.8, 1.25), 1.1


class StartRow(NamedTuple):
    """One network, in words.

    Attributes:
        name: Its label, or its stages.
        ratios: Scale of the map behind the attention, relative to the map without it, at the start; per stage.
        scales: Root mean square behind the attention before and after training, per stage.
        loss: Mean training loss of the first epoch, relative to that of none on the same seeds.
        mark: ``handicap``, ``head start``, ``slow start``, or nothing.
    """

    name: str
    ratios: str
    scales: str
    loss: str
    mark: str


def start_of(spec: Mapping[str, Any]) -> str:
    """The start in a stored spec; earlier versions had only ``backbone.identity_init``."""
    earlier = "identity" if spec.get("backbone", {}).get("identity_init") else "official"
    return str(spec.get("proxy", {}).get("start", earlier))


def starts(records: Sequence[Record], lead: str = "") -> list[StartRow]:
    """Rows of every baseline and of the network ``lead`` (a hash); empty if an earlier version stored no figures."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.trained and record.measurement is not None and record.measurement.first_epoch_loss is not None:
            groups.setdefault(record.hash, []).append(record)
    bare = next((group for group in groups.values() if any(one.label == "none" for one in group)), [])
    of_none = {one.seed: one.measurement.first_epoch_loss for one in bare if one.measurement is not None}
    shown = [
        (label, group)
        for key, group in groups.items()
        for label in [next((one.label for one in group if one.label), "")]
        if (label and label != "none") or (key == lead and label != "none")
    ]
    return [_row(label or group[0].description, group, of_none) for label, group in shown]


def _row(name: str, group: Sequence[Record], of_none: Mapping[int | None, float | None]) -> StartRow:
    measured = [one.measurement for one in group if one.measurement is not None]
    stages = list(zip(*(one.stage_scales for one in measured if one.stage_scales), strict=True))
    ratios = [fmean(scale.ratio for scale in stage) for stage in stages]
    scales = [(fmean(s.start for s in stage), fmean(s.end for s in stage)) for stage in stages]
    losses = [
        one.measurement.first_epoch_loss / below
        for one in group
        if one.measurement is not None and one.measurement.first_epoch_loss and (below := of_none.get(one.seed))
    ]
    loss = fmean(losses) if losses else None
    mark = ""
    if any(ratio < FAIR[0] for ratio in ratios):
        mark = "handicap"
    elif any(ratio > FAIR[1] for ratio in ratios):
        mark = "head start"
    elif loss is not None and loss > SLOW:
        mark = "slow start"
    return StartRow(
        name,
        ", ".join(f"{ratio:.2f}" for ratio in ratios) or words.NOT_THERE,
        ", ".join(f"{start:.2g} to {end:.2g}" for start, end in scales) or words.NOT_THERE,
        f"{loss:.2f}" if loss is not None else words.NOT_THERE,
        mark,
    )
