"""Channel attention mechanisms: plain torch, one file each, one registry."""

from chattn_nas.attention import (  # noqa: F401 (importing registers)
    bilinear,
    channel_scale,
    dia,
    eca,
    enc,
    enc_module,
    fca,
    gct,
    gsop,
    none,
    random_gate,
    rcan,
    se,
    soca,
    srm,
    timm_layers,
)
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
