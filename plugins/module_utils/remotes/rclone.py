# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls rclone(1) for one Place.

What rclone has to know of that, credentials among it, is a configuration that stands in no directory: rclone inherits it
as an open file in memory (mode 0600), which ends with it. Nothing secret is in its arguments or its environment, and what
it says is cleared of the values before anybody sees it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from urllib.parse import quote

from ..remote import secrets_of
from ..system.errors import AppStateError, RemoteError
from ..system.files import in_memory, read_all
from ..system.process import as_program, end_program
from .complaints import NOT_FOUND, explain, messages_of

# With the last one, a file here is called what a listing calls its object (rclone(1), "Restricted filenames").
USUAL = ["--ask-password=false", "--use-json-log", "--log-level=NOTICE", "--stats-log-level=NOTICE", "--retries=1",
         "--low-level-retries=5", "--contimeout=30s", "--timeout=5m",
         "--local-encoding=Slash,Ctl,Del,Dot"]
# Those that Python knows, too: a directory of this host would work out a dozen of them.
HASHES = ["--hash", "--hash-type=md5", "--hash-type=sha1", "--hash-type=sha256"]
# Listing a catalog reads many small files at a time.
MANY = ["--transfers=16", "--checkers=16"]
# Without these a bucket that has vanished would silently be made anew, with nothing in it; and each call by SFTP would look
# which shell there is, and try for nine seconds to note that down in the configuration.
UNLESS_TOLD = {"s3": ("no_check_bucket", "true"), "google cloud storage": ("no_check_bucket", "true"),
               "sftp": ("shell_type", "none")}
TAIL = 8000


class Rclone:
    """rclone, for one Place.

    Args:
        place: a ``remote.Place``.
        title: what messages call it.
        bandwidth: ``--bwlimit`` of what transfers much, or None.
    """

    def __init__(self, place, title, bandwidth=None):
        self.place = place
        self.title = title
        self._limit = [] if bandwidth is None else ["--bwlimit=" + bandwidth]
        if shutil.which("rclone") is None:
            raise AppStateError("%s needs rclone, which is not installed on this host" % title,
                                remedy="Install the package 'rclone'")

    def require(self):
        """Raises RemoteError where the place itself is not there: it is never made, since what is missing can be a disk that
        is not mounted, or a bucket that somebody has removed."""
        if self.listing("") is None:
            raise RemoteError("%s: %s does not exist" % (self.title, self.place.remote),
                              remedy="Create that bucket or directory first, or correct 'remote'")

    def listing(self, path):
        """Name to size (bytes) of the files in a directory, those below it not among them; None where it is not there."""
        words = ["lsjson", "--files-only", "--no-modtime", "--no-mimetype", self.place.at(path)]
        told = self._asked(words)
        return None if told is None else {each["Name"]: each["Size"] for each in told}

    def tree(self, path, hashes=False):
        """The files in a directory and all below it, as dictionaries with ``Path``, ``Size`` and perhaps ``Hashes``; None
        where it is not there."""
        words = ["lsjson", "--recursive", "--files-only", "--no-modtime", "--no-mimetype"]
        told = self._asked(words + (HASHES if hashes else []) + [self.place.at(path)])
        # A directory below that goes in the middle gives the same status as a place that is not there.
        if told is None and self.listing(path) is not None:
            error = RemoteError("%s: something went away while it was listed" % self.title, path=self.place.at(path),
                                remedy="Try once more, when nobody removes directories there")
            error.lasting = False
            raise error
        return told

    def stat(self, path, hashes=True):
        """``{"Size", "Hashes"}`` of one file, or None where it is not there; ``Hashes`` is from algorithm to digest.

        Args:
            hashes: whether they are asked for: some places have to read the whole file for that.
        """
        told = self._asked(["lsjson", "--stat", "--no-modtime"] + (HASHES if hashes else []) + [self.place.at(path)])
        return None if not told or told["IsDir"] else {"Size": told["Size"], "Hashes": told.get("Hashes") or {}}

    def _asked(self, words):
        with tempfile.TemporaryFile() as answer:
            with Call(self.place, self.title, words, stdout=answer) as call:
                if call.wait() in NOT_FOUND:
                    return None
                call.check()
            answer.seek(0)
            text = answer.read().strip()
        try:
            return json.loads(text.decode("utf-8", "surrogateescape")) if text else None
        except ValueError:
            raise RemoteError("%s: what rclone answers cannot be understood" % self.title)

    def put(self, source, path, on_bytes=None):
        """Copies a file of this host, by its path, to one there; nothing is compared before, so it need not be readable."""
        self._run(["copyto", "--no-check-dest", "--ignore-times"] + self._limit + [source, self.place.at(path)],
                  on_bytes=on_bytes)

    def put_bytes(self, data, path):
        """Writes a small file."""
        with tempfile.TemporaryFile() as content:
            content.write(data)
            content.seek(0)
            self._run(["rcat", self.place.at(path)], stdin=content)

    def get_bytes(self, path, most):
        """The content of a small file; nothing where it is not there.

        Raises:
            AppStateError: it is larger than ``most`` bytes.
        """
        with tempfile.TemporaryFile() as answer:
            with Call(self.place, self.title, ["cat", "--count=%d" % (most + 1), self.place.at(path)], stdout=answer) as call:
                if call.wait() in NOT_FOUND:
                    return b""
                call.check()
            answer.seek(0)
            return read_all(answer.fileno(), most)

    def fetch(self, path, pattern, most, directory):
        """Copies the files whose names match a pattern, and that are no larger than ``most`` bytes, out of one directory into
        another one of this host."""
        self._run(["copy", "--max-depth=1", "--include=/" + pattern, "--max-size=%dB" % most, "--ignore-times",
                   "--use-server-modtime"] + MANY + [self.place.at(path), directory])

    def download(self, path):
        """Begins to read a file; returns a Download."""
        return Download(self.place, self.title, ["cat"] + self._limit + [self.place.at(path)])

    def copy_within(self, path, to):
        """Copies one file there to another name there, by itself where the other side can do that."""
        self._run(["copyto", "--no-check-dest", "--ignore-times"] + self._limit + [self.place.at(path), self.place.at(to)])

    def delete(self, path):
        """Removes a file; returns whether it was there."""
        if self.stat(path, hashes=False) is None:
            return False
        self._run(["deletefile", self.place.at(path)])
        return True

    def purge(self, path):
        """Removes a directory with all below it; nothing there is fine."""
        if self.listing(path) is not None:
            self._run(["purge", self.place.at(path)])

    def run(self, words, on_bytes=None):
        """Any other call that transfers much, to its end."""
        self._run(list(words) + self._limit, on_bytes=on_bytes)

    def _run(self, words, stdin=None, stdout=None, on_bytes=None):
        with Call(self.place, self.title, words, stdin, stdout, on_bytes) as call:
            call.wait()
            call.check()


