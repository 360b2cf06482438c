"""Wrong types from Python: our errors, at the door, wherever the package is entered."""

import importlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

import chattn_nas
from chattn_nas import Architecture, Run, Spec, attention, judging, results
from chattn_nas.arguments import asked_by, by_flags, checked, fits
from chattn_nas.data import DataSettings, load_data, load_test
from chattn_nas.errors import InputError
from chattn_nas.export import evaluate_folder
from chattn_nas.proxy import ProxySettings
from chattn_nas.space import Backbone, SearchSpace, SpaceSettings, StageChoice
from chattn_nas.spec import SearchSettings


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
        (object(), Any, True), (3, "Unknown", True), ([1, "x"], Sequence[int], False),
        ([1, np.int64(2)], list[int], True),
        (["x"], Sequence[Literal["a"]], True), ([None], Sequence[str | int], False),
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

    @checked
    def taken(sizes: Sequence[int | str], part: float = 1.0, **others: Any) -> Any:
        return sizes, part, others

    with pytest.raises(
        InputError, match=r"taken: sizes must be a list of whole numbers or texts, not \[2\.5\] \(list\)"
    ):
        taken([2.5])
    given = taken([np.int64(3), "x"], np.float32(0.5), seed=np.int64(7))
    assert given == ([3, "x"], 0.5, {"seed": 7})
    assert [type(one) for one in (given[0][0], given[1], given[2]["seed"])] == [int, float, int]


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


#: Rooms whose functions a user calls, and those of them that our own code calls for every batch, trial or module.
ROOMS = ("data", "export", "judging", "report", "results", "search", "study", "training", "benchmark", "space")
INNER = {
    "answers_markdown", "augment", "compare", "compare_block", "confirmed_winner", "differences", "draw_moves", "facts",
    "fold_batchnorm", "ground", "joined", "load_training_data", "majority", "moved", "moved_boxes",
    "network_html", "of_one_width", "read_result", "refuse_another", "sample_batch", "summary", "train_fully",
    "trained_weights",
}  # fmt: skip


def test_functions_of_the_rooms_are_checked() -> None:
    for room in map(importlib.import_module, (f"chattn_nas.{name}" for name in ROOMS)):
        functions = {name for name in room.__all__ if inspect.isfunction(getattr(room, name))}
        unchecked = {name for name in functions if not hasattr(getattr(room, name), "__wrapped__")}
        assert unchecked <= INNER, room.__name__


def test_numbers_of_numpy_and_paths_are_taken_as_what_they_are() -> None:
    one, two = (Architecture.uniform("cifar_resnet8", "se", reduction=value) for value in (np.int64(4), 4))
    assert (one, one.hash, json.dumps(one.to_dict())) == (two, two.hash, json.dumps(two.to_dict()))
    first, second = (
        chattn_nas.build_network(two, image_size=size, seed=seed).state_dict()
        for size, seed in ((np.int64(8), np.int64(3)), (8, 3))
    )
    assert all(torch.equal(first[name], second[name]) for name in second)
    assert SearchSettings(trials=np.int64(4), timeout=np.float32(2.5)) == SearchSettings(trials=4, timeout=2.5)
    assert DataSettings(dataset="npz", path=Path("a") / "b.npz", image_size=(np.int64(8), 9)).path == "a/b.npz"
    assert SpaceSettings({np.int64(1): [{"se": {"reduction": [np.int64(2), 4]}}]}).candidates(1)[0][0].open == {
        "reduction": (2, 4)
    }


SE = Architecture.uniform("cifar_resnet8", "se")


def quickstart() -> Spec:
    data, space = {"dataset": "digits"}, {"all": ["none", "se"]}
    return Spec.from_dict({"name": "x", "backbone": {"model": "cifar_resnet8"}, "data": data, "space": space})


def build(**options: Any) -> Any:
    return chattn_nas.build_network(SE, **{"image_size": 8, **options})


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
        lambda: chattn_nas.load_spec(""),
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
        lambda: Backbone("resnet18", existing="drop"),
        lambda: Backbone("resnet18", head=3),
        lambda: Backbone("resnet18", options={3: 3}),
        lambda: Backbone("resnet18", options={"a": {1, 2}}),
        lambda: SE.choices("3"),
        lambda: SE.canonical(3),
        lambda: build(device="gpu"),
        lambda: build(seed=-1),
        lambda: build(seed=2**70),
        lambda: build(num_classes=-1),
        lambda: build(layer_decay=float("nan")),
        lambda: build(branch_scale=2.0),
        lambda: build(branch_scale=float("nan")),
        lambda: build(branch_scale=2.0, images=torch.zeros(2, 1, 8, 8)),
        lambda: build(branch_scale=2.0, images=torch.zeros(2, 3, 8, 8, dtype=torch.uint8)),
        lambda: chattn_nas.cost(build(), 0),
        lambda: chattn_nas.cost(build(), 8, in_chans=1),
        lambda: chattn_nas.cost(build(), 8, device="gpu"),
        lambda: chattn_nas.cost(build(), 8, device="cpu", batch_size=0),
        lambda: chattn_nas.cost(build(), 8, device="cpu", dtype=torch.int8),
        lambda: chattn_nas.cost(build(), 8, device="cpu", against=torch.nn.Linear(3, 3)),
        lambda: load_test(3),
        lambda: load_test({"dataset": "digits"}),
        lambda: load_test(DataSettings(dataset="digits"), device="gpu"),
        lambda: load_data(DataSettings(dataset="digits"), data_on="ram"),
        lambda: evaluate_folder("nowhere", [1]),
        lambda: SpaceSettings(None),
        lambda: setattr(SpaceSettings({"all": ["se"]}), "root", {}),
        lambda: SpaceSettings({"all": "se"}),
        lambda: SearchSpace({"all": ["se"]}, Backbone("cifar_resnet8"), ()),
        lambda: SearchSpace(SpaceSettings({"all": ["se"]}), "cifar_resnet8", ()),
        lambda: SearchSettings.model_validate_json("{"),
        lambda: ProxySettings(rungs="2,6"),
        lambda: results.leaderboard(object()),
        lambda: judging.calibrate(quickstart(), ["proxy"]),
        lambda: judging.calibrate(quickstart(), [], full_epochs=0),
        lambda: judging.calibrate(quickstart(), [], budget=-1.0),
        lambda: judging.candidates(quickstart()),
        lambda: judging.of_spec(quickstart(), 0),
        lambda: chattn_nas.search(quickstart(), callbacks=print),
    ],
)
def test_a_wrong_type_is_one_sentence(attempt) -> None:
    with pytest.raises(InputError) as caught:
        attempt()
    assert "\n" not in str(caught.value)


def test_what_the_caller_may_say_instead_is_in_his_own_words() -> None:
    assert asked_by("--force", "force=True") == "force=True"
    with by_flags():
        assert asked_by("--force", "force=True") == "--force"
    assert asked_by("--force", "force=True") == "force=True"


def test_a_zero_byte_in_a_path_is_refused_before_anything_opens_it() -> None:
    with pytest.raises(InputError, match=r"path cannot hold a zero byte, as 'a\\x00b' does"):
        chattn_nas.load_spec("a\0b")


@pytest.mark.parametrize(
    ("spec", "words"),
    [({1: 2}, "a key must be text, not 1"), ({"search": {"trials": 1e30}}, "should be a smaller number, not 1e")],
)
def test_a_spec_from_python_is_refused_in_our_words(spec, words) -> None:
    with pytest.raises(InputError, match=words):
        Spec.from_dict({**quickstart().to_dict(), **spec})
