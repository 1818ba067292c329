"""S3's multipart API: parts that a device puts straight into the store, at URLs signed here.

obstore (store.py) moves whole objects and can't sign the URL of a part; boto3 would, and weighs as
much as the rest of the server. So requests are signed here, in the query form of AWS Signature
Version 4. Secrets and signed URLs never enter an error or a log.
"""

import hashlib
import hmac
import http.client
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from firsthand.errors import Error, Failed, NotFound

TIMEOUT_S = 30.0
TRIES = 4
FIRST_WAIT_S = 0.2
REQUEST_LIFETIME_S = 300  # of the vault's own requests
ANSWER_BYTES = 8 << 20  # a list of 1000 parts has 0.3 MB


@dataclass(frozen=True)
class Key:
    """An access key of the store, and the region it signs for."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"


@dataclass(frozen=True)
class Begun:
    """A multipart upload that is neither finished nor aborted."""

    key: str
    upload: str
    begun_s: float


@dataclass(frozen=True)
class Bucket:
    """A bucket at an endpoint, addressed by path; `now_s`, `sleep` and `chance` are its world."""

    endpoint: str
    name: str
    key: Key
    now_s: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    chance: random.Random = field(default_factory=random.Random, repr=False)

    def begin(self, key: str) -> str:
        """Begins a multipart upload of an object and returns its id."""
        answer = self._ask("POST", key, {"uploads": ""})
        return _text(answer, "UploadId")

    def part_url(
        self, key: str, upload: str, number: int, size: int, md5: str, lifetime_s: int
    ) -> str:
        """Where anyone may put just this part, of this size (and MD5 in base64, if given)."""
        headers = {"content-length": str(size)} | ({"content-md5": md5} if md5 else {})
        query = {"partNumber": str(number), "uploadId": upload}
        return self._sign("PUT", key, query, headers, lifetime_s)

    def parts(self, key: str, upload: str) -> dict[int, tuple[int, str]]:
        """(size, ETag) of each part the store holds, by its number; NotFound."""
        held, after = {}, "0"
        while True:
            query = {"uploadId": upload, "part-number-marker": after, "max-parts": "1000"}
            answer = self._ask("GET", key, query)
            for part in answer.iter("Part"):
                number = int(_text(part, "PartNumber"))
                held[number] = (int(_text(part, "Size")), _text(part, "ETag"))
            if answer.findtext("IsTruncated") != "true":
                return held
            after = _text(answer, "NextPartNumberMarker")

    def finish(self, key: str, upload: str, etags: Mapping[int, str]) -> None:
        """Makes the object of its parts; NotFound if the store knows no such upload (any more)."""
        rows = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
            for number, etag in sorted(etags.items())
        )
        body = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
        answer = self._ask("POST", key, {"uploadId": upload}, body)
        if answer.tag != "CompleteMultipartUploadResult":
            raise Failed("the store did not say that the object is complete", _LATER)

    def abort(self, key: str, upload: str) -> None:
        """Gives an upload up; its part URLs say 404 from now on."""
        try:
            self._ask("DELETE", key, {"uploadId": upload})
        except NotFound:
            return

    def begun(self, prefix: str) -> Iterator[Begun]:
        """Every upload under a prefix that is neither finished nor aborted."""
        markers: dict[str, str] = {}
        while True:
            answer = self._ask("GET", "", {"uploads": "", "prefix": prefix} | markers)
            for each in answer.iter("Upload"):
                started = datetime.fromisoformat(_text(each, "Initiated"))
                yield Begun(_text(each, "Key"), _text(each, "UploadId"), started.timestamp())
            if answer.findtext("IsTruncated") != "true":
                return
            markers = {
                "key-marker": _text(answer, "NextKeyMarker"),
                "upload-id-marker": _text(answer, "NextUploadIdMarker"),
            }

    def _sign(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str], s: int
    ) -> str:
        url = f"{self.endpoint.rstrip('/')}/{self.name}" + (f"/{key}" if key else "")
        return sign_url(self.key, method, url, query, headers, self.now_s(), s)

    def _ask(
        self, method: str, key: str, query: Mapping[str, str], body: bytes = b""
    ) -> ElementTree.Element:
        """The answer's XML; tries again what may pass: no answer, 5xx, too many requests."""
        for attempt in range(1, TRIES + 1):
            try:
                url = self._sign(method, key, query, {}, REQUEST_LIFETIME_S)
                status, data = _request(method, url, body)
            except (OSError, http.client.HTTPException) as error:
                said = f"the store at {self.endpoint} did not answer: {error}"
                failed: Error = Failed(said, _LATER)
            else:
                answer = _parse(data)
                # S3 may say 200 before it knows that it failed.
                if status < 300 and answer.tag != "Error":
                    return answer
                failed = _error(status, answer)
                if 300 <= status < 500 and status != 429:
                    raise failed
            if attempt < TRIES:
                self.sleep(FIRST_WAIT_S * 2**attempt * self.chance.uniform(0.5, 1))
        raise failed


_LATER = "check that the store runs; nothing was lost, so try again"


def sign_url(
    key: Key,
    method: str,
    url: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    now_s: float,
    lifetime_s: int,
) -> str:
    """`url` with its query, signed: valid for one method, these headers (lower case), this long."""
    parts = urlsplit(url)
    path = quote(parts.path or "/", safe="/-_.~")
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{key.region}/s3/aws4_request"
    signed = {"host": parts.netloc} | dict(headers)
    names = ";".join(sorted(signed))
    asked = dict(query) | {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{key.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(lifetime_s),
        "X-Amz-SignedHeaders": names,
    }
    encoded = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in asked.items())
    line = "&".join(f"{name}={value}" for name, value in encoded)
    told = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    request = "\n".join((method, path, line, told, names, "UNSIGNED-PAYLOAD"))
    digest = hashlib.sha256(request.encode()).hexdigest()
    step = f"AWS4{key.secret_key}".encode()
    for each in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"):
        step = hmac.digest(step, each.encode(), "sha256")
    return f"{parts.scheme}://{parts.netloc}{path}?{line}&X-Amz-Signature={step.hex()}"


def _request(method: str, url: str, body: bytes) -> tuple[int, bytes]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=TIMEOUT_S)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body)
        answer = connection.getresponse()
        return answer.status, answer.read(ANSWER_BYTES)
    finally:
        connection.close()


def _parse(data: bytes) -> ElementTree.Element:
    """The XML of an answer without its namespace, which stores don't agree on."""
    try:
        root = ElementTree.fromstring(data) if data.strip() else ElementTree.Element("Empty")
    except ElementTree.ParseError:
        return ElementTree.Element("Unreadable")
    for each in root.iter():
        each.tag = each.tag.rpartition("}")[2]
    return root


def _text(answer: ElementTree.Element, name: str) -> str:
    found = answer.findtext(name)
    if not found:
        raise Failed(f"the store's answer lacks {name}", "is it an S3 store?")
    return found


def _error(status: int, answer: ElementTree.Element) -> Error:
    code = answer.findtext("Code") or "no reason"
    if code in ("NoSuchUpload", "NoSuchKey"):
        return NotFound("the store does not know this upload (any more)")
    if code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        hint = "check s3_access_key, s3_secret_key, s3_region and the bucket's policy"
    elif code == "NoSuchBucket":
        hint = "make the bucket named in store_url"
    else:
        hint = _LATER
    return Failed(f"the store answered {status}, {code}", hint)
