"""A live page served to a test, and what a browser is waited for to show."""

import contextlib
import http.client
import json
import threading
import time

from tests.report.browser import DESKTOP
from xinit.report.live_page import LivePage
from xinit.report.server import LOOPBACK, Server


@contextlib.contextmanager
def serving(folder, host=LOOPBACK):
    """The server of a folder's live page."""
    with Server(LivePage([folder]), host) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server, path="/version", method="GET", **headers):
    """Status, headers and content of an answer; `Host` is the server's unless given."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def version(server):
    """What the page's script is told."""
    return json.loads(ask(server)[2])


@contextlib.contextmanager
def opened(chromium, server):
    """A live page in the browser, and the list of what its console and uncaught errors say."""
    with contextlib.closing(chromium.new_context(**DESKTOP)) as context:
        page, problems = context.new_page(), []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(server.url)
        page.locator("#live").filter(has_text="Live").wait_for()
        yield page, problems


def until(page, expression, seconds=60):
    """Wait for an expression to hold; Playwright's own way evaluates in the page, which its policy forbids."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(Exception):  # in the midst of a reload
            if page.evaluate(f"Boolean({expression})"):
                return
        page.wait_for_timeout(50)
    state = "[scrollY, document.body.scrollHeight, document.querySelectorAll('details[open]').length]"
    raise AssertionError((expression, page.evaluate(state), page.inner_text("body")))


def until_it_says(page, words, seconds=60):
    """Wait for words in the page."""
    until(page, f"document.querySelector('main').innerText.includes({json.dumps(words)})", seconds)


def first_file(folder, pattern, process):
    """The first file of this pattern, once a process has written it."""
    for _ in range(2400):
        if found := sorted(folder.glob(pattern)):
            return found[0]
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    raise AssertionError(f"no {pattern} was written")
