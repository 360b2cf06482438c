"""What a search shows and tells while it runs: board, lines, callbacks, trackers; and how time ends it."""

import csv
import io
import json
import logging
import sqlite3
import time
from pathlib import Path

import pytest
from rich.console import Console

from chattn_nas.errors import InputError, MissingExtraError
from chattn_nas.proxy import pulse
from chattn_nas.search import Callback, ending, search
from chattn_nas.search.board import BoardState, board
from chattn_nas.search.doing import STALE, read_from, written_to
from chattn_nas.search.log_to import check_log_to
from chattn_nas.search.progress import Progress
from chattn_nas.study import RunDirectory
from chattn_nas.study.short import choices_in, in_short, legend, short, short_form

STUB = "stub_trainer:StubTrainer"
TRAINING = {
    "phase": "training", "trial": 3, "network": "se8 | eca3 | -", "epoch": 4, "epochs": 16, "step": 12, "steps": 18,
    "images_per_second": 2310.4, "worker": 0,
}  # fmt: skip


class Told(Callback):
    def __init__(self) -> None:
        self.events = []

    def on_trial_start(self, trial) -> None:
        self.events.append(("start", trial.number))

    def on_rung(self, trial, rung) -> None:
        self.events.append(("rung", trial.number, rung.epoch))

    def on_trial_end(self, trial) -> None:
        self.events.append(("end", trial.number, trial.outcome))

    def on_search_end(self, run) -> None:
        self.events.append(("done", run.directory.name))


class Failing(Callback):
    def on_trial_end(self, trial) -> None:
        raise ValueError("mine")


@pytest.mark.parametrize(
    ("choice", "form"),
    [
        ("none", "-"), ("se", "se"), ("se(reduction=8)", "se8"), ("eca(kernel_size=3)", "eca3"),
        ("fca(frequencies=top4, reduction=4)", "fca-top4-4"), ("gct(mode=l1)", "gct-l1"),
        ("se(reduction=8, bias=True)", "se8-bias"), ("my.parts:Gate(k=3)", "Gate3"),
        ("timm/se(rd_ratio=0.25)", "timm/se0.25"),
    ],
)  # fmt: skip
def test_choices_have_a_short_form(choice, form) -> None:
    assert short(choice) == form
    assert legend([choice]) == ([f"{form}: {choice}"] if form != choice else [])


def test_networks_have_a_short_form() -> None:
    assert short_form(["se(reduction=8)", "eca(kernel_size=3)", "none"]) == "se8 | eca3 | -"
    assert short_form(["se(reduction=8)"] * 3) == "se8 everywhere"
    assert short_form(["none"] * 3) == "- | - | -"


@pytest.mark.parametrize(
    ("text", "said", "explained"),
    [
        ("se(reduction=8) | none | fca(frequencies=(1, 2)) leads", "se8 | - | fca-(1, 2) leads",
         ["fca-(1, 2): fca(frequencies=(1, 2))", "se8: se(reduction=8)"]),
        ("between no attention and **uniform se(reduction=2)**.", "between no attention and **se2 everywhere**.",
         ["se2: se(reduction=2)"]),
        ("uniform se, best of the 4 uniform ones (99 %)", "se everywhere, best of the 4 uniform ones (99 %)", []),
        ("the best uniform choice, the best uniform network", "the best uniform choice, the best uniform network", []),
    ],
)  # fmt: skip
def test_networks_in_a_sentence_have_a_short_form(text, said, explained) -> None:
    assert in_short(text) == said
    assert legend(choice for choice in choices_in(text) if choice != "none") == explained


def test_the_board_fits_80_columns_and_tells_what_every_worker_does() -> None:
    out = io.StringIO()
    state = BoardState(
        target=24, ended=3, stopped=1, left=170.0, as_of=time.monotonic(),
        best="best of 3 so far: se8 everywhere, 98.20 %",
        workers=(TRAINING, {"phase": "reading", "worker": 1}, {}),
    )  # fmt: skip
    Console(file=out, width=80).print(board(state))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "3 of 24 trials" in lines[0]
    assert "1 stopped early, 0 failed, about 2.8 min left" in lines[0]
    assert "worker 0: trial 3, se8 | eca3 | -, epoch 4 of 16, step 12 of 18, 2,310 images/s" in lines[1]
    assert "worker 1: reading the data" in lines[2]
    assert "worker 2: starts" in lines[3]
    assert "98.20 %" in lines[4]


def test_lines_say_the_time_count_every_trial_once_and_come_at_least_every_30_seconds(
    make_spec, tmp_path, monkeypatch
) -> None:
    run = search(make_spec(trials=4), run=tmp_path / "stub", trainer=STUB, progress=False)
    out = io.StringIO()
    spec = make_spec(trials=6)
    shown = Progress(run.study, spec.search, console=Console(file=out, width=80), best=lambda study: "best so far: x")
    with shown:
        assert "the search begins" in out.getvalue()
        search(spec, run=run.directory, trainer=STUB, progress=False)
        shown.update()
        shown.hear(TRAINING)
        before = out.getvalue()
        shown._said -= 31
        shown.hear(TRAINING)
    lines = out.getvalue().splitlines()
    assert lines[1].endswith(" 4 of 6 trials had ended before")
    assert [line.split()[1] for line in lines[2:4]] == ["[5/6]", "[6/6]"]
    assert all(line[2] == ":" and line[5] == ":" for line in lines)
    assert " % accuracy, seed 0" in lines[2]
    assert "trial 4 complete: " in lines[2]
    said = out.getvalue().removeprefix(before)
    assert "6 of 6 trials; trial 3, se8 | eca3 | -, epoch 4 of 16" in said
    assert "best so far: x" in said


