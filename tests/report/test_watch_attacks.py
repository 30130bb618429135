"""Other sites in a real browser: what they can read of a page that is served to its reader on the same machine."""

import contextlib
import http.server
import pathlib
import shutil
import threading

import pytest

from tests.report.live import serving, until
from xinit.report.server import Handler

pytestmark = pytest.mark.heavy
RUN = next((pathlib.Path(__file__).parents[1] / "data" / "run_of_format_0").glob("*/*"))

ATTACK = """
<img src="{0}"><script src="{0}version"></script><iframe src="{0}"></iframe>
<form id="form" method="post" target="frame" action="{0}"></form><iframe name="frame"></iframe>
<script>
  const attempts = ["{0}", "{0}version"].flatMap((url) => [
    fetch(url), fetch(url, {{mode: "no-cors"}}), fetch(url, {{method: "PUT"}}), fetch(url, {{headers: {{"X-A": "b"}}}}),
  ]);
  form.submit();
  Promise.allSettled(attempts).then((all) => Promise.all(all.map((one) => one.value?.text() ?? "refused")))
    .then((texts) => {{ window.read = texts; }});
</script>
"""


def test_another_site_reads_nothing_in_a_real_browser(chromium, tmp_path, monkeypatch):
    """What a page of another site tries, and one whose name is pointed at this machine, which is DNS rebinding."""
    answers = []
    log = lambda handler, code="-", size="-": answers.append((handler.headers["Host"], int(code)))
    monkeypatch.setattr(Handler, "log_request", log)
    (tmp_path / "config.yaml").write_text((RUN / "config.yaml").read_text())
    with serving(tmp_path) as server, serving_text(ATTACK.format(server.url)) as port:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        flags = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP evil.example 127.0.0.1"]
        browser = chromium.browser_type.launch(executable_path=path, args=flags)
        with contextlib.closing(browser):
            page = browser.new_page()
            page.goto(f"http://evil.example:{port}/")
            until(page, "window.read")
            assert set(page.evaluate("window.read")) <= {"refused", ""}
            n, mine = len(answers), server.server_address[1]
            assert n >= 7
            assert {code for _, code in answers} <= {403, 501}
            assert all("xinit" not in frame.content() for frame in page.frames[1:])

            rebound = page.goto(f"http://evil.example:{mine}/")
            assert rebound.status == 403
            assert answers[n:][0] == (f"evil.example:{mine}", 403)
            assert page.goto(server.url).status == 200  # the reader's own address


@contextlib.contextmanager
def serving_text(text):
    """The port of a server of another site, with one page."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.end_headers()
        handler.wfile.write(text.encode())

    methods = {"do_GET": answer, "log_message": lambda *_: None}
    site = type("Site", (http.server.BaseHTTPRequestHandler,), methods)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), site) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
