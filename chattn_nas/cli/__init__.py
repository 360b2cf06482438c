"""The console command ``chattn-nas``: each command a few lines over one public function."""

from chattn_nas.cli import (  # noqa: F401 (importing adds their commands)
    benchmark,
    judging,
    networks,
    results,
    searching,
    training,
)
from chattn_nas.cli.app import app, main

__all__ = ["app", "main"]
