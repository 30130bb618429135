"""The page that follows its folder: what moves in a real browser, what a cut file does, and who is answered."""

import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

import xinit
from tests.report.live import ask, first_file, opened, serving, until, version
from xinit import report
from xinit.commands import cli
from xinit.core.errors import InputError
from xinit.report import live_page
from xinit.report.__main__ import main
from xinit.report.live_page import LivePage
from xinit.report.server import Server
from xinit.runs import record

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]
TINY = {"data": "synthetic", "data.valid": 200, "data.test": 300, "probe.examples": 100, "scheme": "xavier",
        "figure": False, "depth": 2, "width": 16, "probe.points": 5}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run that came to its end."""
    out = tmp_path_factory.mktemp("runs")
    return pathlib.Path(xinit.run(out=str(out), progress=False, **TINY, steps=40).attrs["path"])


@pytest.fixture
def run(finished, tmp_path):
    """The folder of that run again, for a test to change."""
    return pathlib.Path(shutil.copytree(finished, tmp_path / finished.name))


@pytest.fixture(autouse=True)
def no_rest(monkeypatch):
    monkeypatch.setattr(live_page, "REST", 0.0)


@pytest.fixture(scope="module")
def server(finished):
    with serving(finished) as server:
        yield server


def test_it_answers_the_page_and_its_version(server):
    status, headers, content = ask(server, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["ETag"] == f'"{version(server)["version"]}"'
    assert headers["Server"] == "xinit"
    assert b"</html>" in content
    assert ask(server, "/", "HEAD")[0::2] == (200, b"")


@pytest.mark.parametrize(
    "path",
    ["/config.yaml", "/../config.yaml", "/%2e%2e/etc/passwd", "/..", "/index.html", "/?x", "/version/", "//etc/passwd",
     "http://127.0.0.1/", "*", "/\\..\\etc"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_other_path_is_answered(server, path, method):
    status, headers, content = ask(server, path, method)
    assert status == 404
    assert len(content) < 100
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"])
def test_no_other_method_is_answered(server, method):
    assert ask(server, "/", method)[0] == 501


def test_nothing_is_read_through_a_link(run, tmp_path):
    """A file of the folder that becomes a link, or a folder that does, shows nothing of what it leads to."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "config.yaml").write_text((run / "config.yaml").read_text().replace("synthetic", "a secret"))
    with serving(run) as server:
        page = ask(server, "/")[2]
        (run / "config.yaml").unlink()
        (run / "config.yaml").symlink_to(secret / "config.yaml")
        linked = version(server)
        assert "config.yaml is a link, through which nothing is opened" in linked["problem"]
        assert ask(server, "/")[2] == page
        (run / "more").symlink_to(secret)
        version(server)
        (secret / "config.yaml").write_text("changed")
        assert version(server) == linked


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "", "evil@localhost", "10.0.0.1",
             "localhost:x", "localhost/", "[::1", "localhost#x", "0.0.0.0", "0", "localhost.", "2130706433",
             "[::ffff:127.0.0.1]", "127.0.0.1, evil.example"]
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/version"])
def test_other_names_of_a_host_are_refused(server, path, host):
    status, _, content = ask(server, path, Host=host)
    assert (status, content) == (403, b"403 This host is not served here\n")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:80"])
def test_names_of_the_loopback_are_answered(server, host):
    assert ask(server, Host=host)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [{"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Origin": "null"},
     {"Origin": "http://evil.example"}, {"Origin": "http://localhost:1", "Host": "localhost:2"},
     {"Origin": "https://localhost", "Host": "localhost"}],
)  # fmt: skip
def test_requests_of_other_sites_are_refused(server, headers):
    for path in ("/", "/version"):
        status, _, content = ask(server, path, **headers)
        assert status == 403
        assert content.startswith(b"403 Pages of other sites are not answered")


