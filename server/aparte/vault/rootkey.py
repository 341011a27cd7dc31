"""The root key file, and where the three places may lie.

Knows one file of 32 bytes and its mode. Must not know the key ring's content. Nothing here prints or keeps key bytes.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aparte import errors

KEY_BYTES: Final = 32
# Of 32 random bytes, fewer than 16 distinct happens less than once in 10^12 keys: such a file was made by hand.
_FEWEST_DISTINCT: Final = 16
_TEXT: Final = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\r\n")


@dataclass(frozen=True, slots=True)
class RootKey:
    """A root key in memory. `name` is the file's stem and its id for people; `id` is the same for a blob's header."""

    name: str
    id: int
    secret: bytes = field(repr=False)


def read(path: Path) -> RootKey:
    """Read the root key, or refuse.

    Raises: errors.WrongKey, with the file and the fix named, when it is missing, of another length than 32 bytes, open
        to group or others, not a plain file, unreadable, or no random key.
    """
    try:
        # Without O_NONBLOCK a named pipe in this place would hang the start.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise errors.WrongKey(
            f"The root key is missing: there is no file {path}. Put it back from where you keep its copy, "
            "or correct the setting root_key; where there are neither data nor keys yet, run `aparte init`."
        ) from None
    except OSError as error:
        raise errors.WrongKey(
            f"The root key {path} cannot be read: {error.strerror}. Give the server's account the right to read it."
        ) from error
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise errors.WrongKey(f"The root key {path} is not a plain file. Correct the setting root_key.")
        if state.st_mode & 0o077:
            raise errors.WrongKey(
                f"The root key {path} can be read by others (mode {stat.S_IMODE(state.st_mode):04o}). "
                f"Run: chmod 0400 {path}"
            )
        secret = os.read(handle, KEY_BYTES + 1)
    finally:
        os.close(handle)
    if len(secret) != KEY_BYTES:
        amount = "more" if len(secret) > KEY_BYTES else f"only {len(secret)}"
        raise errors.WrongKey(
            f"The root key {path} must hold exactly {KEY_BYTES} bytes and holds {amount}. Put the right file back."
        )
    if len(set(secret)) < _FEWEST_DISTINCT or _TEXT.issuperset(secret):
        raise errors.WrongKey(
            f"The root key {path} is not random: it looks typed or empty. Let `aparte init` make one, under a new name."
        )
    return RootKey(name=path.stem, id=id_of(path.stem), secret=secret)


def make(path: Path) -> RootKey:
    """Write 32 random bytes to a new file of mode 0400, on the disk before this returns, and read it back.

    Raises: errors.BadSetting when the file cannot be written. Never replaces a file.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        try:
            os.write(handle, os.urandom(KEY_BYTES))
            os.fsync(handle)
        finally:
            os.close(handle)
        _sync_folder(path.parent)
    except OSError as error:
        raise errors.BadSetting(
            f"The root key cannot be written to {path}: {error.strerror}. "
            "Set root_key to a file in a folder that this account may write to."
        ) from error
    return read(path)


def id_of(name: str) -> int:
    """The 63-bit number by which a header names a root key: from its name, so that it tells nothing of the key."""
    return int.from_bytes(hashlib.sha256(b"aparte root key\x00" + name.encode()).digest()[:8], "big") >> 1


def _sync_folder(folder: Path) -> None:
    # The name of a new file is in its folder: without this a power cut could leave a ring whose key is gone.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
