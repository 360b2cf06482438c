"""Why a module cannot be written as source."""

from __future__ import annotations


class Refusal(Exception):
    """This way of writing a module down does not work; the message says why. Never leaves this room."""


#: What a message offers where a network cannot be written as source.
INSTEAD = 'export it as "pt2" or "onnx" instead'
