"""Attention of stage scope (DIANet): one cell in all blocks of a stage, its state handed from block to block.

The state of a forward pass travels on the map from one block to the next, as an attribute of that tensor, and a slot
can reach it only while its block runs, per thread. So a forward pass leaves nothing in the network: passes do not see
each other, whatever runs at the same time, and a block that gradient checkpointing runs again finds on its input the
state that it had the first time. The cell is registered in the first slot of the stage only; the others refer to it
outside the module tree, so a state_dict holds it once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from chattn_nas.attention import Placement
from chattn_nas.network.layout import Layout
from chattn_nas.network.surgery import place
from chattn_nas.space import SlotShape, of_one_width

#: The attribute of a map that carries the state: the first slot of the stage (its owner), and the state.
RIDES = "_chattn_nas_state"
#: Its ``state``: the same pair, for the block that this thread runs.
_running = threading.local()


def running_state() -> Any:
    """The state, received or new, of the block that this thread is running; opaque."""
    return getattr(_running, "state", None)


def run_on(state: Any) -> None:
    """Provide ``state``, from :func:`running_state`, to whatever runs next in this thread."""
    _running.state = state


class StageSlot(nn.Module):
    """The place of a stage's cell in one block: (B, C, H, W) to the same.

    Args:
        cell: ``forward(x, state=None) -> (y, state)``, if this is the stage's first slot.
        first: The first slot, if this is another one.
    """

    def __init__(self, cell: nn.Module | None = None, first: StageSlot | None = None) -> None:
        super().__init__()
        if cell is not None:
            self.cell = cell
        # In a tuple, so that it is no submodule: deepcopy, pickle and functional_call see the cell once.
        self.__dict__["_first"] = (first,)

    @property
    def first(self) -> StageSlot:
        """The slot that holds the cell."""
        first: StageSlot | None = self.__dict__["_first"][0]
        return self if first is None else first

    def forward(self, x: Tensor) -> Tensor:
        """Gate the map, and leave the new state for the block's output.

        Raises:
            RuntimeError: The previous block's state did not arrive: the blocks do not follow each other directly.
        """
        first = self.first
        owner, state = getattr(_running, "state", None) or (None, None)
        if self is first:
            state = None
        elif owner is not first:
            raise RuntimeError("the attention's state did not arrive from the block before")
        y, state = first.cell(x, state)
        _running.state = (first, state)
        return y


class Receive:
    """Forward pre-hook of a block: takes the state off its input."""

    def __call__(self, block: nn.Module, arguments: tuple[Any, ...]) -> None:
        """Called by torch before the block's forward."""
        _running.state = getattr(arguments[0], RIDES, None) if arguments else None


class HandOn:
    """Forward hook of a block: puts the state onto its output."""

    def __call__(self, block: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        """Called by torch behind the block's forward."""
        state, _running.state = getattr(_running, "state", None), None
        if state is not None and isinstance(output, Tensor):
            setattr(output, RIDES, state)


class LetGo:
    """Forward hook of the last block: removes the state from the stage's output."""

    def __call__(self, block: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        """Called by torch behind the block's forward."""
        _running.state = None


def share(
    model: nn.Module,
    plan: Layout,
    index: int,
    placement: Placement,
    slots: Sequence[SlotShape],
    make: Callable[[SlotShape], nn.Module],
) -> list[tuple[str, nn.Module]]:
    """Put one cell into a stage, or one for each run of blocks with equal channels, in place.

    Args:
        model: The network.
        plan: Its layout.
        index: Number of the stage, from 0.
        placement: Where in each block.
        slots: Slots of the stage, one per block.
        make: Makes a cell.

    Returns:
        The path of every block that takes part, and its slot.
    """
    blocks = plan.blocks[index]
    made = cells(slots, make)
    for slot, module in made:
        place(model, blocks[slot.block], placement, [module])
    hand_on(model, [block.path for block in blocks], slots)
    return [(blocks[slot.block].path, module) for slot, module in made]


def cells(slots: Sequence[SlotShape], make: Callable[[SlotShape], nn.Module]) -> list[tuple[SlotShape, StageSlot]]:
    """The slots of one cell in its blocks, or of one cell for each run of blocks with equal channels."""
    made: list[tuple[SlotShape, StageSlot]] = []
    for run in of_one_width(slots):
        first = StageSlot(make(run[0]))
        made += [(slot, first if slot is run[0] else StageSlot(first=first)) for slot in run]
    return made


def hand_on(model: nn.Module, blocks: Sequence[str], slots: Sequence[SlotShape]) -> list[RemovableHandle]:
    """Pass the state of the cells in ``slots`` from block to block; ``blocks`` are the paths of the whole stage."""
    handles = []
    for run in of_one_width(slots):
        # Blocks between two slots have none of their own, and hand the state on.
        for number in range(run[0].block, run[-1].block + 1):
            block = model.get_submodule(blocks[number])
            handles.append(block.register_forward_pre_hook(Receive()))
            handles.append(block.register_forward_hook(LetGo() if number == run[-1].block else HandOn()))
    return handles
