"""The report in five lines to paste, and the next steps as commands."""

from __future__ import annotations

from chattn_nas.report.facts import RunFacts, data_name
from chattn_nas.results import words
from chattn_nas.study.metric import unit_of
from chattn_nas.study.short import in_short
from chattn_nas.training.result import final_trainings


def summary(facts: RunFacts) -> list[str]:
    """Five lines: question, verdict, score, cost, next step."""
    model = facts.spec.get("backbone", {}).get("model", "a backbone")
    data = data_name(facts.spec.get("data", {}))
    lines = [f"{facts.name}: which channel attention for {model} on {data}? (chattn-nas)"]
    lines.append(f"Verdict, {facts.verdict.status}: {in_short(facts.verdict.headline)}.")
    lead, standing, unit = facts.lead, facts.standing, unit_of(facts.study)
    if lead is None:
        return [*lines, f"Next: {next_steps(facts)[0][0]}"]
    value = lead.value("pooled")
    reach = "" if lead.interval is None else " (95 %: {:.2f} to {:.2f})".format(*lead.interval)
    rivals = [
        f"{words.signed(margin.mean)} {unit.difference} over {called} (95 %: {words.interval(margin.low, margin.high)})"
        for rival, called in ((standing.none(), "no attention"), (standing.best_uniform(), "the best uniform"))
        if rival is not None and rival.hash != lead.hash and (margin := standing.margin(lead, rival)) is not None
    ]
    lines.append(
        f"First in the search: {words.short_name_of(lead)}, {unit.written(value)} {unit.title}{reach}"
        + "".join(f"; {one}" for one in rivals)
    )
    trained = [record for record in facts.records if record.rungs and record.measurement]
    spent = words.duration(sum(one.measurement.seconds for one in trained if one.measurement))
    lines.append(
        f"Cost: {words.multiple(lead.relative.get('parameters'))} parameters, "
        f"{words.multiple(lead.relative.get('macs'))} MACs of no attention; {words.plural(len(trained), 'training')}, "
        f"{spent} of training"
    )
    return [*lines, f"Next: {next_steps(facts)[0][0]}"]


def next_steps(facts: RunFacts) -> list[tuple[str, str]]:
    """Commands with their purpose, the most useful first."""
    name, trials = facts.run, len(facts.records)
    spec = f"runs/{name}/spec.yaml" if name == facts.name else f"{name}/spec.yaml --run {name}"
    if facts.lead is None:
        return [(f"chattn-nas search {spec}", "nothing was trained to the end yet: go on")]
    more = (f"chattn-nas search {spec} --trials {2 * trials}", f"goes on from {words.plural(trials, 'trial')}")
    confirm = (f"chattn-nas confirm {name}", "retrains the best and the baselines on new seeds: is the lead real?")
    train = (f"chattn-nas train {name}", "trains it at full length, then reads the test set once")
    export = (f"chattn-nas export {name} --out network", "a folder with the network that needs only torch")
    if not facts.verdict.confirmed:
        return [confirm, more, export]
    done = any(one.plan["architecture"] == facts.lead.hash for one in final_trainings(facts.study).values())
    markdown = (f"chattn-nas report {name} --format md", "this report for a pull request")
    return [export, markdown] if done else [train, export, markdown]
