# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looking for secrets: in what programs are started with, in what is written to files, and in what is left.

Processes are not sampled here, but traced (strace(1)): every execve(2) with all its arguments and its environment, and every
byte that goes to a file, also to one that is gone a moment later, of all processes of a run.
"""

from __future__ import annotations

import base64
import os
import re
import stat
import subprocess
import urllib.parse

CALLS = ("execve,execveat,write,pwrite64,writev,pwritev,pwritev2,open,openat,mkdir,mkdirat,rename,renameat,renameat2,"
         "symlinkat,linkat")
STARTS = re.compile(r"\bexecve(at)?\(")
WRITES = re.compile(r"\bp?write(64|v|v2)?\(\d+<([^>]*)>")
# What is no file: pipes and sockets go to whom they are meant for, and memory has no name.
NO_FILE = re.compile(r"(pipe|socket|anon_inode|TCP|TCPv6|UNIX|UDP):|/memfd:|/dev/null|/proc/self/fd/")
MAGIC = {b"\x28\xb5\x2f\xfd": ["zstd", "-dcq"], b"\x1f\x8b": ["gzip", "-dc"]}
ENCRYPTED = b"age-encryption.org/v1\n"


def forms(secret):
    """The ways in which a secret may stand somewhere, as bytes: as it is, in hex, in base64 wherever it begins, quoted."""
    plain = secret.encode("utf-8")
    found = {plain, plain.hex().encode("ascii"), urllib.parse.quote(secret, safe="").encode("ascii")}
    for shift in range(3):
        # Ends that depend on what stands beside it are left out.
        encoded = base64.b64encode(b"\0" * shift + plain)
        found.add(encoded[4 if shift else 0:-4])
        found.add(base64.urlsafe_b64encode(b"\0" * shift + plain)[4 if shift else 0:-4])
    return sorted(found)


class Sought:
    """Secrets, by what they are called."""

    def __init__(self, secrets):
        self._forms = {name: forms(secret) for name, secret in secrets.items()}

    def within(self, content):
        """The names of those that stand in some bytes."""
        return {name for name, each in self._forms.items() if any(form in content for form in each)}

    def in_trace(self, path):
        """Sightings in a trace: set of ``(name, where)``; where is ``started PROGRAM``, ``written PATH`` or ``named``."""
        found = set()
        with open(path, "rb") as stream:
            for line in stream:
                names = self.within(line)
                if names:
                    found |= {(name, where) for name in names for where in _where(line.decode("utf-8", "replace"))}
        return found

    def in_files(self, tops, opener=None):
        """Sightings in files below directories, and in what is packed or encrypted in them: set of ``(name, path)``."""
        found = set()
        for top in tops:
            for folder, folders, names in os.walk(top):
                for each in folders + names:
                    found |= {(name, "the name of " + folder) for name in self.within(os.fsencode(each))}
                for each in names:
                    path = os.path.join(folder, each)
                    found |= {(name, path) for name in self._in_file(path, opener)}
        return found

    def _in_file(self, path, opener):
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):
                return set()
            with open(path, "rb") as stream:
                content = stream.read()
        except FileNotFoundError:
            return set()
        return self.within(content) | self.within(unpacked(content, opener))


def unpacked(content, opener=None):
    """What is in an archive that may be compressed and encrypted, or nothing; ``opener`` is a path of an identity of age."""
    if content.startswith(ENCRYPTED) and opener is not None:
        content = _filtered(["age", "-d", "-i", opener], content)
    for magic, argv in MAGIC.items():
        if content.startswith(magic):
            return _filtered(argv, content)
    return b""


def _filtered(argv, content):
    return subprocess.run(argv, input=content, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout


def _where(line):
    """What a line of a trace is about; none where that is no business of anybody."""
    if STARTS.search(line):
        program = re.search(r'execve(?:at)?\((?:[^"]*)"([^"]*)"', line)
        return ["started " + (os.path.basename(program.group(1)) if program else "?")]
    written = WRITES.search(line)
    if written:
        return [] if NO_FILE.match(written.group(2)) else ["written " + written.group(2)]
    return ["named"]


def traced(argv, record, environment, tmp, text=None):
    """Runs a command under a trace, with a /tmp of its own that is seen at ``tmp``; returns ``(status, what it said)``."""
    inside = 'mount --bind "$1" /tmp && shift && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", inside, "sh", tmp, "strace", "-f", "-q", "-y", "-v", "-s", "4000000", "--seccomp-bpf",
         "-e", "trace=" + CALLS, "-e", "signal=none", "-o", record, "--"] + list(argv),
        input=(text or "").encode("utf-8"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd="/",
        check=False, timeout=180)
    return done.returncode, done.stdout
