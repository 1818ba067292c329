"""A small stand-in for a Transit engine, for tests: HTTP, by the documented API of that engine.

It is no Vault: no package of one can be installed here. It keeps versions, refuses what the
documentation says is refused, and can be told to fail.
"""

import base64
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from firsthand.crypto import unwrap, wrap
from firsthand.errors import WrongKey

TOKEN = "test-token"


class Engine:
    """The keys of one engine, and how it misbehaves."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, Any]] = {}
        self.status = 0  # answered instead of anything else
        self.delay_s = 0.0
        self.asked = 0

    def read(self, key: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in key.items() if name != "versions"} | {
            "keys": {str(number): 0 for number in key["versions"]},
            "latest_version": max(key["versions"]),
        }

    def act(self, verb: str, path: list[str], body: dict[str, Any]) -> tuple[int, Any]:
        self.asked += 1
        if path[0] == "keys":
            return self._key(verb, path[1], path[2] if len(path) > 2 else "", body)
        key = self.keys.get(path[1])
        if key is None:
            return 400, {"errors": ["encryption key not found"]}
        if path[0] == "encrypt":
            number = max(key["versions"])
            data = wrap(key["versions"][number], base64.b64decode(body["plaintext"]), b"")
            text = f"vault:v{number}:{base64.b64encode(data).decode()}"
            return 200, {"data": {"ciphertext": text, "key_version": number}}
        version = int(body["ciphertext"].split(":")[1][1:])
        if version < key["min_decryption_version"] or version not in key["versions"]:
            return 400, {"errors": ["ciphertext or signature version is disallowed by policy"]}
        data = base64.b64decode(body["ciphertext"].split(":", 2)[2])
        try:
            plain = unwrap(key["versions"][version], data, b"")
        except WrongKey:
            return 400, {"errors": ["cipher: message authentication failed"]}
        return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}

    def _key(self, verb: str, name: str, act: str, body: dict[str, Any]) -> tuple[int, Any]:
        key = self.keys.get(name)
        if key is None:
            if verb == "GET":
                return 404, {"errors": []}
            if act:
                return 400, {"errors": ["no existing key named found"]}
            self.keys[name] = {"versions": {1: os.urandom(32)}, "min_decryption_version": 1}
            self.keys[name] |= {"min_encryption_version": 0, "min_available_version": 0}
            return 200, {"data": self.read(self.keys[name])}
        if act == "rotate":
            key["versions"][max(key["versions"]) + 1] = os.urandom(32)
        elif act == "config":
            for field in ("min_decryption_version", "min_encryption_version"):
                if body.get(field, 0) > max(key["versions"]):
                    return 400, {"errors": [f"cannot set {field} beyond the latest version"]}
            low, high = (
                body.get(f"min_{what}_version", key[f"min_{what}_version"])
                for what in ("decryption", "encryption")
            )
            if high and high < low:
                return 400, {"errors": ["min encryption version must be no lower"]}
            key |= {"min_decryption_version": low, "min_encryption_version": high}
        elif act == "trim":
            least = body["min_available_version"]
            bounds = (key["min_decryption_version"], key["min_encryption_version"])
            if 0 in bounds or least > min(bounds):
                return 400, {"errors": ["minimum available version cannot be set beyond these"]}
            key["versions"] = {n: k for n, k in key["versions"].items() if n >= least}
            key["min_available_version"] = least
        return 200, {"data": self.read(key)}


class Server:
    """An engine behind HTTP on a free port of this machine."""

    def __init__(self) -> None:
        self.engine = engine = Engine()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size) or b"{}")
                time.sleep(engine.delay_s)
                if engine.status:
                    status, said = engine.status, {"errors": ["told to"]}
                elif self.headers.get("X-Vault-Token") != TOKEN:
                    status, said = 403, {"errors": ["permission denied"]}
                else:
                    path = self.path.split("/")[3:]
                    status, said = engine.act(self.command, path, body)
                data = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
