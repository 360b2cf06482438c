"""The only file that knows timm's private or merely conventional names: models, slots, stems, gains, stages.

If a new timm renames something, only this file changes; ``tests/network/test_timm_contract.py`` shows what broke.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

import torch
from torch import nn

from chattn_nas.errors import BackboneError, InputError, first_line, similar
from chattn_nas.parts import TIMM

log = logging.getLogger(__name__)
#: How names of models on the hub begin.
HUB = ("hf_hub:", "hf-hub:")

Kind = Literal["native", "branch", "stage"]

#: Attributes that hold channel attention in timm's blocks; where a block has several empty ones, the first is taken.
NATIVE = ("attn_last", "attn3", "attn2", "attn", "se", "se_early", "se_module")
#: Ends of residual branches; of a MetaFormer block's two the second, in front of the block's last add.
BRANCH = ("drop_path", "drop_path2")
#: ``attn`` is also what transformers call their self-attention: only these classes are channel attention there.
CHANNEL_ATTENTION = {
    "SEModule", "SqueezeExcite", "EffectiveSEModule", "EffectiveSqueezeExcite", "EcaModule", "CecaModule", "CbamModule",
    "LightCbamModule", "GatherExcite", "GlobalContext", "CoordAttn", "SimpleCoordAttn", "EfficientLocalAttn",
    "StripAttn",
}  # fmt: skip
#: Last parts of timm's names for stems in ``feature_info``.
STEMS = {"layer0", "conv1", "act1", "bn1", "norm0", "act0", "relu0", "conv0", "pool0"}
#: Options of ``timm.create_model`` that a backbone cannot have, and why.
REFUSED = {
    "features_only": "it gives feature maps where a classifier is needed: leave it out",
    "out_indices": "it belongs to features_only, which gives feature maps where a classifier is needed: leave it out",
    "num_classes": "the data tell the number of classes",
    "in_chans": "the data tell the number of channels",
    "pretrained": "write backbone.pretrained instead",
    "checkpoint_path": "write backbone.weights instead",
}


def import_timm() -> None:
    """Import timm and register our models with it.

    Raises:
        BackboneError: The versions of torch and torchvision do not fit each other.
    """
    try:
        import timm  # noqa: F401

        from chattn_nas.network import cifar, restoration  # noqa: F401 (importing registers)
    except (RuntimeError, ImportError) as error:
        reason = first_line(error)
        raise BackboneError(
            f"timm cannot be imported ({reason}): install torch and torchvision from one index, in matching versions"
        ) from error


def check_name(model: str) -> None:
    """Check that timm's registry has a model, or that its name starts with another source.

    Raises:
        BackboneError: It has neither.
    """
    import_timm()
    import timm

    if model.startswith(HUB):
        _tell_hub(model.partition(":")[2])
    if model.startswith(TIMM):
        return
    if not timm.is_model(model):
        raise unknown(model)
    name, _, tag = model.partition(".")
    tagged = timm.list_pretrained(f"{name}.*") if tag else []
    if tagged and model not in tagged:
        raise BackboneError(
            f"timm has no weights {tag!r} for {name}", where=("model",), value=model, choices=(name, *tagged)
        )


@cache
def _tell_hub(name: str) -> None:
    """Say once that the hub is asked for a model, since the answer takes long where there is no network."""
    from huggingface_hub import constants, try_to_load_from_cache

    repository, _, revision = name.partition("@")
    if not isinstance(try_to_load_from_cache(repository, "config.json", revision=revision or None), str):
        log.warning("Asking %s about %s; without a network it takes half a minute to give up", constants.ENDPOINT, name)


def unknown(model: str) -> BackboneError:
    """What to raise where timm has no such model: with those of a similar name, where there are some.

    The hub writes ``timm/resnet18.a1_in1k``, Python ``torchvision.models.resnet18``: the name stands at the end.
    """
    import timm

    message, place = f"timm has no model {model!r}", ("model",)
    bare = model.rpartition("/")[2]
    for meant in (bare, bare.rpartition(".")[2]):
        if meant != model and timm.is_model(meant):
            return BackboneError(f"{message}; did you mean {meant!r}?", where=place)
    names = timm.list_models()
    if similar(bare, names):
        return BackboneError(message, where=place, value=bare, choices=names)
    return BackboneError(
        f"{message}, nor one of a similar name: chattn-nas backbones PATTERN lists what is possible", where=place
    )


def check_options(options: dict[str, Any]) -> None:
    """Check that a model with these options is a classifier that takes its data from the spec.

    Raises:
        BackboneError: An option makes it another kind of model.
    """
    for name, value in options.items():
        if name in REFUSED and value is not False:
            raise BackboneError(
                f"backbone.options cannot hold {name}: {REFUSED[name]}", where=("options", name), value=name
            )


def has_weights(model: str) -> bool:
    """Whether timm may have pretrained weights for a model; of one from another source it does not know."""
    import timm

    return model.startswith(TIMM) or timm.models.is_model_pretrained(model.partition(".")[0])


def to_fetch(model: str, overlay: Any = None) -> str | None:
    """Where timm will download a model's weights from; ``None`` if they are on this machine.

    ``overlay`` replaces values of the configuration: timm's option ``pretrained_cfg_overlay``, a mapping or its pairs.
    """
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    files: tuple[str, ...] = ("model.safetensors", "pytorch_model.bin")
    if model.startswith(HUB):
        hub = model.partition(":")[2]
    else:
        try:
            config = timm.get_pretrained_cfg(model, allow_unregistered=True)
        except RuntimeError:  # a tag that there is not: timm says so when it is asked for the model
            return None
        if config is None:
            return None
        with contextlib.suppress(TypeError, ValueError):  # what is no mapping, timm refuses
            overlaid = dict(overlay or {})
            config = replace(config, **{key: value for key, value in overlaid.items() if hasattr(config, key)})
        if config.file:
            return None
        if not config.hf_hub_id:
            here = Path(torch.hub.get_dir(), "checkpoints", urlparse(url := str(config.url or "")).path.split("/")[-1])
            return None if here.is_file() else url or None
        hub, files = config.hf_hub_id, (config.hf_hub_filename,) if config.hf_hub_filename else files
    name, _, revision = hub.partition("@")
    here_already = (try_to_load_from_cache(name, one, revision=revision or None) for one in files)
    return None if any(isinstance(one, str) for one in here_already) else f"{constants.ENDPOINT}/{name}"


def create(model: str, **options: Any) -> nn.Module:
    """Call ``timm.create_model`` for a name that :func:`check_name` has accepted.

    Raises:
        BackboneError: timm cannot build it with these options.
    """
    import timm

    try:
        made: nn.Module = timm.create_model(model, **options)
    except InputError:
        raise
    except TypeError as error:
        reason = first_line(error)
        unknown = re.search(r"unexpected keyword argument '(\w+)'", reason)
        near = difflib.get_close_matches(unknown[1], _option_names(model), n=1) if unknown else []
        # The same name is an option of another network of that module.
        hint = f"; did you mean {near[0]!r}?" if unknown and near and near[0] != unknown[1] else ""
        raise BackboneError(f"{model} cannot be built: {reason}{hint}", where=("options",)) from error
    except Exception as error:  # timm asserts, and its loaders raise whatever the hub or the file made them raise
        reason = first_line(error).rstrip(".")
        if model.startswith(HUB) and isinstance(error, OSError) and not options.get("pretrained"):
            raise BackboneError(f"{model} cannot be fetched: {reason}", where=("model",)) from error
        if options.get("pretrained"):
            way = (
                "backbone.weights takes a local file, and pretrained: false trains from the start "
                "(chattn-nas init --no-pretrained writes how)"
            )
            raise BackboneError(f"{model} cannot load its weights: {reason}; {way}", where=("pretrained",)) from error
        raise BackboneError(f"{model} cannot be built with these options: {reason}", where=("options",)) from error
    return made


def _option_names(model: str) -> list[str]:
    """The parameter names of the classes and functions in a model's module, since its entry point takes anything."""
    import timm

    if not timm.is_model(model):
        return []
    module = sys.modules[timm.models.model_entrypoint(model).__module__]
    made = [one for one in vars(module).values() if inspect.isclass(one) and issubclass(one, nn.Module)]
    return sorted({name for one in made for name in inspect.signature(one.__init__).parameters} - {"self"})


