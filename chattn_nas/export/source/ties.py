"""Tensors that several modules own: ``build()`` ties them again, so that they stay one in training."""

from __future__ import annotations

from torch import nn

from chattn_nas.errors import ExportError
from chattn_nas.export.source.functions import path_text
from chattn_nas.export.source.refusal import INSTEAD, Refusal


def tie_lines(network: nn.Module) -> tuple[str, ...]:
    """Statements that tie the parameters of the rebuilt network as they are in ``network``; none if none are shared.

    Args:
        network: Any tree of modules.

    Raises:
        ExportError: A path to such a parameter is no Python expression.
    """
    first: dict[nn.Parameter, str] = {}
    lines = []
    for path, parameter in network.named_parameters(remove_duplicate=False):
        owner = first.setdefault(parameter, path)
        if network.get_submodule(owner.rpartition(".")[0]) is network.get_submodule(path.rpartition(".")[0]):
            continue  # the parameter itself, or a module with several parents
        try:
            lines.append(" = ".join(path_text(network, one, root="network") for one in (path, owner)))
        except Refusal as refusal:
            raise ExportError(f"parameter {path!r} cannot be written as source: {refusal}; {INSTEAD}") from refusal
    return tuple(lines)
