"""Wrong types from Python: our errors, at the door, wherever the package is entered."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import chattn_nas
from chattn_nas import Architecture, Run, Spec, attention
from chattn_nas.arguments import checked, fits
from chattn_nas.errors import InputError
from chattn_nas.space import Backbone, StageChoice


@pytest.mark.parametrize(
    ("value", "annotation", "fitting"),
    [
        (3, int, True), (True, int, False), (np.int64(3), int, True), (3.0, int, False), ("3", int, False),
        (3, float, True), (np.float32(3), float, True), ("x", float, False), (None, int | None, True),
        (None, int, False), ("x", str | Path, True), (3, str | Path, False), ("ab", Sequence[str], False),
        (["ab"], Sequence[str], True), ("ab", Sequence[Any], True), ((7, 7), tuple[int, int], True),
        ((7,), tuple[int, int], False), ((7, "x"), tuple[int, int], False), ((), tuple[str, ...], True),
        ({}, Mapping[str, Any], True), ([], Mapping[str, Any], False), (len, Callable[[Any], int], True),
        (3, Callable[[Any], int], False), ("a", Literal["a", "b"], True), ("c", Literal["a", "b"], False),
        (object(), Any, True), (3, "Unknown", True),
    ],
)  # fmt: skip
def test_what_fits_an_annotation(value, annotation, fitting) -> None:
    assert fits(value, annotation) is fitting


def test_the_sentence_names_function_argument_and_what_is_possible() -> None:
    @checked
    def crop(size: int | tuple[int, int], *, mode: Literal["edge"] = "edge", said: "NotImported" = 0) -> int:  # noqa: F821
        return 7

    assert crop(3) == crop((3, 4), mode="edge", said=object()) == 7
    with pytest.raises(InputError, match=r"crop: size must be a whole number or a tuple \(.*\), not '3' \(str\)"):
        crop("3")
    with pytest.raises(InputError, match="crop: mode must be 'edge', not 'x'"):
        crop(3, mode="x")
    with pytest.raises(TypeError, match="unexpected keyword"):
        crop(3, other=1)


WRONG = (None, 3, "text", 2.5, [], {}, object(), b"bytes", lambda: None)


def public() -> list[tuple[str, Callable[..., Any]]]:
    found = [(name, getattr(chattn_nas, name)) for name in chattn_nas.__all__ if name not in ("export", "search")]
    found += [(name, getattr(chattn_nas.api, name)) for name in ("export", "search")]
    return [(name, one) for name, one in found if inspect.isfunction(one)]


@pytest.mark.parametrize(("name", "function"), public(), ids=lambda one: one if isinstance(one, str) else "")
def test_every_argument_of_every_public_function_is_checked(name, function) -> None:
    assert hasattr(function, "__wrapped__"), f"{name} is not checked"
    names = vars(inspect.getmodule(function))
    for parameter in inspect.signature(function).parameters.values():
        try:
            annotation = eval(parameter.annotation, dict(names))
        except NameError:
            continue  # only type checkers import it
        wrong = [value for value in WRONG if not fits(value, annotation)]
        assert wrong, f"{name}: anything may be {parameter.name}"
        first = next(iter(inspect.signature(function).parameters))
        for value in wrong if parameter.name == first else ():
            rest = {
                one.name: None for one in inspect.signature(function).parameters.values()
                if one.default is one.empty and one.name != first
            }  # fmt: skip
            with pytest.raises(InputError, match=f"{name}: {first} must be"):
                function(**{first: value}, **rest)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: Run(3),
        lambda: Run(None),
        lambda: Spec(3),
        lambda: Spec({"name": "x"}),
        lambda: Spec(name=3),
        lambda: chattn_nas.search(3),
        lambda: chattn_nas.export(3, "out"),
        lambda: chattn_nas.load_spec(3),
        lambda: chattn_nas.load_spec(["spec.yaml"]),
        lambda: chattn_nas.confirm(3),
        lambda: chattn_nas.train(3),
        lambda: chattn_nas.cost(3, 32),
        lambda: chattn_nas.build_network("resnet18"),
        lambda: Architecture(3, ()),
        lambda: Architecture(Backbone("resnet18"), "se"),
        lambda: Architecture(Backbone("resnet18"), ("se",)),
        lambda: Architecture.uniform(3, "se"),
        lambda: Architecture.uniform({"modle": "resnet18"}, "se"),
        lambda: Architecture.uniform({"model": "resnet18", "optoins": {}}, "se"),
        lambda: Architecture.uniform("resnet18", 3),
        lambda: Architecture.uniform("resnet18", "se", reduction="four"),
        lambda: Architecture.from_dict({"backbone": "resnet18", "stages": [3]}),
        lambda: Architecture.from_dict({"backbone": 3, "stages": []}),
        lambda: Architecture.from_dict(3),
        lambda: Architecture.from_yaml("3"),
        lambda: Architecture.from_yaml("a: ["),
        lambda: Backbone(3),
        lambda: Backbone("resnet18", options=3),
        lambda: Backbone("resnet18", stages="layer1"),
        lambda: StageChoice(3),
        lambda: StageChoice("se", 3),
        lambda: StageChoice("se", placement=3),
        lambda: attention.build("se", "eight"),
        lambda: attention.build("se", 8.5),
        lambda: attention.build("se", 0),
        lambda: attention.build("se", -8),
        lambda: attention.build("fca", 8, feature_size=7),
        lambda: attention.build("fca", 8, feature_size=(7,)),
        lambda: attention.build("fca", 8, feature_size=("a", "b")),
        lambda: attention.build(3, 8),
        lambda: attention.build("se", 8, reduction=None),
        lambda: attention.build("se", 8, reduction=[4]),
        lambda: attention.build("se", 8, num_classes="ten"),
        lambda: attention.get(["se"]),
        lambda: attention.get(None),
    ],
)
def test_a_wrong_type_is_one_sentence(attempt) -> None:
    with pytest.raises(InputError) as caught:
        attempt()
    assert "\n" not in str(caught.value)
