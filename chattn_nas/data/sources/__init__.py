"""Where images come from: one file per source, each a function from settings to what it found."""

from chattn_nas.data.sources.registry import find_source

__all__ = ["find_source"]
