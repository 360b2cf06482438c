"""Commands that train more in order to judge: ``confirm``, ``calibrate``."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from chattn_nas.cli._app import (
    AsJson,
    RunPath,
    SpecPath,
    command,
    console,
    moving,
    open_run,
    print_json,
    print_table,
    read_spec,
    say,
)
from chattn_nas.errors import InputError
from chattn_nas.image_size import ImageSize, either
from chattn_nas.plural import plural

if TYPE_CHECKING:  # torch is imported where a command needs it
    from chattn_nas.judging import Comparison, Confirmation, ConfirmPlan, Network
    from chattn_nas.spec import Spec
    from chattn_nas.unit import Unit

One = TypeVar("One")
Workers = Annotated[int | None, typer.Option(min=0, help="Worker processes; 0: train in this process.")]


@command("Judge", "chattn-nas confirm photos --top 2 --plan", goes_on=True)
def confirm(
    run: RunPath,
    top: Annotated[int, typer.Option(help="How many of the best by pooled mean.")] = 3,
    seeds: Annotated[int, typer.Option(help="Trainings per network, on seeds the search never saw.")] = 5,
    epochs: Annotated[int | None, typer.Option(help="Length of each training; default: 4 times the last rung.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it takes and costs; train nothing.")] = False,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Retrain the best and the baselines at full length on new seeds, and say whether the lead is real."""
    opened = open_run(run, line=not plan)
    with moving("Loading torch", line=False):
        from chattn_nas import api, judging, report

        planned = judging.confirm_plan(opened, top=top, seeds=seeds, epochs=epochs)
    if plan and as_json:
        print_json(dataclasses.asdict(planned) | {"words": planned.words})
        return
    if not as_json:
        say(planned.words)
    if plan:
        _print_plan(planned)
        return
    confirmation = judging.confirm(
        opened, top=top, seeds=seeds, epochs=epochs, workers=workers, progress=not console.quiet
    )
    with moving("Writing the report", line=False):
        api.try_to_show("what the gates do", lambda: opened.chosen().look_at_gates())
        api.try_to_show("what the network answers", opened.show_predictions)
        report.write_report(opened.directory, opened.study)
    if as_json:
        print_json(_plain(confirmation))
        return
    _print_confirmation(confirmation)
    say(f"Report: {opened.directory / 'report.html'}")
    say(f"Next: chattn-nas train {shlex.quote(str(run))}   (then export takes it home)")


def _print_plan(planned: ConfirmPlan) -> None:
    from chattn_nas.results import words
    from chattn_nas.study.short import in_short

    rows = [
        {
            "network": in_short(row["name"]),
            "roles": ", ".join(row["roles"]),
            "search %": words.searched(row["search_pooled"], row["search"]),
        }
        for row in planned.networks
    ]
    print_table(_told_in(planned.unit, rows))


def _print_confirmation(confirmation: Confirmation) -> None:
    from chattn_nas.study.metric import named
    from chattn_nas.study.short import in_short

    unit = confirmation.told_in
    claims = (each for network in confirmation.networks for each in (network.uniform, network.none) if each)
    level = next((each.level for each in claims), "95 %")
    print_table(
        _told_in(unit, [_row(network) for network in confirmation.networks]),
        f"{plural(confirmation.epochs, 'epoch')} each; search: the pooled mean above the raw one; differences in "
        f"{unit.difference} with simultaneous {level} intervals; scale: the learned channel scale",
    )
    for network in confirmation.networks:
        for claim in _claims(network) if "candidate" in network.roles else ():
            say(named(claim, unit))
    say(in_short(f"{confirmation.headline}. {confirmation.words.replace('**', '')}"))


