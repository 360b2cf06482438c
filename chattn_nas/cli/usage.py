"""What was typed and is no command, option or value: one sentence, as for any other mistake."""

from __future__ import annotations

from typing import Any

import typer

#: The error of click, or of the copy of it that newer versions of typer have.
USAGE: type[Exception] = next(one for one in typer.BadParameter.__mro__ if one.__name__ == "UsageError")


def in_words(error: Any) -> str:
    """The sentence, with the value that was met and where to see what is possible."""
    from pydantic import ValidationError

    from chattn_nas.settings import KINDS, shown

    context = error.ctx
    said = " ".join(str(error.format_message()).split()).rstrip(".").replace(". Did", "; did")
    if isinstance(error.__cause__, ValidationError):  # typer's own words do not say what was met
        first = error.__cause__.errors()[0]
        kind = KINDS.get(first["type"])
        meant = f"should be {kind}" if kind else first["msg"].removeprefix("Input ")
        said = f"{error.param.opts[0] if error.param else 'a value'} {meant}, not {shown(first['input'], 100)}"
    if "extra argument" in said and context is not None and context.info_name == "init":
        said += "; data are named with --data"
    command = f"chattn-nas {context.info_name}" if context is not None and context.parent else "chattn-nas"
    return f"{said[:1].lower()}{said[1:]}; '{command} -h' shows what is possible"
