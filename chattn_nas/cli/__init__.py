"""The console command ``chattn-nas``: each command a few lines over one public function."""

# Importing adds the commands; help lists them in this order.
# isort: off
from chattn_nas.cli import init, doctor, docs  # noqa: F401
from chattn_nas.cli import data, searching, ranking, results, judging  # noqa: F401
from chattn_nas.cli import networks, training, backbones, attentions, benchmark  # noqa: F401
from chattn_nas.cli._app import app, main
# isort: on

__all__ = ["app", "main"]
