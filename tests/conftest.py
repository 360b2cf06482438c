"""Every test session caches images in a folder of its own, which its worker processes inherit."""

import os
import shutil
import tempfile

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if "CHATTN_NAS_CACHE" not in os.environ:
        folder = tempfile.mkdtemp(prefix="chattn-nas-cache-")
        os.environ["CHATTN_NAS_CACHE"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
