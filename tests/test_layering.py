"""The design's table of who may import whom, held over the syntax trees of the package.

Every import counts: relative ones, those inside functions, under TYPE_CHECKING, by import_module,
and whatever an imported module imports in its turn. A module always loads the packages above it.
"""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import firsthand

PACKAGE = "firsthand"
# The database half of the files at the package's root; every other file there is plain base.
DATABASE = {"db", "log"}

# A room and the rooms that may lie behind its imports, however deep.
TABLE = {
    "base": set(),
    "db": {"base"},
    "plan": {"base"},
    "record": {"base"},
    "consent": {"base", "db"},
    "vault": {"base", "db", "consent"},
    "release": {"base", "db", "consent", "vault"},
    "learn": {"base"},
    "emulate": {"base", "db", "consent", "learn"},
    "simulate": {
        *("base", "db", "plan", "record", "consent", "vault", "release", "learn", "emulate")
    },
    "web": {"base", "db", "plan", "record", "consent", "vault", "release", "learn", "emulate"},
}
TABLE["cli"] = set(TABLE) | {"cli"}

# An outside package and the files that may import it. What is not here may not be imported.
HOMES = {
    "typer": ("cli/*",),
    "jeepney": ("record/home/network.py",),
    "rich": ("cli/*",),
    "cryptography": ("*.py",),
    "av": ("record/*", "release/*", "learn/tokens/clips.py"),
    "zxingcpp": ("record/invitation.py",),
    "picamera2": ("record/cameras/picamera.py",),
    "sqlalchemy": ("db.py", "log.py", "consent/*", "vault/*", "release/*", "web/*"),
    "obstore": ("vault/*",),
    "hvac": ("vault/keys/transit.py",),
    "requests": ("vault/keys/transit.py",),
    "boto3": ("vault/keys/aws_kms.py",),
    "botocore": ("vault/keys/aws_kms.py",),
    "shamir_mnemonic": ("vault/keys/shares.py",),
    "fastapi": ("web/*",),
    "starlette": ("web/*",),
    "anyio": ("web/*",),
    "jinja2": ("web/*",),
    "markupsafe": ("web/*",),
    "uvicorn": ("web/*", "cli/serve.py"),
    "h11": ("web/wire.py",),
    "segno": ("web/*", "cli/person.py"),
    "prometheus_client": ("web/metrics.py",),
    "torch": ("learn/*", "emulate/*"),
    "numba": ("learn/*",),
    "numpy": ("learn/*", "emulate/*", "simulate/*", "release/*"),
    "pyarrow": ("learn/*", "emulate/*"),
    "safetensors": ("learn/*", "emulate/*"),
    "gpiozero": ("record/*",),
}
# Packages that one single file may import.
ONE_FILE = ("obstore",)
DYNAMIC = ("import_module", "__import__")


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package in the folder `root`, by its dotted name."""
    found: dict[str, Path] = {}
    for file in sorted(root.rglob("*.py")):
        parts = (PACKAGE, *file.relative_to(root).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def room(module: str, files: dict[str, Path]) -> str:
    """The room of one of our modules or packages."""
    parts = module.split(".")
    if len(parts) == 1:
        return "base"
    if len(parts) == 2 and module in files and files[module].name != "__init__.py":
        if parts[1] == "__main__":
            return "cli"
        return "db" if parts[1] in DATABASE else "base"
    return parts[1]


def imports(name: str, file: Path) -> Iterator[tuple[str, int]]:
    """Everything that the file imports, as dotted names with the line; "?" for what is unclear."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                source = ".".join([*above, source] if source else above)
            yield source, node.lineno
            yield from ((f"{source}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in DYNAMIC and node.args:
                given = node.args[0]
                constant = isinstance(given, ast.Constant) and isinstance(given.value, str)
                yield (given.value if constant else "?"), node.lineno  # type: ignore[attr-defined]


def parents(module: str) -> list[str]:
    """The packages that Python loads before the module."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def rooms_of(root: Path) -> list[str]:
    """Breaches of the table of rooms, each told by the chain of imports that leads to it."""
    files = modules(root)
    ours = set(files).union(*map(parents, files))
    rooms = {name: room(name, files) for name in ours}
    edges: dict[str, set[str]] = {name: set() for name in ours}
    wrong: list[str] = []
    for name, file in files.items():
        edges[name].update(parents(name))
        if rooms[name] not in TABLE:
            wrong.append(f"{name}: no room {rooms[name]!r} in the table")
        for target, line in imports(name, file):
            if target == "?" and rooms[name] != "cli":
                wrong.append(f"{name}:{line}: imports what no reader can tell")
            if target in ours:
                edges[name].update([target, *parents(target)])
    for name in files:
        allowed = TABLE.get(rooms[name], set()) | {rooms[name]}
        # Breadth first, so that the shortest chain is the one that is told.
        chains = {name: name}
        waiting = [name]
        while waiting:
            here = waiting.pop(0)
            for target in sorted(edges[here] - set(chains)):
                chains[target] = f"{chains[here]} -> {target}"
                waiting.append(target)
                # A chain is told once, at the room's own border.
                if rooms[target] not in allowed and rooms[here] in allowed:
                    wrong.append(chains[target])
    return wrong


def homes_of(root: Path) -> list[str]:
    """Outside packages that are imported away from home, or that have no home; each line once."""
    wrong: dict[str, None] = {}
    users: dict[str, set[str]] = {}
    for name, file in modules(root).items():
        path = file.relative_to(root).as_posix()
        for target, line in imports(name, file):
            package = target.partition(".")[0]
            if package in (PACKAGE, "?", "") or package in sys.stdlib_module_names:
                continue
            users.setdefault(package, set()).add(path)
            if package not in HOMES:
                wrong[f"{path}:{line}: {package} has no home"] = None
            elif not any(_lies_in(path, home) for home in HOMES[package]):
                wrong[f"{path}:{line}: {package} lives in {', '.join(HOMES[package])}"] = None
    for package in ONE_FILE:
        if len(users.get(package, ())) > 1:
            wrong[f"{package} is imported by more than one file: {sorted(users[package])}"] = None
    return list(wrong)


def _lies_in(path: str, home: str) -> bool:
    # fnmatch lets * cross a slash: wanted below a room, not for the files at the root.
    return fnmatch(path, home) and (home != "*.py" or "/" not in path)


ROOT = Path(firsthand.__file__).parent


def test_each_room_reaches_only_what_the_table_allows() -> None:
    assert rooms_of(ROOT) == []


def test_each_outside_package_stays_at_home() -> None:
    assert homes_of(ROOT) == []


def test_every_room_of_the_table_exists() -> None:
    files = modules(ROOT)
    assert {room(name, files) for name in files} == set(TABLE)


# The rules themselves, on small trees that break them.


def grow(folder: Path, files: dict[str, str]) -> Path:
    """A package in `folder`: the rooms' __init__ files, and these."""
    for path, source in {"__init__.py": "", "errors.py": "", "db.py": "", **files}.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
        if "/" in path and not (file.parent / "__init__.py").exists():
            (file.parent / "__init__.py").write_text("")
    return folder


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            {"learn/a.py": "import firsthand.vault.b", "vault/b.py": ""},
            "learn.a -> firsthand.vault",
        ),
        ({"learn/a.py": "from firsthand.vault import b", "vault/b.py": ""}, "firsthand.vault"),
        ({"learn/a.py": "from firsthand import vault", "vault/b.py": ""}, "firsthand.vault"),
        ({"learn/a.py": "from ..vault import b", "vault/b.py": ""}, "firsthand.vault"),
        ({"learn/a.py": "from .. import vault", "vault/b.py": ""}, "firsthand.vault"),
        (
            {"learn/deep/a.py": "def f():\n  from ...vault.b import c", "vault/b.py": "c = 1"},
            "firsthand.learn.deep.a -> firsthand.vault",
        ),
        ({"learn/a.py": "def f():\n    import firsthand.db"}, "learn.a -> firsthand.db"),
        (
            {"learn/a.py": "import importlib\nimportlib.import_module('firsthand.db')"},
            "learn.a -> firsthand.db",
        ),
        (
            {"learn/a.py": "from importlib import import_module\nimport_module(name)"},
            "learn.a:2: imports what no reader can tell",
        ),
        (
            {"record/a.py": "from firsthand import shard", "shard.py": "import firsthand.db"},
            "firsthand.record.a -> firsthand.shard -> firsthand.db",
        ),
        ({"shard.py": "from .db import x"}, "firsthand.shard -> firsthand.db"),
        (
            {
                "record/a.py": "from firsthand.plan import b",
                "plan/b.py": "",
                "plan/__init__.py": "",
            },
            "firsthand.record.a -> firsthand.plan",
        ),
        (
            {"learn/a.py": "", "learn/__init__.py": "import firsthand.db"},
            "firsthand.learn.a -> firsthand.learn -> firsthand.db",
        ),
        (
            {
                "web/a.py": "from firsthand.emulate import b",
                "emulate/b.py": "import firsthand.cli",
                "cli/c.py": "",
            },
            "firsthand.web.a -> firsthand.emulate.b -> firsthand.cli",
        ),
        (
            {
                "consent/a.py": "if TYPE_CHECKING:\n    from firsthand.vault.b import c",
                "vault/b.py": "",
            },
            "firsthand.consent.a -> firsthand.vault",
        ),
        ({"errors.py": "import firsthand.plan.a", "plan/a.py": ""}, "errors -> firsthand.plan"),
        ({"attic/a.py": ""}, "no room 'attic'"),
    ],
)
def test_breach_of_the_table_is_told(files: dict[str, str], told: str, tmp_path: Path) -> None:
    wrong = rooms_of(grow(tmp_path, files))
    assert any(told in line for line in wrong), wrong


