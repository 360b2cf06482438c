"""The command that trains at full length: ``train``."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from chattn_nas.cli._app import AsJson, RunPath, command, is_first, moving, open_run, print_json, say
from chattn_nas.plural import plural


@command("Take home", "chattn-nas train photos --epochs 100", goes_on=True, together=True)
def train(
    run: RunPath,
    trial: Annotated[str, typer.Option(help="best, or a trial's number.")] = "best",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Length; default: the spec's, else 4 times the last rung.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Random seed; default: the search's.")] = None,
    with_validation: Annotated[
        bool | None,
        typer.Option("--with-validation/--without-validation", help="Train on the validation images as well."),
    ] = None,
    tensorboard: Annotated[bool | None, typer.Option(help="Write TensorBoard's files as well.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a run's network at full length, as the spec's section ``training`` says; run again to resume.

    On several GPUs: torchrun --nproc-per-node N -m chattn_nas train RUN
    """
    opened = open_run(run)
    with moving("Loading torch", line=False):
        from chattn_nas import report
        from chattn_nas.study.metric import unit_of
        from chattn_nas.study.short import in_short

        chosen, unit = opened.chosen(trial), unit_of(opened.study)
    say(f"Training {in_short(str(chosen))}")

    def on_epoch(row: dict[str, Any]) -> None:
        scored = f", validation {unit.text(row['score'])}" if "score" in row else ""
        say(f"epoch {row['epoch']}: loss {row['train_loss']:.4f}{scored}, {row['seconds']:.1f} s")

    with moving("Training", line=False):
        result = chosen.train(
            epochs=epochs, seed=seed, with_validation=with_validation, tensorboard=tensorboard, on_epoch=on_epoch
        )
    if not is_first():
        return
    report.write_report(opened.directory, opened.study)
    if as_json:
        print_json({"network": str(chosen), "test": result.test_score, "plan": result.plan})
    say(
        f"Test {unit.title} {unit.text(result.test_score)} after {plural(result.plan['epochs'], 'epoch')}\n"
        f"Next: chattn-nas export {shlex.quote(str(run))} --out network   (takes these weights)",
    )
