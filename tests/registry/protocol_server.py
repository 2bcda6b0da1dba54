"""A server that speaks the registry's protocol over a real socket, with answers set by a test."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

API = "/api/2.0/mlflow-ext/"
INFO = {"mode": "gated", "workspace": "default"}


@dataclass
class Received:
    """One request as it came."""

    method: str
    path: str
    query: dict
    headers: dict
    body: dict | None


@dataclass
class Protocol:
    """Operation -> answer, and every request so far."""

    url: str = ""
    answers: dict = field(default_factory=lambda: {"info": (200, INFO)})
    received: list = field(default_factory=list)

    def answer(self, operation, document, status=200):
        """*document* is JSON, or bytes to send as they are, or a function of the query."""
        self.answers[operation] = status, document

    @property
    def asked(self):
        """Requests beside ``info``."""
        return [request for request in self.received if not request.path.endswith("/info")]


@contextmanager
def speak(tls=None):
    """Run such a server on loopback; yields its `Protocol`."""
    protocol = Protocol()
    server = ThreadingHTTPServer(("127.0.0.1", 0), make_handler(protocol))
    server.handle_error = lambda *_: None  # a client that turns away is what some tests are about
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    protocol.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield protocol
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_handler(protocol):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.reply()

        def do_POST(self):
            self.reply()

        def reply(self):
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length", 0))
            request = Received(
                method=self.command,
                path=parts.path,
                query=dict(parse_qsl(parts.query)),
                headers=dict(self.headers),
                body=json.loads(self.rfile.read(length)) if length else None,
            )
            protocol.received.append(request)
            operation = parts.path.partition(API)[2]
            status, document = protocol.answers.get(operation, (404, b"<h1>Not Found</h1>"))
            if callable(document):
                document = document(request)
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", document["location"])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    return Handler
