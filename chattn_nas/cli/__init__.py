"""The console command ``chattn-nas``: each command a few lines over one public function."""

from chattn_nas.cli import benchmark, judging, networks, results, searching  # noqa: F401 (importing adds their commands)
from chattn_nas.cli.app import app, main

__all__ = ["app", "main"]
