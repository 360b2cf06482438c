"""What holds of every command: ``--json`` is JSON and nothing else, ``--quiet`` is silent, all fits 80 columns."""

import json
import logging
import re
import sys

import pytest
from rich.cells import cell_len
from typer.main import get_command

from chattn_nas import Run, export
from chattn_nas.cli import _app, app, main
from chattn_nas.network import measure_latency
from chattn_nas.search import search
from chattn_nas.spec import Spec

SPEC = {
    "name": "small",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 300},
    "space": {"all": ["none", {"se": {"reduction": [2, 4]}}, "eca"]},
    "proxy": {"rungs": [1, 2], "device": "cpu"},
    "search": {"trials": 7, "workers": 0, "sampler": "random"},
}
#: Every command with what it needs here: RUN is a finished run, SPEC its spec, NETWORK its export, NEW a free place.
ARGUMENTS = {
    "attentions": (), "backbones": ("resnet18",), "bench": ("NETWORK",), "compare": ("RUN", "RUN", "--out", "NEW"),
    "calibrate": ("SPEC", "--run", "CALIBRATED", "--architectures", 4, "--full-epochs", 2, "--epochs", 1,
                  "--workers", 0),
    "compare-picks": ("--repeats", 2, "--budget", 10),
    "compare-samplers": ("--repeats", 2, "--budget", 8, "--method", "random", "--table", "cifar_resnet8_16px"),
    "confirm": ("RUN", "--top", 1, "--seeds", 2, "--epochs", 1, "--workers", 0), "dashboard": ("RUN",),
    "data": ("SPEC", "--out", "NEW"), "docs": (), "doctor": (), "effects": ("RUN",),
    "evaluate": ("NETWORK", "--data", "SPEC"), "export": ("RUN", "--out", "NEW"), "init": ("--yes", "--out", "NEW"),
    "leaderboard": ("RUN",), "one-shot": ("SPEC",), "nni-config": ("SPEC", "--out", "NEW"), "plan": ("SPEC",),
    "report": ("RUN",), "schema": (), "search": ("SPEC", "--run", "RUN"), "space": ("SPEC",),
    "table": ("cifar_resnet8_16px",),
    "train": ("RUN", "--epochs", 1), "trials": ("RUN",), "worker": ("RUN",),
}  # fmt: skip
COMMANDS = sorted(get_command(app).commands)


def test_json_has_no_numbers_that_json_does_not_know(capsys) -> None:
    _app.print_json({"sd": float("nan"), "losses": (float("inf"), 1.5), "seeds": {3: 0.5}})
    assert capsys.readouterr().out == '{"sd": null, "losses": [null, 1.5], "seeds": {"3": 0.5}}\n'


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("everywhere")
    run = Run(search(Spec.from_dict(SPEC), run=folder / "small", progress=False).directory)
    export(run.best(), folder / "network")
    return {"RUN": run.directory, "SPEC": run.directory / "spec.yaml", "NETWORK": folder / "network",
            "CALIBRATED": folder / "calibrated"}  # fmt: skip


@pytest.fixture
def typed(places, tmp_path, monkeypatch, capsys):
    """What a command prints with its arguments of above and these."""
    monkeypatch.setattr("chattn_nas.dashboard.serve", lambda run, port: None)
    monkeypatch.setattr("chattn_nas.search.nni.config.write_config", lambda spec, out: out / "config.yml")
    # Two seconds per network are for a figure.
    monkeypatch.setattr(
        "chattn_nas.export.bench.measure_latency", lambda *given, seconds: measure_latency(*given, seconds=0.1)
    )

    def run(command: str, *more: str) -> str:
        known = places | {"NEW": tmp_path / f"{command}.yaml"}
        words = [str(known.get(word, word)) for word in ARGUMENTS[command]]
        monkeypatch.setattr(sys, "argv", ["chattn-nas", command, *words, *more])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, error = capsys.readouterr()
        assert not ended.value.code, out + error
        return out

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_json_and_nothing_else(typed, command) -> None:
    assert isinstance(json.loads(typed(command, "--json")), dict | list)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "schema"])
def test_quiet_is_silent(typed, command) -> None:
    assert typed(command, "--quiet") == ""


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "schema"])
def test_it_fits_a_terminal_of_80_columns(typed, monkeypatch, command) -> None:
    monkeypatch.setattr(_app.console, "_force_terminal", True)
    monkeypatch.setattr(_app.console, "_width", 80)
    lines = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", typed(command)).splitlines()
    told = re.compile(r"\d\d:\d\d:\d\d ")  # a search writes its lines to a console of its own, here for a pipe
    assert [line for line in lines if cell_len(line) > 80 and not told.match(line)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_its_help_has_an_example_of_it(monkeypatch, capsys, command) -> None:
    monkeypatch.setattr(sys, "argv", ["chattn-nas", command, "-h"])
    with pytest.raises(SystemExit):
        main()
    assert f"Example: chattn-nas {command}" in capsys.readouterr().out


def test_a_warning_is_broken_between_words_on_a_terminal_and_told_once(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = _app._Warnings(logging.WARNING)
    record = logging.LogRecord("chattn_nas", logging.WARNING, "", 0, "%s stages", ("many " * 30,), None)
    said.handle(record)
    said.handle(record)
    assert capsys.readouterr().err == "many " * 30 + " stages\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    said.handle(logging.LogRecord("chattn_nas", logging.WARNING, "", 0, "word " * 30, (), None))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.endswith("word") and len(line) <= 80 for line in lines)
