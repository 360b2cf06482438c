"""Channel attention mechanisms: plain torch, one file each, one registry."""

from chattn_nas.attention import eca, fca, gct, none, random_gate, rcan, se, srm, timm_layers  # noqa: F401 (importing registers)
from chattn_nas.attention.identity import IdentityStart
from chattn_nas.attention.registry import (
    BLOCKS,
    PLACEMENTS,
    AttentionType,
    Blocks,
    Hyperparameter,
    Placement,
    Site,
    Size,
    build,
    get,
    names,
    refuse,
    register,
)

__all__ = [
    "BLOCKS",
    "PLACEMENTS",
    "AttentionType",
    "Blocks",
    "Hyperparameter",
    "IdentityStart",
    "Placement",
    "Site",
    "Size",
    "build",
    "get",
    "names",
    "refuse",
    "register",
]
