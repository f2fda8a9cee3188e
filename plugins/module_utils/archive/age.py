# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encryption by age(1): compressed bytes go through it to a file, and a file's bytes through it to whoever reads.

An identity, the secret key, is never in a file or an argument: age inherits it as a file that has no name in any
directory. Source: age(1), and the format age-encryption.org/v1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

from ..system.errors import AppStateError, ArchiveError, IdentityError, SpaceError
from ..system.files import in_memory, read_all
from ..system.process import close_pipes, end_program

ENDING = ".age"
MAGICS = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")
MAGIC_SIZE = max(len(magic) for magic in MAGICS)
IDENTITY_MOST = 1024 * 1024
# Of what age says.
TAIL = 2000
_WRONG = ("no identity matched", "incorrect identity")
_NO_IDENTITY = ("unknown identity type", "malformed secret key", "error at line", "failed to read \"/proc", "no secret keys",
                "passphrase", "failed to parse", "unsupported ssh identity", "ssh: ")


def is_encrypted(start):
    """Whether a file's first bytes are those of one that age made."""
    return start.startswith(MAGICS)


def require_age():
    """Raises AppStateError where this host has no age."""
    for program in ("age", "age-keygen"):
        if shutil.which(program) is None:
            raise AppStateError("%s is not installed on this host" % program, remedy="Install the package 'age'")


def read_identity(path):
    """The text of a file with secret keys.

    Raises:
        IdentityError: it cannot be read, or is much too large for that.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return read_all(descriptor, IDENTITY_MOST).decode("utf-8")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise IdentityError("the file with the identity cannot be read: %s" % error.strerror, path=path)
    except (AppStateError, UnicodeDecodeError):
        raise IdentityError("is no file with an identity", path=path, remedy="Name the file that age-keygen wrote")


def make_pair():
    """``(identity, recipient)``: a new pair of keys, which nobody keeps."""
    require_age()
    done = subprocess.run(["age-keygen"], stdin=subprocess.DEVNULL,  # pylint: disable=ansible-bad-function
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    identity = done.stdout.decode("ascii", "replace")
    recipients = [line.split()[-1] for line in identity.splitlines() if line.startswith("# public key: ")]
    if done.returncode or not recipients:
        raise AppStateError("age-keygen failed with status %d" % done.returncode)
    return identity, recipients[0]


class AgeWriter:
    """Encrypts what is written to ``pipe``, a descriptor, into an open file."""

    def __init__(self, descriptor, recipients):
        require_age()
        argv = ["age", "--encrypt"]
        for recipient in recipients:
            argv += ["--recipient", recipient]
        self._said = tempfile.TemporaryFile()
        self._process = _start(argv, subprocess.PIPE, descriptor, self._said)
        self.pipe = self._process.stdin.fileno()

    def close(self):
        """All that was written to the pipe is in the file when this returns."""
        complaint = self.complaint()
        self._said.close()
        if complaint is not None:
            raise complaint

    def complaint(self):
        """Ends the stream; the AppStateError that age ended with, or None."""
        self._process.stdin.close()
        if self._process.wait() == 0:
            return None
        said = _said(self._said)
        if "no space left" in said:
            return SpaceError("no space left for the archive", remedy="Free some space at the destination")
        return AppStateError("age failed: %s" % said, remedy="Look at the 'recipients' of 'encryption'")

    def abort(self):
        """Ends age without the rest."""
        end_program(self._process)
        close_pipes(self._process.stdin)
        self._said.close()


class AgeReader:
    """Decrypts.

    Args:
        source: descriptor of the encrypted bytes; None for those that are then written to ``sink``.
        identity: text, one or more secret keys of age or SSH.

    Raises:
        IdentityError: there is no identity.
    """

    def __init__(self, source, identity):
        if not identity or not identity.strip():
            raise IdentityError("is encrypted, and no identity was given",
                                remedy="Give the secret key that belongs to one of the recipients: 'identity' or "
                                       "'identity_file' of the module, --identity of the command")
        require_age()
        self._said = tempfile.TemporaryFile()
        # What no key has, age refuses.
        secret = in_memory("identity", identity.encode("utf-8", "replace") + b"\n")
        try:
            argv = ["age", "--decrypt", "--identity", "/proc/self/fd/%d" % secret]
            self._process = _start(argv, subprocess.PIPE if source is None else source, subprocess.PIPE, self._said, [secret])
        finally:
            os.close(secret)

    @property
    def sink(self):
        """The descriptor to write encrypted bytes to; whoever does closes it by ``close_sink``."""
        return self._process.stdin.fileno()

    def close_sink(self):
        """No more bytes follow."""
        self._process.stdin.close()

    def fileno(self):
        """The descriptor of the plain bytes."""
        return self._process.stdout.fileno()

    def complaint(self):
        """After the last plain byte: the AppStateError that it ended with, or None."""
        if self._process.wait() == 0:
            return None
        said = _said(self._said)
        if any(words in said for words in _WRONG):
            return IdentityError("the identity does not open it: it belongs to none of the recipients",
                                 remedy="Give the secret key of one of the recipients that its manifest names")
        if any(words in said for words in _NO_IDENTITY):
            return IdentityError("what was given as the identity is no secret key that age can use",
                                 remedy="Give the text that age-keygen printed, or an SSH key without a passphrase")
        return ArchiveError("the archive cannot be decrypted: %s" % said)

    def stop(self):
        """Ends age, in the middle if need be."""
        end_program(self._process)

    def close(self):
        """Lets go of it."""
        self.stop()
        close_pipes(self._process.stdin, self._process.stdout)
        self._said.close()


def _start(argv, source, sink, said, inherited=()):
    # The engine is also used without Ansible, whose run_command knows no streams. In a session of its own there is no
    # terminal that it could ask for a passphrase.
    return subprocess.Popen(argv, stdin=source, stdout=sink, stderr=said,  # pylint: disable=ansible-bad-function
                            pass_fds=inherited, start_new_session=True)


def _said(file):
    """What it said that matters, on one line."""
    file.seek(0)
    lines = file.read(TAIL).decode("utf-8", "replace").splitlines()
    return "; ".join(line.replace("age: error: ", "") for line in lines if "unexpected or unhelpful" not in line) or "it said nothing"
