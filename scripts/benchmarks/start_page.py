"""The tables of docs/start.md, from the rows of ``start.py``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from start import KEYS, LONGER, STARTS, UNIFORM

#: Types of the plan whose gates begin below 1 from the official start.
BELOW_ONE = ("random_gate", "se", "eca", "fca", "srm", "soca", "cbam")


def page(table: Any) -> Iterator[str]:
    """Markdown: accuracies by start and length, rank agreement with long trainings, and what it was measured on."""
    for (data, backbone, size, images), part in table.groupby(["data", "backbone", "size", "images"]):
        yield f"## {data}, {backbone}, {size} px, {images:,} training images\n"
        hardware = ", ".join(sorted(set(part["device"]) | set(part["versions"])))
        yield f"{len(part)} trainings, {min(part['date'])} to {max(part['date'])}, {hardware}.\n"
        usual = part[part["branch_scale"] == part["branch_scale"].mode()[0]]
        if part["network"].nunique() > 1:
            rate, warmup = usual["learning_rate"].iloc[0], usual["warmup"].iloc[0]
            scale = usual["branch_scale"].iloc[0]
            rung = usual["first_rung"].iloc[0]
            cycles = f", two cycles, the first of {rung:g} of the epochs" if rung < 1 else ""
            yield f"Learning rate {rate:g} for a batch of 128, warm-up {warmup:g}, branches at {scale:g}{cycles}.\n"
            yield from accuracies(usual)
            yield from handicap(usual)
            yield from gaps(usual)
            yield from agreements(usual)
            yield from whole_agreement(usual)
        bare = part[(part["network"] == "none") & (part["branch_scale"].nunique() > 1)]
        if len(bare):
            yield "No attention, other recipes:\n"
            yield from grid(bare, ["learning_rate", "warmup", "branch_scale"])


def accuracies(part: Any) -> Iterator[str]:
    """A table with one row per network, one column per length and start: mean over seeds."""
    yield "Validation accuracy in percent: mean, standard deviation between trainings, number of trainings.\n"
    yield from grid(part[~part["network"].str.contains("|", regex=False)], ["network"])


def handicap(part: Any) -> Iterator[str]:
    """How far above none the gates that begin below 1 end, by length and start: mean over types, and of each seed."""
    short = part[part["network"].isin(["none", *BELOW_ONE])]
    lengths = sorted(set(short["epochs"]))
    rows = []
    for start in STARTS:
        cells = []
        for epochs in lengths:
            wide = chosen(short, epochs, start).pivot_table(index="network", columns="seed", values="accuracy")
            apart = (wide - wide.loc["none"]).reindex(list(BELOW_ONE)).dropna(axis="columns").mean()
            each = f" ({', '.join(f'{one:+.1f}' for one in apart)})" if len(apart) > 1 else ""
            cells.append(f"{apart.mean():+.1f}{each}" if len(apart) else "")
        if any(cells):
            rows.append(f"| {start} | {' | '.join(cells)} |")
    if not rows:
        return
    yield f"Points above none of the gates that begin below 1 ({', '.join(BELOW_ONE)}): mean over types,"
    yield "in brackets of each seed alone:\n"
    yield f"| start | {' | '.join(f'{epochs} epochs' for epochs in lengths)} |\n{'|---' * (len(lengths) + 1)}|"
    yield from rows
    yield ""


def gaps(part: Any) -> Iterator[str]:
    """What lies below none or channel_scale in a short training, and what is left of it in one eight times as long."""
    unit = part[(part["start"] == "unit") & ~part["network"].str.contains("|", regex=False)]
    lengths = sorted(set(unit["epochs"]))
    if not lengths or LONGER * lengths[0] not in lengths:
        return
    short, full = lengths[0], LONGER * lengths[0]
    yield "Points above none and above channel_scale from the unit start, means over the seeds that both have. A gap"
    yield f"of the start: more than a point below either after {short} epochs, less than half of it after {full}.\n"
    yield f"| network | {short}: none | channel_scale | {full}: none | channel_scale | seeds | gap of the start |"
    yield "|---|---|---|---|---|---|---|"
    rows: dict[tuple[str, int], Any] = {
        key: rows.set_index("seed")["accuracy"] for key, rows in unit.groupby(["network", "epochs"])
    }
    order = {name: place for place, name in enumerate(UNIFORM)}
    for name in sorted(set(unit["network"]) - {"none"}, key=lambda one: (order.get(one, len(order)), one)):
        found = [
            _difference(rows.get((name, epochs)), rows.get((rival, epochs))) if rival != name else None
            for epochs in (short, full)
            for rival in ("none", "channel_scale")
        ]
        near, far = found[:2], found[2:]
        seeds = ", ".join(str(len(rows.get((name, epochs), ()))) for epochs in (short, full))
        pairs = [(a, b) for a, b in zip(near, far, strict=True) if a is not None and a < -1]
        said = "no" if not pairs else "?" if any(b is None for _, b in pairs) else "no, it stays"
        if any(b is not None and b > a / 2 for a, b in pairs):
            said = "**yes**"
        yield "| " + " | ".join([name, *("" if one is None else f"{one:+.2f}" for one in found), seeds, said]) + " |"
    yield ""


def _difference(one: Any, other: Any) -> float | None:
    if one is None or other is None:
        return None
    apart = (one - other).dropna()
    return float(apart.mean()) if len(apart) else None


def grid(part: Any, index: list[str]) -> Iterator[str]:
    """Mean accuracy by ``index`` against length and start."""
    part = part.assign(start=part["start"].where(part["network"] != "none", "any")).drop_duplicates(KEYS)
    cells = part.groupby([*index, "epochs", "start"])["accuracy"].agg(["mean", "std", "count"])
    rows = list(dict.fromkeys(key[: len(index)] for key in cells.index))
    columns = [(e, s) for e in sorted(set(part["epochs"])) for s in (*STARTS, "any") if s in set(part["start"])]
    columns = [c for c in columns if any((*row, *c) in cells.index for row in rows)]
    order = {name: place for place, name in enumerate(UNIFORM)}
    rows.sort(
        key=lambda row: tuple((order.get(one, len(order)), one) if isinstance(one, str) else (0, one) for one in row)
    )
    yield "| " + " | ".join([*index, *(f"{e} epochs, {s}" for e, s in columns)]) + " |"
    yield "|---" * (len(index) + len(columns)) + "|"
    for row in rows:
        found = [cells.loc[(*row, *c)] if (*row, *c) in cells.index else None for c in columns]
        said = ["" if one is None else _cell(one) for one in found]
        yield "| " + " | ".join([*map(str, row), *said]) + " |"
    yield ""


def _cell(one: Any) -> str:
    spread = f" ± {one['std']:.1f}" if one["count"] > 1 else ""
    return f"{one['mean']:.1f}{spread} ({one['count']:.0f})"


def agreements(part: Any) -> Iterator[str]:
    """Kendall's tau of every length and start with the longest training of the other seeds, from each start."""
    from scipy.stats import kendalltau

    if part["epochs"].nunique() == 1:
        return
    longest = part["epochs"].max()
    seeds = sorted(set(part["seed"]))
    lines = []
    for epochs, start in itertools.product(sorted(set(part["epochs"])), STARTS):
        taus: list[list[float]] = []
        for target in ("official", "unit"):
            found = []
            for seed in seeds:
                mine = chosen(part, epochs, start)
                mine = mine[mine["seed"] == seed].groupby("network")["accuracy"].mean()
                full = chosen(part, longest, target)
                full = full[full["seed"] != seed].groupby("network")["accuracy"].mean()
                both = sorted(set(mine.index) & set(full.index))
                if len(both) >= 5:
                    found.append(float(kendalltau(mine[both], full[both]).statistic))
            taus.append(found)
        if any(taus):
            lines.append((epochs, start, taus))
    if not lines:
        return
    yield f"Kendall's tau of one training with the mean of {longest} epochs on the other seeds, mean over seeds:\n"
    yield f"| epochs | start | {longest} epochs, official | {longest} epochs, unit |\n|---|---|---|---|"
    for epochs, start, taus in lines:
        said = [f"{sum(found) / len(found):.2f}" if found else "" for found in taus]
        yield f"| {epochs} | {start} | {said[0]} | {said[1]} |"
    yield ""


