"""Classes that add nothing to torch's own are torch's own in the source; those that do are not."""

from __future__ import annotations

import torch
from torch import nn
from writing import assert_same

from chattn_nas.export.source.leaf import bare_base


class _Norm(nn.BatchNorm2d):
    """Registered under a name of one's own, as in mmcv."""


class _Conv(nn.Conv2d):
    def __init__(self, channels):
        super().__init__(channels, channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.weight)


class _Frozen(nn.BatchNorm2d):
    def train(self, mode=True):
        return super().train(False)


class _Standardised(nn.Conv2d):
    def _conv_forward(self, input, weight, bias):
        return super()._conv_forward(input, weight - weight.mean((1, 2, 3), keepdim=True), bias)

    def forward(self, x):
        return self._conv_forward(x, self.weight, self.bias) + 1


def _around(*parts):
    return nn.Sequential(nn.Conv2d(3, 8, 3), *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(8, 10))


def test_a_class_that_adds_nothing_is_torchs_own():
    text = assert_same(_around(_Conv(8), _Norm(8)))
    assert "nn.BatchNorm2d(8)" in text
    assert "nn.Conv2d(8, 8, 3, padding=1, bias=False)" in text
    assert "class _" not in text


def test_a_class_that_computes_is_none():
    assert bare_base(_Frozen(8)) is None
    assert bare_base(_Standardised(8, 8, 3)) is None
    assert bare_base(_Norm(8)) is nn.BatchNorm2d
    assert bare_base(torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 3))) is None
