"""Commands on one network: ``export``, ``evaluate``, ``bench``."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Annotated

import typer

from chattn_nas.cli._app import AsJson, RunPath, command, moving, open_run, print_json, print_table, read_spec, say
from chattn_nas.errors import InputError
from chattn_nas.plural import plural

log = logging.getLogger(__name__)


@command("Take home", "chattn-nas export photos --out network")
def export(
    run: RunPath,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    trial: Annotated[str, typer.Option(help="best, or a trial's number.")] = "best",
    by: Annotated[
        str | None, typer.Option(help="Best by pooled, mean or single; default: what confirm put first, else pooled.")
    ] = None,
    format: Annotated[str, typer.Option(help="Comma-separated: source, safetensors, pt2, onnx, timm.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that holds other files, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a network that needs only torch, and prove that it computes the same."""
    opened = open_run(run, line=True)
    with moving("Loading torch", line=False):
        from chattn_nas import api
        from chattn_nas.export import DEFAULT_FORMATS
        from chattn_nas.study.short import in_short

        chosen = opened.chosen(trial, by)
    say(f"Exporting {in_short(str(chosen))}")
    formats = [name.strip() for name in format.split(",") if name.strip()] or DEFAULT_FORMATS
    with moving("Writing it, and proving that it computes the same", line=False):
        written = api.export(chosen, out, formats, force=force)
    for check, difference in written.differences.items():
        say(f"  {check}: largest difference {difference:.3g}")
    say(f"Wrote {', '.join(written.files)} to {written.folder}")
    if "model.py" in written.files:
        say(f"Next: python {written.folder / 'model.py'} IMAGE")
    if as_json:
        print_json({"folder": str(written.folder), "files": [str(one) for one in written.files],
                    "differences": written.differences, "network": str(chosen)})  # fmt: skip


@command("Take home", "chattn-nas evaluate network --data photos.yaml --part test")
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An exported folder.")],
    data: Annotated[Path, typer.Option(help="A spec, whose data section names the images.")],
    part: Annotated[str, typer.Option(help="validation, or test.")] = "validation",
    as_json: AsJson = False,
) -> None:
    """Score an exported network on a data set."""
    if part not in ("validation", "test"):
        raise InputError(f"--part cannot be {part!r}", value=part, choices=("validation", "test"))
    spec = read_spec(data)
    with moving("Loading torch", line=False):
        from chattn_nas import tasks
        from chattn_nas.data import load_test
        from chattn_nas.export import evaluate_folder, open_folder
        from chattn_nas.spec.load import lines_of

    opened = open_folder(folder)  # before the images are read
    for key, trained in opened.preparation.items():
        if (here := getattr(spec.data, key)) != trained:
            log.warning(
                "data.%s is %s in %s, the network was trained with %s: it may score worse", key, here, data, trained
            )
    with lines_of(data):
        facts = tasks.load(spec.task, spec.data)
        images = load_test(spec.data) if part == "test" else facts.validation
        with moving(f"Scoring {folder}", line=False):
            score = evaluate_folder(
                opened, images, metric=spec.data.metric, task=facts.task, class_names=facts.class_names
            )
    if as_json:
        print_json(dataclasses.asdict(score))
    else:
        say(
            f"{part}: {facts.task.unit.title} {facts.task.unit.text(score.score)} on {plural(score.images, 'image')}, "
            f"loss {score.loss:.4f}"
        )


@command("Take home", "chattn-nas bench network --batch-size 8")
def bench(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An exported folder.")],
    batch_size: Annotated[int, typer.Option(min=1, help="Images per batch.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Time an exported network against the same backbone without attention, in turns."""
    with moving(f"Timing {folder}", line=False):
        from chattn_nas.export import bench_folder

        timing = bench_folder(folder, batch_size=batch_size, device=device)
    if as_json:
        print_json(dataclasses.asdict(timing) | {"relative": timing.relative})
        return
    print_table(
        [
            {"network": name, "ms per batch": 1e3 * seconds, "relative": seconds / timing.reference}
            for name, seconds in (
                ("without attention", timing.reference),
                ("as exported", timing.network),
                (f"with {plural(timing.folded_norms, 'norm')} folded", timing.folded),
            )
        ],
        f"batch {timing.batch_size}, {timing.device}, {plural(timing.threads, 'thread')}, float32, medians",
    )
