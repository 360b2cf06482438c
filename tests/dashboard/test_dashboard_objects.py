import json
import socket
import subprocess
import sys
import time
import urllib.request

import optuna
import pytest
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from results_study import make_world, new_study, simulate

from chattn_nas.dashboard import annotate
from chattn_nas.report import markdown
from chattn_nas.results import leaderboard
from chattn_nas.study.metric import UNIT
from chattn_nas.study.short import short_form
from chattn_nas.unit import Unit


def test_annotate_writes_note_and_graph_objects_once():
    study = simulate(make_world(2), 20)
    names = annotate(study)
    assert names == ["chattn-pareto", "chattn-leaderboard", "chattn-effects"]
    annotate(study)
    attributes = study._storage.get_study_system_attrs(study._study_id)
    found = {name: json.loads(text) for name, text in get_plotly_graph_objects(attributes).items()}
    assert set(found) == set(names), "a second call replaces them"
    first = found["chattn-leaderboard"]["data"][0]["cells"]["values"][1][0]
    assert first == short_form(leaderboard(study)["architecture"][0].split(" | "))
    assert "@" not in json.dumps(found).replace("@ ", "")
    assert any("unconfirmed" in str(value) for key, value in attributes.items() if "note" in key)


def test_another_metric_is_told_in_its_unit():
    study = simulate(make_world(2), 20)
    study.set_user_attr(UNIT, Unit(name="psnr", title="PSNR", unit="dB", difference="dB", scale=1.0).to_dict())
    annotate(study)
    text = json.dumps(get_plotly_graph_objects(study._storage.get_study_system_attrs(study._study_id)))
    assert "pooled dB" in text
    assert "PSNR against parameters" in text
    assert "adds per stage, in dB" in text
    assert "accuracy" not in text.lower()


def test_annotate_an_empty_study():
    assert annotate(new_study()) == []


def test_dashboard_serves_on_loopback(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    source = simulate(make_world(2), 12)
    optuna.copy_study(from_study_name=source.study_name, from_storage=source._storage, to_storage=url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = (
        "import optuna, pathlib, types\nfrom chattn_nas.dashboard.server import serve\n"
        f"study = optuna.load_study(study_name='simulated', storage={url!r})\n"
        f"serve(types.SimpleNamespace(study=study, directory=pathlib.Path({str(tmp_path)!r})), {port})\n"
    )
    server = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies/1?after=0", timeout=5) as answer:
                    detail = json.load(answer)
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.3)
    finally:
        server.terminate()
        server.wait(timeout=20)
    assert len(detail["trials"]) == len(source.trials)
    assert {plot["id"] for plot in detail["plotly_graph_objects"]} >= {"chattn-pareto", "chattn-effects"}
    assert "unconfirmed" in detail["note"]["body"]


def test_markdown_has_the_same_verdict_and_well_formed_tables(study):
    text = markdown(study)
    assert "unconfirmed" in text.splitlines()[0]
    assert "chattn-nas confirm simulated" in text
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) >= 6
    for block in blocks:
        widths = {line.replace("\\|", "").count("|") for line in block}
        assert len(widths) == 1, block


@pytest.mark.parametrize("trials", [0, 1])
def test_markdown_of_hardly_anything(trials):
    study = simulate(make_world(1), trials) if trials else new_study()
    assert "unconfirmed" in markdown(study)