@command("Judge", "chattn-nas calibrate photos.yaml --epochs 2,6,18", goes_on=True)
def calibrate(
    path: SpecPath,
    run: Annotated[Path | None, typer.Option(help="Directory; default: runs/<name>-calibrate.")] = None,
    architectures: Annotated[int, typer.Option(help="Size of the stratified sample.")] = 16,
    epochs: Annotated[
        str, typer.Option(help="Epochs to try, such as 1,2,6; of several lists every combination is tried.")
    ] = "",
    image_sizes: Annotated[
        str, typer.Option(help="Image sizes to try in pixels, such as 16,32 or 120x90 (width x height).")
    ] = "",
    widths: Annotated[str, typer.Option(help="Values of the backbone's option width to try, such as 8,16.")] = "",
    data: Annotated[str, typer.Option(help="Fractions of the training images to try, such as 0.25,1.")] = "",
    starts: Annotated[str, typer.Option(help="Starts of attention to try, such as unit,official.")] = "",
    recipes: Annotated[
        str, typer.Option(help="Recipes to try, such as own,plain,adamw: see chattn-nas init --recipe.")
    ] = "",
    recipe: Annotated[
        bool,
        typer.Option("--recipe", help="Tune learning rate, branch scale and warm-up of the bare backbone instead."),
    ] = False,
    full_epochs: Annotated[
        int | None, typer.Option(help="Length of full training; default: 4 x the last rung.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Full trainings per architecture.")] = 2,
    part: Annotated[float, typer.Option(help="Fraction of the noise ceiling that a proxy must reach.")] = 0.8,
    budget: Annotated[
        float | None, typer.Option(help="Minutes of training; candidates that would exceed them are left out.")
    ] = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Can this spec's short trainings be trusted? Compare how they rank networks with full training."""
    spec = read_spec(path)
    with moving("Loading torch", line=False):
        from chattn_nas import judging
        from chattn_nas.data import load_data
        from chattn_nas.search.preflight import try_without_data
        from chattn_nas.spec.load import lines_of

    with lines_of(path):
        try_without_data(spec)
    if recipe:
        _recipe(spec, run, seeds, workers, as_json)
        return
    with lines_of(path):
        own = judging.of_spec(spec, len(load_data(spec.data).train))
    tried = judging.candidates(
        own,
        epochs=_numbers("epochs", epochs, int),
        image_sizes=_numbers("image-sizes", image_sizes, _size),
        widths=_numbers("widths", widths, int),
        data=_numbers("data", data, float),
        starts=[one.strip() for one in starts.split(",") if one.strip()],  # type: ignore[misc]
        recipes=[one.strip() for one in recipes.split(",") if one.strip()],
    )
    calibration = judging.calibrate(
        spec, tried, run=run, architectures=architectures, full_epochs=full_epochs, seeds=seeds, part=part,
        budget=budget and 60 * budget, workers=workers, progress=not console.quiet,
        begins=lambda fidelity: None if as_json else say(str(fidelity)),
    )  # fmt: skip
    if as_json:
        print_json(calibration.to_dict())
        return
    rows = [
        {
            "fidelity": row["fidelity"],
            "Kendall tau": _interval(row["tau"], row["tau_low"], row["tau_high"]),
            "Spearman rho": _interval(row["rho"], row["rho_low"], row["rho_high"]),
            "seconds": row["seconds"],
            "of full": row["cost"],
            "note": row["note"],
        }
        for row in calibration.table().to_dict("records")
    ]
    print_table(rows, "Agreement with full training, with 95 % intervals")
    say(calibration.words)
    if calibration.recommended is not None:
        _to_paste(calibration.spec_lines)


def _recipe(spec: Spec, run: Path | None, seeds: int, workers: int | None, as_json: bool) -> None:
    from chattn_nas import judging

    tuned = judging.tune_recipe(spec, run=run, seeds=seeds, workers=workers, progress=not console.quiet)
    if as_json:
        print_json(tuned.to_dict())
        return
    print_table(tuned.rows(), f"No attention, {plural(tuned.epochs, 'epoch')}")
    say(tuned.words)
    _to_paste(tuned.spec_lines)


def _to_paste(lines: str) -> None:
    """Print lines of YAML without wrapping."""
    say("Put into the spec, each into its section:" if lines else "The spec may stay as it is.")
    if lines:
        console.print(lines, soft_wrap=True)


def _size(text: str) -> ImageSize:
    """Parse ``32`` or ``120x90``: width first, as usual for pictures."""
    width, both, height = text.partition("x")
    return either((int(height), int(width))) if both else int(width)


def _numbers(option: str, text: str, kind: Callable[[str], One]) -> list[One]:
    """Parse a comma-separated list."""
    try:
        return [kind(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError(f"--{option} is a list of numbers such as 1,2, not {text!r}") from None


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    from chattn_nas.results import words

    return words.NOT_THERE if words.missing(value) else f"{value:.2f} ({low:.2f} to {high:.2f})"


def _plain(confirmation: Confirmation) -> dict[str, Any]:
    """The confirmation with everything that follows from it, scores as shown; this is not the stored form."""
    plain = confirmation.to_dict() | {"headline": confirmation.headline, "words": confirmation.words}
    del plain["format"]
    plain["test"] = {
        key: {seed: confirmation.told_in.shown(score) for seed, score in scores.items()}
        for key, scores in confirmation.test.items()
    }
    for network, row in zip(confirmation.networks, plain["networks"], strict=True):
        row |= {"mean": network.mean, "sd": network.sd, "seeds": len(network.scores)}
        row |= {name: getattr(network, name) for name in ("search", "search_pooled")}
        row |= {name: dict(getattr(network, name)) for name in ("scores", "left_out", "outliers")}
    return plain


def _row(network: Network) -> dict[str, str]:
    """One network of a confirmation in 80 columns."""
    from chattn_nas.results import words
    from chattn_nas.study.short import in_short

    return {
        "network": in_short(network.name),
        "search %": _searched(network),
        "retrained %": f"{words.accuracy(network.mean)}\nsd {words.accuracy(network.sd)}\n"
        + words.plural(len(network.scores), "seed"),
        "over uniform": _difference(network.uniform),
        "over none": _difference(network.none),
        "over scale": _difference(network.channel_scale),
    }


def _searched(network: Network) -> str:
    """The search's score: the pooled mean, with the raw mean below it."""
    from chattn_nas.results import words

    if network.search_pooled is None:
        return f"raw {words.accuracy(network.search)}"
    return f"{words.accuracy(network.search_pooled)}\nraw {words.accuracy(network.search)}"


def _told_in(unit: Unit, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turn rows about accuracy in percent into rows about the metric in its unit."""
    from chattn_nas.study.metric import named

    return [
        {named(key, unit): named(value, unit) if isinstance(value, str) else value for key, value in row.items()}
        for row in rows
    ]


def _difference(comparison: Comparison | None) -> str:
    from chattn_nas.results import words

    if comparison is None:
        return words.NOT_THERE
    low, high = words.signed(comparison.t_low), words.signed(comparison.t_high)
    return f"{words.signed(comparison.mean)}\n{low} to\n{high}"


def _claims(network: Network) -> list[str]:
    """The differences of a candidate, with all calculated figures."""
    from chattn_nas.results import words
    from chattn_nas.study.short import in_short

    rivals = {"the best uniform": network.uniform, "none": network.none, "channel_scale": network.channel_scale}
    claims = []
    for name, lead in rivals.items():
        if lead is None:
            continue
        text = f"{in_short(network.name)} against {name}: {lead.words}; {words.p_value(lead.p)}"
        text += f", sign test {words.p_value(lead.sign_p)}"
        if lead.bootstrap_low is not None:
            text += f", bootstrap {words.interval(lead.bootstrap_low, lead.bootstrap_high)}"
        claims.append(text)
    return claims
