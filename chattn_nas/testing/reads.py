"""Finds what work reads back to the host, on which a GPU would wait, and which cannot be captured in a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

#: A number, or a shape, that comes from the device.
READS = frozenset({"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select"})
#: These read on a CPU alone: the learning rate, and labels to check them.
ON_A_CPU = ("aten::_fused_", "aten::one_hot")


def reads_back(work: Callable[[], object]) -> list[str]:
    """Run work on a CPU, gradients included, and return every read with the operations around it."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        work()
    found = []
    for event in seen.events() or ():
        if event.name in READS:
            around = [event.name]
            while event.cpu_parent is not None:
                event = event.cpu_parent
                around.append(event.name)
            if not any(name.startswith(ON_A_CPU) for name in around):
                found.append(" in ".join(around))
    return list(dict.fromkeys(found))
