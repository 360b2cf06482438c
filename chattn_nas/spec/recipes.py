"""Named ways to train, for a first spec: each a few keys of a spec, with where they come from.

The worth of attention depends on the recipe: timm's ``seresnet50`` less its ``resnet50`` is -0.11, +0.33 or -1.02
points of ImageNet accuracy with the recipes a1, a2, a3 (results-imagenet.csv of timm). So a search should train as its
user will, in short. A recipe says nothing of length (``proxy.rungs``): a long one cut short is another recipe, and its
learning rate wants to be tried (``calibrate --recipe``). The rates here are for short trainings. On the digits (8 px,
cifar_resnet8 of width 8, 8 epochs of batches of 64, one seed, one CPU thread, 2026-11-26) ``adamw`` ends at 77.7 % with
0.002 and at 96.0 % with 0.01, ``rsb`` without RandAugment at 19.3 % with 0.005 and at 91.0 % with 0.03.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chattn_nas.data import DataSettings
from chattn_nas.errors import InputError
from chattn_nas.proxy import ProxySettings


@dataclass(frozen=True, kw_only=True)
class NamedRecipe:
    """One way to train.

    Attributes:
        what: A short description with its source.
        proxy, data: Keys and values of these sections of a spec, each with the reason or the source's own value.
    """

    what: str
    proxy: Mapping[str, tuple[Any, str]]
    data: Mapping[str, tuple[Any, str]] = field(default_factory=dict)

    def sections(self) -> dict[str, dict[str, Any]]:
        """The values without reasons, by section."""
        named = {"proxy": self.proxy, "data": self.data}
        return {section: {key: value for key, (value, _) in keys.items()} for section, keys in named.items() if keys}


_TRY = "for a batch of 128; what suits it: chattn-nas calibrate SPEC --recipe"
_ADAMW = {
    "optimizer": ("adamw", "what networks with LayerNorm are trained with"),
    "weight_decay": (0.05, "ConvNeXt's (Liu et al. 2022); of AdamW it is decoupled from the gradient"),
    "clip": (1.0, "norm of the gradient"),
}
RECIPES: dict[str, NamedRecipe] = {
    "plain": NamedRecipe(
        what="SGD with Nesterov momentum, crops and flips: the usual one for CIFAR and for short trainings",
        proxy={
            "optimizer": ("sgd", "with Nesterov momentum"),
            "learning_rate": (0.1, _TRY),
            "weight_decay": (5e-4, "the usual one for CIFAR networks"),
        },
    ),
    "finetune": NamedRecipe(
        what="SGD at a low rate from pretrained weights, attention starting as the identity",
        proxy={
            "optimizer": ("sgd", "with Nesterov momentum"),
            "learning_rate": (0.01, "low, for pretrained weights; chattn-nas calibrate SPEC --recipe"),
            "start": ("identity", "training starts from what the pretrained network can do"),
        },
    ),
    "adamw": NamedRecipe(
        what="AdamW, crops and flips: for ConvNeXt and others with LayerNorm in short trainings",
        proxy=_ADAMW | {"learning_rate": (0.01, _TRY)},
    ),
    "convnext": NamedRecipe(
        what="AdamW, RandAugment, Mixup, CutMix, drop path and EMA, after ConvNeXt (Liu et al. 2022)",
        proxy=_ADAMW
        | {
            "learning_rate": (0.01, "theirs: 0.004 for a batch of 4,096; short trainings want more"),
            "mixup": (0.8, "alpha: theirs; of classifiers with one label per image"),
            "cutmix": (1.0, "alpha: theirs"),
            "drop_path": (0.1, "theirs of ConvNeXt-T"),
            "ema": (0.99, "theirs: 0.9999, over many more steps"),
        },
        data={"augment": ("randaugment", "theirs: RandAugment 9, and random erasing")},
    ),
    "rsb": NamedRecipe(
        what="LAMB, binary cross-entropy, RandAugment, Mixup, CutMix: ResNet strikes back A2 (Wightman et al. 2021)",
        proxy={
            "optimizer": ("lamb", "theirs"),
            "learning_rate": (0.03, "theirs: 0.005 for a batch of 2,048; short trainings want more"),
            "weight_decay": (0.02, "theirs"),
            "loss": ("bce", "every class by itself: theirs"),
            "label_smoothing": (0.0, "theirs in A2"),
            "mixup": (0.1, "alpha: theirs; of classifiers with one label per image"),
            "cutmix": (1.0, "alpha: theirs"),
            "drop_path": (0.05, "theirs in A2"),
        },
        data={"augment": ("randaugment", "theirs: RandAugment 7")},
    ),
}  # fmt: skip


def recipe_of(name: str) -> NamedRecipe:
    """Return the recipe of that name.

    Raises:
        InputError: There is none.
    """
    if name not in RECIPES:
        raise InputError(f"there is no recipe {name!r}", value=name, choices=RECIPES)
    return RECIPES[name]


def whole(name: str) -> dict[str, dict[str, Any]]:
    """The values in which recipes differ, by section: this recipe's, or else the defaults.

    ``start`` is left out, since it does not concern the optimiser.

    Raises:
        InputError: There is no such recipe.
    """
    own, sections = recipe_of(name).sections(), {}
    for section, settings in (("proxy", ProxySettings()), ("data", DataSettings())):
        keys = {key for one in RECIPES.values() for key in one.sections().get(section, {})} - {"start"}
        sections[section] = {key: own.get(section, {}).get(key, getattr(settings, key)) for key in sorted(keys)}
    return sections