def test_a_training_is_heard_step_by_step_and_costs_nothing_where_nobody_listens() -> None:
    assert pulse.beat(2, 3, 4) is None
    heard = []
    with pulse.heard_by(heard.append):
        pulse.tell("building", trial=7, network="se")
        beat = pulse.beat(2, 3, 4)
        assert beat is not None
        for _ in range(4):
            pulse._last_told -= 1
            beat()
    assert heard[0] == {"phase": "building", "trial": 7, "network": "se"}
    last = heard[-1]
    assert (last["trial"], last["epoch"], last["epochs"], last["step"], last["steps"]) == (7, 2, 2, 1, 3)
    pulse.tell("reading")
    assert heard[-1] == last
    with pulse.heard_by(heard.append):
        pulse.tell("reading")
    assert heard[-1] == {"phase": "reading"}, "what another listener heard is not true any more"


def test_a_worker_writes_what_it_does_and_old_words_are_not_believed(tmp_path) -> None:
    path = tmp_path / "worker-0.now"
    assert read_from(path) == {}
    written_to(path)(TRAINING)
    assert read_from(path)["epoch"] == 4
    path.write_text(json.dumps(TRAINING | {"time": time.time() - STALE - 1}))
    assert read_from(path) == {}
    path.write_text("{")
    assert read_from(path) == {}
    written_to(tmp_path / "no folder" / "x")(TRAINING)  # no disk ends a training


def test_callbacks_are_told_in_order_once_and_may_fail(make_spec, tmp_path, caplog) -> None:
    told, spec = Told(), make_spec(trials=3)
    with caplog.at_level(logging.ERROR):
        search(spec, run=tmp_path / "stub", trainer=STUB, progress=False, callbacks=[Failing(), told])
    assert "Failing failed" in caplog.text
    assert told.events[:4] == [("start", 0), ("rung", 0, 1), ("rung", 0, 3), ("end", 0, "complete")]
    assert told.events[-1] == ("done", "stub")
    again = Told()
    search(make_spec(trials=4), run=tmp_path / "stub", trainer=STUB, progress=False, callbacks=[again])
    assert {event[1] for event in again.events if event[0] == "end"} == {3}


@pytest.mark.parametrize("wrong", [print, Told, "Told"], ids=str)
def test_what_is_no_callback_is_refused_before_anything_is_spent(make_spec, tmp_path, wrong) -> None:
    with pytest.raises(InputError, match=r"callbacks must be a list of|callbacks are objects of"):
        search(make_spec(trials=3), run=tmp_path / "stub", trainer=STUB, progress=False, callbacks=[wrong])
    assert not (tmp_path / "stub").exists()


@pytest.mark.filterwarnings("ignore")  # theirs
def test_trials_are_written_to_every_tracker_without_a_network(make_spec, tmp_path, monkeypatch) -> None:
    for name in ("tensorboard", "wandb", "mlflow"):
        pytest.importorskip(name)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    names = ["csv", "tensorboard", "wandb", "mlflow"]
    run = search(make_spec(trials=2, log_to=names), run=tmp_path / "stub", trainer=STUB, progress=False)
    with (run.directory / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["epoch"]) for row in rows] == [("0", "1"), ("0", "3"), ("1", "1"), ("1", "3")]
    assert rows[0]["network"] == "none | none | none"
    assert float(rows[-1]["parameters"]) > 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.directory / "tensorboard" / "trial-0001")).Reload()
    assert [event.step for event in events.Scalars("score")] == [1, 3]
    assert len(list((run.directory / "wandb").glob("offline-run-*/*.wandb"))) == 2
    with sqlite3.connect(run.directory / "mlflow.db") as base:
        assert base.execute("select count(*) from runs where status = 'FINISHED'").fetchone() == (2,)
        assert base.execute("select count(*) from metrics where key = 'score'").fetchone() == (4,)
        assert ("0",) in base.execute("select value from params where key = 'seed'").fetchall()
    base.close()


def test_a_tracker_that_is_not_installed_is_told_before_anything_is_spent(monkeypatch) -> None:
    monkeypatch.setattr("chattn_nas.search.log_to.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'chattn-nas\[wandb\]'"):
        check_log_to(["wandb"])


def test_time_ends_a_search_and_the_same_search_goes_on(make_spec, tmp_path) -> None:
    run = search(make_spec(trials=50), run=tmp_path / "stub", trainer=STUB, progress=False, budget=0.01)
    few = len(run.study.trials) - sum(not trial.state.is_finished() for trial in run.study.trials)
    assert few < 50
    assert ending.ended(run.study) == "the budget of 0.000167 min is spent"
    again = search(make_spec(trials=5), run=Path(run.directory), trainer=STUB, progress=False)
    assert not ending.ended(again.study)
    assert sum(trial.state.is_finished() for trial in RunDirectory(run.directory).study.trials) >= 5


def test_a_budget_is_a_time() -> None:
    from chattn_nas.cli._app import seconds_of

    seconds = {"90s": 90, "30m": 1800, "2h": 7200, "1h30m": 5400, "1.5 h": 5400, "2d": 172800, "2 hours": 7200,
               "1 hour 30 minutes": 5400, "90 sec": 90}  # fmt: skip
    assert {text: seconds_of(text) for text in seconds} == seconds
    for text in ("", "2", "soon", "0h", "2x", "-1h", "2 hm", "1h 30"):
        with pytest.raises(InputError, match="--budget is a time"):
            seconds_of(text)
