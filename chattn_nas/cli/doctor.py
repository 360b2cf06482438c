"""The command ``doctor``: whether this machine and this installation can search."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import typer

from chattn_nas.cli._app import AsJson, command, moving, print_json, say

PACKAGE = "chattn-nas"
#: GiB of free memory or disk below which a search will hardly come to its end.
LEAST = 1.0


@dataclass(frozen=True)
class Check:
    """The result of one check; ``wrong`` ends the command with exit code 1, ``beware`` does not."""

    what: str
    found: str
    verdict: Literal["ok", "beware", "wrong"] = "ok"


@command("Start", "chattn-nas doctor")
def doctor(as_json: AsJson = False) -> None:
    """Check Python, torch, devices, memory, disk, versions, extras; exit code 1 if something is wrong."""
    findings = []
    with moving("Looking", line=False):
        for check in checks():
            findings.append(check)
            say(f"{check.verdict:<6}  {check.what:<8}  {check.found}")
    wrong = any(check.verdict == "wrong" for check in findings)
    if as_json:
        print_json({"ok": not wrong, "checks": [asdict(check) for check in findings]})
    raise typer.Exit(1 if wrong else 0)


def checks() -> Iterator[Check]:
    """Run all checks, the quick ones first."""
    yield _python()
    yield from _packages()
    yield from _torch()
    yield _memory()
    yield from _disks()


def _python() -> Check:
    from packaging.specifiers import SpecifierSet

    bounds = metadata.metadata(PACKAGE)["Requires-Python"]
    version = platform.python_version()
    fits = SpecifierSet(bounds).contains(version, prereleases=True)
    text = f"{version} ({bounds}), {platform.system()} {platform.machine()}; {PACKAGE} {metadata.version(PACKAGE)}"
    return Check("Python", text, "ok" if fits else "wrong")


def _packages() -> Iterator[Check]:
    """Check versions against the bounds of this package, and which extras are complete."""
    from packaging.requirements import Requirement

    needed = [Requirement(text) for text in metadata.requires(PACKAGE) or ()]
    core = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    amiss = [text for one in core if (text := unmet(one.name, str(one.specifier)))]
    text = "; ".join(amiss) or f"{len(core)} packages, all within their bounds"
    yield Check("packages", text, "wrong" if amiss else "ok")
    whole, missing, odd = [], [], []
    for extra in metadata.metadata(PACKAGE).get_all("Provides-Extra") or ():
        own = [one for one in needed if one not in core and one.marker and one.marker.evaluate({"extra": extra})]
        lacks = [text for one in own if (text := unmet(one.name, str(one.specifier)))]
        if not lacks:
            whole.append(extra)
        elif all(installed(one.name) for one in own):
            odd.append(f"{extra} ({'; '.join(lacks)})")
        else:
            missing.append(extra)
    parts = [f"installed: {', '.join(whole) or 'none'}", f"not: {', '.join(missing)}" * bool(missing)]
    parts.append(f"outside their bounds: {', '.join(odd)}" * bool(odd))
    yield Check("extras", "; ".join(filter(None, parts)), "beware" if odd else "ok")


def installed(name: str) -> str | None:
    """The version of a distribution, ``None`` if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def unmet(name: str, bounds: str) -> str | None:
    """What is wrong with a distribution that must be within ``bounds``, such as ``>=2,<3``."""
    from packaging.specifiers import SpecifierSet

    version = installed(name)
    if version is None:
        return f"{name} is missing ({bounds})"
    return None if SpecifierSet(bounds).contains(version, prereleases=True) else f"{name} {version} is not {bounds}"


def _torch() -> Iterator[Check]:
    """Check the device that ``device: auto`` takes, and that it computes."""
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Check("torch", f"cannot be imported: {error}", "wrong")
        return
    from chattn_nas.device import cpu_count, resolve_device

    yield Check("torch", f"{torch.__version__}; {cpu_count()} CPU cores for this process")
    count = torch.cuda.device_count()
    if torch.version.cuda is None:
        yield _without_gpu(f"this torch is built {'for ROCm' if torch.version.hip else 'without CUDA'}")
    elif not count:
        yield _without_gpu(f"{torch.version.cuda}, but torch sees no GPU")
    else:
        names = ", ".join(f"{torch.cuda.get_device_name(index)} (cuda:{index})" for index in range(count))
        free, total = torch.cuda.mem_get_info(0)
        yield Check("CUDA", f"{torch.version.cuda}; {names}; {_gib(free)} of {_gib(total)} free on cuda:0")
    try:
        device = resolve_device("auto")
        image = torch.ones(1, 3, 8, 8, device=device, requires_grad=True)
        torch.nn.functional.conv2d(image, torch.ones(4, 3, 3, 3, device=device)).sum().backward()
        yield Check("device", f"auto is {device.type}: a convolution runs there, forward and back")
    except RuntimeError as error:
        yield Check("device", f"a convolution fails: {' '.join(str(error).split())[:300]}", "wrong")


def _without_gpu(reason: str) -> Check:
    if shutil.which("nvidia-smi"):
        return Check("CUDA", f"{reason}, though there is an NVIDIA driver: the CPU will be used", "beware")
    return Check("CUDA", f"{reason}: the CPU will be used")


def _memory() -> Check:
    import psutil

    memory = psutil.virtual_memory()
    verdict: Literal["ok", "beware"] = "beware" if memory.available < LEAST * 2**30 else "ok"
    return Check("memory", f"{_gib(memory.available)} of {_gib(memory.total)} available", verdict)


def _disks() -> Iterator[Check]:
    """Check the disks of runs and of the image cache."""
    from chattn_nas.data.cache import default_folder

    for what, folder in (("runs", Path.cwd()), ("cache", Path(default_folder()))):
        there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        free = shutil.disk_usage(there).free
        if not os.access(there, os.W_OK):
            yield Check(what, f"{folder} cannot be written", "wrong")
        else:
            yield Check(what, f"{_gib(free)} free in {folder}", "beware" if free < LEAST * 2**30 else "ok")


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"