def whole_agreement(part: Any) -> Iterator[str]:
    """How the mean of a length's seeds from each start ranks the networks that every start's longest training has.

    The target is the mean of all longest trainings, from whatever start: what a network is worth in the end does not
    depend on it (the table above). Intervals: networks drawn again, 2,000 times.
    """
    import numpy as np

    lengths = sorted(set(part["epochs"]))
    if len(lengths) == 1:
        return
    means = {(e, s): chosen(part, e, s).groupby("network")["accuracy"].mean() for e in lengths for s in STARTS}
    names = sorted(set.intersection(*(set(found.index) for found in means.values())))
    if len(names) < 10:
        return
    values = {key: found[names].to_numpy() for key, found in means.items()}
    target = np.mean([values[lengths[-1], start] for start in STARTS], 0)
    rng = np.random.default_rng(0)
    draws = [np.arange(len(names)), *(rng.integers(len(names), size=len(names)) for _ in range(2000))]

    def order(x: Any) -> Any:
        return np.sign(x[:, None] - x[None])

    wanted = order(target)
    taus: dict[tuple[Any, str], Any] = {}
    for (epochs, start), found in values.items():
        pairs, mine, theirs = order(found) * wanted, abs(order(found)), abs(wanted)
        taus[epochs, start] = np.array([
            pairs[np.ix_(d, d)].sum() / np.sqrt(mine[np.ix_(d, d)].sum() * theirs[np.ix_(d, d)].sum()) for d in draws
        ])  # fmt: skip
    short = lengths[:-1]
    for start in STARTS:
        taus["mean", start] = np.mean([taus[epochs, start] for epochs in short], 0)
    yield f"Kendall's tau of the mean over seeds with the mean of all {lengths[-1]}-epoch trainings, whatever their"
    yield f"start, over {len(names)} networks; in brackets what unit has more, with a 95 % interval:\n"
    yield "| epochs | unit | official | identity |\n|---|---|---|---|"
    for epochs in [*short, "mean"]:
        cells = [f"{taus[epochs, 'unit'][0]:.2f}"]
        for other in ("official", "identity"):
            more = taus[epochs, "unit"] - taus[epochs, other]
            low, high = np.percentile(more[1:], [2.5, 97.5])
            cells.append(f"{taus[epochs, other][0]:.2f} ({more[0]:+.2f} [{low:+.2f}, {high:+.2f}])")
        yield f"| {epochs} | " + " | ".join(cells) + " |"
    yield ""


def chosen(part: Any, epochs: int, start: str) -> Any:
    """Trainings of one length from one start; none starts alike from all."""
    bare = part["network"] == "none"
    mine = part[(part["epochs"] == epochs) & ((part["start"] == start) | bare)]
    return mine.drop_duplicates(["network", "seed"])
