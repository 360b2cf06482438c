"""The report as it is seen: Debian's chromium, driven by selenium, the file opened from disk."""

import shutil
import time
from pathlib import Path

import optuna
import pytest
from results_study import make_world, simulate

from chattn_nas.report import write_report
from chattn_nas.report.compare import compare_html, compare_runs

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
if not CHROMIUM or not DRIVER:
    pytest.skip("chromium and chromium-driver are not installed", allow_module_level=True)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    deep = tmp_path_factory.mktemp("report") / "a/run/that/lies/deep/in/somebodys/folders"  # its commands are long
    return write_report(deep, simulate(make_world(4), 60, prune=0.3, failures=True))


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def opened(browser, report: Path, *, width: int = 1200, dark: bool = False) -> None:
    phone = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": scheme})
    browser.get(report.as_uri())
    deadline = time.monotonic() + 30
    while drawn(browser) < 5:
        assert time.monotonic() < deadline, "plots were never drawn"
        time.sleep(0.1)


def drawn(browser) -> int:
    """How many visible plots hold marks: points, lines, bars or a heat map's image."""
    return browser.execute_script(
        "return [...document.querySelectorAll('.plot')]"
        ".filter(e => e.clientWidth && e.querySelector('.points path, .hm image, .lines path')).length"
    )


def test_no_console_error_and_no_request_beside_the_file(browser, report):
    browser.get_log("browser")
    browser.get_log("performance")
    opened(browser, report)
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    asked = [
        entry["message"] for entry in browser.get_log("performance") if "Network.requestWillBeSent" in entry["message"]
    ]
    assert [message for message in asked if '"url":"http' in message] == []


def test_plots_are_drawn_and_the_cost_can_be_chosen(browser, report):
    opened(browser, report)
    macs = browser.find_element("id", "panel-macs")
    assert not macs.is_displayed()
    browser.find_element("css selector", "[data-shows='panel-macs']").click()
    assert macs.is_displayed()
    assert macs.find_elements("css selector", ".main-svg")
    assert not browser.find_element("id", "panel-parameters").is_displayed()


def column(browser, index: int) -> list[str]:
    script = (
        "return [...document.querySelectorAll('#leaderboard tbody tr')].map(r => r.cells[arguments[0]])"
        ".map(cell => cell.dataset.value ?? cell.textContent)"
    )
    return browser.execute_script(script, index)


def test_the_leaderboard_sorts_by_click(browser, report):
    opened(browser, report)
    heads = browser.find_elements("css selector", "#leaderboard th button")
    titles = [head.text for head in heads]
    before = column(browser, 0)
    assert [float(value) for value in before] == sorted(float(value) for value in before)
    mean = titles.index("mean %")
    for reverse in (True, False):
        browser.execute_script("arguments[0].click()", heads[mean])
        values = [float(value) for value in column(browser, mean)]
        assert values == sorted(values, reverse=reverse)
    browser.execute_script("arguments[0].click()", heads[1])
    assert column(browser, 1) == sorted(column(browser, 1))
    assert sorted(column(browser, 0), key=float) == before, "no row is lost"


def fits(browser, width: int) -> None:
    """Nothing scrolls sideways, and no column is crushed until words break letter by letter."""
    browser.execute_script("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page, window, cut, crushed = browser.execute_script(
        "return [document.documentElement.scrollWidth, innerWidth,"
        " [...document.querySelectorAll('.scroll, .plot')].filter(e => e.scrollWidth > e.clientWidth + 1)"
        ".map(e => e.closest('section').id),"
        " [...document.querySelectorAll('td, dd, dt, li')].filter(e => e.clientWidth && e.clientWidth < 60"
        " && e.textContent.trim().length > 12).map(e => e.textContent.trim())]"
    )
    assert page <= window == width
    assert cut == [], "tables and plots fit too"
    assert crushed == []


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1280, False)])
def test_all_of_it_fits(browser, report, width, dark):
    opened(browser, report, width=width, dark=dark)
    assert browser.find_element("css selector", "details.more").get_attribute("open") == (
        "true" if width > 640 else None
    )
    fits(browser, width)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_comparison_fits(browser, tmp_path, width):
    path = tmp_path / "compare.html"
    studies = [simulate(make_world(seed), 24) for seed in (1, 2, 3)]
    for number, study in enumerate(studies):
        study.set_user_attr("spec", study.user_attrs["spec"] | {"proxy": {"rungs": [number, 16], "device": "cpu"}})
    path.write_text(compare_html(compare_runs(studies, ["runs/one", "runs/with-a-long-name", "c"])), encoding="utf-8")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.get(path.as_uri())
    assert "runs/with-a-long-name" in browser.find_element("tag name", "body").text, "they have one name"
    assert "proxy.rungs" in browser.find_element("id", "settings").text
    fits(browser, width)


def luminance(browser, element: str, what: str) -> float:
    value = browser.execute_script(
        "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", element, what
    )
    red, green, blue = (float(part) for part in value[value.index("(") + 1 : -1].split(",")[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


def test_dark_mode_follows_the_system_and_the_button(browser, report):
    opened(browser, report, dark=True)
    assert luminance(browser, "body", "backgroundColor") < 0.15
    assert luminance(browser, "body", "color") > 0.7
    assert luminance(browser, "#plot-rungs .xtick text", "fill") > 0.7, "plots follow"
    browser.find_element("id", "theme").click()
    assert luminance(browser, "body", "backgroundColor") > 0.85
    assert luminance(browser, "#plot-rungs .xtick text", "fill") < 0.3
    opened(browser, report)
    assert luminance(browser, "body", "backgroundColor") > 0.85


def test_it_prints_in_light_with_all_plots(browser, report):
    opened(browser, report, dark=True)
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(printed["data"]) > 50_000
    assert luminance(browser, "body", "backgroundColor") < 0.15, "and goes back afterwards"


def test_a_page_without_results_has_no_console_error(browser, tmp_path):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = write_report(tmp_path, optuna.create_study())
    browser.get_log("browser")
    browser.get(path.as_uri())
    assert browser.get_log("browser") == []
    assert "Nothing was trained" in browser.find_element("tag name", "h1").text
