"""The root in AWS KMS: a KMS key of its own for each epoch, of which an alias names the newest.

R is a data key that KMS made; the word kept here is its ciphertext. Ending the epoch schedules the
deletion of its KMS key, which AWS carries out after seven days at the earliest. Credentials and
region are found by boto3's own means; the alias's ARN names account and region.
"""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from firsthand.errors import Damaged, Failed, NotFound, Unavailable, Usage, WrongKey

WINDOW_DAYS = 7  # AWS allows no fewer
_BUSY = (
    *("ThrottlingException", "KMSInternalException", "DependencyTimeoutException"),
    *("KeyUnavailableException", "RequestTimeout", "ServiceUnavailable", "LimitExceededException"),
)


class AwsKmsRoot:
    """Root keys under KMS keys, found by an alias."""

    local = False
    lag_ns = WINDOW_DAYS * 86_400 * 10**9

    def __init__(self, arn: str) -> None:
        """`arn` is arn:aws:kms:REGION:ACCOUNT:alias/NAME."""
        found = re.fullmatch(r"arn:aws[\w-]*:kms:([\w-]+):\d+:(alias/[\w/-]+)", arn)
        if found is None:
            raise Usage(
                f"{arn!r} is no ARN of an alias in KMS",
                "as arn:aws:kms:eu-central-1:111122223333:alias/firsthand: each epoch has a key "
                "of its own, so no single key can be named; the alias is made if there is none",
            )
        self._region, self._alias = found[1], found[2]

    def make(self, epoch: int) -> tuple[bytes, str]:
        """A data key under a new KMS key; Unavailable."""
        with self._asked() as kms:
            key = kms.create_key(Description=f"firsthand {self._alias} epoch {epoch}")
            name = key["KeyMetadata"]["KeyId"]
            given = kms.generate_data_key(
                KeyId=name, KeySpec="AES_256", EncryptionContext=_context(epoch)
            )
            self._point(kms, name)
        sealed = base64.b64encode(given["CiphertextBlob"]).decode()
        return given["Plaintext"], f"{name} {sealed}"

    def open(self, epoch: int, sealed: str) -> bytes:
        """The key of an epoch; NotFound if its KMS key is to be deleted, WrongKey, Unavailable."""
        name, blob = _word(sealed)
        with self._asked() as kms:
            state = kms.describe_key(KeyId=name)["KeyMetadata"]["KeyState"]
            if state != "Enabled":
                raise NotFound(f"the KMS key of epoch {epoch} is {state}", "nothing was changed")
            given = kms.decrypt(KeyId=name, CiphertextBlob=blob, EncryptionContext=_context(epoch))
        if len(given["Plaintext"]) != 32:
            raise Damaged(f"KMS gave {len(given['Plaintext'])} bytes as the root of epoch {epoch}")
        return given["Plaintext"]

    def destroy(self, epoch: int, sealed: str, now_ns: int) -> int:
        """Schedules the KMS key's deletion, and says when it is final."""
        if not sealed:
            return now_ns
        name, _ = _word(sealed)
        with self._asked() as kms:
            key = kms.describe_key(KeyId=name)["KeyMetadata"]
            if key["KeyState"] not in ("PendingDeletion", "PendingReplicaDeletion"):
                kms.schedule_key_deletion(KeyId=name, PendingWindowInDays=WINDOW_DAYS)
                key = kms.describe_key(KeyId=name)["KeyMetadata"]
        return round(key["DeletionDate"].timestamp()) * 10**9

    def _point(self, kms: Any, key: str) -> None:
        try:
            kms.update_alias(AliasName=self._alias, TargetKeyId=key)
        except kms.exceptions.NotFoundException:
            kms.create_alias(AliasName=self._alias, TargetKeyId=key)

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        """The service; what it or the network answers becomes an error of ours."""
        boto3, botocore = _modules()
        config = botocore.config.Config(
            connect_timeout=10, read_timeout=10, retries={"total_max_attempts": 1}
        )
        try:
            yield boto3.client("kms", region_name=self._region, config=config)
        except botocore.exceptions.ClientError as error:
            raise _translated(error, self._alias) from error
        except botocore.exceptions.NoCredentialsError as error:
            raise WrongKey("AWS finds no credentials here", "see the AWS documentation") from error
        except botocore.exceptions.BotoCoreError as error:
            raise Unavailable(
                f"KMS in {self._region} does not answer: {error}",
                "nothing was changed; try again when it does",
            ) from error


def _translated(error: Any, alias: str) -> Exception:
    code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _BUSY or status >= 500:
        return Unavailable(f"KMS has no time: {said}", "nothing was changed; try again later")
    if code in ("NotFoundException", "KMSInvalidStateException", "DisabledException"):
        return NotFound(f"the KMS key of {alias} cannot be used: {said}", "nothing was changed")
    return WrongKey(f"KMS denies the use of {alias}: {code} {said}", "see the key's policy")


def _context(epoch: int) -> dict[str, str]:
    return {"firsthand": "root", "epoch": str(epoch)}


def _word(sealed: str) -> tuple[str, bytes]:
    name, _, blob = sealed.partition(" ")
    try:
        return name, base64.b64decode(blob, validate=True)
    except ValueError as error:
        raise Damaged("the word of this epoch is none of KMS's") from error


def _modules() -> tuple[Any, Any]:
    try:
        import boto3
        import botocore.config
        import botocore.exceptions
    except ModuleNotFoundError as error:
        raise Failed(
            "a root in AWS KMS needs boto3, which is not installed",
            'run: pip install "firsthand[kms]"',
        ) from error
    return boto3, botocore
