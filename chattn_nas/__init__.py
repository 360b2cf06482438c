"""Neural architecture search over channel attention: which attention belongs in which stage of a timm backbone?"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.api import Run as Run
    from chattn_nas.api import export as export
    from chattn_nas.api import search as search
    from chattn_nas.api import train as train
    from chattn_nas.judging import calibrate as calibrate
    from chattn_nas.judging import confirm as confirm
    from chattn_nas.network import build_network as build_network
    from chattn_nas.network import cost as cost
    from chattn_nas.space import Architecture as Architecture
    from chattn_nas.spec import Spec as Spec
    from chattn_nas.spec import load_spec as load_spec

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        ".api": "Run train",
        ".judging": "calibrate confirm",
        ".network": "build_network cost",
        ".space": "Architecture",
        ".spec": "Spec load_spec",
    },
    rooms="attention benchmark dashboard data export judging network proxy report results search space spec study "
    "tasks testing training",
)
__all__ += ["export", "search"]  # these two rooms can be called
__version__ = version("chattn-nas")
