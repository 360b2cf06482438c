"""The backbone of a first spec: the words beside it, and whether there are weights to start from."""

from __future__ import annotations

from chattn_nas.errors import InputError
from chattn_nas.network._timm import has_weights, import_timm

#: The value of ``pretrained`` with its reason.
PRETRAINED = (True, "timm's weights, downloaded at the first trial; or a file: weights: FILE")


def as_asked(model: str) -> str:
    """The reason beside a backbone that the user named."""
    return f"as asked; where attention goes in it: chattn-nas backbones {model}"


def refuse_without_weights(model: str, flag: str) -> None:
    """See that there are pretrained weights for a model, which ``flag`` asks for.

    Raises:
        InputError: There are none.
    """
    import_timm()
    if not has_weights(model):
        raise InputError(f"{flag}: timm has no pretrained weights for {model}", value=model)
