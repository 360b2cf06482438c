"""Channel attention mechanisms: plain torch, one file each, one registry."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.attention.attention_type import BLOCKS as BLOCKS
    from chattn_nas.attention.attention_type import PLACEMENTS as PLACEMENTS
    from chattn_nas.attention.attention_type import AttentionType as AttentionType
    from chattn_nas.attention.attention_type import Blocks as Blocks
    from chattn_nas.attention.attention_type import Built as Built
    from chattn_nas.attention.attention_type import Hyperparameter as Hyperparameter
    from chattn_nas.attention.attention_type import Placement as Placement
    from chattn_nas.attention.attention_type import Site as Site
    from chattn_nas.attention.attention_type import Size as Size
    from chattn_nas.attention.auxiliary_head import AuxiliaryHead as AuxiliaryHead
    from chattn_nas.attention.identity import IdentityStart as IdentityStart
    from chattn_nas.attention.registry import build as build
    from chattn_nas.attention.registry import get as get
    from chattn_nas.attention.registry import names as names
    from chattn_nas.attention.registry import refuse as refuse
    from chattn_nas.attention.registry import register as register
    from chattn_nas.attention.registry import registered as registered

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        ".auxiliary_head": "AuxiliaryHead",
        ".identity": "IdentityStart",
        ".attention_type": "AttentionType BLOCKS Blocks Built Hyperparameter PLACEMENTS Placement Site Size",
        ".registry": "build get names refuse register registered",
    },
)
