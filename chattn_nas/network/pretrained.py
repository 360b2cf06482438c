"""Loads weights into a backbone, says what was loaded, and refuses what does not fit.

A file need not come from timm: the dictionary of weights is found wherever it is in the file (``state_dict``,
``model``, ``state_dict_ema``, ...), and prefixes of the backbone's names are removed (``model.``, ``backbone.``,
``module.``, ...). Only the classifier may be missing or left over, and only the first convolution is adapted, to images
with another number of channels.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from chattn_nas.errors import BackboneError, first_line
from chattn_nas.network import _timm
from chattn_nas.parts import TIMM
from chattn_nas.plural import plural
from chattn_nas.quiet import quiet

log = logging.getLogger(__name__)

State = dict[str, Tensor]

#: How deep inside a file's dictionaries weights are looked for.
DEPTH = 3
#: Words for weights that were averaged over steps, in the names that lead to them (DINO evaluates its teacher).
AVERAGED = frozenset({"ema", "averaged", "average", "avg", "swa", "teacher"})
#: So many names are named in an error.
NAMED = 3


@dataclass(frozen=True)
class Loaded:
    """The origin of a backbone's weights.

    Attributes:
        source: The file, or timm's name of the weights.
        matched: Number of the backbone's tensors that were loaded, without the classifier.
        expected: Number of the backbone's tensors, without the classifier.
        notes: What was removed, adapted or left out.
    """

    source: str
    matched: int
    expected: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "; ".join([f"{self.source}: {self.matched} of {self.expected} tensors of the backbone", *self.notes])


@dataclass
class _Fit:
    """The match of one dictionary of a file, under one prefix, with the model."""

    state: State
    place: str = ""
    prefix: str = ""
    outside: tuple[str, ...] = ()
    score: int = 0
    notes: list[str] = field(default_factory=list)


def load_hub(name: str, options: Mapping[str, Any]) -> nn.Module:
    """Create a timm model with pretrained weights, which timm finds, downloads and adapts.

    Args:
        name: Name of the model, ``hf_hub:...`` and ``local-dir:...`` included.
        options: Options of ``timm.create_model``.

    Raises:
        BackboneError: There are none, they cannot be downloaded, or they do not fit.
    """
    if place := _timm.to_fetch(name, options.get("pretrained_cfg_overlay")):
        log.warning("Fetching the pretrained weights of %s from %s; they are cached for the next time", name, place)
    # The hub reports every retry; if it gives up, that is an error.
    with quiet("huggingface_hub"), _timm.noting_loads() as loads:
        model = _timm.create(name, pretrained=True, **options)
    config = _timm.config_of(model)
    tag = ".".join(str(config[key]) for key in ("architecture", "tag") if config.get(key))
    source = Path(config["file"]).name if config.get("file") else f"timm's {tag or name}"
    source = name if name.startswith(TIMM) else source
    heads = classifiers(model)
    expected = [key for key in _own_names(model) if not _inside(key, heads)]
    missing = [key for load in loads for key in load.missing if not _skippable(key, heads)]
    unexpected = [key for load in loads for key in load.unexpected if not _skippable(key, heads)]
    matched = len(expected) - len(set(missing))
    if missing or unexpected:
        raise _misfit(source, name, matched, len(expected), missing, unexpected, [])
    notes = []
    if any(_inside(key, heads) for load in loads for key in load.missing):
        notes.append("the classifier starts anew")
    model.loaded = Loaded(source, matched, len(expected), tuple(notes))  # type: ignore[assignment]
    return model


def load_file(model: nn.Module, path: Path, *, num_classes: int, in_chans: int) -> None:
    """Load a local file into a backbone, and record what was loaded in ``model.loaded``.

    Args:
        model: The backbone, without attention; changed in place.
        path: ``.safetensors``, or anything that ``torch.load(weights_only=True)`` reads.
        num_classes, in_chans: Classes and channels of the data.

    Raises:
        BackboneError: There is no such file, it cannot be read, or more than the classifier does not fit.
    """
    refuse_missing(path)
    wanted = dict(model.state_dict())
    fit = _best(_read(path), model, wanted)
    name = str(_timm.config_of(model).get("architecture", type(model).__name__))
    heads = classifiers(model)
    state = dict(fit.state)
    _adapt_first_convolution(model, state, wanted, in_chans, fit.notes)
    _drop_classifier(state, wanted, heads, num_classes, fit.notes)
    expected = [key for key in _own_names(model) if not _inside(key, heads)]
    missing = [key for key in wanted if key not in state and not _skippable(key, heads)]
    unexpected = [key for key in state if key not in wanted]
    shapes = [key for key in state if key in wanted and state[key].shape != wanted[key].shape]
    matched = sum(key in state and key not in shapes for key in expected)
    if missing or unexpected or shapes:
        reshaped = [f"{key} {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}" for key in shapes]
        raise _misfit(path.name, name, matched, len(expected), missing, unexpected, reshaped)
    if any(_inside(key, heads) and key not in state for key in wanted):
        fit.notes.append("the classifier starts anew")
    if next(iter(wanted.values())).device.type != "meta":
        model.load_state_dict(state, strict=False)
    model.loaded = Loaded(path.name, matched, len(expected), tuple(dict.fromkeys(fit.notes)))  # type: ignore[assignment]


def refuse_missing(path: Path) -> None:
    """See that a file of weights is there.

    Raises:
        BackboneError: It is not.
    """
    try:
        there = path.is_file()
    except (OSError, ValueError):  # a name that no file can have, a folder that is not ours to look into
        there = False
    if not there:
        raise BackboneError(f"there is no file of weights {str(path)!r}", where=("weights",), value=str(path))


def classifiers(model: nn.Module) -> tuple[str, ...]:
    """Paths of the layers that compute the logits: those that timm names, else the last linear layer."""
    declared = _timm.config_of(model).get("classifier")
    if declared:
        return (declared,) if isinstance(declared, str) else tuple(declared)
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    return (linear[-1],) if linear else ()


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file as load

            return load(path)
        # Checkpoints of timm's own scripts hold their arguments.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors each raise their own
        # What torch says of a file that is none of its own is how to run the code in it.
        none = isinstance(error, UnpicklingError | EOFError)
        reason = "it holds no tensors that torch or safetensors wrote" if none else first_line(error)
        raise BackboneError(f"cannot read the weights {str(path)!r}: {reason}", where=("weights",)) from error


def _best(content: Any, model: nn.Module, wanted: Mapping[str, Tensor]) -> _Fit:
    """The dictionary and prefix of a file with the most tensors of the model; averaged weights take precedence."""
    fits = []
    for place, state in _dictionaries(content):
        for prefix in _prefixes(state, wanted):
            inner = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
            outside = tuple(key for key in state if not key.startswith(prefix))
            fit = _Fit(inner, place, prefix, outside)
            fit.score = _score(inner, wanted)
            fits.append(fit)
            translated = _timm.translated(inner, model) if fit.score < len(wanted) else None
            if translated is not None:
                fits.append(_Fit(translated, place, prefix, outside, _score(translated, wanted), ["names translated"]))
    if not fits:
        raise BackboneError("the file of weights holds no tensors by name", where=("weights",))
    best = max(fits, key=lambda fit: (fit.score, _averaged(fit), -len(fit.prefix), -len(fit.notes)))
    if best.place:
        best.notes.insert(0, f"from its {best.place!r}")
    if best.prefix:
        best.notes.insert(0, f"prefix {best.prefix!r} taken off")
    if best.outside:
        beside = ", ".join(list(dict.fromkeys(key.partition(".")[0] for key in best.outside))[:NAMED])
        best.notes.append(f"left out {plural(len(best.outside), 'tensor')} beside it ({beside})")
    equal = [fit for fit in fits if fit.score == best.score and (fit.place, fit.prefix) != (best.place, best.prefix)]
    if any(_averaged(fit) != _averaged(best) for fit in equal):
        best.notes.append("the averaged ones (EMA)" if _averaged(best) else "not the averaged ones (EMA)")
    if others := {repr(f"{fit.place}.{fit.prefix}".strip(".")): None for fit in equal if not _same(fit, best)}:
        best.notes.append(f"other weights of the same names are left out: {', '.join(list(others)[:NAMED])}")
    return best


def _same(one: _Fit, other: _Fit) -> bool:
    return all(torch.equal(value, other.state[key]) for key, value in one.state.items() if key in other.state)


def _averaged(fit: _Fit) -> bool:
    return not AVERAGED.isdisjoint(re.split(r"[._]", f"{fit.place}.{fit.prefix}".lower()))


def _score(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> int:
    return sum(key in wanted for key in state)


def _dictionaries(content: Any, place: str = "", depth: int = DEPTH) -> Iterator[tuple[str, State]]:
    """Every dictionary with tensors in a file, with its path of keys."""
    if not isinstance(content, Mapping) or depth < 0:
        return
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield place, tensors
    for key, value in content.items():
        yield from _dictionaries(value, f"{place}.{key}" if place else str(key), depth - 1)


def _prefixes(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """Possible prefixes of the model's names in a dictionary: the few most frequent ones, and the empty one."""
    ends: dict[str, list[str]] = {}
    for key in wanted:
        ends.setdefault(key.rpartition(".")[2], []).append(key)
    counts: Counter[str] = Counter()
    for key in state:
        for name in ends.get(key.rpartition(".")[2], ()):
            if key.endswith(f".{name}"):
                counts[key[: -len(name)]] += 1
    return ["", *(prefix for prefix, _ in counts.most_common(4))]


