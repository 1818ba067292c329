"""The application: the device API and the pages over one vault, behind one guard.

Everything that fails becomes problem+json for devices and a plain page for people here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles

from firsthand.errors import Error, Failed, NotFound, Usage
from firsthand.release import erase
from firsthand.vault.vault import Vault
from firsthand.web import (
    agreement,
    consent,
    control,
    day,
    earned,
    enrol,
    footage,
    ingest,
    log,
    metrics,
    overview,
    own,
    person,
    run,
    seen,
    views,
)
from firsthand.web.footage import Opened
from firsthand.web.guard import Guard
from firsthand.web.page import render_error
from firsthand.web.signed import Nonces

HERE = Path(__file__).parent
# The database pool holds 15 connections, of which wire.py uses 9; a thread that waits for one of
# them helps nobody.
THREADS = 6


def make_app(vault: Vault, *, access_key: str | None) -> FastAPI:
    """The whole site over an opened vault; without an access key the pages stand open."""
    app = FastAPI(title="Firsthand", docs_url=None, redoc_url=None, lifespan=_lifespan)
    app.state.vault = vault
    app.state.nonces = Nonces()
    app.state.opened = Opened(vault)
    app.state.patience = enrol.Patience()
    app.state.strangers = seen.Strangers()
    pages = (
        overview,
        person,
        consent,
        agreement,
        own,
        earned,
        control,
        day,
        footage,
        run,
        views,
        seen,
    )
    for room in (ingest, enrol, metrics, log, *pages):
        app.include_router(room.router)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.add_middleware(Guard, vault=vault, access_key=access_key, show=_show)
    app.add_exception_handler(Error, _on_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_wrong_request)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    sweeping = asyncio.create_task(_sweep(app.state.vault))
    yield
    sweeping.cancel()


async def _sweep(vault: Vault) -> None:
    """Carries out erasures that are due, from the start on, and drops uploads left alone."""
    while True:
        with contextlib.suppress(Error):  # what does not answer now is tried in an hour
            await run_in_threadpool(erase.sweep, vault)
        await asyncio.sleep(3600)


def _show(request: Request, error: Error) -> Response:
    if not request.url.path.startswith(("/api/", "/healthz")):
        return render_error(request, error)
    status = error.http_status
    problem = {"type": "about:blank", "title": type(error).__name__, "status": status}
    problem |= {"detail": error.message, "hint": error.hint}
    return JSONResponse(problem, status, media_type="application/problem+json")


def _on_error(request: Request, error: Exception) -> Response:
    return _show(
        request,
        error
        if isinstance(error, Error)
        else Failed("something went wrong", "try again; the server's own output says what"),
    )


def _on_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    kind = NotFound if status == 404 else Usage
    told = kind(f"there is nothing at {request.url.path}" if status == 404 else str(error))
    answer = _show(request, told)
    answer.status_code = status
    return answer


def _on_wrong_request(request: Request, error: Exception) -> Response:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    name = ".".join(str(step) for step in first.get("loc", ())[1:])
    return _show(
        request,
        Usage(
            f"{name or 'this request'}: {first.get('msg', 'wrong')}".lower(),
            "go back, and fill in what is asked for",
        ),
    )
