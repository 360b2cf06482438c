"""A study that somebody sent, full of scripts, in the dashboard and in our report, as Debian's chromium shows them.

Nothing runs and nothing is fetched from elsewhere. That the same text as a page of its own does run, and does not under
the content security policy that we serve the dashboard with, shows that these tests would see it.
"""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import optuna
import pytest
from optuna_dashboard import save_note, save_plotly_graph_object
from plotly.graph_objects import Figure
from results_study import add_trial, architecture_of, make_world, simulate

from chattn_nas.dashboard import _dashboard
from chattn_nas.dashboard.server import guarded
from chattn_nas.report import write_report
from chattn_nas.study._optuna import save_trial_note

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # bottle leaves index.html open
]

RUN = "window.pwned=(window.pwned||0)+1"


def hostile(leak: str) -> str:
    """Every way that we know to run a script, or to tell somebody that the page was opened."""
    return f"""A note.

<script>{RUN}</script>
<img src=x onerror="{RUN}">
<img src="{leak}/image">
<svg onload="{RUN}"><script>{RUN}</script></svg>
<details open ontoggle="{RUN}">d</details>
<iframe srcdoc="<script>parent.pwned=1</script>"></iframe>
<iframe src="{leak}/frame"></iframe>
<form action="{leak}/form"><button id="send" type="submit">form</button></form>
<link rel=stylesheet href="{leak}/style">
<object data="{leak}/object"></object>
<a id="raw" href="javascript:{RUN}">raw</a>

[link](javascript:{RUN}) ![picture](javascript:{RUN}) [more](data:text/html,<script>{RUN}</script>)
"""


class Quiet(WSGIRequestHandler):
    def log_message(self, *words) -> None:
        pass


@pytest.fixture(scope="module")
def leaks() -> Iterator[tuple[str, list[str]]]:
    """The server of somebody who waits to be told; what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def study(leaks) -> optuna.Study:
    text = hostile(leaks[0])
    made = simulate(make_world(3), 12, prune=0.3, failures=True)
    save_note(made, text)
    texts = {"label": text, "reason": text, "value_source": text}
    add_trial(made, architecture_of((1, 1, 1)), seed=40, accuracies=(80.0,), outcome="pruned", **texts)
    add_trial(made, architecture_of((2, 1, 1)), seed=41, accuracies=(80.0, 99.0), **texts)
    for trial in made.trials:
        save_trial_note(made, trial._trial_id, text)
    made.set_user_attr("hardware", text)
    made.set_user_attr(f"<img src=x onerror={RUN}>", text)
    figure = {"data": [{"type": "bar", "y": [1], "text": [text]}], "layout": {"title": {"text": f"hostile {text}"}}}
    save_plotly_graph_object(made, Figure(figure), graph_object_id="hostile")
    return made


@pytest.fixture
def serve():
    """Serve an application, guarded or as it is; its address."""
    servers = []

    def start(made, *, guard: bool) -> str:
        server = make_server("127.0.0.1", 0, guarded(made) if guard else made, handler_class=Quiet)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ran(browser, url: str, wanted: str) -> int:
    """How many scripts of the study ran on a page, all its links clicked."""
    browser.get(url)
    deadline = time.monotonic() + 60
    while wanted not in browser.find_element("tag name", "body").text:
        assert time.monotonic() < deadline, browser.find_element("tag name", "body").text
        time.sleep(0.3)
    browser.execute_script(
        'for (const one of document.querySelectorAll(\'a[href^="javascript"], a[href^="data"]\')) one.click()'
    )
    time.sleep(1.5)
    return int(browser.execute_script("return window.pwned || 0"))


PAGES = (("dashboard/studies/{}/note", "A note."), ("dashboard/studies/{}/trials?numbers=0", "A note."))


def test_the_dashboard_runs_and_fetches_nothing_of_a_study(browser, serve, study, leaks, tmp_path) -> None:
    address, asked = serve(_dashboard.application(study, tmp_path), guard=True), leaks[1]
    for page, wanted in (*PAGES, ("dashboard/studies/{}", "hostile")):
        assert ran(browser, f"{address}/{page.format(study._study_id)}", wanted) == 0, page
    assert asked == []


@pytest.mark.parametrize("guard", [False, True])
def test_our_policy_holds_where_a_page_shows_the_text_as_it_is(browser, serve, leaks, guard) -> None:
    """The same text as a page of its own: all of it runs, and with our policy nothing does."""
    page, asked = f"<!doctype html><body>A note.{hostile(leaks[0])}</body>".encode(), leaks[1]

    def raw(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [page]

    found = ran(browser, serve(raw, guard=guard), "A note.")
    if guard:
        assert (found, asked) == (0, [])
    else:
        assert found >= 3
        assert {"/image", "/frame"} <= set(asked)
    asked.clear()


def test_our_report_runs_and_fetches_nothing(browser, study, leaks, tmp_path: Path) -> None:
    assert ran(browser, write_report(tmp_path, study).as_uri(), "simulated") == 0
    assert leaks[1] == []