def test_lawful_tree_is_not_told(tmp_path: Path) -> None:
    files = {
        "shard.py": "from firsthand.errors import Error",
        "record/a.py": "from . import b\nfrom .. import errors, shard",
        "record/b.py": "",
        "vault/a.py": "from firsthand.consent.a import x\nfrom firsthand import db",
        "consent/a.py": "from firsthand.db import x",
        "cli/a.py": "import importlib\nimportlib.import_module(x)\nimport firsthand.web.a",
        "web/a.py": "import firsthand.vault.a",
    }
    assert rooms_of(grow(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"record/a.py": "import torch.nn"}, "record/a.py:1: torch lives in learn/*, emulate/*"),
        ({"record/a.py": "def f():\n    from numpy import array"}, "record/a.py:2: numpy lives"),
        ({"learn/a.py": "import sqlalchemy as sa"}, "sqlalchemy lives"),
        ({"learn/a.py": "import av"}, "av lives"),
        ({"simulate/a.py": "from av import open"}, "av lives"),
        ({"vault/a.py": "import obstore", "vault/b.py": "import obstore"}, "more than one file"),
        ({"vault/a.py": "import fastapi"}, "fastapi lives in web/*"),
        ({"web/a.py": "import typer"}, "typer lives in cli/*"),
        ({"config.py": "from rich import print"}, "rich lives in cli/*"),
        ({"learn/a.py": "from cryptography import x509"}, "cryptography lives"),
        ({"web/a.py": "import httpx"}, "httpx has no home"),
    ],
)
def test_package_away_from_home_is_told(files: dict[str, str], told: str, tmp_path: Path) -> None:
    wrong = homes_of(grow(tmp_path, files))
    assert any(told in line for line in wrong), wrong


def test_packages_at_home_are_not_told(tmp_path: Path) -> None:
    files = {
        "crypto.py": "import cryptography, hashlib",
        "learn/tokens/clips.py": "import av\nimport torch",
        "vault/store.py": "import obstore\nfrom . import keys",
        "cli/serve.py": "import uvicorn, typer",
    }
    assert homes_of(grow(tmp_path, files)) == []
