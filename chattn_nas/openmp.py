"""How long the threads of a training spin while they wait: briefly, so that a busy machine does not stall it.

A layer's threads meet at barriers, thousands in a second. GNU's OpenMP, which torch uses on Linux, lets a thread
that waits spin 300,000 times before it sleeps. Where another process takes the core of the thread that is waited
for, the spinning keeps that thread from its turn: a training beside one busy program takes many times as long
(``scripts/benchmarks/busy.md``).
"""

from __future__ import annotations

import os

#: Turns of a thread that waits. Enough to bridge the gaps of an idle machine, too few to hold up a busy one for long:
#: with 5,000 an idle one took up to a fifth longer.
SPIN = "18000"


def short_waits() -> dict[str, str]:
    """Environment variables for a process that has not loaded torch yet; empty if the user has set one of them."""
    return {} if {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys() else {"GOMP_SPINCOUNT": SPIN}