def _adapt_first_convolution(
    model: nn.Module, state: State, wanted: Mapping[str, Tensor], in_chans: int, notes: list[str]
) -> None:
    """Sum, repeat or cut the weights of the first convolution to fit the images' channels, as timm does."""
    declared = _timm.config_of(model).get("first_conv")
    names: Sequence[str] = (declared,) if isinstance(declared, str) else tuple(declared or ())
    if not names:
        names = [path for path, module in model.named_modules() if isinstance(module, nn.Conv2d)][:1]
    for name in names:
        key = f"{name}.weight"
        if key not in state or key not in wanted or state[key].ndim != 4 or state[key].shape == wanted[key].shape:
            continue
        mine, theirs = wanted[key].shape, state[key].shape
        if mine[1] != in_chans or (mine[0], *mine[2:]) != (theirs[0], *theirs[2:]):
            continue
        state[key] = _timm.adapt_input(in_chans, state[key])
        notes.append(f"the first convolution adapted from {theirs[1]} to {plural(in_chans, 'channel')}")


def _drop_classifier(
    state: State, wanted: Mapping[str, Tensor], heads: Sequence[str], num_classes: int, notes: list[str]
) -> None:
    """Leave out a classifier with other classes or another name: one matrix (and bias) on the same features."""
    mine = [key for key in state if _inside(key, heads) and key in wanted]
    classes = [int(state[key].shape[0]) for key in mine if state[key].ndim > 1]
    if any(state[key].shape != wanted[key].shape for key in mine):
        for key in mine:
            del state[key]
        notes.append(f"its classifier of {classes[0] if classes else 'other'} classes left out (here {num_classes})")
        return
    features = {wanted[f"{head}.weight"].shape[1] for head in heads if f"{head}.weight" in wanted}
    extra = [key for key in state if key not in wanted]
    weights = [key for key in extra if state[key].ndim > 1]
    owners = {key.rpartition(".")[0] for key in extra}
    if not mine and len(weights) == 1 and len(owners) == 1 and state[weights[0]].shape[1] in features:
        for key in extra:
            del state[key]
        notes.append(f"its classifier {owners.pop()!r} left out")


def _own_names(model: nn.Module) -> list[str]:
    return [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]


def _inside(key: str, modules: Iterable[str]) -> bool:
    return any(key.startswith(f"{module}.") for module in modules)


def _skippable(key: str, heads: Sequence[str]) -> bool:
    return _inside(key, heads) or key.endswith("num_batches_tracked")


def _misfit(
    source: str, model: str, matched: int, expected: int, missing: Sequence[str], unexpected: Sequence[str],
    reshaped: Sequence[str],
) -> BackboneError:  # fmt: skip
    def some(what: str, keys: Sequence[str]) -> str:
        rest = f", ... ({len(keys)} in all)" if len(keys) > NAMED else ""
        return f"; {what}: {', '.join(keys[:NAMED])}{rest}" if keys else ""

    return BackboneError(
        f"the weights {source} do not fit {model}: {matched} of its {expected} tensors match "
        f"({matched / max(expected, 1):.0%}){some('missing', missing)}{some('unexpected', unexpected)}"
        f"{some('of other shape', reshaped)}",
        where=("weights",),
    )
