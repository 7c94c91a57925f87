"""Container images made of this machine's own programs, without a registry: a folder that looks like a small system."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.services.daemon import PATH, ServiceError, need

#: What scripts in images may use besides Python.
PROGRAMS = (
    "sh",
    "cat",
    "cp",
    "date",
    "echo",
    "env",
    "head",
    "id",
    "ls",
    "mkdir",
    "mv",
    "rm",
    "sleep",
    "test",
    "touch",
    "wc",
)

#: Where a job's files may be bound; charliecloud makes no mount points.
MOUNT_POINTS = (
    "dev",
    "proc",
    "sys",
    "etc",
    "tmp",
    "root",
    "home",
    "input",
    "output",
    "work",
    "mnt/0",
    "mnt/1",
    "mnt/2",
    "usr/bin",
)

#: What of Python's library no job needs.
UNUSED = ("*-packages", "test", "tests", "idlelib", "tkinter", "ensurepip", "__pycache__", "config-*")


def libraries_of(binary: Path) -> Iterable[Path]:
    """Give the shared libraries, and the loader, that a binary needs."""
    listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout  # noqa: S607
    for line in listed.splitlines():
        for word in line.split():
            if word.startswith("/"):
                yield Path(word)
                break


def _copy(source: Path, root: Path) -> None:
    """Copy a file to the same place below `root`, through links, `/bin` and `/lib` being links into `/usr` or not."""
    target = root / source.relative_to("/")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def _put(binary: Path, root: Path, *, name: str) -> None:
    target = root / "usr" / "bin" / name
    if not target.exists():
        shutil.copy2(binary, target)
    for library in libraries_of(binary):
        _copy(library, root)


def make_image(root: Path) -> None:
    """Make an image folder with a shell, a few programs and the Python that runs these tests, standard library only."""
    for place in MOUNT_POINTS:
        (root / place).mkdir(parents=True)
    for short in ("bin", "lib", "lib64"):
        (root / "usr" / short).mkdir(exist_ok=True)
        (root / short).symlink_to(f"usr/{short}")
    for name in PROGRAMS:
        found = shutil.which(name, path=PATH)
        if found is None:
            raise ServiceError(f"this machine has no {name}")
        _put(Path(found), root, name=name)
    python = Path(sys.executable).resolve()
    _put(python, root, name="python3")
    home = Path(sys.base_prefix)
    library = Path(f"lib/python{sys.version_info.major}.{sys.version_info.minor}")
    target = root / home.relative_to("/") / library
    unused = shutil.ignore_patterns(*UNUSED)
    shutil.copytree(home / library, target, ignore=unused, dirs_exist_ok=True)
    for extension in (target / "lib-dynload").glob("*.so"):
        for shared in libraries_of(extension):
            _copy(shared, root)
    (root / "usr" / "bin" / "python3").chmod(0o755)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    (root / "etc" / "resolv.conf").touch()


def need_charliecloud() -> None:
    """Skip or fail without charliecloud; where the kernel refuses what it needs, no package helps: skip and say so."""
    need("ch-run", package="charliecloud-runtime")
    tried = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "true"],  # noqa: S607
        env={"PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode != 0:
        limit = Path("/proc/sys/user/max_user_namespaces")
        allowed = limit.read_text().strip() if limit.exists() else "unknown"
        pytest.skip(
            "this kernel or the container around it refuses user namespaces, which charliecloud needs: "
            f"{tried.stderr.strip()} (user.max_user_namespaces = {allowed})"
        )
