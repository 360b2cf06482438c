"""The Optuna dashboard on a real finished run, as it is seen in Debian's chromium."""

import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from chattn_nas import Run, export
from chattn_nas.search import search
from chattn_nas.spec import Spec

pytestmark = pytest.mark.slow

SPEC = {
    "name": "seen",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8},
    "space": {"all": ["none", {"se": {"reduction": [2, 4]}}, "eca"]},
    "proxy": {"rungs": [1, 3], "device": "cpu"},
    "search": {
        "trials": 9,
        "workers": 0,
        "sampler": "random",
        "pruner": "none",
        "constraints": {"parameters": "<= 1.02x"},
    },
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    directory = tmp_path_factory.mktemp("run") / "seen"
    found = Run(search(Spec.from_dict(SPEC), run=directory, progress=False).directory)
    export(found.best(), directory / "export")
    return found


@pytest.fixture(scope="module")
def address(run):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "chattn_nas", "dashboard", str(run.directory), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


def missing(browser, url: str, *wanted: str) -> list[str]:
    """What of the wanted texts the page does not hold, once it has had its time to fetch them."""
    browser.get(url)
    deadline = time.monotonic() + 90
    while True:
        text = browser.find_element("tag name", "body").text
        parts = [part for part in wanted if part not in text]
        if not parts or time.monotonic() > deadline:
            return parts
        time.sleep(0.3)


def test_the_list_of_studies_has_the_run(browser, address):
    assert not missing(browser, f"{address}/dashboard", "seen")


def test_the_study_shows_our_plots(browser, address):
    wanted = (
        "constraints respected",
        "infeasible, not trained",
        "Leaderboard by architecture",
        "What an attention adds per stage, in points",
        ".zip",
    )
    assert not missing(browser, f"{address}/dashboard/studies/1", *wanted)


def test_a_phone_does_not_scroll_sideways(browser, address):
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        assert not missing(browser, f"{address}/dashboard/studies/1", "Leaderboard by architecture")
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_note_of_the_study_is_the_verdict(browser, address):
    assert not missing(browser, f"{address}/dashboard/studies/1/note", "unconfirmed")


def test_an_infeasible_trial_is_said_to_be_so(browser, address, run):
    table = run.trials(where="outcome=infeasible")
    assert len(table)
    number = int(table["number"].iloc[0])
    assert not missing(
        browser, f"{address}/dashboard/studies/1/trials?numbers={number}", "infeasible", "allowed <= 1.02x"
    )


def test_the_exported_trial_has_note_artifacts_and_download(browser, address, run):
    number = run.best().pick.number
    wanted = ("Exported", "layer1", "validation accuracy", "learning-curve.svg", "log.txt")
    assert not missing(browser, f"{address}/dashboard/studies/1/trials?numbers={number}", *wanted)
    link = browser.find_element("link text", "download").get_attribute("href")
    with urllib.request.urlopen(link, timeout=20) as answer:
        assert answer.read(2) == b"PK"
    pictures = [
        source for picture in browser.find_elements("tag name", "img")
        if "/artifacts/" in (source := picture.get_attribute("src") or "")
    ]  # fmt: skip
    assert pictures, "the learning curve is shown as a picture"
    with urllib.request.urlopen(pictures[0], timeout=20) as answer:
        assert b"<svg" in answer.read()
