"""Stages of a backbone, as a search space sees them: where attention could sit in each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from chattn_nas.attention import Blocks, Placement, Site
from chattn_nas.errors import InputError


@dataclass(frozen=True, slots=True)
class SlotShape:
    """One place for an attention module.

    Attributes:
        block: Index of its block within the stage, from 0.
        channels: C of the map there.
        feature_size: (H, W) of the map there.
    """

    block: int
    channels: int
    feature_size: tuple[int, int]

    @property
    def site(self) -> Site:
        """Channels and feature size, as attention types take them."""
        return self.channels, self.feature_size


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a backbone.

    Attributes:
        name: Name of the module, such as ``layer1``.
        kind: ``native``, ``branch`` or ``stage``: the kind of its slots.
        blocks: Number of blocks that can take attention.
        places: The slots of every placement that this stage offers, in the order of the blocks.
    """

    name: str
    kind: str
    blocks: int
    places: Mapping[Placement, tuple[SlotShape, ...]] = field(hash=False)

    def slots(self, placement: Placement = "before_add", blocks: Blocks = "all") -> tuple[SlotShape, ...]:
        """The slots that a choice takes: all, those of the last block, or of every second block (the first on).

        Raises:
            InputError: This stage does not offer the placement.
        """
        if placement not in self.places:
            raise InputError(
                f"stage {self.name} has no place {placement!r}",
                where=("placement",), value=placement, choices=self.places,
            )  # fmt: skip
        taken = {
            "all": range(self.blocks),
            "last": range(self.blocks - 1, self.blocks),
            "alternate": range(0, self.blocks, 2),
        }[blocks]
        return tuple(slot for slot in self.places[placement] if slot.block in taken)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; :meth:`from_dict` reads them back."""
        places = {
            placement: [{"block": s.block, "channels": s.channels, "feature_size": list(s.feature_size)} for s in slots]
            for placement, slots in self.places.items()
        }
        return {"name": self.name, "kind": self.kind, "blocks": self.blocks, "places": places}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Stage:
        """Read a stage from :meth:`to_dict`."""
        places = {
            placement: tuple(SlotShape(s["block"], s["channels"], tuple(s["feature_size"])) for s in slots)
            for placement, slots in data["places"].items()
        }
        return cls(data["name"], data["kind"], data["blocks"], places)


def of_one_width(slots: Iterable[SlotShape]) -> list[tuple[SlotShape, ...]]:
    """Runs of successive slots with equal channels, each of which one module of stage scope can serve."""
    return [tuple(run) for _, run in groupby(slots, key=lambda slot: slot.channels)]
