"""A directory that forgets at a power cut all that was not synced: lossy_disk.py FOLDER [cached].

A kill can't find a missing fsync, because what was written lives on in the page cache. This file
system, in memory over FUSE, keeps of each file the bytes at its last fsync, and of each folder the
names at its last. A rename reaches the disk whole. Tests steer it by words written to `.power`.
With `cached` the kernel keeps pages, without which nothing can be mapped: SQLite's WAL is.
"""

import errno
import json
import os
import stat
import sys
from typing import Any

import mfusepy


class Node:
    """A file or a folder: as programs see it, and as the disk has it."""

    def __init__(self, is_folder: bool) -> None:
        self.is_folder = is_folder
        self.now: Any = {} if is_folder else bytearray()
        self.synced: Any = {} if is_folder else b""

    def cut(self, keep_names: bool) -> int:
        """Fall back to what the disk has; how many bytes of files that stay were lost."""
        if not self.is_folder:
            lost = len(self.now) - len(self.synced)
            self.now = bytearray(self.synced)
            return lost
        if not keep_names:
            self.now = dict(self.synced)
        return sum(node.cut(keep_names) for node in self.now.values())


class Lossy(mfusepy.Operations):
    """The file system; `.power` takes the words below."""

    use_ns = True

    def __init__(self) -> None:
        self.root = Node(is_folder=True)
        self.open_files: dict[int, Node] = {}
        self.renames: list[tuple[Node, str, Node, str, Node]] = []
        self.count, self.cut_at, self.lost_bytes = 0, 0, 0
        self.is_off = self.lies = self.names_stay = self.is_read_only = False

    def power(self, words: list[str]) -> None:
        match words:
            case ["cut"]:
                self.is_off, self.open_files = True, {}
                self.lost_bytes = self.root.cut(self.names_stay)
                self.renames.clear()
            case ["cut_at", number]:
                self.count, self.cut_at = 0, int(number)
            case ["on"]:
                self.is_off, self.cut_at = False, 0
            case ["read_only" | "writable" as word]:
                self.is_read_only = word == "read_only"
            case ["lie" | "honest" as word]:
                self.lies = word == "lie"
            case ["names_stay" | "names_go" as word]:
                self.names_stay = word == "names_stay"

    def step(self) -> None:
        """Before each operation that changes something: this may be the one where power goes."""
        self.count += 1
        if self.count == self.cut_at:
            self.power(["cut"])
        self.check()
        if self.is_read_only:
            raise mfusepy.FuseOSError(errno.EROFS)

    def check(self) -> None:
        if self.is_off:
            raise mfusepy.FuseOSError(errno.EIO)

    def find(self, path: str) -> Node:
        self.check()
        node = self.root
        for name in filter(None, path.split("/")):
            if not node.is_folder or name not in node.now:
                raise mfusepy.FuseOSError(errno.ENOENT)
            node = node.now[name]
        return node

    def parent(self, path: str) -> tuple[Node, str]:
        folder, _, name = path.rpartition("/")
        return self.find(folder), name

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if path == "/.power":
            return {"st_mode": stat.S_IFREG | 0o600, "st_size": 4096, "st_nlink": 1}
        node = self.open_files.get(fh or 0) or self.find(path)
        mode = stat.S_IFDIR | 0o700 if node.is_folder else stat.S_IFREG | 0o600
        return {"st_mode": mode, "st_size": len(node.now), "st_nlink": 1}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *self.find(path).now]

    def handle(self, node: Node) -> int:
        number = max(self.open_files, default=0) + 1
        self.open_files[number] = node
        return number

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self.step()
        folder, name = self.parent(path)
        folder.now[name] = Node(is_folder=False)
        return self.handle(folder.now[name])

    def open(self, path: str, flags: int) -> int:
        if path == "/.power":
            return 0
        node = self.find(path)
        if flags & os.O_TRUNC:
            self.step()
            node.now = bytearray()
        return self.handle(node)

    def release(self, path: str, fh: int) -> int:
        self.open_files.pop(fh, None)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        if path == "/.power":
            state = {"count": self.count, "off": self.is_off, "lost_bytes": self.lost_bytes}
            return json.dumps(state).encode()[offset : offset + size]
        self.check()
        return bytes(self.open_files[fh].now[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        if path == "/.power":
            self.power(data.decode().split())
            return len(data)
        self.step()
        now = self.open_files[fh].now
        now.extend(bytes(max(0, offset - len(now))))
        now[offset : offset + len(data)] = data
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        if path != "/.power":
            self.step()
            now = self.find(path).now
            now[:] = now[:length] + bytes(max(0, length - len(now)))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self.step()
        node = self.open_files[fh]
        if not self.lies:
            node.synced = bytes(node.now)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self.step()
        folder = self.find(path)
        if self.lies:
            return 0
        folder.synced = dict(folder.now)
        for row in list(self.renames):
            old, old_name, new, new_name, node = row
            if folder in (old, new):
                self.renames.remove(row)
                if old.synced.get(old_name) is node:
                    del old.synced[old_name]
                new.synced[new_name] = node
        return 0

    def rename(self, old: str, new: str) -> int:
        self.step()
        (source, name), (target, new_name) = self.parent(old), self.parent(new)
        node = source.now.pop(name)
        target.now[new_name] = node
        self.renames.append((source, name, target, new_name, node))
        return 0

    def link(self, target: str, source: str) -> int:
        self.step()
        node, (folder, name) = self.find(source), self.parent(target)
        if name in folder.now:
            raise mfusepy.FuseOSError(errno.EEXIST)
        folder.now[name] = node
        return 0

    def unlink(self, path: str) -> int:
        self.step()
        folder, name = self.parent(path)
        del folder.now[name]
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        self.step()
        folder, name = self.parent(path)
        folder.now[name] = Node(is_folder=True)
        return 0

    def rmdir(self, path: str) -> int:
        self.step()
        folder, name = self.parent(path)
        if folder.now[name].now:
            raise mfusepy.FuseOSError(errno.ENOTEMPTY)
        del folder.now[name]
        return 0

    def chmod(self, path: str, mode: int) -> int:
        return 0

    def utimens(self, path: str, times: Any = None) -> int:
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        free = 1 << 20
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": free, "f_bavail": free}


if __name__ == "__main__":
    mfusepy.FUSE(
        Lossy(),
        sys.argv[1],
        foreground=True,
        nothreads=True,
        direct_io="cached" not in sys.argv[2:],
        attr_timeout=0,
        entry_timeout=0,
        hard_remove=True,
    )
