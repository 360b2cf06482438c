"""Folds BatchNorm into the convolution before it, for inference."""

from __future__ import annotations

import copy
import itertools
from collections import Counter

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from chattn_nas.export.source.calls import call_of, record_calls
from chattn_nas.export.source.graph import trace_graph
from chattn_nas.export.source.refusal import Refusal

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def fold_batchnorm(network: nn.Module, images: torch.Tensor) -> tuple[nn.Module, int]:
    """Copy ``network`` for inference, with BatchNorm folded into the convolutions before it.

    A pair is folded if the norm is the only reader of the convolution and each is called from one place; modules that
    cannot be traced are left as they are. Outputs are equal up to rounding.

    Args:
        network: The network; not changed.
        images: A batch (B, C, H, W) for it.

    Returns:
        The copy in evaluation mode, and the number of norms that were folded.
    """
    network = copy.deepcopy(network).eval()
    calls = record_calls(network, images)
    paths = Counter(module for _, module in network.named_modules(remove_duplicate=False))
    folded = 0
    for module in list(network.modules()):
        for conv, parent, name in _pairs(module, call_of(module, calls) if module in calls else None):
            norm = parent._modules[name]
            if not isinstance(conv, nn.Conv1d | nn.Conv2d) or not _foldable(norm) or paths[conv] > 1:
                continue
            assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            conv.weight, bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            conv.bias = bias
            rest = list(norm.children())  # a norm with activation keeps the activation
            parent._modules[name] = nn.Sequential(*rest) if rest else nn.Identity()
            folded += 1
    return network, folded


def _foldable(norm: nn.Module | None) -> bool:
    """Whether a module is a BatchNorm with statistics: torch's own, or one that only adds an activation."""
    if not isinstance(norm, _NORMS) or norm.running_mean is None:
        return False
    return type(norm) in _NORMS or type(norm).__name__ == "BatchNormAct2d"


def _pairs(module: nn.Module, call: object) -> list[tuple[nn.Module, nn.Module, str]]:
    """Pairs in the forward of ``module``: a convolution, and the parent and name of its only reader."""
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        parts = list(module._modules.items())
        return [
            (_last(one), module, name)
            for (_, one), (name, other) in itertools.pairwise(parts)
            if one is not None and other is not None and _plain_conv(_last(one))
        ]
    if call is None or not list(module.children()):
        return []
    try:
        graph = trace_graph(module, call)  # type: ignore[arg-type]
    except Refusal:
        return []
    targets = [node.target for node in graph.nodes if node.op == "call_module"]
    pairs = []
    for node in graph.nodes:
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        if targets.count(node.target) > 1 or targets.count(before.target) > 1:
            continue
        conv = _last(module.get_submodule(str(before.target)))
        parent, _, name = str(node.target).rpartition(".")
        if _plain_conv(conv):
            pairs.append((conv, module.get_submodule(parent), name))
    return pairs


def _last(module: nn.Module) -> nn.Module:
    """The module that computes the output of ``module``: the last of a sequence, else itself."""
    while isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward and len(module):
        module = module[-1]
    return module


def _plain_conv(module: nn.Module) -> bool:
    return type(module) in (nn.Conv1d, nn.Conv2d) or type(module).__name__ in ("Conv2dSame", "SkippingConv2d")
