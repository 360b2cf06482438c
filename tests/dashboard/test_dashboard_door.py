"""What ``dashboard/_dashboard.py`` takes for granted of the Optuna dashboard; a failure names what a version broke."""

import json
from urllib.parse import urlsplit
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, upload_artifact

from chattn_nas.dashboard import _dashboard


@pytest.fixture
def study(tmp_path):
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}", study_name="door")
    study.add_trial(optuna.create_trial(value=0.5))
    yield study
    study._storage._backend.engine.dispose()


def answer(study, folder, address: str) -> tuple[str, bytes]:
    """Status and body of a GET request, without a socket."""
    told = []
    where = urlsplit(address)
    environ = {"PATH_INFO": where.path, "QUERY_STRING": where.query}
    setup_testing_defaults(environ)
    body = _dashboard.application(study, folder)(environ, lambda status, headers, *rest: told.append(status))
    return told[0], b"".join(body)


def test_a_note_and_a_figure_are_served(study, tmp_path) -> None:
    _dashboard.set_note(study, "**the verdict**")
    for height in (100, 200):
        _dashboard.set_figure(study, {"data": [{"type": "bar", "y": [1]}], "layout": {"height": height}}, "ours")
    number = _dashboard.study_id(study)
    status, body = answer(study, tmp_path, f"/api/studies/{number}?after=0")
    assert status.startswith("200")
    told = json.loads(body)
    assert told["note"]["body"] == "**the verdict**"
    (figure,) = told["plotly_graph_objects"]
    assert figure["id"] == "ours"
    assert json.loads(figure["graph_object"])["layout"]["height"] == 200, "the later one took its place"


def test_a_file_of_the_study_is_where_the_link_says(study, tmp_path) -> None:
    file = tmp_path / "network.zip"
    file.write_bytes(b"weights")
    store = FileSystemArtifactStore(str(tmp_path))
    key = upload_artifact(artifact_store=store, file_path=str(file), study_or_trial=study)
    status, body = answer(study, tmp_path, _dashboard.link(study, key))
    assert (status[:3], body) == ("200", b"weights")