def family_of(model: str) -> str:
    """timm's module that defines a model; empty if it comes from elsewhere."""
    import_timm()
    import timm

    if not timm.is_model(model):
        return ""
    return str(timm.models.model_entrypoint(model).__module__.rpartition(".")[2])


def config_of(model: nn.Module) -> dict[str, Any]:
    """timm's configuration of a model's weights; empty if the model is not timm's."""
    config = getattr(model, "pretrained_cfg", None)
    return dict(config) if isinstance(config, Mapping) else {}


def input_size(model: str) -> int | None:
    """Side in pixels of the square images that timm's weights were trained on; ``None`` if unknown."""
    import timm

    config = timm.get_pretrained_cfg(model.partition(".")[0], allow_unregistered=True)
    return int(config.input_size[-1]) if config is not None and config.input_size else None


def feature_info(model: nn.Module) -> list[dict[str, Any]]:
    """The stages that a model declares: ``module`` and usually ``num_chs``; empty if it declares none."""
    info = getattr(model, "feature_info", None)
    try:
        return [dict(entry) for entry in info if "module" in entry]  # type: ignore[union-attr]
    except (TypeError, ValueError):
        return []


def says_channels_last(model: nn.Module) -> bool:
    """Whether a model declares that its maps are (B, H, W, C)."""
    return getattr(model, "output_fmt", "NCHW") == "NHWC"


