"""Why a module cannot be written as source."""

from __future__ import annotations


class Refusal(Exception):
    """A module cannot be written in this way; the message says why. It never leaves this room."""


#: What a message offers where a network cannot be written as source.
INSTEAD = 'export it as "pt2" or "onnx" instead'
