"""A pool of processes that ends cleanly: Ctrl-C reaches the parent, which ends its children."""

import signal
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
        # Started with Ctrl-C blocked, which they inherit: a terminal sends it to them as well, and
        # each would print a traceback of its own.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            wait([pool.submit(time.sleep, 0.01) for _ in range(count)])  # each starts one
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        try:
            yield pool
        except BaseException:
            children = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for child in children:
                child.terminate()
            raise
