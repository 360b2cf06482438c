"""One network that holds every choice of a space: backbone weights shared, one attention active per stage.

Guo, Zhang, Mu, Heng, Liu, Wei, Sun, "Single Path One-Shot Neural Architecture Search with Uniform Sampling" (2020).
Every placement of some choice has one :class:`Switch`; a switch without an active choice is the exact identity.
Switching changes no names, so one optimiser trains everything, and inactive choices have no gradient at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from chattn_nas import attention
from chattn_nas.attention import Placement
from chattn_nas.image_size import ImageSize
from chattn_nas.network import finetune
from chattn_nas.network.build import build_network, maker, prepared_backbone, put_head
from chattn_nas.network.layout import Layout, layout
from chattn_nas.network.scaled import Scaled
from chattn_nas.network.stage_scope import cells, hand_on
from chattn_nas.network.start import AttentionSlot, Measuring, undisturbed
from chattn_nas.network.surgery import place, put
from chattn_nas.space import NONE, Architecture, Backbone, SlotShape, Stage, StageChoice

#: From the inside of a block to its outside: a block that is wrapped no longer has its children under its own path.
INWARDS: tuple[Placement, ...] = (
    "before_add", "before_convs", "after_spatial_conv", "before_last_conv", "before_block", "after_add",
)  # fmt: skip
#: Placements at convolutions, where a norm may follow.
AT_CONVOLUTIONS: tuple[Placement, ...] = ("before_convs", "after_spatial_conv", "before_last_conv")
#: Paths of modules that became a child of the module there, and the name of the child.
Moved = tuple[tuple[str, str], ...]


class Switch(nn.Module):
    """One place for attention: the module of the active choice, or nothing. (B, C, H, W) to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.choices = nn.ModuleDict()
        self.active: str | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the active choice, or without one the map itself."""
        if self.active is None:
            return x
        y: Tensor = self.choices[self.active](x)
        return y


@dataclass(frozen=True)
class _Place:
    """A switch, and where its attention sits in a network of one architecture."""

    switch: Switch
    block: int
    path: str
    moved: Moved


@dataclass
class Supernet:
    """A supernet and what it holds.

    Attributes:
        model: The backbone with its switches.
        network: The network to train: the model, or the network of a task around it.
        plan: Layout of the backbone.
        forms: The choices of every stage, in canonical form.
        places: The slots of a choice's attentions, per stage and choice.
        backbone: Names of the backbone without attention to those of the model.
    """

    model: nn.Module
    network: nn.Module
    plan: Layout
    forms: tuple[tuple[StageChoice, ...], ...]
    places: list[list[list[_Place]]]
    backbone: dict[str, str]
    _handles: list[RemovableHandle] = field(default_factory=list)

    def select(self, places: Sequence[int]) -> None:
        """Activate one choice per stage, by its index in :attr:`forms`; all others become identities."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        for one in (one for choices in self.places for choice in choices for one in choice):
            one.switch.active = None
        for stage, chosen in enumerate(places):
            for one in self.places[stage][chosen]:
                one.switch.active = str(chosen)
            choice, blocks = self.forms[stage][chosen], self.plan.blocks[stage]
            if choice.type != NONE and attention.get(choice.type).scope == "stage":
                slots = choice.slots(self.plan.stages[stage])
                self._handles += hand_on(self.model, [block.path for block in blocks], slots)

    def names(self, places: Sequence[int]) -> dict[str, str]:
        """Map names of parameters and buffers in one architecture's own network to those in :attr:`network`.

        The own network is built as ``build_network`` and the task build it, with this one's constants
        (:class:`.Scaled`).
        """
        own = self.network.state_dict()
        prefix = next(f"{path}." if path else "" for path, one in self.network.named_modules() if one is self.model)
        moved: list[tuple[str, str]] = []
        names: dict[str, str] = {}
        paths = {module: path for path, module in self.model.named_modules()}
        for stage, chosen in enumerate(places):
            for one in self.places[stage][chosen]:
                moved += one.moved
                inside = f"{paths[one.switch]}.choices.{chosen}"
                for name in one.switch.choices[str(chosen)].state_dict():
                    names[f"{one.path}.{name}"] = f"{inside}.{name}"
        names |= {_moved(name, moved): here for name, here in self.backbone.items()}
        names = {prefix + name: prefix + here for name, here in names.items() if prefix + here in own}
        return names | {name: name for name in own if not name.startswith(prefix)}

    def state(self, places: Sequence[int]) -> dict[str, Tensor]:
        """Copy the weights of one architecture, under the names of its own network."""
        own = self.network.state_dict()
        return {name: own[here].detach().clone() for name, here in self.names(places).items()}


def _moved(name: str, moved: Sequence[tuple[str, str]]) -> str:
    for path, child in moved:
        if name.startswith(f"{path}."):
            return f"{path}.{child}{name[len(path) :]}"
    return name


