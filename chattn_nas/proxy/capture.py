"""Captures work that runs many times in a CUDA graph, and replays it.

Small networks on a GPU are limited by the launching of kernels, and ``torch.compile`` would compile again for every
architecture. Capturing the graph of a whole step takes the time of a few steps. On an H100 a captured step of
``cifar_resnet8`` (16 px, batch 128) trains 5 times as many images a second as an eager one, to the same bits
(2026-11-25, ``scripts/check_cuda.md``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from chattn_nas.errors import first_line

log = logging.getLogger(__name__)

Work = Callable[[], None]
#: Records work without running it and returns what replays it; raises where that cannot be done.
Capture = Callable[[Work], Work]

#: Runs before capture: lazy initialisation and the choice of algorithms happen in them.
WARM_UP = 3


class Replayed:
    """Runs ``work``: eagerly at first, then as a replay; if capture fails, eagerly, with the reason logged.

    Everything that changes from call to call must be in tensors that stay in place.

    Args:
        work: Reads and writes such tensors only.
        capture: ``None`` runs eagerly.
    """

    def __init__(self, work: Work, capture: Capture | None) -> None:
        self.work, self.capture = work, capture
        self.replay: Work | None = None
        self.warm = 0

    def __call__(self) -> None:
        """Run the work once."""
        if self.replay is None and self.capture is not None and self.warm >= WARM_UP:
            try:
                self.replay = self.capture(self.work)
            except Exception as error:  # whatever a layer does that a graph cannot hold
                first: BaseException = error
                while first.__context__ is not None:  # the end of a broken capture raises on top of what broke it
                    first = first.__context__
                log.warning("running eagerly, not as a CUDA graph: %s: %s", type(first).__name__, first_line(first))
                self.capture = None
        self.warm += 1
        (self.replay or self.work)()


def cuda_graphs(device: torch.device, *own: torch.Generator) -> Capture | None:
    """Return a function that captures on the current stream (not the default one); ``None`` if the device is no GPU.

    Args:
        device: Device that the work runs on.
        own: Generators of the work besides the device's: replays go on drawing where eager runs stopped.
    """
    if device.type != "cuda":
        return None

    def capture(work: Work) -> Work:
        """Capture the work as one replay; if that fails, generators go on drawing where they were."""
        graph = torch.cuda.CUDAGraph()
        generators = [torch.cuda.default_generators[torch.cuda.current_device()], *own]
        states = [(drawn, drawn.get_state()) for drawn in generators]
        for generator in own:
            graph.register_generator_state(generator)
        try:
            with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
                work()
        except Exception:
            for drawn, state in states:  # a broken capture leaves its generators waiting for the end of it
                fresh = torch.Generator(device)
                fresh.set_state(state)
                drawn.graphsafe_set_state(fresh)
            raise
        return graph.replay

    return capture
