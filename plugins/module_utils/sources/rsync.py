# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls rsync(1), and understands what it says.

It is given descriptors instead of paths: its current directory is the source, and what it writes to it finds by
``/proc/self/fd``. So nobody can put another directory in the place of either of them. What it says has names with
everything but printable ASCII escaped as ``\\#ooo`` (rsync(1), ``--8-bit-output``), so a message is a line.
"""

from __future__ import annotations

import collections
import os
import re
import shutil
import subprocess
import tempfile

from ..system import files
from ..system.errors import AppStateError, SourceError, SpaceError
from ..system.process import die_with_parent

# --safe-links with level 1 of NAME: without it rsync does not say which links it leaves out.
USUAL = ["-a", "--numeric-ids", "--safe-links", "--no-specials", "--no-devices", "--no-human-readable",
         "--out-format=change %i", "--info=NAME1,SYMSAFE1,NONREG1,STATS2", "--debug=FILTER1"]
VANISHED, INCOMPLETE = 24, 23
TAIL = 2000
MOST_SAID = 4 * 1024 * 1024
MOST_TOLD = 1000

_HIDDEN = re.compile(br"\[sender\] hiding \S+ .* because of pattern (.*)\Z")
_SPECIAL = re.compile(br'skipping non-regular file "(.*)"\Z')
_UNSAFE = re.compile(br'ignoring unsafe symlink "(.*)" -> "(.*)"\Z')
_COUNT = re.compile(br"Number of files: .*")
_TYPES = re.compile(br"(reg|dir|link): (\d+)")
_GONE = re.compile(br'file has vanished: "(.*)"\Z')
# Since 3.2 it says which of its processes complains; before, the sender could be told by what it was doing.
_OF_SENDER = re.compile(br"rsync: (?:\[sender\]|send_files|opendir|readlink_stat|link_stat|readdir|read errors mapping)")
_FAILED = re.compile(br'rsync: .*?"(.*)"(?: \(in .*\))?(?: failed)?: (.*) \(\d+\)\Z')
_ESCAPED = re.compile(br"\\#([0-7]{3})")


class Heard:
    """What one call of rsync said.

    Attributes:
        changed: whether it changed anything, or would have.
        hidden: from each pattern for which it left something out to how often.
        specials, unsafe: paths below the source of sockets and the like, and ``(path, target)`` of links that lead out;
            the first thousand of each.
        special_count, unsafe_count: how many there were.
        vanished: paths, as rsync shows them.
        unreadable: ``(path, reason)`` likewise.
        entries: how many files, directories and links it went through, or None.
    """

    def __init__(self):
        self.changed = False
        self.hidden = collections.Counter()
        self.specials = []
        self.special_count = 0
        self.unsafe = []
        self.unsafe_count = 0
        self.vanished = []
        self.unreadable = []
        self.entries = None


class Rsync:
    """rsync for one source.

    Args:
        source: descriptor of the directory.
        patterns: bytes, of what is left out, as ``pattern_of`` gives them.
        nanoseconds: whether the destination keeps times to the nanosecond, so that they can be compared.
    """

    def __init__(self, source, patterns, nanoseconds):
        self._source = source
        self._options = USUAL + (["--modify-window=-1"] if nanoseconds else [])
        self._options.extend(b"--filter=- " + pattern for pattern in patterns)
        self._program = find_program()

    def start_comparison(self, earlier):
        """Starts to look for differences between the source and an earlier copy.

        Returns:
            A Call, whose ``listen(until_change=True)`` waits for the answer, and which has to be ended.
        """
        return Call([self._program, "--dry-run"] + self._options + ["./", _place(earlier)], self._source, [earlier])

    def copy(self, generation, name, earlier=None):
        """Copies the source into a new directory; what is as in an earlier copy becomes a hard link to it.

        Args:
            generation: descriptor of the directory that the new one will be in; stays open in rsync until it has ended.
            name: of the new directory.
            earlier: descriptor of the earlier copy.

        Raises:
            SpaceError, AppStateError: it failed; what it wrote is no copy.
        """
        links = [] if earlier is None else ["--link-dest=" + _place(earlier)]
        call = Call([self._program] + self._options + links + ["./", _place(generation) + name + "/"], self._source,
                    [generation] + ([] if earlier is None else [earlier]))
        try:
            return call.listen()
        finally:
            call.end()


class Call:
    """A running rsync."""

    def __init__(self, argv, source, kept):
        self._said = tempfile.TemporaryFile()
        parent = os.getpid()
        self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function,subprocess-popen-preexec-fn
            argv, cwd="/proc/self/fd/%d" % source, pass_fds=kept, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self._said,
            # Or it would go on writing what the next run already removes.
            preexec_fn=lambda: die_with_parent(parent),
            # Nothing of ours: RSYNC_ variables would change what it does.
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"})

    def listen(self, until_change=False):
        """What was Heard, at its end; None at the first change, or where it was no clean end, where one asks for that."""
        heard = Heard()
        for line in self._process.stdout:
            _hear(heard, line.rstrip(b"\n"))
            if until_change and heard.changed:
                return None
        status = self._process.wait()
        if until_change and status:
            return None
        self._judge(status, heard)
        return heard

    def end(self):
        """Ends it where it still runs."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def _judge(self, status, heard):
        """Notes what the copy lacks; raises what makes it none."""
        self._said.seek(0)
        said = self._said.read(MOST_SAID)
        troubles = [line for line in said.splitlines() if line.startswith(b"rsync: ")]
        if not status:
            return
        if status not in (VANISHED, INCOMPLETE) or not all(_OF_SENDER.match(line) for line in troubles):
            raise self._failure(status, said)
        heard.vanished = [unescaped(match.group(1)) for match in map(_GONE.match, said.splitlines()) if match]
        for line in troubles:
            match = _FAILED.match(line)
            heard.unreadable.append((unescaped(match.group(1)), match.group(2).decode("ascii", "replace")) if match
                                    else (b"", line.decode("ascii", "replace")))
        if status == INCOMPLETE and not heard.unreadable:
            raise self._failure(status, said)

    @staticmethod
    def _failure(status, said):
        text = "; ".join(said[-TAIL:].decode("utf-8", "replace").splitlines())
        if b"(28)" in said or b"(122)" in said:  # ENOSPC, EDQUOT
            return SpaceError("no space left for the copy that rsync makes: %s" % text,
                              remedy="Free some space at the destination")
        return AppStateError("rsync ended with status %d: %s" % (status, text or "it said nothing"),
                             remedy="See rsync(1), EXIT VALUES")


