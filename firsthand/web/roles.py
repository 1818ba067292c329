"""Which pages each role may open: one table, and what is not in it is closed.

What a page's button does for a person is asked again where it is done: the table knows addresses.
"""

import re
from collections.abc import Callable

from firsthand.consent.access.askers import Asker
from firsthand.errors import Refused

GET = ("GET", "HEAD")
ANY = (*GET, "POST")
_DEVICES = r"/people/[^/]+/devices(/.*)?"
# For each role the addresses that it may open, and by which methods; {person} is its own id.
TABLE: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "wearer": (
        (r"/people/{person}(/.*)?", ANY),
        (r"/runs(/[^/]+)?", GET),
        (r"/runs/[^/]+/answer", ("POST",)),
    ),
    "reviewer": ((r"/views(/.*)?", ANY),),
    "organisation": (
        (r"/", GET),
        (r"/runs(/[^/]+)?", GET),
        (r"/report(/.*)?", GET),
        (r"/metrics", GET),
        (_DEVICES, ANY),
        (r"/views(/.*)?", ANY),
    ),
}


def home_of(asker: Asker) -> str:
    """Where a role's pages begin."""
    homes = {"wearer": f"/people/{asker.person}", "reviewer": "/views"}
    return homes.get(asker.role, "/")


def require(asker: Asker, method: str, path: str, keyed: Callable[[str], bool]) -> None:
    """Refused unless the table lets this asker in; `keyed` says who has a key of their own.

    The keeper opens all but the pages of people who have a key; of those the devices stay theirs,
    to be looked at and revoked.
    """
    if asker.role == "keeper":
        person = re.match(r"/people/([^/]+)", path)
        if person is None or re.fullmatch(_DEVICES, path) or not keyed(person[1]):
            return
    for pattern, methods in TABLE.get(asker.role, ()):
        own = pattern.replace("{person}", re.escape(asker.person or "-"))
        if method in methods and re.fullmatch(own, path):
            return
    raise Refused("this key does not open that", "whoever has a key of their own acts alone")
