"""Signatures against AWS's published example and against obstore, and what a store may answer."""

import random
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import obstore
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import S3Store as ObstoreS3

from firsthand import config
from firsthand.errors import Failed, NotFound, Usage
from firsthand.vault import s3
from firsthand.vault.s3 import Bucket, Key, sign_url
from firsthand.vault.store import FileStore, S3Store, open_store

EXAMPLE = Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
SECRETS = {"s3_access_key": "AK", "s3_secret_key": "very-secret"}


def test_the_signature_is_that_of_the_published_example():
    # Amazon S3 API reference, "Authenticating requests: using query parameters".
    now_s = datetime(2013, 5, 24, tzinfo=UTC).timestamp()
    url = sign_url(
        EXAMPLE, "GET", "https://examplebucket.s3.amazonaws.com/test.txt", {}, {}, now_s, 86400
    )
    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@settings(max_examples=60, deadline=None)
@given(
    path=st.lists(
        st.text("abc XYZ09-_.~+&=%ä'()", min_size=1).filter(lambda s: s.strip(".")),
        min_size=1,
        max_size=3,
    ),
    method=st.sampled_from(["GET", "PUT"]),
    secret=st.text("abcdef/+0", min_size=1, max_size=40),
    region=st.sampled_from(["us-east-1", "default"]),
    lifetime_s=st.integers(1, 604_800),
)
def test_every_signature_is_the_one_that_obstore_makes(path, method, secret, region, lifetime_s):
    name = "/".join(path)
    store = ObstoreS3(
        "bucket",
        endpoint="http://127.0.0.1:7480",
        region=region,
        access_key_id="AK",
        secret_access_key=secret,
        client_options={"allow_http": True},
    )
    theirs = obstore.sign(store, method, name, timedelta(seconds=lifetime_s))
    asked = parse_qs(urlsplit(theirs).query)
    stamp = datetime.strptime(asked["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = sign_url(
        Key("AK", secret, region),
        method,
        f"http://127.0.0.1:7480/bucket/{name}",
        {},
        {},
        stamp.timestamp(),
        lifetime_s,
    )
    assert parse_qs(urlsplit(ours).query)["X-Amz-Signature"] == asked["X-Amz-Signature"]


class Script:
    """Answers requests as told, and counts the waits between them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: object) -> None:
        self.answers, self.asked, self.waits = list(answers), [], []
        monkeypatch.setattr(s3, "_request", self._request)
        self.bucket = Bucket(
            "http://store", "b", EXAMPLE, lambda: 0.0, self.waits.append, random.Random(1)
        )

    def _request(self, method: str, url: str, body: bytes) -> tuple[int, bytes]:
        self.asked.append(url)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]


BEGUN = (200, b"<R xmlns='http://x'><UploadId>u1</UploadId></R>")
BUSY = (503, b"<Error><Code>SlowDown</Code></Error>")


@pytest.mark.fault("S3")
@pytest.mark.parametrize(
    "first", [BUSY, (500, b""), (429, b""), (502, b"<html>"), OSError("reset"), TimeoutError()]
)
def test_s3_what_may_pass_is_tried_again_after_a_growing_wait(monkeypatch, tally, first):
    script = Script(monkeypatch, first, first, BEGUN)
    assert script.bucket.begin("k") == "u1"
    assert 0 < script.waits[0] < script.waits[1] < 2
    tally.add()


@pytest.mark.fault("S3")
def test_s3_a_store_that_stays_busy_is_a_failure_that_names_no_secret(monkeypatch, tally):
    script = Script(monkeypatch, *[BUSY] * s3.TRIES)
    with pytest.raises(Failed, match="503, SlowDown") as caught:
        script.bucket.begin("k")
    assert len(script.asked) == s3.TRIES
    told = f"{caught.value.message} {caught.value.hint} {script.bucket!r}"
    assert EXAMPLE.secret_key not in told
    assert "Signature" not in told
    tally.add()


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        ((404, b"<Error><Code>NoSuchUpload</Code></Error>"), NotFound, "does not know"),
        ((404, b"<Error><Code>NoSuchBucket</Code></Error>"), Failed, "NoSuchBucket"),
        ((403, b"<Error><Code>AccessDenied</Code></Error>"), Failed, "403, AccessDenied"),
        ((200, b"<html>sign in</html>"), Failed, "lacks UploadId"),
        ((200, b"not xml"), Failed, "lacks UploadId"),
        ((200, b""), Failed, "lacks UploadId"),
    ],
)
def test_an_answer_that_is_no_success_is_named(monkeypatch, answer, kind, says):
    with pytest.raises(kind, match=says):
        Script(monkeypatch, answer).bucket.begin("k")


@pytest.mark.parametrize("said", [b"<Error><Code>InternalError</Code></Error>", b"<html/>", b""])
def test_a_completion_that_fails_after_saying_200_is_no_success(monkeypatch, said):
    script = Script(monkeypatch, *[(200, said)] * s3.TRIES)
    with pytest.raises(Failed, match=r"InternalError|did not say"):
        script.bucket.finish("k", "u", {1: '"e"'})


def test_long_lists_are_read_to_their_end(monkeypatch):
    part = "<Part><PartNumber>{0}</PartNumber><Size>{0}0</Size><ETag>e{0}</ETag></Part>"
    more = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>"
    pages = (f"<R>{part.format(1)}{more}</R>", f"<R>{part.format(2)}</R>")
    script = Script(monkeypatch, *((200, page.encode()) for page in pages))
    assert script.bucket.parts("k", "u") == {1: (10, "e1"), 2: (20, "e2")}
    assert "part-number-marker=1" in script.asked[1]


def test_a_part_url_signs_length_and_md5_and_names_no_secret():
    bucket = Bucket("https://store/", "b", EXAMPLE, lambda: 0.0)
    url = bucket.part_url("segments/x", "u", 2, 5, "1B2M2Y8AsgTpgAmY7PhCfg==", 60)
    asked = parse_qs(urlsplit(url).query)
    assert url.startswith("https://store/b/segments/x?")
    assert asked["X-Amz-SignedHeaders"] == ["content-length;content-md5;host"]
    assert (asked["partNumber"], asked["uploadId"]) == (["2"], ["u"])
    assert EXAMPLE.secret_key not in url


def opened(tmp_path, **values):
    return open_store(config.load(tmp_path, {}, **values))


def test_the_url_says_which_store_it_is(tmp_path):
    assert isinstance(opened(tmp_path), FileStore)
    assert isinstance(opened(tmp_path, store_url="s3://bucket/a/b", **SECRETS), S3Store)
    for url in ("ftp://x/y", "/folder", "s3://", "s3:///x", "file://host/x", "s3://a:b@c/d", ""):
        if url:
            with pytest.raises(Usage, match="unknown kind"):
                opened(tmp_path, store_url=url)
    with pytest.raises(Usage, match="needs a key"):
        opened(tmp_path, store_url="s3://bucket")
    with pytest.raises(Usage, match="no URL"):
        opened(tmp_path, store_url="s3://bucket", s3_endpoint="host:80", **SECRETS)


def test_settings_show_neither_secret_nor_password(tmp_path):
    url = "postgresql://me:hunter2@db/f"
    shown = repr(config.load(tmp_path, {}, database_url=url, **SECRETS))
    assert not re.search("very-secret|hunter2", shown)
