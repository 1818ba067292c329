"""What a device needs: a fresh installation of its own, measured on the disk and in memory."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BASE_MB = 60  # of the base installation, without camera libraries
DEVICE_MB = 512  # memory of a Pi Zero 2 W
RECORDER_MB = 300  # as the service is held to
SERVER = ("torch", "numpy", "sqlalchemy", "fastapi", "uvicorn", "obstore", "jinja2", "segno")
# Peak memory of the process that it runs, in bytes, and what the process said.
MEASURE = """
import json, resource, subprocess, sys
run = subprocess.run(sys.argv[1:], capture_output=True, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
kilo = 1 if sys.platform == "darwin" else 1024
print(json.dumps([run.returncode, peak * kilo, run.stdout, run.stderr]))
"""


class Installation:
    """A fresh virtual environment with the package, as pip makes it."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder / "venv")  # pip of our own installs into it: one more takes 4 s
        self.python = folder / "venv" / "bin" / "python"
        self.bare_bytes = self.size_bytes()
        self.data = folder / "data"

    def add(self, what: str) -> None:
        """Installs the pinned package with an extra, or none."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.python)]
        words = ["install", "-q", "--disable-pip-version-check"]
        pins = ["-c", str(ROOT / "constraints.txt")]
        done = subprocess.run([*pip, *words, *pins, what], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"pip cannot install it here: {done.stderr.strip().splitlines()[-1]}")

    def size_bytes(self) -> int:
        """What the environment takes on the disk."""
        place = self.python.parents[1]
        kept = (path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
        return sum(path.stat().st_blocks * 512 for path in kept)

    def run(self, *arguments: str) -> tuple[int, int, str, str]:
        """(exit code, peak memory in bytes, stdout, stderr) of a firsthand command."""
        command = [str(self.python), "-m", "firsthand", "--data", str(self.data), *arguments]
        environment = {"PATH": os.environ["PATH"], "MALLOC_ARENA_MAX": "2"}
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *command],
            capture_output=True,
            text=True,
            env=environment,
            cwd=self.data.parent,
        )
        return tuple(json.loads(done.stdout))

    def can_import(self, name: str) -> bool:
        """Whether a package is there."""
        return subprocess.run([str(self.python), "-c", f"import {name}"], stderr=-3).returncode == 0


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("footprint")
    # A copy: pip builds in the source's own folder, where other tests are at work.
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "firsthand"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(source / name)], check=True)
    made = Installation(folder)
    made.source = source  # type: ignore[attr-defined]
    made.add(str(source))
    return made


@pytest.fixture(scope="module")
def device(installed: Installation) -> Installation:
    """The base installation with an enrolled device in its data folder."""
    from firsthand.age import Identity
    from firsthand.config import mark
    from firsthand.crypto import SigningKey
    from firsthand.record.card.card import Card
    from firsthand.record.device import create_device

    mark(installed.data, "real")
    made = create_device(
        installed.data / "devices" / "d-1",
        name="d-1",
        person="p-1",
        vault_url="http://127.0.0.1:9",
        recipient=str(Identity.generate().recipient),
        receipt_key=str(SigningKey.generate().public),
    )
    Card.create(made.folder / "card")
    return installed


@pytest.mark.slow
def test_the_base_installation_is_small_and_has_no_package_of_a_server(installed):
    size_mb = (installed.size_bytes() - installed.bare_bytes) / 1e6
    print(f"base installation: {size_mb:.1f} MB without pip")
    assert size_mb < BASE_MB
    assert [name for name in SERVER if installed.can_import(name)] == []


@pytest.mark.slow
def test_the_commands_of_a_device_need_the_base_only(device, tmp_path):
    root = tmp_path / "root"
    for arguments, code, told in (
        (["device", "install", "--root", str(root)], 0, "written"),
        (["device", "enrol", "http://127.0.0.1:9", "ABCD-ABCD-ABCD-ABCD-ABCD"], 1, ""),
    ):
        found, peak, out, errors = device.run(*arguments)
        assert (found, told in out) == (code, True), errors
        assert "was not reached" in errors or not errors.startswith("Traceback"), errors
        assert peak < 120e6, f"{arguments}: {peak / 1e6:.0f} MB"


@pytest.mark.slow
def test_what_needs_more_says_so(device):
    code, _, _, errors = device.run("record", "start", "--camera", "lavfi:testsrc2")
    assert code == 1
    assert 'pip install "firsthand[media]"' in errors
    code, _, _, errors = device.run("device", "list")
    assert code == 1
    assert 'pip install "firsthand[server]"' in errors


@pytest.mark.slow
def test_a_recorder_fits_a_pi_zero_2_w(device):
    """Pictures of 1920x1080 are encoded here in software, which a Pi leaves to its hardware."""
    device.add(f"{device.source}[media]")
    source = "lavfi:testsrc2=size=1920x1080:rate=30"
    code, peak, out, errors = device.run("record", "start", "--camera", source, "--seconds", "6")
    assert code == 0, errors
    assert "recorded 6" in out
    print(f"recorder at 1920x1080 with a software encoder: {peak / 1e6:.0f} MB")
    assert peak < RECORDER_MB * 2**20 < DEVICE_MB * 2**20
