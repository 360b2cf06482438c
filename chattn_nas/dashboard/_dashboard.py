"""The only door to the Optuna dashboard: serving it, and the notes, figures and links that it shows.

Notes of trials are written during a search, so they belong to a lower room: ``study/_optuna.py``.
``tests/dashboard/test_dashboard_door.py`` shows what another version breaks.
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
    """The dashboard of a study's storage as a WSGI application; its files are in the folder ``artifacts``."""
    made: Application = wsgi(storage_of(study), artifact_store=FileSystemArtifactStore(str(artifacts)))
    return made


def run(served: Application, host: str, port: int) -> None:
    """Serve until interrupted."""
    bottle.run(app=served, host=host, port=port)


def set_note(study: optuna.Study, text: str) -> None:
    """Set the note of the study, in Markdown."""
    save_note(study, text)


def set_figure(study: optuna.Study, figure: Mapping[str, Any], name: str) -> None:
    """Add a figure (plotly's ``data`` and ``layout``) to the study; one of the same name is replaced."""
    save_plotly_graph_object(study, go.Figure(figure), graph_object_id=name)


def link(study: optuna.Study, artifact: str) -> str:
    """The URL at which the dashboard serves a file of the study."""
    return f"/artifacts/{study_id(study)}/{artifact}"