@pytest.mark.parametrize("headers", [{"Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "none"},
                                     {"Origin": "http://localhost:2", "Host": "localhost:2"}])  # fmt: skip
def test_the_page_itself_and_the_reader_are_answered(server, headers):
    assert ask(server, **headers)[0] == 200


def raw(server, content):
    with socket.create_connection(server.server_address[:2], timeout=20) as client:
        client.sendall(content)
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


@pytest.mark.parametrize(
    ("request_line", "status"),
    [(b"GET / HTTP/1.0\r\n\r\n", b"403"), (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", b"403"),
     (b"GET /\r\n\r\n", b"403"), (b"nonsense\r\n\r\n", b"400"),
     (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414")],
)  # fmt: skip
def test_what_no_browser_sends(server, request_line, status):
    answer = raw(server, request_line)
    assert b"<main>" not in answer
    assert status in answer[:30]
    assert ask(server)[0] == 200


def test_it_listens_at_the_loopback_alone(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_address[1]}/"


@pytest.mark.parametrize("host", ["0.0.0.0", "0", "0x0"])
def test_every_address_of_the_machine_where_asked(finished, host):
    """However the host is written that stands for all, it is known as such."""
    with serving(finished, host) as server:
        assert [ask(server, Host=host)[0] for host in ("10.1.2.3:80", socket.gethostname(), "evil.example")] == [
            200, 200, 403
        ]  # fmt: skip
        assert server.url == f"http://127.0.0.1:{server.server_address[1]}/"
        assert f"at http://{socket.gethostname()}:{server.server_address[1]}/" in server.warning


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2", "LOCALHOST", "0x7f000001"])
def test_no_warning_of_an_address_that_other_machines_do_not_reach(finished, host):
    with Server(LivePage([finished]), host) as server:
        assert server.warning == ""
        assert server.is_ours(host.lower())
        assert not server.is_ours("10.0.0.1")


def test_it_says_who_else_can_read_the_page(finished):
    command = [sys.executable, "-m", "xinit.report", str(finished), "--watch", "--host", "0.0.0.0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("page: http://127.0.0.1:")
        assert process.stderr.readline().startswith("warning: everybody who reaches this machine over the network")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == cli.DONE


@pytest.mark.parametrize("host", ["", " "])
def test_an_empty_host_is_not_taken_for_all_addresses(finished, capsys, host):
    assert main([str(finished), "--watch", "--host", host]) == cli.BAD_INPUT
    assert "it must be the name or number of an address, such as 127.0.0.1" in capsys.readouterr().err


def test_a_cut_file_leaves_the_last_good_page(run):
    with serving(run) as server:
        first, page = version(server), ask(server, "/")[2]
        whole = (run / "readings.nc").read_bytes()
        (run / "readings.nc").write_bytes(whole[: len(whole) // 2])
        cut = version(server)
        assert cut["version"] == first["version"]
        assert "readings.nc cannot be read" in cut["problem"]
        assert ask(server, "/")[2] == page
        (run / "readings.nc").write_bytes(whole)
        assert version(server) == first
        (run / "summary.json").unlink()
        assert version(server)["version"] != first["version"]
        shutil.rmtree(run)
        gone = version(server)
        assert "does not exist" in gone["problem"]
        assert ask(server, "/")[0] == 200


def test_it_begins_where_a_file_is_cut(run):
    whole = (run / "readings.nc").read_bytes()
    (run / "readings.nc").write_bytes(whole[:100])
    with serving(run) as server:
        assert b"Nothing to show yet" in ask(server, "/")[2]
        (run / "readings.nc").write_bytes(whole)
        assert b"Activations, layer by layer" in ask(server, "/")[2]


def test_nothing_is_rendered_while_nothing_changes(run, monkeypatch):
    page = LivePage([run])
    monkeypatch.setattr(report, "render", lambda folders: pytest.fail("rendered again"))
    (run / ".readings.nc.123").write_bytes(b"half")
    (run / "checkpoints").mkdir(exist_ok=True)
    (run / "checkpoints" / "new").write_bytes(b"")
    assert page.current() == page.current()


SAME_PLACE = "scrollY === 700 && document.querySelectorAll('details[open]').length === 1"


def test_it_moves_while_a_run_writes(chromium, tmp_path):
    """A real run of another process, in a real browser: points appear, the place is kept, the end is shown."""
    settings = [f"{name}={value}" for name, value in TINY.items()]
    settings = [setting for setting in settings if not setting.startswith("probe.points")]
    command = [sys.executable, "-m", "xinit.train", *settings, "probe.points=40", "steps=4000", "checkpoint_every=0.1",
               f"out={tmp_path}", "name=moving"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        folder = first_file(tmp_path, "moving/*/readings.nc", process).parent
        try:
            process.send_signal(signal.SIGSTOP)
            with serving(folder) as server, opened(chromium, server) as (page, problems):
                assert "has not come to its end" in page.inner_text("main")
                page.locator(".chart svg").last.wait_for(state="attached")
                page.locator("summary").last.click()
                page.evaluate("scrollTo(0, 700)")
                first = page.get_attribute("#live", "data-version")
                n_points = lambda: len(record.read_readings(folder / "readings.nc")["step"])
                before = n_points()
                process.send_signal(signal.SIGCONT)
                while n_points() == before and process.poll() is None:
                    time.sleep(0.01)
                process.send_signal(signal.SIGSTOP)
                until(page, f"document.getElementById('live').dataset.version !== '{first}'")
                until(page, SAME_PLACE)
                assert "has not come to its end" in page.inner_text("main")
                process.send_signal(signal.SIGCONT)
                assert process.wait(120) == 0, process.stderr.read()
                over = "!document.querySelector('main').innerText.includes('has not come to its end')"
                until(page, over)
                until(page, SAME_PLACE)
                assert problems == []
                server.shutdown()
                server.server_close()
                page.locator("#live").filter(has_text="not updated").wait_for(timeout=10_000)
                assert "Activations, layer by layer" in page.inner_text("main")
        finally:
            process.kill()


def test_ctrl_c_ends_it_with_one_line(finished):
    command = [sys.executable, "-m", "xinit.report", str(finished), "--watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline()
        assert said.startswith("page: http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("The page is served no longer.\n", "")
    assert process.returncode == cli.DONE


def test_an_address_that_cannot_be_used(finished):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(InputError, match=r"cannot be served at host '127\.0\.0\.1', port \d+: Address already"):
            Server(LivePage([finished]), port=other.getsockname()[1])
    with pytest.raises(InputError, match=r"cannot be served at host '192\.0\.2\.1'"):
        Server(LivePage([finished]), host="192.0.2.1")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--watch", "-o", "x.html"], "either written or served"), (["--port", "1"], "without --watch"),
     (["--host", "::1"], "without --watch"), (["--watch", "--port", "70000"], "--port is 70000; it must be"),
     (["--watch", "--port", "x"], "invalid int value")],
)  # fmt: skip
def test_what_cannot_be_asked(finished, capsys, arguments, words):
    assert main([str(finished), *arguments]) == cli.BAD_INPUT
    assert words in capsys.readouterr().err


def test_no_folder_of_a_kind(tmp_path, capsys):
    assert main([str(tmp_path), "--watch"]) == cli.BAD_INPUT
    assert "is no folder of a run" in capsys.readouterr().err
