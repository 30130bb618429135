"""A server for one page that follows its folder: `python -m xinit.report RUN --watch`.

It answers "/" and "/version" and nothing else: no path is ever looked up on disk. Another site that the reader visits
cannot read the page through the reader's browser: requests that name a foreign host (DNS rebinding) or come from a
foreign page are refused.
"""

import http.server
import ipaddress
import pathlib
import socket
import sys
import urllib.parse
import webbrowser
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from xinit.core import interrupts
from xinit.core.errors import InputError
from xinit.report.live_page import LivePage, as_json, policy

LOOPBACK = "127.0.0.1"
NAMES_OF_LOOPBACK = {"localhost", LOOPBACK, "::1"}
SLOWEST = 10.0  # seconds that a client may take over a request
HEADERS = {
    "Content-Security-Policy": f"{policy()}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Server(http.server.ThreadingHTTPServer):
    """Serves one live page; `url` is its address."""

    def __init__(self, page: LivePage, host: str = LOOPBACK, port: int = 0) -> None:
        """Bind the address; port 0 takes one that is free.

        Raises:
          InputError: the host is empty, no address has this name, or it cannot be bound.
        """
        if not host.strip():  # which the system takes for all addresses of the machine
            raise InputError(f"The host is {host!r}; it must be the name or number of an address, such as {LOOPBACK}.")
        self.page, self.host = page, host
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self.address_family = found[0]
            super().__init__(found[4][:2], Handler)  # type: ignore[arg-type]  # of an address family that has both
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"The page cannot be served at host {host!r}, port {port}: {reason}; choose others with --host and "
                "--port."
            ) from None
        # What was bound counts, not how it was written: "0" stands for all addresses too.
        self.address = ipaddress.ip_address(str(self.server_address[0]).partition("%")[0])
        self.url = self._url(("::1" if self.address.version == 6 else LOOPBACK) if self.is_everywhere else host)

    def _url(self, host: str) -> str:
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}/"

    @property
    def is_everywhere(self) -> bool:
        """Whether it serves at all addresses of the machine."""
        return self.address.is_unspecified

    @property
    def warning(self) -> str:
        """Who else can read the page, or ""."""
        if self.address.is_loopback:
            return ""
        where = self._url(socket.gethostname()) if self.is_everywhere else self.url
        return f"warning: everybody who reaches this machine over the network can read the page, at {where}"

    def server_bind(self) -> None:
        """Bind without asking who has this address, as HTTPServer does: that may wait for a name server."""
        http.server.socketserver.TCPServer.server_bind(self)  # type: ignore[attr-defined]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent where a client went away; say what else went wrong."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def is_ours(self, name: str) -> bool:
        """Whether a request may name this host: the loopback or the host that was asked for.

        Where that is every address of the machine, so is each number, which no name server can point elsewhere, and
        the machine's own name.
        """
        if name in NAMES_OF_LOOPBACK or name == self.host.lower():
            return True
        return self.is_everywhere and (_is_number(name) or name == socket.gethostname().lower())


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD of the page and of its version; refuses everything else."""

    server: Server
    timeout = SLOWEST
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"

    def do_GET(self) -> None:
        """The page, or its version."""
        if reason := self._reason_to_refuse():
            self.send_error(HTTPStatus.FORBIDDEN, reason)
        elif self.path not in ("/", "/version"):
            self.send_error(HTTPStatus.NOT_FOUND, "There is one page here, at /")
        else:
            self._answer()

    def do_HEAD(self) -> None:
        """As GET, without the content."""
        self.do_GET()

    def _answer(self) -> None:
        content = self.server.page.current()
        body, kind = (content.page, "text/html") if self.path == "/" else (as_json(content), "application/json")
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{content.version}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reason_to_refuse(self) -> str:
        """Why this request is not answered, or ""."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not self.server.is_ours(_name_of(hosts[0])):
            return "This host is not served here"
        if any(origin != f"http://{hosts[0]}" for origin in self.headers.get_all("Origin", [])):
            return "Pages of other sites are not answered"
        if any(site not in ("same-origin", "none") for site in self.headers.get_all("Sec-Fetch-Site", [])):
            return "Pages of other sites are not answered; enter the address by hand"
        return ""

    def end_headers(self) -> None:
        """With what protects a page in every answer, errors included."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        """Nothing about the Python that serves."""
        return "xinit"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are no news: the page asks each second."""


def serve(folders: Sequence[pathlib.Path], host: str = LOOPBACK, port: int = 0, browser: bool = False) -> None:
    """Serve the page of these folders until ctrl-c.

    Raises:
      InputError: as `report.write`, or the address cannot be bound.
    """
    with Server(LivePage(folders), host, port) as server, interrupts.raised():
        try:
            print(f"page: {server.url} follows {', '.join(map(str, folders))}; ctrl-c ends it.", flush=True)
            if server.warning:
                print(server.warning, file=sys.stderr)
            if browser:
                webbrowser.open(server.url)
            server.serve_forever()
        except KeyboardInterrupt:
            print("The page is served no longer.", flush=True)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _name_of(host: str) -> str:
    """The name in a Host header, in lower case, its port left out; "" where it is none."""
    try:
        parts = urllib.parse.urlsplit(f"//{host}")
        parts.port  # noqa: B018  # raises where it is no number
    except ValueError:
        return ""
    return (parts.hostname or "") if parts.netloc == host and "@" not in host else ""
