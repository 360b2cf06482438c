"""Gaps in lists of modules, and bodies of which no statement is left."""

from __future__ import annotations

import logging
import warnings

import torch
from torch import nn
from writing import assert_same

_log = logging.getLogger(__name__)


class _Fuse(nn.Module):
    """Lists and dicts of modules with gaps, as HRNet's own code has them."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.rows = nn.ModuleList(
            [nn.ModuleList([None, nn.Conv2d(8, 8, 1)]), nn.ModuleList([nn.Conv2d(8, 8, 1), None])]
        )
        self.extra = nn.ModuleDict({"none": None, "one": nn.BatchNorm2d(8)})
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        xs = [self.stem(x)] * 2
        for row in self.rows:
            xs = [x if layer is None else layer(x).relu() for layer, x in zip(row, xs, strict=True)]
        x = sum(xs)
        for name in ("none", "one"):
            x = x if self.extra[name] is None else self.extra[name](x)
        return self.fc(x.mean((2, 3)))


def test_lists_and_dicts_with_gaps():
    assert_same(_Fuse())


class _Talking(nn.Module):
    """Statements of which nothing is left, in bodies of every kind."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 10)

    def forward(self, x):
        x = x.mean((2, 3))
        if x.max() > 0 and self.training:
            _log.info("above 0")
        elif torch.isfinite(x).all():
            assert x.ndim == 2
        for part in x:
            assert part.ndim == 1
        with torch.no_grad():
            warnings.warn("nothing", stacklevel=2)
        if self.training and len(x) > 1:
            return self.fc(x)
        else:
            """Nothing to say."""
        return self.fc(x) * 1.0


def test_bodies_of_which_no_statement_is_left():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = assert_same(nn.Sequential(_Talking()))
    assert "for part in x:\n            pass" in text
