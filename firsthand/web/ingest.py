"""The device API: devices hand in segments, in parts, and get receipts.

One byte protocol: open an upload for a signed record, put its parts at the given URLs, complete.
All requests but the parts are signed by the device; a part's URL is its permit. What "stored"
means is decided in vault/ingest/storing.py.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from firsthand.age import Recipient
from firsthand.consent import people
from firsthand.errors import Forged, Usage
from firsthand.policy import last_policy, sign_policy
from firsthand.vault import ask, fleet, forged, forget, ingest
from firsthand.vault.policy import policy_of
from firsthand.vault.vault import Vault
from firsthand.web.body import MAX_JSON, parse_object, read_body
from firsthand.web.signed import Nonces, authenticate

router = APIRouter()
_MD5 = re.compile("[A-Za-z0-9+/]{22}==")


@router.get("/healthz")
def health(request: Request) -> dict[str, str]:
    """Whether the server answers and its database can be read."""
    request.app.state.vault.people()
    return {"status": "ok"}


@router.get("/api/device")
async def device_state(request: Request) -> dict[str, Any]:
    """What a device needs to know: its signed policy, what is asked of it, the log's checkpoint."""
    return await _signed(request, _device_state)


@router.post("/api/uploads")
async def open_upload(request: Request) -> dict[str, Any]:
    """Begins an upload for {"envelope", "headers", "part_size"}: its parts, or a receipt.

    With "md5", a list of each part's MD5 in base64, a part's URL in S3 takes no other bytes. With
    "announce" no part is asked for yet.
    """
    return await _signed(request, call_of(""))


@router.get("/api/uploads/{upload}")
async def upload_state(request: Request, upload: str) -> dict[str, Any]:
    """The parts that the vault has, and those to send with fresh URLs."""
    return await _signed(request, lambda vault, device, _: _parts(vault, upload, device.id))


@router.put("/api/uploads/{upload}/parts/{number}")
async def put_part(request: Request, upload: str, number: int, expires: int, mac: str) -> Response:
    """Takes the bytes of one part at the URL that was given out for it.

    Most parts never come here: web/wire.py takes them off the connection.
    """
    vault = request.app.state.vault
    # Before the body is read: nobody without a URL of ours makes us hold megabytes.
    ingest.check_url(vault, upload, number, expires, mac)
    body = await read_body(request, ingest.PART_MAX)
    md5 = request.headers.get("content-md5", "")
    etag = await run_in_threadpool(ingest.put_part, vault, upload, number, expires, mac, body, md5)
    return Response(headers={"ETag": etag})


@router.post("/api/uploads/{upload}/complete")
async def complete(request: Request, upload: str) -> dict[str, Any]:
    """Joins and verifies the parts, and gives the receipt."""
    return await _signed(request, call_of(upload))


@router.delete("/api/uploads/{upload}", status_code=204)
async def abort(request: Request, upload: str) -> None:
    """Gives an upload up."""
    await _signed(request, lambda vault, device, _: ingest.abort(vault, upload, device.id))


@router.post("/api/forget")
async def forget_last(request: Request) -> dict[str, Any]:
    """Erases the last minutes of a device's person, for its signed request; the signed receipt."""

    def work(vault: Vault, device: people.Device, body: bytes) -> dict[str, Any]:
        return {"receipt": forget.forget(vault, device, parse_object(body))}

    return await _signed(request, work)


@router.post("/api/heartbeat", status_code=204)
async def heartbeat(request: Request) -> None:
    """Keeps what a device says of its own state; see record/home/health.py."""

    def work(vault: Vault, device: people.Device, body: bytes) -> None:
        with vault.db.write() as connection:
            fleet.hear(connection, device.id, vault.now_ns(), parse_object(body))

    await _signed(request, work)


Work = Callable[[Vault, people.Device, bytes], Any]


def call_of(upload: str) -> Work:
    """What is done for a call that wire.py takes, too: to complete this upload, or "": open one."""
    if not upload:
        return _open
    return lambda vault, device, _: {"receipt": ingest.complete(vault, upload, device.id)}


def answer(
    vault: Vault,
    nonces: Nonces,
    method: str,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    work: Work,
) -> Any:
    """Does `work` for the device that signed this request; Refused, Damaged or NotFound."""
    device = authenticate(vault, nonces, method, path, body, headers)
    try:
        return work(vault, device, body)
    except Forged as error:  # a record inside a request that was rightly signed
        forged.note(vault, device.id, error.message)
        raise


async def _signed(request: Request, work: Work) -> Any:
    """Does `work` in the thread pool for the device that signed this request."""
    body = await read_body(request, MAX_JSON)
    state, scope = request.app.state, request.scope
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    if scope["query_string"]:
        path += "?" + scope["query_string"].decode("latin-1")

    asked = (request.method, path, body, request.headers)
    return await run_in_threadpool(answer, state.vault, state.nonces, *asked, work)


def _device_state(vault: Vault, device: people.Device, _: bytes) -> dict[str, Any]:
    status = vault.person(device.person).status
    answer: dict[str, Any] = {"checkpoint": vault.checkpoint(), "status": status}
    answer["md5"] = vault.store.checks_md5
    answer |= {"recipient": "", "key_id": ""}
    # A death can be denied: until then the device is told nothing that it can't unlearn.
    policy = None if status == "deceased" else last_policy(device.id, device.person)
    if status == "active":
        now_ns = vault.now_ns()
        recipient = vault.keyring.ingest_recipient(device.person, now_ns)
        answer |= {"recipient": recipient, "key_id": Recipient.parse(recipient).key_id}
        policy = policy_of(vault, device)
        answer |= ask.told(vault, device)
    answer["policy"] = None if policy is None else sign_policy(policy, vault.keyring.log_key())
    return answer


def _open(vault: Vault, device: people.Device, body: bytes) -> dict[str, Any]:
    asked = parse_object(body)
    envelope, headers = asked.get("envelope"), asked.get("headers")
    if not isinstance(envelope, dict) or not isinstance(headers, dict):
        raise Usage(
            'an upload is opened with {"envelope", "headers"}', "see docs/format.md, upload"
        )
    if not all(isinstance(value, str) for value in headers.values()):
        raise Usage("each header is base64 text", "see docs/format.md, upload")
    forget.make_way(vault, device, envelope)
    part_size = asked.get("part_size", 0)
    if type(part_size) is not int:
        raise Usage("part_size is a number of bytes", "see docs/format.md, upload")
    announce = asked.get("announce", False) is True
    answer = ingest.open_upload(vault, device, envelope, headers, part_size, announce)
    if "upload" in answer and not announce:
        # Parts of another size have other MD5s.
        md5s = _md5s(asked.get("md5", [])) if answer["part_size"] == part_size else {}
        answer |= _parts(vault, answer["upload"], device.id, md5s)
    return answer


def _parts(
    vault: Vault, upload: str, device: str, md5s: dict[int, str] | None = None
) -> dict[str, Any]:
    have, need = ingest.missing_parts(vault, upload, device, md5s)
    return {"have": have, "parts": need}


def _md5s(listed: Any) -> dict[int, str]:
    """MD5s by part number, which a device may send along: then its URLs take no other bytes."""
    if not isinstance(listed, list) or not all(_MD5.fullmatch(str(each)) for each in listed):
        raise Usage(
            '"md5" is a list of MD5s in base64, one for each part', "see docs/format.md, upload"
        )
    return dict(enumerate(listed, 1))
