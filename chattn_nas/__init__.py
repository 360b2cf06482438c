"""Neural architecture search over channel attention: which attention belongs in which stage of a timm backbone?"""

from importlib.metadata import version

from chattn_nas.api import Run, export, search
from chattn_nas.network import build_network, cost
from chattn_nas.space import Architecture
from chattn_nas.spec import load_spec

__version__ = version("chattn-nas")
__all__ = ["Architecture", "Run", "build_network", "cost", "export", "load_spec", "search"]
