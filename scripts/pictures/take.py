#!/usr/bin/env python
"""The repository's pictures, by headless Chromium.

    take.py RUN                    report.png and dashboard.png of a finished run
    take.py FOLDER/comparison.html comparison.png, of what `chattn-nas compare-samplers --out FOLDER` wrote

They are written beside this file. Needs Debian's packages chromium and chromium-driver, and the
project's dev extra.
"""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
HERE = Path(__file__).parent


@contextmanager
def browser(width: int, height: int) -> Iterator[webdriver.Chrome]:
    """Headless Chromium with a window of that size."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            yield driver
        finally:
            driver.quit()


@contextmanager
def dashboard(run: Path) -> Iterator[str]:
    """The dashboard of a run; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "chattn_nas", "dashboard", str(run), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        while True:
            try:
                urllib.request.urlopen(f"{address}/api/studies", timeout=5).close()
                break
            except OSError:
                if server.poll() is not None:
                    sys.exit("the dashboard does not start")
                time.sleep(0.3)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)


def shoot(driver: webdriver.Chrome, name: str, height: int, scale: float = 1.0) -> None:
    """Write the top ``height`` pixels of the page."""
    clip = {"x": 0, "y": 0, "width": driver.execute_script("return innerWidth"), "height": height, "scale": scale}
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    (HERE / name).write_bytes(base64.b64decode(taken["data"]))
    print(HERE / name)


def of_comparison(page: Path) -> None:
    """Take the picture of a comparison of samplers."""
    with browser(980, 640) as driver:
        driver.get(page.resolve().as_uri())
        time.sleep(3)
        for bar in driver.find_elements("css selector", ".modebar-container"):
            driver.execute_script("arguments[0].style.display = 'none'", bar)
        shoot(driver, "comparison.png", driver.find_element("css selector", ".main-svg").size["height"])


def of_run(run: Path) -> None:
    """Take the pictures of a run."""
    subprocess.run([sys.executable, "-m", "chattn_nas", "report", str(run)], check=True, stdout=subprocess.DEVNULL)
    with browser(1200, 900) as driver:
        driver.get((run / "report.html").resolve().as_uri())
        time.sleep(3)
        shoot(driver, "report.png", 1600)
    with browser(500, 900) as driver:  # Chromium opens no narrower window
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        )
        driver.get((run / "report.html").resolve().as_uri())
        time.sleep(3)
        shoot(driver, "report-phone.png", 1500)
    with dashboard(run) as address, browser(1400, 1000) as driver:
        driver.get(f"{address}/dashboard/studies/1")
        deadline = time.monotonic() + 60
        while "Leaderboard by architecture" not in driver.find_element("tag name", "body").text:
            if time.monotonic() > deadline:
                sys.exit("the dashboard does not show the leaderboard")
            time.sleep(0.5)
        time.sleep(3)  # the plots are drawn one after the other
        shoot(driver, "dashboard.png", 2150, scale=0.6)


if __name__ == "__main__":
    given = Path(sys.argv[1])
    (of_comparison if given.suffix == ".html" else of_run)(given)
