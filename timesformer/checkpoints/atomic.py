"""Files and folders that are there whole or not at all, and outlive a power cut."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from timesformer.errors import UserError

if TYPE_CHECKING:
    from typing_extensions import Buffer

TEMPORARY = ".tmp"
SET_ASIDE = ".old" + TEMPORARY  # a whole folder, until the one that replaces it has its name
GOING = ".gone" + TEMPORARY  # a folder of which part may be removed


class HashedFile(io.BufferedWriter):
    """A new file that is written from start to end, hashed on the way."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "wb"))
        self.sha256 = hashlib.sha256()
        self.bytes = 0
        self.error: OSError | None = None

    def write(self, data: Buffer) -> int:
        try:
            count = super().write(data)
        except OSError as error:
            self.error = error
            raise
        self.sha256.update(data)
        self.bytes += count
        return count

    def sync(self) -> None:
        """Onto the disk."""
        self.flush()
        os.fsync(self.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[HashedFile]:
    """A file to write to, which becomes `path` at the end; after an error `path` is untouched.

    Raises:
        OSError: it cannot be written; or what is there is no file, and stays.
    """
    refuse_what_is_no_file(path)
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        with HashedFile(temporary) as file:
            yield file
            file.sync()
        put_in_place(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def writing(path: Path) -> Iterator[HashedFile]:
    """As `replacing`, for a result that a person named with --out; makes its folder.

    Raises:
        UserError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            yield file
    except OSError as error:
        raise not_writable(path, error.strerror or error) from error


def check_writable(path: Path) -> None:
    """What `writing` would find wrong with `path`, before long work; makes nothing.

    Raises:
        UserError: it could not be written.
    """
    try:
        refuse_what_is_no_file(path)
    except OSError as error:
        raise not_writable(path, error.strerror or error) from error
    if hindrance := hindrance_of(path.parent):
        raise not_writable(path, f"because of {hindrance}")


def not_writable(path: Path, reason: object) -> UserError:
    return UserError(f"'{path}' cannot be written ({reason}): name another --out.")


def hindrance_of(folder: Path) -> Path | None:
    """What keeps files out of `folder`, which need not be there yet: itself or one above it."""
    places = (folder, *folder.absolute().parents)
    there = next(place for place in places if os.path.exists(place))
    return None if there.is_dir() and os.access(there, os.W_OK | os.X_OK) else there


def refuse_what_is_no_file(path: Path) -> None:
    """OSError if `path` is something that a file must not take the place of."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "it is a device or a pipe", str(path))


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename a file or folder that is on the disk; what has the name of `path` goes.

    A folder can only be replaced in two steps; killed between them, it lies `SET_ASIDE`, whole.
    """
    aside = path.with_name(path.name + SET_ASIDE)
    if path.is_dir():
        discard(aside)
        path.rename(aside)
    os.replace(temporary, path)
    sync_folder(path.parent)
    discard(aside)


def discard(path: Path) -> None:
    """Remove a file or folder, if it is there; no half of a folder ever has its name."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if not path.name.endswith(GOING):
        going = path.with_name(path.name + GOING)
        discard(going)
        path = path.rename(going)
    shutil.rmtree(path)


def duplicate(source: Path, target: Path) -> None:
    """Let the file or folder `target` be the same as `source`, without its bytes if possible."""
    temporary = target.with_name(target.name + TEMPORARY)
    discard(temporary)
    if source.is_dir():
        shutil.copytree(source, temporary, copy_function=link)
        sync_folder(temporary)
    else:
        link(source, temporary)
    put_in_place(temporary, target)


def link(source: str | Path, target: str | Path) -> None:
    """A second name for a file; a copy where the file system knows none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        sync(Path(target))


def sync_folder(path: Path) -> None:
    """Make the names in the folder `path` outlive a power cut."""
    try:
        sync(path)
    except OSError as error:
        if error.errno != errno.EINVAL:  # file systems that sync names by themselves say so
            raise


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Of a file; of a folder, that of its files' names and hashes.

    Raises:
        UserError: it cannot be read.
    """
    if path.is_dir():
        return sha256_of_files({file.name: sha256_of(file) for file in path.iterdir()})
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(2**22):
                digest.update(part)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error})") from error
    return digest.hexdigest()


def sha256_of_files(hashes: Mapping[str, str]) -> str:
    lines = "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))
    return hashlib.sha256(lines.encode()).hexdigest()
