"""The only door to the Optuna dashboard: serving it, and the notes, figures and links that it shows.

Notes of trials are written while a search runs and lie lower, in ``study/_optuna.py``.
``tests/dashboard/test_dashboard_door.py`` names what another version broke.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import bottle
import optuna
import plotly.graph_objects as go
from optuna.artifacts import FileSystemArtifactStore
from optuna_dashboard import save_note, save_plotly_graph_object, wsgi

from chattn_nas.study._optuna import storage_of, study_id

Application = Callable[..., Any]


def application(study: optuna.Study, artifacts: Path) -> Application:
    """The dashboard on the storage of a study, as WSGI; its files lie in the folder ``artifacts``."""
    made: Application = wsgi(storage_of(study), artifact_store=FileSystemArtifactStore(str(artifacts)))
    return made


def run(served: Application, host: str, port: int) -> None:
    """Serve until interrupted."""
    bottle.run(app=served, host=host, port=port)


def set_note(study: optuna.Study, text: str) -> None:
    """The note of the study, in Markdown."""
    save_note(study, text)


def set_figure(study: optuna.Study, figure: Mapping[str, Any], name: str) -> None:
    """A figure (plotly's ``data`` and ``layout``) of the study; one of the same name is replaced."""
    save_plotly_graph_object(study, go.Figure(figure), graph_object_id=name)


def link(study: optuna.Study, artifact: str) -> str:
    """Where the dashboard serves a file of the study."""
    return f"/artifacts/{study_id(study)}/{artifact}"