def build_supernet(
    backbone: Backbone,
    forms: Sequence[Sequence[StageChoice]],
    *,
    num_classes: int = 10,
    in_chans: int = 3,
    image_size: ImageSize = 224,
    seed: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    branch_scale: float = 1.0,
    images: Tensor | None = None,
    freeze: Sequence[str | int] = (),
    layer_decay: float = 1.0,
) -> Supernet:
    """Build the supernet of these choices, in train mode, on the CPU; no choice is active.

    Its weights are those of ``build_network`` for every architecture under the same seed.

    Args:
        backbone: The backbone.
        forms: The different choices of every stage, in canonical form.
        num_classes, in_chans, image_size, seed, pretrained, weights, branch_scale, images, freeze, layer_decay: As
            for ``build_network``.

    Raises:
        BackboneError, InputError: ``build_network`` would raise it for one of the choices.
    """
    plan = layout(backbone, in_chans, image_size)
    _check_stage_scope(backbone, plan, forms, num_classes, in_chans, image_size)
    with torch.random.fork_rng(devices=[]):
        model, parts = prepared_backbone(
            backbone, plan, num_classes=num_classes, in_chans=in_chans, image_size=image_size, seed=seed,
            pretrained=pretrained, weights=weights, branch_scale=branch_scale, images=images, freeze=freeze,
            device=None,
        )  # fmt: skip
        bare = {id(value): name for name, value in model.state_dict(keep_vars=True).items()}
        places = [_install(model, plan, stage, choices) for stage, choices in enumerate(forms)]
        for stage, choices in enumerate(forms):
            for number, choice in enumerate(choices):
                make = maker(choice, plan.stages[stage].name, num_classes, seed, False, None)
                _fill(places[stage][number], str(number), choice, plan.stages[stage], make)
        put_head(model, backbone, num_classes=num_classes, in_chans=in_chans, image_size=image_size, seed=seed)
    inside = tuple(f"{path}." for path, module in model.named_modules() if isinstance(module, Switch))
    names = {
        bare.get(id(value), name): name
        for name, value in model.state_dict(keep_vars=True).items() if not name.startswith(inside or ("\0",))
    }  # fmt: skip
    model.architecture = Architecture.uniform(backbone, NONE)  # type: ignore[assignment]
    if layer_decay != 1:
        model.rate_factors = finetune.rate_factors(model, parts, layer_decay)  # type: ignore[assignment]
    model.train()
    return Supernet(model, model, plan, tuple(map(tuple, forms)), places, names)


def _check_stage_scope(
    backbone: Backbone, plan: Layout, forms: Sequence[Sequence[StageChoice]], num_classes: int, in_chans: int,
    image_size: ImageSize,
) -> None:  # fmt: skip
    """Refuse a cell whose state cannot travel from block to block, as in an ordinary network."""
    for stage, choices in enumerate(forms):
        for choice in choices:
            if choice.type != NONE and attention.get(choice.type).scope == "stage":
                alone = [StageChoice()] * len(plan.stages)
                alone[stage] = choice
                build_network(
                    Architecture(backbone, tuple(alone)), num_classes=num_classes, in_chans=in_chans,
                    image_size=image_size, seed=0, device="meta",
                )  # fmt: skip


def _install(model: nn.Module, plan: Layout, index: int, choices: Sequence[StageChoice]) -> list[list[_Place]]:
    """Install the switches of a stage; return the places of each choice, in the order of its slots."""
    stage, blocks = plan.stages[index], plan.blocks[index]
    attended = [choice for choice in choices if choice.type != NONE]
    installed: dict[Placement, list[_Place]] = {placement: [] for placement in INWARDS}
    for placement in INWARDS:
        taken = [slot for one in attended if one.place(stage) == placement for slot in one.slots(stage)]
        for number in sorted({slot.block for slot in taken}):
            convolutions = plan.convolutions_at(blocks[number].path, placement)
            switches = [Switch() for _ in convolutions or (None,)]
            placed = place(model, blocks[number], placement, list(switches), convolutions)
            moved: list[Moved] = [(one,) for one in placed.moved] or [()] * len(switches)
            installed[placement] += map(_Place, switches, [number] * len(switches), placed.attentions, moved)
    return [
        [one for one in installed[choice.place(stage)] if one.block in {slot.block for slot in choice.slots(stage)}]
        if choice.type != NONE else [] for choice in choices
    ]  # fmt: skip


def _fill(
    places: Sequence[_Place], key: str, choice: StageChoice, stage: Stage, make: Callable[[SlotShape], nn.Module]
) -> None:
    """Put the modules of one choice behind its switches."""
    slots = choice.slots(stage)
    modules: list[nn.Module]
    if choice.type != NONE and attention.get(choice.type).scope == "stage":
        modules = [module for _, module in cells(slots, make)]
    else:
        modules = [make(slot) for slot in slots]
    for one, module in zip(places, modules, strict=True):
        one.switch.choices[key] = module


def start_choices_at_unit(supernet: Supernet, images: Tensor) -> None:
    """Bring every choice to the unit start, in place and without random numbers.

    Unlike in :func:`.start_at_unit`, the correction is always a constant behind the attention, since all choices share
    the scale of a norm. Choices are measured together with those of the same index in the other stages.

    Args:
        supernet: The supernet, before a task has taken its network.
        images: A batch (B, C, H, W) of normalised training images, on its device.
    """
    for turn in range(max(map(len, supernet.forms), default=0)):
        places = [turn % len(choices) for choices in supernet.forms]
        supernet.select(places)
        paths = {module: path for path, module in supernet.model.named_modules()}
        slots = tuple(
            AttentionSlot(
                stage, f"{paths[one.switch]}.choices.{chosen}", supernet.plan.blocks[stage][one.block].path,
                supernet.forms[stage][chosen].place(supernet.plan.stages[stage]) in AT_CONVOLUTIONS, inside=False,
            )
            for stage, chosen in enumerate(places) if turn < len(supernet.forms[stage])
            for one in supernet.places[stage][chosen]
        )  # fmt: skip
        with undisturbed(supernet.model):
            starts = Measuring(supernet.model, slots).run(images) if slots else []
        for start in starts:
            if start.where == "behind":
                module = supernet.model.get_submodule(start.slot.path)
                put(supernet.model, start.slot.path, Scaled(module, start.scale))
    supernet.select([choices.index(StageChoice()) if StageChoice() in choices else 0 for choices in supernet.forms])