def is_stem(feature: str) -> bool:
    """Whether a module of ``feature_info`` is the stem, which is no stage."""
    return "stem" in feature or feature.split(".")[-1] in STEMS


def gain(block: nn.Module) -> float | None:
    """The factor of a block behind its slot (NFNet: 2); ``None`` without one, when the slot may hold ``Identity``."""
    factor = getattr(block, "attn_gain", None)
    return None if factor is None else float(factor)


def pooling_and_classifier(model: nn.Module) -> tuple[str, str, int] | None:
    """Paths of the global pooling and of the linear layer behind it, and the channels between them.

    ``None`` if a model ends otherwise."""
    classifier = getattr(model, "get_classifier", lambda: None)()
    path = next((path for path, module in model.named_modules() if module is classifier), None)
    pools = [path for path, _ in model.named_modules() if path.rpartition(".")[2] == "global_pool"]
    if path is None or not isinstance(classifier, nn.Linear) or len(pools) != 1:
        return None
    return pools[0], path, int(getattr(model, "num_features", 0))


def slots_of(module: nn.Module) -> Iterator[tuple[Kind, str, bool]]:
    """Attributes of a module that may hold attention: kind, name, and whether they do now; likeliest first.

    Only names count here; a forward pass proves later whether a place works.
    """
    children = dict(module.named_children())
    empty = []
    for name in NATIVE:
        if name not in children and vars(module).get(name, module) is not None and name not in module._modules:
            continue
        if name == "attn" and hasattr(module, "norm1"):
            continue  # self-attention behind its norm, even where the block leaves both out (Visformer)
        child = children.get(name)
        if child is None or isinstance(child, nn.Identity):
            empty.append(name)
        elif name.startswith("se") or type(child).__name__ in CHANNEL_ATTENTION:
            yield "native", name, True
    for name in empty:
        yield "native", name, False
    if any(isinstance(m, nn.Conv2d) for m in module.modules()):
        for name in BRANCH:
            if name in children or name in module._modules or (name in vars(module) and vars(module)[name] is None):
                yield "branch", name, False


@dataclass
class Load:
    """The missing and unexpected names of one ``load_state_dict``."""

    missing: list[str]
    unexpected: list[str]


@contextmanager
def noting_loads() -> Iterator[list[Load]]:
    """Record what timm passes to ``load_state_dict`` inside.

    If the number of classes differs, timm loads without ``strict``, and only logs what it did not find."""
    loads: list[Load] = []
    load = nn.Module.load_state_dict

    def noting(self: nn.Module, state: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        result = load(self, state, strict, assign)
        loads.append(Load(list(result.missing_keys), list(result.unexpected_keys)))
        return result

    nn.Module.load_state_dict = noting  # type: ignore[method-assign, assignment]
    try:
        yield loads
    finally:
        nn.Module.load_state_dict = load  # type: ignore[method-assign]


def translated(state: dict[str, Any], model: nn.Module) -> dict[str, Any] | None:
    """Translate weights from their authors' names to those of timm's model; ``None`` if timm knows no translation.

    The function in timm's modules is called ``checkpoint_filter_fn`` or ``_filter_fn``.
    """
    module = sys.modules.get(type(model).__module__)
    function = getattr(module, "checkpoint_filter_fn", None) or getattr(module, "_filter_fn", None)
    if function is None or not type(model).__module__.startswith("timm."):
        return None
    try:
        weights = function(dict(state), model)
    except Exception:  # it expects keys that the file has not, and then the file is none of those
        return None
    return dict(weights) if isinstance(weights, Mapping) else None


def adapt_input(in_chans: int, weight: Any) -> Any:
    """Adapt the weights (O, I, H, W) of a first convolution to images with another number of channels."""
    from timm.models import adapt_input_conv

    return adapt_input_conv(in_chans, weight, base_chans=weight.shape[1])


def gives_intermediates(network: nn.Module) -> bool:
    """Whether a model has timm's ``forward_intermediates``."""
    return hasattr(network, "forward_intermediates")


def prune(network: nn.Module, indices: list[int]) -> list[int]:
    """Remove everything behind the last of these maps, with the head; return the remaining maps' old indices."""
    if not hasattr(network, "prune_intermediate_layers"):
        return indices
    return list(network.prune_intermediate_layers(list(indices), prune_norm=True, prune_head=True))  # type: ignore[operator]
