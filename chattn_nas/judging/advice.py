"""Advice on a spec's budget, one sentence each."""

from __future__ import annotations

import math

import psutil
import torch

from chattn_nas.data.enough import few_updates
from chattn_nas.results import words
from chattn_nas.search.devices import cpus
from chattn_nas.search.pace import Pace, others_at_work, pace
from chattn_nas.search.trainer import ProxyTrainer
from chattn_nas.space import Architecture, SearchSpace
from chattn_nas.spec.spec import Spec

#: Standard errors at which a difference is shown at 95 % with a probability of 80 %.
SHOWN = 1.96 + 0.84
#: Trials per worker that a search should have: trials that run at the same time learn nothing from each other.
TRIALS_PER_WORKER = 6
#: What several workers cost.
AT_ONCE = "those that run at once learn nothing from each other"
#: Gain in trials per hour that is worth a line.
WORTH = 1.2


def wiser(
    spec: Spec, space: SearchSpace, steps: int, *, trials: int, baselines: int, validation: int, counting: float,
    noise: float, effect: float, types: int, of_images: bool,
) -> list[str]:  # fmt: skip
    """Say what to change, if anything.

    Args:
        validation, counting: Number of validation images, and the number that would make accuracy as certain.
        of_images: Whether the score is a mean over the images.
    """
    useful, said = spec.judging.useful, []
    if of_images and 100 / counting > useful / 3:
        worth = f"{100 / counting:.2g} points" if counting >= validation else (
            f"{100 / validation:.2g} points on average, and more in a class that has few"
        )  # fmt: skip
        said.append(
            f"one of {validation:,} validation images is {worth}, and {useful:g} are worth having: more validation "
            "images (data.validation) before more trials"
        )
    if few := few_updates(steps * spec.proxy.rungs[-1], spec.proxy.batch_size):
        said.append(few)
    if trials <= 2 * baselines:
        said.append(
            f"{baselines} of {words.plural(trials, 'trial')} are baselines: fewer types, or from about "
            f"{3 * baselines} trials on"
        )
    if effect > useful:
        needed = math.ceil(2 * types * (SHOWN * noise / useful) ** 2)
        said.append(
            f"{words.plural(trials, 'trial')} over {words.plural(space.canonical_size, 'network')} are a first look: "
            f"about {_rounded(needed)} full trainings would show an effect of {useful:g} points; fewer types need fewer"
        )
    return said


def more_workers(trainer: ProxyTrainer, bare: Architecture, one_worker: Pace, threads: int, trials: int) -> list[str]:
    """Advise several workers that share the CPU's threads, if timing shows that they get through clearly more trials.

    As many are timed as fit into half of the free memory and leave each worker several trials.

    Args:
        bare: The backbone without attention.
        one_worker: Its pace on one worker with all the threads.
        threads: Number of CPU threads.
        trials: Number of trials of the search.
    """
    fit = psutil.virtual_memory().available // (2 * max(one_worker.memory, 1))
    workers = min(threads, fit, trials // TRIALS_PER_WORKER)
    if workers < 2:
        return []
    each = threads // workers
    torch.set_num_threads(each)
    with others_at_work((workers - 1) * each, each):  # no more than there are threads
        shared = pace(trainer, bare, one_worker.network)
    gain = workers * one_worker.step / shared.step
    if gain < WORTH:
        return []
    often = f"about {gain:.1f} times as many trials in an hour"
    if gain > 2 * workers:  # threads of one training that wait for each other beside other programs
        often = "far more trials in an hour while other programs use these threads"
    return [
        f"search.workers: {workers} trains with {words.plural(each, 'thread')} each and gets through {often}; {AT_ONCE}"
    ]


def fewer_workers(workers: int, memory: int) -> list[str]:
    """Advise fewer workers where they take more of a CPU's threads or of the memory than there is.

    Args:
        workers: Number of workers that train on the CPU.
        memory: Bytes that one takes.
    """
    threads, total = cpus(), psutil.virtual_memory().total
    fit = max(1, min(threads, total // max(memory, 1)))
    if workers <= fit:
        return []
    shared = f"share {words.plural(threads, 'thread')}" if workers > threads else "train at once"
    needed = (
        f" and need about {workers * memory / 2**30:.0f} of {total / 2**30:.0f} GiB" if workers * memory > total else ""
    )
    return [f"search.workers: {fit} gets through as many trials: {workers} {shared}{needed}; {AT_ONCE}"]


def _rounded(number: int) -> str:
    digits = max(0, len(str(number)) - 2)
    return f"{round(number, -digits):,}"
