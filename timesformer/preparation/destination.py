"""Where the files of a new data set go: a folder, or an address; each comes there whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from timesformer.annotations.remote import file_system, is_address
from timesformer.errors import UserError
from timesformer.preparation.workplace import ASIDE, STAYS, writing


@dataclass(frozen=True)
class Destination:
    """The files of `place`; `aside` is a local folder for those that are being written."""

    place: str
    aside: Path

    def sizes(self) -> dict[str, int]:
        """The name of each file that is there, and its bytes."""
        system, root = file_system(self.place)
        system.invalidate_cache()
        try:
            entries = system.ls(root, detail=True)
        except FileNotFoundError:
            return {}
        return {os.path.basename(entry["name"]): entry["size"] for entry in entries}

    def read(self, name: str) -> bytes:
        system, root = file_system(self.place)
        return bytes(system.cat_file(f"{root}/{name}"))

    def put(self, name: str) -> None:
        """Move ``aside/name`` to its place, where it appears at once and whole."""
        source = self.aside / name
        if is_address(self.place):
            system, root = file_system(self.place)
            system.put_file(str(source), f"{root}/{name}")
            source.unlink()
            return
        with source.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(source, os.path.join(self.place, name))

    def write(self, name: str, text: str) -> None:
        """A file of `text`."""
        (self.aside / name).write_text(text, encoding="utf-8")
        self.put(name)

    def remove(self, name: str) -> None:
        system, root = file_system(self.place)
        system.rm_file(f"{root}/{name}")


@contextmanager
def writing_to(place: str) -> Iterator[Destination]:
    """The files of a folder, which no other run writes to meanwhile, or of an address.

    Raises:
        UserError: it cannot be written to, another run is at it.
        KeyboardInterrupt: somebody stopped the run; it says how to continue.
    """
    if not is_address(place):
        with writing(Path(place)):
            yield Destination(os.path.abspath(place), Path(place, ASIDE).absolute())
        return
    try:
        system, root = file_system(place)
        system.makedirs(root, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            yield Destination(place.rstrip("/"), Path(folder))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(STAYS) from None
    except OSError as error:
        raise UserError(f"'{place}' cannot be written to ({error}): name another --out.") from error
