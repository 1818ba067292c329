"""The pool that builds shards, interrupted as by Ctrl-C in a terminal: in all its processes."""

import os
import signal
import subprocess
import sys
import time

import pytest

WORK = """
import sys, time
from concurrent.futures import as_completed
from firsthand.release.pool import processes

def answer(size):
    time.sleep(0.01)
    return b"x" * size

if __name__ == "__main__":
    print("begun", flush=True)
    try:
        with processes(2) as pool:
            print("ready", flush=True)
            for done in as_completed([pool.submit(answer, 3_000_000) for _ in range(2000)]):
                done.result()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize(("begun", "wait_s"), [("begun", 0.1), ("ready", 0.0), ("ready", 0.3)])
def test_ctrl_c_ends_the_pool_at_once_and_without_a_traceback(tmp_path, begun, wait_s):
    (tmp_path / "work.py").write_text(WORK)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "work.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while process.stdout.readline().strip() != begun:
            assert process.poll() is None
        time.sleep(wait_s)  # into the middle of it
        os.killpg(process.pid, signal.SIGINT)
        out, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out.split()[-1:], errors) == (0, ["interrupted"], "")
