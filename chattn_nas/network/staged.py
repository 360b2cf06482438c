"""timm's interface for a model of a stem and stages, one after another."""

from __future__ import annotations

from typing import Any

from timm.layers import create_classifier
from torch import Tensor, nn


class StagedNet(nn.Module):
    """Base of our own models, (B, in_chans, H, W) to (B, num_classes).

    A subclass makes stem and stages, implements :meth:`stem_map`, sets ``stage_names``, and calls :meth:`add_head`.

    Attributes:
        stage_names: Names of the stages, in order.
        drop_rate: Rate of the dropout before the classifier.
    """

    stage_names: tuple[str, ...]
    drop_rate: float

    def add_head(self, features: int, num_classes: int, global_pool: str, **place: Any) -> None:
        """Make the classifier behind the last map."""
        self.num_classes, self.num_features, self.head_hidden_size = num_classes, features, features
        self.global_pool, self.fc = create_classifier(features, num_classes, pool_type=global_pool, **place)

    def stem_map(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) to the input of the first stage."""
        raise NotImplementedError

    def get_classifier(self) -> nn.Module:
        """Return the last layer, as timm's interface wants it."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str = "avg") -> None:
        """Replace the last layer, for another number of classes."""
        self.num_classes = num_classes
        self.global_pool, self.fc = create_classifier(self.num_features, num_classes, pool_type=global_pool)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) to the last map."""
        x = self.stem_map(x)
        for name in self.stage_names:
            x = getattr(self, name)(x)
        return x

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The outputs of stem (0) and stages (from 1), as timm's models give them.

        Args:
            x: Images (B, in_chans, H, W).
            indices: Indices of the maps; a number takes the last n; all by default.
            norm: Without effect, since there is no norm behind a stage.
            stop_early: Run nothing behind the last map.
            output_fmt: ``NCHW``.
            intermediates_only: Leave out the last map itself.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"maps are NCHW, not {output_fmt!r}")
        wanted = self._wanted(indices)
        found = []
        x = self.stem_map(x)
        if 0 in wanted:
            found.append(x)
        for index, name in enumerate(self.stage_names, 1):
            if stop_early and index > max(wanted):
                break
            x = getattr(self, name)(x)
            if index in wanted:
                found.append(x)
        return found if intermediates_only else (x, found)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Remove the head and the stages behind the last wanted map; return the remaining maps."""
        wanted = self._wanted(indices)
        for name in self.stage_names[max(wanted) :]:
            setattr(self, name, nn.Sequential())
        if prune_head:
            self.reset_classifier(0, "")
        return wanted

    def _wanted(self, indices: int | list[int] | None) -> list[int]:
        """Indices of the maps, from 0, as timm reads them: the last n, given ones (negative from the end), or all."""
        maps = range(1 + len(self.stage_names))
        if indices is None:
            return list(maps)
        wanted = [maps[index] for index in (range(-indices, 0) if isinstance(indices, int) else indices)]
        if not wanted:
            raise IndexError("no map is wanted")
        return wanted

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The pooled map to logits."""
        x = self.global_pool(x)
        x = nn.functional.dropout(x, self.drop_rate, self.training)
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) to logits (B, num_classes)."""
        return self.forward_head(self.forward_features(x))
