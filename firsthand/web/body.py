"""Reading request bodies: bounded in bytes and in time, never more than was announced."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from firsthand.errors import Usage

MAX_JSON = 256 << 10
MAX_FORM = 64 << 10
# A client that sends nothing for so long is gone; its memory is wanted by others.
IDLE_S = 30.0
# Nor may it send a byte now and then for ever: 32 kbit/s, under what any link worth a try carries.
LEAST_BYTES_PER_S = 4_000


class TooLarge(Usage):
    """The body is larger than this address takes."""

    http_status = 413


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body; TooLarge or Usage unless it has the announced length, within the limit."""
    announced = request.headers.get("content-length")
    if announced is None:
        if request.method in ("GET", "DELETE"):
            return b""
        raise Usage("this request does not say how long it is", "send a Content-Length")
    if not announced.isdecimal() or len(announced) > 15 or int(announced) > limit_bytes:
        raise TooLarge(f"this body has {announced[:20]} bytes, and {limit_bytes} are taken here")
    parts, size = [], 0
    stream = request.stream().__aiter__()
    loop = asyncio.get_running_loop()
    ends = loop.time() + IDLE_S + int(announced) / LEAST_BYTES_PER_S
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), min(IDLE_S, ends - loop.time()))
        except StopAsyncIteration:
            break
        except TimeoutError:
            raise Usage(f"the body stopped after {size} bytes", "send it again") from None
        size += len(chunk)
        if size > limit_bytes:
            raise TooLarge(f"this body is longer than the {announced} bytes it announced")
        parts.append(chunk)
    if size != int(announced):
        raise Usage(f"this body has {size} bytes, and {announced} were announced", "send it again")
    return b"".join(parts)


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; Usage if it is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Usage("the body is not JSON", "send JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise Usage("the body is no JSON object", "send an object, in braces")
    return value


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a posted form; of repeated ones the last."""
    try:
        text = (await read_body(request, MAX_FORM)).decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise Usage("this form cannot be read", "go back and send it again") from None
