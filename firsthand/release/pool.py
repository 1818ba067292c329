"""A pool of processes that ends cleanly: Ctrl-C reaches the parent, which ends its children."""

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context


@contextmanager
def processes(count: int) -> Iterator[Executor]:
    """`count` worker processes; an exception in the block ends them at once.

    Spawned, not forked: a fork would share database connections and the store's threads.
    """
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        with _held():
            wait([pool.submit(time.sleep, 0.01) for _ in range(count)])  # each starts one
        try:
            yield pool
        except BaseException:
            for child in list((pool._processes or {}).values()):
                child.terminate()
            # The pool's own thread finds them gone, ends what waits, and is waited for. Nothing is
            # cancelled first: that thread fails at what is cancelled and broken at once. A child
            # that ended within its answer leaves half of it; only without this end of the pipe
            # does the thread see that no more comes (it waited for ever, at answers of 3 MB).
            pool._result_queue._writer.close()  # type: ignore[attr-defined]
            raise


@contextmanager
def _held() -> Iterator[None]:
    """Holds Ctrl-C back until the block is over: processes that it starts never hear of it.

    A terminal sends it to them as well, and each would print a traceback of its own. Blocked, which
    they inherit; but another thread of this process may still be given it, so it is noted too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
    if pressed:
        signal.raise_signal(signal.SIGINT)
