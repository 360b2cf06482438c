#!/usr/bin/env python
"""The pictures in docs/pictures: what a terminal and a browser show.

    pictures.py terminal FOLDER      the quickstart in a terminal of 80 columns: it searches, for minutes
    pictures.py pages RUN OTHER      report and dashboard of a finished run, and its comparison with another one

Browsers are headless Chromium at 1280 and 390 pixels. Needs Debian's packages chromium and chromium-driver, and the
project's dev extra.
"""

from __future__ import annotations

import base64
import fcntl
import html
import io
import os
import pty
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte
from PIL import Image
from selenium import webdriver

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
PLACE = Path(__file__).parents[1] / "docs" / "pictures"
COLUMNS, LINES = 80, 24
#: Colours of a terminal by pyte's names.
COLOURS = {"red": "#e06c75", "green": "#98c379", "brown": "#d9b36c", "blue": "#61afef", "magenta": "#c678dd",
           "cyan": "#56b6c2", "white": "#abb2bf", "brightblack": "#7f848e", "default": "#d7dae0"}  # fmt: skip


@contextmanager
def browser(width: int, height: int = 900, scale: float = 1.0) -> Iterator[webdriver.Chrome]:
    """Headless Chromium that takes a page for so wide; narrower than 500 it is a phone."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 500}
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


def shoot(driver: webdriver.Chrome, name: str, most: int, scale: float = 1.0) -> None:
    """Write the top of the page, at most so many pixels of it, in few colours."""
    height = min(most, driver.execute_script("return document.documentElement.scrollHeight"))
    clip = {"x": 0, "y": 0, "width": driver.execute_script("return innerWidth"), "height": height, "scale": scale}
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    picture = Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(PLACE / name, optimize=True)
    print(PLACE / name)


def of_pages(run: Path, other: Path) -> None:
    """What a browser shows of a run, and of two."""
    ours = [sys.executable, "-m", "chattn_nas"]
    with tempfile.TemporaryDirectory() as folder, dashboard(run) as address:
        compared = Path(folder) / "compare.html"
        subprocess.run([*ours, "report", run], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*ours, "compare", run, other, "--out", compared], check=True, stdout=subprocess.DEVNULL)
        for width in (1280, 390):
            with browser(width) as driver:
                driver.get((run / "report.html").resolve().as_uri())
                time.sleep(3)
                shoot(driver, f"report-{width}.png", 1900 if width > 500 else 2600)
                driver.get(compared.resolve().as_uri())
                shoot(driver, f"compare-{width}.png", 900)
                driver.get(f"{address}/dashboard/studies/1")
                deadline = time.monotonic() + 60
                while "Leaderboard by architecture" not in driver.find_element("tag name", "body").text:
                    if time.monotonic() > deadline:
                        sys.exit("the dashboard does not show the leaderboard")
                    time.sleep(0.5)
                time.sleep(3)  # the plots are drawn one after the other
                shoot(driver, f"dashboard-{width}.png", 2150 if width > 500 else 2600, scale=0.6)


def typed(command: list[str], folder: Path, until: Callable[[list[str]], bool]) -> Iterator[pyte.Screen]:
    """Run a command in a terminal to its end; gives its screen once, where ``until`` first holds of its lines."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    child, here = pty.fork()
    if not child:
        os.chdir(folder)
        os.execve(command[0], command, {**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""})
    fcntl.ioctl(here, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    shown, seen = False, 0.0
    while True:
        try:
            if select.select([here], [], [], 0.1)[0]:
                stream.feed(os.read(here, 65536))
        except OSError:  # it has ended
            break
        if not seen and until(list(screen.display)):
            seen = time.monotonic()
        if seen and not shown and time.monotonic() > seen + 0.5:  # the board is drawn to its end
            shown = True
            yield screen
    os.waitpid(child, 0)


def marked(screen: pyte.Screen) -> str:
    """The screen as HTML."""
    lines = []
    for row in range(LINES):
        line = ""
        for column in range(COLUMNS):
            cell = screen.buffer[row][column]
            colour = COLOURS.get(cell.fg, f"#{cell.fg}")
            line += (
                f'<span style="color:{colour};font-weight:{600 if cell.bold else 400}">{html.escape(cell.data)}</span>'
            )
        lines.append(line)
    return "\n".join(lines)


def draw(driver: webdriver.Chrome, name: str, lines: str) -> None:
    """Lines of a terminal as a picture."""
    style = "margin:0;padding:14px 16px;background:#1b1e24;color:#d7dae0;font:15px/1.35 'DejaVu Sans Mono',monospace"
    page = f'<!doctype html><meta charset="utf-8"><body style="margin:0"><pre style="{style}">{lines}</pre>'
    driver.get("data:text/html;base64," + base64.b64encode(page.encode()).decode())
    shoot(driver, name, 4000)


def of_terminal(place: Path) -> None:
    """The quickstart on a terminal, as a run in a folder."""
    command = [sys.executable, "-m", "chattn_nas", "search", "quickstart", "--workers", "2", "--trials", "12"]
    place.mkdir(parents=True, exist_ok=True)
    with browser(760, 100) as driver:
        half_way = typed(command, place, lambda lines: any("step" in line for line in lines[-9:]) and any(
            "[8/" in line for line in lines))  # fmt: skip
        for screen in half_way:
            draw(driver, "board.png", marked(screen))


if __name__ == "__main__":
    kind, *given = sys.argv[1:]
    {"terminal": of_terminal, "pages": of_pages}[kind](*map(Path, given))
