"""Runs beside each other, the five lines to paste, what the gates do, and what to do next."""

from pathlib import Path

import pytest
import torch
from results_study import make_world, simulate

from chattn_nas import Architecture, build_network
from chattn_nas.network.gates import class_gates
from chattn_nas.report import html
from chattn_nas.report._markdown import markdown
from chattn_nas.report.compare import caution, compare_html, compare_runs, differing
from chattn_nas.report.facts import gather
from chattn_nas.report.summary import next_steps, summary
from chattn_nas.study.short import short


@pytest.fixture(scope="module")
def studies():
    return [simulate(make_world(seed), 24) for seed in (1, 2)]


def test_runs_stand_beside_each_other(studies) -> None:
    lines = compare_runs(studies)
    page = compare_html(compare_runs(studies))
    assert len(lines) == 2
    assert all(line.low < line.score < line.high for line in lines)
    assert "beside each other" in page
    assert page.count("<tbody>") >= 1
    assert "script" not in page.partition("<body>")[2]
    assert lines[0].to_dict()["status"] == "unconfirmed"
    assert "scatter against each other" in caution(lines)
    assert all(len(values) == 2 for values in differing(lines).values())


def test_what_an_older_version_did_not_write_is_as_it_was_then(studies) -> None:
    spec = {
        "name": "one", "backbone": {"model": "cifar_resnet8", "identity_init": False}, "data": {"dataset": "digits"},
        "space": {"all": ["none", "theirs:Elsewhere"]}, "proxy": {"rungs": [2]},
    }  # fmt: skip
    newer = spec | {"name": "two", "backbone": {"model": "cifar_resnet8"}, "trainer": "mine:Trainer"}
    newer["proxy"] = {"rungs": [2], "start": "official", "mixup": 0.2}
    old, new = (simulate(make_world(1), 4) for _ in range(2))
    old.set_user_attr("spec", spec)
    new.set_user_attr("spec", newer)
    assert differing(compare_runs([old, new])) == {"proxy.mixup": ["0.0", "0.2"], "trainer": ["null", "mine:Trainer"]}


def test_a_report_has_five_lines_to_paste_and_the_next_commands(studies) -> None:
    facts = gather(studies[0])
    lines = summary(facts)
    assert len(lines) == 5
    assert lines[1].startswith("Verdict, unconfirmed: ")
    assert "% accuracy" in lines[2]
    steps = next_steps(facts)
    assert steps[0][0].startswith("chattn-nas confirm ")
    elsewhere = gather(studies[0], Path("my runs/first"))
    assert [command for command, _ in next_steps(elsewhere)][:2] == [
        "chattn-nas confirm 'my runs/first'",
        f"chattn-nas search 'my runs/first'/spec.yaml --run 'my runs/first' --trials {2 * len(facts.records)}",
    ]
    assert "`chattn-nas confirm 'my runs/first'`" in " ".join(elsewhere.verdict.sentences)
    assert next_steps(gather(studies[0], Path("runs", facts.name))) == steps
    page = html(studies[0])
    for text in ("What next", 'id="summary"', "chattn-nas confirm"):
        assert text in page
    assert len(page.encode()) < 1_500_000
    assert lines[1] in markdown(studies[0])


def test_gates_are_measured_class_by_class() -> None:
    network = build_network(
        Architecture.uniform("cifar_resnet8", "channel_scale").canonical(_stages()), num_classes=3, image_size=16
    )
    images, labels = torch.randn(12, 3, 16, 16), torch.arange(12) % 3
    network.train()
    stages = class_gates(network, images, labels)
    assert network.training
    assert [one.stage for one in stages] == [1, 2, 3]
    for one in stages:
        assert len(one.values) == 3
        assert len(one.values[0]) == len(one.channels) <= 32
        assert one.between == 0, "a learned factor is the same for every image"
        assert one.overall == pytest.approx(1, abs=1e-3)


def test_gates_that_follow_the_class_are_seen_and_shown(studies) -> None:
    network = build_network(
        Architecture.uniform("cifar_resnet8", "se").canonical(_stages()), num_classes=2, image_size=16
    )
    labels = torch.arange(16) % 2
    images = torch.randn(16, 3, 16, 16) * 0.1 + (labels * 4.0)[:, None, None, None]
    first = class_gates(network, images, labels)[0]
    assert first.between > 0.5
    study = studies[1]
    lead = gather(study).lead
    assert lead is not None
    study.set_user_attr(
        "gates", {"hash": lead.hash, "seed": 0, "images": 16, "classes": ["a", "b"], "stages": [first.to_dict()]}
    )
    page = html(study)
    assert "What its attention does" in page
    assert "figure-gates-1" in page


def _stages():
    from chattn_nas.network import stages
    from chattn_nas.space import Backbone

    return stages(Backbone("cifar_resnet8"), image_size=16)


def test_runs_of_one_name_are_called_by_their_place_and_long_names_stand_in_a_legend(studies) -> None:
    lines = compare_runs(studies, ["runs/a", "runs/b"])
    assert [line.name for line in lines] == ["runs/a", "runs/b"]
    page = compare_html(lines)
    for line in lines:
        assert line.network in page
        for choice in line.choices:
            assert short(choice) in (choice, "-") or f"{short(choice)}: {choice}" in page
