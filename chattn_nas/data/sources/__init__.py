"""Sources of images: one file per source, each with a function from settings to a :class:`.Found`."""

from chattn_nas.data.sources.registry import find_source

__all__ = ["find_source"]