class Call:
    """A running rclone. Use it as a context manager, so that none is left over.

    Args:
        words: its arguments.
        stdin, stdout: open files; none reads and writes nothing.
        on_bytes: called with the number of bytes that were transferred since the last time.
    """

    def __init__(self, place, title, words, stdin=None, stdout=None, on_bytes=None):
        self._place = place
        self._title = title
        self._on_bytes = on_bytes
        # Parts of paths, short ones aside, which may be anything.
        self._names = {part for word in words if not word.startswith("--") for part in re.split("[/:]", word) if len(part) > 3}
        self._done = 0
        self._kept = b""
        config = _configuration(place)
        told = place.config_file or "/proc/self/fd/%d" % config
        argv = ["rclone"] + USUAL + ["--config=" + told, "--stats=%s" % ("500ms" if on_bytes else "0")] + list(words)
        try:
            self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function,subprocess-popen-preexec-fn
                argv, stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=subprocess.DEVNULL if stdout is None else stdout, stderr=subprocess.PIPE, pass_fds=[config],
                # Nothing of ours: RCLONE_ variables would change what it does.
                env={name: value for name, value in os.environ.items() if not name.startswith("RCLONE_")},
                # What it writes on this host, on another disk, is for nobody else.
                preexec_fn=as_program(None))
        finally:
            os.close(config)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()
        self._process.stderr.close()

    @property
    def stdout(self):
        """Where it writes to, if that is a pipe."""
        return self._process.stdout

    def _listen(self):
        for line in self._process.stderr:
            if line.startswith(b"{") and b'"stats"' in line:
                self._progress(line)
            else:
                self._kept = (self._kept + line)[-TAIL:]

    def _progress(self, line):
        try:
            done = json.loads(line.decode("utf-8", "replace"))["stats"]["bytes"]
        except (ValueError, KeyError, TypeError):
            return
        if self._on_bytes is not None and done > self._done:
            self._on_bytes(done - self._done)
            self._done = done

    def wait(self):
        """Its exit status."""
        try:
            self._process.wait(self._place.timeout)
        except subprocess.TimeoutExpired:
            self.stop()
            raise RemoteError("%s: rclone did not end within %g s and was killed" % (self._title, self._place.timeout),
                              remedy="Give it more time by 'timeout'")
        self._listener.join()
        return self._process.returncode

    def check(self):
        """Raises what a call that has ended with another status than 0 means."""
        if self._process.returncode:
            raise explain(self._cleared(), self._process.returncode, self._title, self._names)

    def _cleared(self):
        """What it said, without secrets: as they are, and as they stand in JSON or in a URL."""
        text = "\n".join(messages_of(self._kept.decode("utf-8", "replace")))
        for secret in sorted(secrets_of(self._place.options), key=len, reverse=True):
            for shape in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret, ""), quote(secret)):
                text = text.replace(shape, "********")
        return text.splitlines()

    def stop(self):
        """Ends it where it still runs."""
        end_program(self._process)
        self._listener.join()


class Download:
    """A file on its way here, as something to read from."""

    def __init__(self, place, title, words):
        self._call = Call(place, title, words, stdout=subprocess.PIPE)
        self.fileno = self._call.stdout.fileno

    def complaint(self):
        """After the last byte: the AppStateError of what went wrong, or None."""
        try:
            self._call.wait()
            self._call.check()
            return None
        except AppStateError as error:
            return error

    def stop(self):
        """Ends it, in the middle if need be."""
        self._call.stop()

    def close(self):
        """Lets go of it."""
        self._call.stop()
        self._call.stdout.close()
        self._call.__exit__()


def _configuration(place):
    """A descriptor of rclone's configuration for a place, in a file that is in no directory."""
    lines, options = [], dict(place.options)
    if options:
        if options["type"] in UNLESS_TOLD:
            options.setdefault(*UNLESS_TOLD[options["type"]])
        # In back quotes, nothing in a value means anything.
        lines = ["[%s]\n" % place.section] + ["%s = `%s`\n" % option for option in options.items()]
    return in_memory("rclone.conf", "".join(lines).encode("utf-8"))
