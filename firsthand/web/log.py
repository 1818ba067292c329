"""The log for the outside: its checkpoint and tiles (C2SP tlog-tiles), and the proof of an entry.

Checkpoint and hashes stand open, so that anybody can hold the log to its word. Entries and proofs
tell when somebody recorded: they need the pages' access key, like everything else.
"""

import json

from fastapi import APIRouter, Request
from starlette.responses import Response

from firsthand import tiles
from firsthand.errors import NotFound
from firsthand.vault import proof
from firsthand.vault.vault import Vault

router = APIRouter(include_in_schema=False)
BYTES = "application/octet-stream"
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}  # a tile never changes


@router.get("/checkpoint")
def checkpoint(request: Request) -> Response:
    """The signed checkpoint of now."""
    vault: Vault = request.app.state.vault
    return Response(vault.checkpoint(), media_type="text/plain; charset=utf-8")


@router.get("/tile/entries/{place:path}")
def entries(request: Request, place: str) -> Response:
    """A bundle of entries; kept by nobody on the way, as it is for those who may see it."""
    vault: Vault = request.app.state.vault
    data = proof.tile(vault, tiles.parse_path(f"tile/entries/{place}"))
    return Response(data, media_type=BYTES)


@router.get("/tile/{place:path}")
def tile(request: Request, place: str) -> Response:
    """A tile of hashes."""
    vault: Vault = request.app.state.vault
    wanted = tiles.parse_path(f"tile/{place}")
    if wanted.level == tiles.ENTRIES:  # these are asked for elsewhere, with the key
        raise NotFound(
            f"there is no tile {place}", "the checkpoint says how far the log goes: /checkpoint"
        )
    return Response(proof.tile(vault, wanted), media_type=BYTES, headers=FOREVER)


@router.get("/people/{person}/proofs/{index}")
def prove(request: Request, person: str, index: int) -> Response:
    """The proof of one entry about a person, as a file; NotFound if it is about another."""
    vault: Vault = request.app.state.vault
    made = proof.prove_to(vault, person, index)
    name = f'attachment; filename="proof-{index}.json"'
    text = json.dumps(made, indent=1)
    return Response(text, media_type="application/json", headers={"Content-Disposition": name})
