"""Every attention's forward and backward, as multiples of reading and writing the map once.

Timed in turn, all in one run, so that whatever else the machine does falls on all alike; given are medians of ratios.
On one CPU thread what is taken is the time that this thread computed, not the time that it waited for a busy machine.
Memory is kept (MALLOC_TRIM_THRESHOLD_), as in a training loop; otherwise most of the time of the floor is page faults.

    ours     our module
    (a)      a plain statement of the same formula with the same weights (checked to give the same output)
    (b)      the same mechanism of timm.layers, where timm has it
    (N x N)  soca with the centring matrix of the official code
    compiled ours through torch.compile, the module alone (asked for with --compile; a C++ compiler is needed)
    floor    x * gate with a gate given, (B, C, 1, 1): 1.0 by definition

    MALLOC_TRIM_THRESHOLD_=8000000000 python scripts/benchmarks/attention.py     # float32 on the CPU
    python scripts/benchmarks/attention.py --channels-last   # maps, floor and all, in the layout that training uses
    python scripts/benchmarks/attention.py --device cuda     # bfloat16 under autocast on a GPU
"""

from __future__ import annotations

import argparse
import copy
import platform
import random
import statistics
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version

import torch
from plain_attention import PLAIN, by_matrix, soca
from timm.layers import create_attn
from torch import Tensor, nn

from chattn_nas import attention

SIZES = ((64, 56, 56), (256, 14, 14), (512, 7, 7))
#: What timm calls the same mechanism (its cbam has no biases and another order of pools, its coord other widths).
TIMM = {"se": "se", "eca": "eca", "cbam": "cbam", "coordinate": "coord"}
#: Most that ours should take: forward, and forward with backward.
AIM = dict.fromkeys(("se", "eca", "rcan", "gct", "dia"), (1.6, 3.0)) | dict.fromkeys(("fca", "srm"), (2.3, 3.0))


def contenders(
    name: str, x: Tensor, compiled: bool = False
) -> dict[str, tuple[Callable[[Tensor], Tensor], nn.Module | None]]:
    """What is timed for one type, by column: a function of the map, and the module whose gradients it fills."""
    channels, device = x.shape[1], x.device
    module = attention.build(name, channels, feature_size=tuple(x.shape[2:]), num_classes=10).to(device)
    with torch.no_grad():
        for parameter in module.parameters():  # off the start, where some gates are constant
            parameter.add_(0.1 * torch.randn_like(parameter))
    twin, plain = copy.deepcopy(module), PLAIN[name]
    state = () if name != "dia" else ((torch.rand(x.shape[0], channels, device=device),) * 2,)

    def ours(x: Tensor) -> Tensor:
        y = module(x, *state)
        return y[0] if state else y

    found: dict[str, tuple[Callable[[Tensor], Tensor], nn.Module | None]] = {
        "ours": (ours, module), "(a)": (lambda x: plain(twin, x, *state), twin),
    }  # fmt: skip
    if name in TIMM:
        layer = create_attn(TIMM[name], channels).to(device)
        found["(b)"] = (layer, layer)
    if name == "soca" and x.shape[2:] == (56, 56):
        third = copy.deepcopy(module)
        found["(N x N)"] = (lambda x: soca(third, x, by_matrix), third)
    if compiled:
        fourth = copy.deepcopy(module)
        found["compiled"] = (torch.compile(fourth), fourth)
    with torch.no_grad():  # in training mode, as timed; two modules, so that running statistics do not differ
        error = (ours(x) - plain(twin, x, *state)).abs().max() / x.abs().max()
    assert error < (1e-4 if device.type == "cpu" else 3e-2), f"{name}: the plain statement differs by {error:.1e}"
    return found


def seconds(run: Callable[[Tensor], Tensor], module: nn.Module | None, x: Tensor, backward: bool) -> float:
    """One call, its backward included where asked for."""
    x = x.detach().requires_grad_(backward)
    weights = [p for p in module.parameters() if p.requires_grad] if backward and module is not None else []
    upstream = torch.ones_like(x)
    _wait(x)
    clock = time.thread_time if torch.get_num_threads() == 1 and not x.is_cuda else time.perf_counter
    start = clock()
    with torch.set_grad_enabled(backward), torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda):
        y = run(x)
    if backward:
        torch.autograd.grad(y, [x, *weights], upstream, allow_unused=True)
    _wait(x)
    return clock() - start


def _wait(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize()


def ratios(name: str, x: Tensor, rounds: int, backward: bool, compiled: bool = False) -> dict[str, float]:
    """Medians over the rounds of each contender's time over the floor's in that round."""
    gate = torch.rand(x.shape[0], x.shape[1], 1, 1, device=x.device)
    gate = gate.to(x.dtype).requires_grad_(backward)
    timed = {"floor": (lambda x: x * gate, None), **contenders(name, x, compiled)}
    for run, module in timed.values():
        seconds(run, module, x, backward)
    found: dict[str, list[float]] = {key: [] for key in timed}
    for _ in range(rounds):
        # In another order each time: who comes next finds warm caches, or pays for memory given back.
        order = random.sample(list(timed), len(timed))
        taken = {key: seconds(*timed[key], x, backward) for key in order}
        for key, time_of in taken.items():
            found[key].append(time_of / taken["floor"])
    return {key: statistics.median(values) for key, values in found.items()}


def main() -> None:
    """Print the facts of the run and a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", nargs="+", default=list(PLAIN), choices=list(PLAIN))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    random.seed(0)
    dtype = torch.bfloat16 if options.device.startswith("cuda") else torch.float32
    where = platform.processor() or platform.machine()
    where = torch.cuda.get_device_name() if dtype == torch.bfloat16 else f"{where}, {options.threads} thread(s)"
    print(f"{date.today()}, {where}, {dtype}, torch {torch.__version__}, timm {version('timm')}, "
          f"batch {options.batch}, {options.rounds} rounds{', channels_last' * options.channels_last}\n")  # fmt: skip
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    columns = ("ours", "(a)", "(b)", "(N x N)", *["compiled"] * options.compile)
    print("| type | map | pass | " + " | ".join(columns) + " | aim |\n|---|---|---|" + "---|" * len(columns) + "---|")
    for name in options.types:
        for channels, *size in SIZES:
            x = torch.randn(options.batch, channels, *size, device=options.device, dtype=dtype)
            x = x.contiguous(memory_format=layout)
            for backward in (False, True):
                torch.compiler.reset()
                found = ratios(name, x, options.rounds, backward, options.compile)
                aim = AIM.get(name, ("", ""))[backward]
                cells = " | ".join(f"{found[key]:.2f}" if key in found else "" for key in columns)
                shape = "x".join(map(str, (channels, *size)))
                print(f"| {name} | {shape} | {'both' if backward else 'forward'} | {cells} | {aim} |", flush=True)


if __name__ == "__main__":
    main()
