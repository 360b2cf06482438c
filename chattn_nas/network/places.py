"""The places that a stage offers besides the slots of its blocks: around blocks and at convolutions.

A placement is offered if all blocks of the stage have it, with the channels and the feature size of its map.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from chattn_nas.attention import Placement
from chattn_nas.network.observe import Shape, observe, runs_with
from chattn_nas.network.slots import Block
from chattn_nas.space import SlotShape, Stage

Offered = dict[Placement, tuple[SlotShape, ...]]


class Places:
    """The places in a model, as seen in one forward pass.

    Args:
        model: On the meta device, in eval mode; left as it was.
        blocks: All blocks with a working slot, in the order of the network.
        image: (B, C, H, W) on the meta device.

    Attributes:
        convolutions: Paths of a block's convolutions in the order of the forward pass, by the block's path.
        inner: The last spatial convolution of a block that has one, and the convolution after it (itself if there is
            none), by the block's path; those of its shortcut are left out.
    """

    def __init__(self, model: nn.Module, blocks: Sequence[Block], image: Tensor) -> None:
        self._model, self._image = model, image
        self._seen = observe(model, blocks, image)
        self.convolutions = {path: tuple(names) for path, names in self._seen.convolutions.items()}
        aside = self._seen.shortcuts
        ends = {path: _ends(model, [n for n in names if n not in aside]) for path, names in self.convolutions.items()}
        self.inner = {path: pair for path, pair in ends.items() if pair is not None}
        inside = [block.path for block in blocks if block.kind != "stage"]
        wrapped = [part for path in inside for part in (path, *self.convolutions.get(path, ()))]
        self._all_wrap = runs_with(model, wrapped, image)  # most models: then no stage has to be tried by itself

    def stage(self, name: str, blocks: Sequence[Block]) -> Stage:
        """The stage of these blocks, with all of its places.

        Args:
            name: Name of its module.
            blocks: Its blocks, all of one kind, in the order of the network.
        """
        slots = [self._seen.slots[block.path].shapes[0] for block in blocks]
        offered: Offered = {"before_add": tuple(_place(index, shape) for index, shape in enumerate(slots))}
        if blocks[0].kind == "stage":
            offered["after_add"] = offered["before_add"]  # behind the stage is behind the add of its last block
        else:
            offered |= self._around(blocks) | self._at_convolutions([block.path for block in blocks])
        return Stage(name, blocks[0].kind, len(blocks), offered)

    def _around(self, blocks: Sequence[Block]) -> Offered:
        """Places in front of blocks and behind them."""
        inputs, outputs, paths = self._seen.inputs, self._seen.outputs, [block.path for block in blocks]
        if not all(path in inputs and path in outputs for path in paths) or not self._wrap(paths):
            return {}
        numbered = list(enumerate(blocks))
        return {
            "before_block": tuple(_place(index, _first(inputs[one.path], one)) for index, one in numbered),
            "after_add": tuple(_place(index, _first(outputs[one.path], one)) for index, one in numbered),
        }

    def _at_convolutions(self, paths: Sequence[str]) -> Offered:
        """Places in front of all convolutions, behind the last spatial one, and in front of the one after it."""
        inputs, outputs = self._seen.at_convolutions, self._seen.of_convolutions
        convolutions = [(index, conv) for index, path in enumerate(paths) for conv in self.convolutions.get(path, ())]
        met = bool(convolutions) and all(conv in inputs for _, conv in convolutions)
        if not met or not self._wrap([conv for _, conv in convolutions]):
            return {}
        offered: Offered = {"before_convs": tuple(_place(index, inputs[conv]) for index, conv in convolutions)}
        if all(path in self.inner for path in paths):
            ends = [(index, *self.inner[path]) for index, path in enumerate(paths)]
            offered["after_spatial_conv"] = tuple(_place(index, outputs[spatial]) for index, spatial, _ in ends)
            offered["before_last_conv"] = tuple(_place(index, inputs[following]) for index, _, following in ends)
        return offered

    def _wrap(self, paths: Sequence[str]) -> bool:
        """Whether the model still runs with a wrapper around each of these modules."""
        return self._all_wrap or runs_with(self._model, paths, self._image)


def _ends(model: nn.Module, convolutions: Sequence[str]) -> tuple[str, str] | None:
    """The last of these convolutions of a block that is spatial, and the one that follows it."""
    spatial = [n for n, path in enumerate(convolutions) if max(model.get_submodule(path).kernel_size) > 1]  # type: ignore[arg-type]
    if not spatial:
        return None
    last = spatial[-1]
    return convolutions[last], convolutions[min(last + 1, len(convolutions) - 1)]


def _first(shape: Shape, block: Block) -> Shape:
    """The shape of a block's map with the channels first."""
    return (shape[0], shape[3], shape[1], shape[2]) if block.channels_last else shape


def _place(block: int, shape: Shape) -> SlotShape:
    """The place in the stage's block of that index; its map is (B, C, H, W)."""
    _, channels, height, width = shape
    return SlotShape(block, channels, (height, width))
