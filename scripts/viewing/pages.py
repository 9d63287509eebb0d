"""Open pages as the server sees them: the document (one for all that look at the same payment), then for each page its
event stream, from as many addresses as people have.

Prints `open` once all have heard their first event, then, when enough were told that their payment was canceled, the
machine's monotonic time of the last. Ends with its standard input.
"""

from __future__ import annotations

import gzip
import json
import re
import resource
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection

AT_ONCE = 25
PER_ADDRESS = 100
"""Streams from one address: fewer than one client may have."""

_BROWSER = {
    "User-Agent": "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile"
    " Safari/537.36",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
}
_DOCUMENT = _BROWSER | {"Accept": "text/html", "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
_STREAM = _BROWSER | {
    "Accept": "text/event-stream",
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "same-origin",
}
_TAG = re.compile(rb'data-tag="([0-9a-f]+)"')


def view(port: int, ids: Sequence[str], *, first: int, hear: int) -> None:
    """One stream for each of `ids`, until `hear` of them were told. `first` numbers the addresses."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    streams: list[socket.socket] = []
    tags: dict[str, str] = {}
    for start in range(0, len(ids), AT_ONCE):
        opened = []
        for number, payment_id in enumerate(ids[start : start + AT_ONCE], start=first + start):
            source = _source(number)
            if payment_id not in tags:
                tags[payment_id] = _shown(port, f"/checkout/{payment_id}", source)
            opened.append(_opened(port, f"/checkout/{payment_id}/events?tag={tags[payment_id]}", source))
        for stream in opened:
            _hear(stream, b"event: ")
        streams += opened
    print("open", flush=True)
    selector = selectors.DefaultSelector()
    for stream in streams:
        selector.register(stream, selectors.EVENT_READ, bytearray())
    left = hear
    while left:
        for key, _ in selector.select():
            key.data.extend(key.fileobj.recv(65_536))  # type: ignore[union-attr]
            if b'data-part=\\"canceled' in key.data:
                selector.unregister(key.fileobj)
                left -= 1
    print(json.dumps(time.monotonic()), flush=True)
    sys.stdin.read()


def _source(number: int) -> tuple[str, int]:
    """The address, and any port of it, from which page `number` is looked at."""
    address = number // PER_ADDRESS
    return f"127.1.{address // 250}.{address % 250 + 1}", 0


def _opened(port: int, path: str, source: tuple[str, int]) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=source)
    lines = "".join(f"{name}: {value}\r\n" for name, value in _STREAM.items())
    stream.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n".encode())
    return stream


def _shown(port: int, path: str, source: tuple[str, int]) -> str:
    """The tag of the content in the document, which its script asks for the news with."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60, source_address=source)
    try:
        connection.request("GET", path, headers=_DOCUMENT)
        answer = connection.getresponse()
        tag = _TAG.search(gzip.decompress(answer.read()))
    finally:
        connection.close()
    if tag is None:
        raise ConnectionError(f"no page: {answer.status}")
    return tag[1].decode()


def _hear(stream: socket.socket, word: bytes) -> None:
    heard = b""
    while word not in heard or not heard.endswith(b"\n\n\r\n"):
        received = stream.recv(65_536)
        if not received or b" 429 " in heard[:20]:
            raise ConnectionError(f"no stream: {heard[:200]!r}")
        heard += received


if __name__ == "__main__":
    told = json.loads(sys.stdin.readline())
    view(told["port"], told["ids"], first=told["first"], hear=told["hear"])
