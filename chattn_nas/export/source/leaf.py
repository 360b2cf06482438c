"""Constructor calls of torch's own modules, read from their attributes (``repr`` leaves things out)."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from chattn_nas.export.source.layout import number
from chattn_nas.export.source.refusal import Refusal

_SKIPPED = {"device", "dtype"}
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def is_leaf(module: nn.Module) -> bool:
    """Whether ``module`` is torch's own and no container, so that a constructor call describes it completely."""
    kind = type(module)
    return getattr(nn, kind.__name__, None) is kind and not isinstance(module, CONTAINERS)


def is_nothing(module: nn.Module) -> bool:
    """Whether ``module`` returns its input tensor unchanged, in training too."""
    if type(module) is nn.Identity:
        return True
    if type(module) in (nn.Dropout, nn.Dropout2d):
        return not module.p  # type: ignore[attr-defined]
    return type(module).__name__ == "DropPath" and not getattr(module, "drop_prob", True)


def is_norm_act(module: nn.Module) -> bool:
    """Whether ``module`` is timm's BatchNorm with an activation, which trains like torch's own."""
    return type(module).__name__ == "BatchNormAct2d" and isinstance(module, nn.BatchNorm2d)


def literal(value: Any) -> str:
    """Source text of a plain value.

    Raises:
        Refusal: It is not a plain value.
    """
    if value is None or isinstance(value, bool | int | str | complex) or value is Ellipsis:
        return "..." if value is Ellipsis else repr(value)
    if isinstance(value, float):
        return number(value) if value == value and abs(value) != float("inf") else f'float("{value}")'
    if isinstance(value, torch.dtype | torch.memory_format | torch.device):
        return repr(value) if isinstance(value, torch.device) else str(value)
    if isinstance(value, slice):
        return f"slice({literal(value.start)}, {literal(value.stop)}, {literal(value.step)})"
    if isinstance(value, tuple):  # torch.Size as well
        inner = ", ".join(literal(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
    raise Refusal(f"a value of type {type(value).__name__} cannot be written down")


def leaf_call(module: nn.Module) -> str:
    """The call that builds ``module``, without defaults, such as ``nn.Conv2d(3, 64, 7, stride=2, padding=3)``.

    Raises:
        Refusal: The call would not build the same module.
    """
    if isinstance(module, nn.ParameterList | nn.ParameterDict):
        return f"nn.{type(module).__name__}({_parameters(module)})"
    return f"nn.{type(module).__name__}({call_arguments(module, type(module))})"


def _parameters(module: nn.ParameterList | nn.ParameterDict) -> str:
    """A list or dict of placeholders for parameters until weights are loaded.

    Raises:
        Refusal: It holds something else too.
    """
    if len(module) != len(module._parameters):
        raise Refusal("it holds something else than parameters")
    shapes = {name: literal(tuple(value.shape)) for name, value in module._parameters.items() if value is not None}
    texts = {name: f"nn.Parameter(torch.zeros({shape}))" for name, shape in shapes.items()}
    if isinstance(module, nn.ParameterList):
        return f"[{', '.join(texts.values())}]"
    return "{" + ", ".join(f"{literal(name)}: {text}" for name, text in texts.items()) + "}"


def torch_base(module: nn.Module) -> type[nn.Module] | None:
    """torch's own class (no container) that the class of ``module`` extends, such as ``nn.Conv2d``."""
    for kind in type(module).__mro__:
        if getattr(nn, kind.__name__, None) is kind and kind is not nn.Module and not issubclass(kind, CONTAINERS):
            return kind
    return None


def bare_base(module: nn.Module) -> type[nn.Module] | None:
    """torch's own class of a module whose class adds nothing to how it computes, such as ``class BN(nn.BatchNorm2d)``.

    ``None`` if there is none: of what the base has, only the constructor and the start of the weights may differ.
    """
    base = torch_base(module)
    if base is None or module._modules:
        return None
    harmless = {"__init__", "__doc__", "__module__", "__annotations__", "__constants__", "reset_parameters"}
    harmless |= {"__firstlineno__", "__static_attributes__"}  # of Python 3.13
    kinds = type(module).__mro__[: type(module).__mro__.index(base)]
    return base if all(vars(kind).keys() & set(dir(base)) <= harmless for kind in kinds) else None


def call_arguments(module: nn.Module, kind: type[nn.Module]) -> str:
    """The arguments, without defaults, with which ``kind`` builds its instance ``module``.

    Raises:
        Refusal: They would not build the same module.
    """
    if nn.utils.parametrize.is_parametrized(module):
        raise Refusal(f"{kind.__name__} is parametrized")
    required, optional = [], {}
    for name, parameter in _signature(kind).items():
        if name in _SKIPPED or name.startswith("_"):
            continue
        value = _argument(module, name)
        if parameter.default is inspect.Parameter.empty:
            required.append(literal(value))
        elif value != parameter.default or type(value) is not type(parameter.default):
            optional[name] = literal(value)
    arguments = ", ".join([*required, *(f"{key}={value}" for key, value in optional.items())])
    _check(module, kind, arguments)
    return arguments


def _signature(kind: type[nn.Module]) -> dict[str, inspect.Parameter]:
    if issubclass(kind, nn.RNNBase):  # LSTM and GRU hand *args on
        names: dict[str, Any] = {"input_size": inspect.Parameter.empty, "hidden_size": inspect.Parameter.empty}
        names |= {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        names |= {"proj_size": 0} if issubclass(kind, nn.LSTM) else {}
        keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return {name: inspect.Parameter(name, keyword, default=default) for name, default in names.items()}
    parameters = inspect.signature(kind.__init__).parameters
    return {
        name: parameter
        for name, parameter in parameters.items()
        if name != "self" and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }


def _argument(module: nn.Module, name: str) -> Any:
    if isinstance(module, nn.MultiheadAttention):
        special = {
            "bias": module.in_proj_bias is not None,
            "add_bias_kv": module.bias_k is not None,
            "kdim": None if module.kdim == module.embed_dim else module.kdim,
            "vdim": None if module.vdim == module.embed_dim else module.vdim,
        }
        if name in special:
            return special[name]
    if not hasattr(module, name):
        raise Refusal(f"{type(module).__name__} does not keep its argument {name!r}")
    value = getattr(module, name)
    if name == "bias":
        return value if isinstance(value, bool) else value is not None
    pair = isinstance(value, tuple) and len(value) > 1 and len(set(value)) == 1
    if pair and isinstance(module, nn.modules.conv._ConvNd):
        return value[0]
    return value


def _check(module: nn.Module, kind: type[nn.Module], arguments: str) -> None:
    """Raise unless ``kind(arguments)`` has the attributes and the shapes of ``module``."""
    call = f"nn.{kind.__name__}({arguments})"
    with torch.device("meta"):
        twin = eval(call, {"nn": nn, "torch": torch})
    if _shapes(module) != _shapes(twin):
        raise Refusal(f"{call} has other weights than the module it stands for")
    for key, value in twin.__dict__.items():
        if key.startswith("_") or key == "training" or not isinstance(value, bool | int | float | str | tuple | None):
            continue
        if value != module.__dict__.get(key):
            raise Refusal(f"{call} loses {key}={module.__dict__.get(key)!r}")


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    own = [*module._parameters.items(), *module._buffers.items()]
    if isinstance(module, nn.MultiheadAttention):
        own = list(module.state_dict().items())
    return {name: value.shape for name, value in own if value is not None}
