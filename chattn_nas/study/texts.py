"""Makes texts of workers, libraries and data sets short and printable before they go into a study."""

from __future__ import annotations

import re

from chattn_nas.credentials import redacted

#: Bytes of a reason, of a note, of a log.
REASON, NOTE, LOG = 1000, 16_000, 64_000
#: Signs that end a terminal's line, or that a database refuses.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_MARKED = re.compile(r"([\\`*_{}\[\]()#+!|~<>&])")


def printable(text: object, most: int = REASON) -> str:
    """The text without control characters and secrets, cut off after ``most`` bytes of UTF-8."""
    plain = redacted(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text)[: 2 * most]))
    encoded = plain.encode()
    return plain if len(encoded) <= most else encoded[: most - 3].decode(errors="ignore") + "..."


def one_line(text: object, most: int = REASON) -> str:
    """Like :func:`printable`, with the lines joined by blanks."""
    return printable(" ".join(str(text)[: 2 * most].split()), most)


def as_markdown(text: object, most: int = REASON) -> str:
    """Escape a text so that Markdown shows it as it is, without markup, HTML or links."""
    return _MARKED.sub(lambda sign: f"&#{ord(sign[1])};" if sign[1] in "<>&" else f"\\{sign[1]}", one_line(text, most))
