"""A health endpoint for a monitor on this machine: `GET /health` answers with counts.

200: the node works and nothing failed. 503: something failed, or a delivery has been failing for more than an hour, and
`bonescan node status` says what. The answer contains no names, no messages and nothing about a patient.

It is for a monitor that calls a person. A restart does not mend what it reports: it must not be a liveness probe.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bonescan.errors import OptionError

HOST = "127.0.0.1"
PATH = "/health"
_COUNTS = ("objects_to_sort", "objects", "studies", "results", "segmentations", "deliveries", "dismissed")

log = logging.getLogger("bonescan.node")


class Health:
    """Answers on the loopback interface, in a thread of its own, until it is stopped."""

    def __init__(self, port: int, status: Callable[[], dict[str, Any]]) -> None:
        """Listen on a port of this machine, 0 = a free one. Raises OptionError where it is taken."""
        handler = type("Handler", (_Handler,), {"status": staticmethod(status)})
        try:
            self._server = ThreadingHTTPServer((HOST, port), handler)
        except OSError as error:
            raise OptionError(
                f"the health endpoint cannot listen on {HOST}:{port} ({error.strerror}): give another health_port"
            ) from None
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        log.info("health on http://%s:%d%s", HOST, self.port, PATH)

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def health_of(status: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The HTTP status and the answer for what `node_status` found."""
    failed, tried_again = len(status["failures"]), len(status["tried_again"])
    word = "failing" if failed else "not delivering" if status["not_delivering"] else "ok"
    counts = {name: status[name] for name in _COUNTS}
    return (200 if word == "ok" else 503), {"status": word, "failed": failed, "tried_again": tried_again, **counts}


class _Handler(BaseHTTPRequestHandler):
    """One request. status: returns the node's status."""

    status: Callable[[], dict[str, Any]]
    timeout = 10.0

    def do_GET(self) -> None:
        """Answer a request for the health path, and 404 for any other."""
        if self.path != PATH:
            self._answer(404, {"status": "unknown path"})
            return
        try:
            code, answer = health_of(self.status())
        except Exception as error:  # the monitor must also be told that the queue cannot be read
            log.exception("the health endpoint failed")
            code, answer = 503, {"status": "failing", "error": type(error).__name__}
        self._answer(code, answer)

    def _answer(self, code: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing: a monitor sends many requests."""
