"""The user's own function: ``module:function``."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chattn_nas.data.layout import PARTS
from chattn_nas.data.pictures import Found
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.data_set import listing_of_sets, stamps_of
from chattn_nas.data.sources.in_memory import listing_of_arrays
from chattn_nas.errors import DataError
from chattn_nas.parts import load_object


def own(settings: DataSettings) -> Found:
    """Call the user's function with ``data.options``.

    It returns a mapping of arrays with the names of an ``.npz`` (``x_train``, ``y_train``, ...), a ``torch`` data set,
    or a mapping of data sets by part (``train``, ``val``, ``test``).

    Raises:
        DataError: There is no such function, it raises, or it returns something else.
    """
    function = load_object(settings.dataset, "a data set", ("dataset",), refusal=DataError)
    try:
        given = function(**settings.options)
    except DataError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())
        raise DataError(
            f"{settings.dataset} raised {type(error).__name__}: {words}",
            where=("options",) if isinstance(error, TypeError) else ("dataset",),
        ) from error
    if _are_arrays(given):
        arrays = {key: _array(one, f"{key} of {settings.dataset}") for key, one in given.items()}
        stamps = [f"{key} {one.shape} {one.dtype} {_hash(one)}" for key, one in arrays.items()]
        return Found(stamps, lambda: listing_of_arrays(arrays, settings.dataset, settings))
    sets = given if isinstance(given, Mapping) else {"train": given}
    named = {PARTS.get(str(key).lower(), str(key)): one for key, one in sets.items()}
    if (
        "train" not in named
        or not set(named) <= {"train", "validation", "test"}
        or any(not hasattr(one, "__getitem__") or not hasattr(one, "__len__") for one in named.values())
    ):
        raise DataError(
            f"{settings.dataset} must return arrays by name (x_train, y_train, ...), a data set, or data sets by part "
            f"(train, val, test), not {_type_words(given)}",
            where=("dataset",),
        )
    source = inspect.getsourcefile(function)
    code = _hash(Path(source).read_bytes()) if source else ""
    stamps = [code, *stamps_of(named, settings.dataset)]
    return Found(stamps, lambda: listing_of_sets(named, settings.dataset, settings, threads=False))


def _are_arrays(given: Any) -> bool:
    """Whether it is a mapping of arrays, among which lists, as of labels or names of classes, are taken as arrays."""
    held = list(given.values()) if isinstance(given, Mapping) else []
    arrays = [hasattr(one, "dtype") for one in held]
    return any(arrays) and all(array or isinstance(one, list | tuple) for array, one in zip(arrays, held))


def _array(given: Any, called: str) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(given)
    except ValueError as error:
        raise DataError(f"{called} cannot be read as one array: {error}", where=("dataset",)) from None


def _hash(content: Any) -> str:
    held = np.ascontiguousarray(content).tobytes() if isinstance(content, np.ndarray) else content
    return hashlib.blake2b(held, digest_size=16).hexdigest()


def _type_words(given: Any) -> str:
    return (
        f"{type(given).__name__} of {', '.join(map(str, given))}"
        if isinstance(given, Mapping)
        else type(given).__name__
    )