def find_program():
    """The path of rsync; SourceError where the host has none."""
    program = shutil.which("rsync")
    if program is None:
        raise SourceError("'method: rsync' needs rsync, and this host has none", remedy="Install the package rsync")
    return program


def _place(descriptor):
    return "/proc/self/fd/%d/" % descriptor


def _hear(heard, line):
    if line.startswith(b"change "):
        heard.changed = True
        return
    hidden, special, unsafe = _HIDDEN.match(line), _SPECIAL.match(line), _UNSAFE.match(line)
    if hidden:
        heard.hidden[unescaped(hidden.group(1))] += 1
    elif special:
        heard.special_count += 1
        if heard.special_count <= MOST_TOLD:
            heard.specials.append(unescaped(special.group(1)))
    elif unsafe:
        heard.unsafe_count += 1
        if heard.unsafe_count <= MOST_TOLD:
            heard.unsafe.append((unescaped(unsafe.group(1)), unescaped(unsafe.group(2))))
    elif _COUNT.match(line):
        heard.entries = sum(int(number) for unused, number in _TYPES.findall(line))


def unescaped(said):
    """The bytes of a name that rsync shows."""
    return _ESCAPED.sub(lambda match: bytes([int(match.group(1), 8) & 0xff]), said)


def literal(path):
    """The pattern, in bytes, that matches one path below the source, and nothing else."""
    return b"/" + (_quoted(path) if re.search(br"[*?[]", path) else path)


def pattern_of(text):
    """An operator's pattern, which means what ``sources.files`` says, as rsync has it; None for one that matches nothing.

    There ``*`` goes beyond slashes where the pattern has any, and a set begins with ``!`` where it is negated. ``?`` and
    sets stand for a byte here, and for a character there.
    """
    inner = files.as_bytes(text).strip(b"/")
    if not inner:
        return None
    anchored = b"/" in files.as_bytes(text).rstrip(b"/")
    if not re.search(br"[*?[]", inner):
        return b"/" + inner if anchored else inner
    return (b"/" if anchored else b"") + b"".join(_translated(inner, b"**" if anchored else b"*"))


def _translated(inner, star):
    at = 0
    while at < len(inner):
        one = inner[at:at + 1]
        at += 1
        if one == b"*":
            while inner[at:at + 1] == b"*":
                at += 1
            yield star
        elif one == b"?":
            yield one
        elif one == b"[":
            end = _end_of_set(inner, at)
            yield b"\\[" if end is None else _set(inner[at:end])
            at = at if end is None else end + 1
        else:
            yield _quoted(one)


def _end_of_set(inner, at):
    """Where the set that begins before ``at`` ends, as fnmatch(3) has it; None where it does not end."""
    start = at + 1 if inner[at:at + 1] == b"!" else at
    end = inner.find(b"]", start + 1)
    return None if end < 0 else end


def _set(inside):
    negated = inside.startswith(b"!")
    return (b"[!" if negated else b"[") + re.sub(br"([^-0-9A-Za-z])", br"\\\1", inside[1 if negated else 0:]) + b"]"


def _quoted(text):
    return re.sub(br"([\\*?[])", br"\\\1", text)
