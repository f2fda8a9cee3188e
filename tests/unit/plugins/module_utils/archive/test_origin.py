# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives out of files and out of streams, whose senders fail in every way they can."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive import age
from ansible_collections.appstate.backup.plugins.module_utils.archive.members import new_digest
from ansible_collections.appstate.backup.plugins.module_utils.archive.origin import FileOrigin, StreamOrigin
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, ArchiveError, IdentityError, RemoteError)
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import child, nothing_left, within

KINDS = ["plain", "gzip", "zstd"]
ENCRYPTED = [kind + age.ENDING for kind in ("gzip", "zstd")]
PATIENCE = 30


class Sender:
    """A real process that sends what a shell command prints, and fails as that does."""

    started = 0

    def __init__(self, command):
        Sender.started += 1
        self._process = subprocess.Popen(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
        self.fileno = self._process.stdout.fileno

    def complaint(self):
        status = self._process.wait()
        return RemoteError("the sender failed with status %d" % status) if status else None

    def stop(self):
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def close(self):
        self.stop()
        self._process.stdout.close()


class Archive:
    """An archive in a file, and all ways to send it."""

    def __init__(self, tools, path, kind, pair, size=3 << 20):
        top = str(path / "top")
        os.mkdir(top)
        self.large = os.urandom(size)
        for name, content in (("a", b"content"), ("b", self.large), ("c", b"end")):
            with open(os.path.join(top, name), "wb") as file:
                file.write(content)
        packed, unused, encrypted = kind.partition(".")
        self.identity = pair[0] if encrypted else None
        self.name = "x.tar." + kind
        self._path = str(path / self.name)
        plain = str(path / "plain.gz")
        tools.archive_tree(top, plain)
        data = subprocess.run(["gzip", "-dc", plain], stdout=subprocess.PIPE, check=True).stdout
        self._recipient = pair[1] if encrypted else None
        self.replace(tools.compressed(data, packed))

    def replace(self, data):
        """Other bytes, encrypted if it is."""
        if self._recipient is not None:
            data = subprocess.run(["age", "-r", self._recipient], input=data, stdout=subprocess.PIPE, check=True).stdout
        with open(self._path, "wb") as file:
            file.write(data)
        self.size = len(data)

    def digest(self):
        digest = new_digest()
        with open(self._path, "rb") as file:
            digest.update(file.read())
        return digest.hexdigest()

    def sent(self, command="cat %s", size=None):
        """A StreamOrigin of what a command makes of the file."""
        command = command.replace("%s", self._path)
        return StreamOrigin(lambda: Sender(command), self.name, self.size if size is None else size, self.identity)

    def open_file(self):
        return open(self._path, "rb")


@pytest.fixture(scope="module")
def pair():
    return age.make_pair()


@pytest.fixture(scope="module", params=KINDS + ENCRYPTED)
def archive(request, tools, pair, tmp_path_factory):
    return Archive(tools, tmp_path_factory.mktemp("origin"), request.param, pair)


@pytest.fixture(scope="module", params=["gzip", "zstd"] + ENCRYPTED)
def some(request, tools, pair, tmp_path_factory):
    """The kinds that the engine makes."""
    return Archive(tools, tmp_path_factory.mktemp("origin"), request.param, pair)


def drained(origin):
    """All plain bytes."""
    stream = origin.open()
    try:
        return b"".join(iter(lambda: stream.read(1 << 18), b""))
    finally:
        stream.close()


def read(tools, origin):
    """The Contents, within bounds; its list is closed."""
    contents = within(PATIENCE, lambda: tools.read_origin(origin))
    contents.lines.close()
    return contents


def test_a_file_and_a_stream_of_it_are_the_same(tools, archive):
    with nothing_left(), archive.open_file() as file:
        from_file, from_stream = FileOrigin(file.fileno(), archive.identity), archive.sent()
        assert from_file.size == from_stream.size == archive.size
        assert from_file.is_encrypted is from_stream.is_encrypted is (archive.identity is not None)
        assert from_file.hexdigest() == from_stream.hexdigest() == archive.digest()
        for unused in range(2):  # As often as somebody wants to.
            one, other = read(tools, from_file), read(tools, from_stream)
            assert one.problems == other.problems == [] and one.count == other.count == 3
            assert one.digest == other.digest == archive.digest()
            assert one.bytes == other.bytes == len(archive.large) + 10


def test_an_archive_with_no_identity_for_it(tools, archive):
    if archive.identity is None:
        return
    identity, archive.identity = archive.identity, None
    with nothing_left():
        with pytest.raises(IdentityError, match="no identity was given"):
            within(PATIENCE, lambda: tools.read_origin(archive.sent()))
        assert archive.sent().hexdigest() == archive.digest()
    archive.identity = age.make_pair()[0]
    with nothing_left(), pytest.raises(IdentityError, match="belongs to none of the recipients"):
        within(PATIENCE, lambda: tools.read_origin(archive.sent()))
    archive.identity = identity


@pytest.mark.parametrize("command, expected", [
    ("head -c 1500000 %s; exit 3", "the sender failed with status 3"),
    ("exit 4", "the sender failed with status 4"),
    ("cat %s; exit 5", "the sender failed with status 5"),
    ("head -c 1500000 %s; kill -9 $$", "the sender failed with status -9"),
    ("head -c 1500000 %s", "bytes of the archive came less than its manifest says"),
    ("head -c -1 %s", "1 bytes of the archive came less than its manifest says"),
    ("true", "bytes of the archive came less than its manifest says"),
    ("cat %s; echo more", "5 bytes of the archive came more than its manifest says"),
    ("cat %s; yes | head -c 20000000", "of the archive came more than its manifest says"),
])
def test_a_sender_that_fails_is_the_reason(tools, archive, command, expected):
    with nothing_left():
        try:
            contents = read(tools, archive.sent(command))
            said = "; ".join(problem["problem"] for problem in contents.problems)
        except AppStateError as error:
            said = error.message
        # What comes too much, whoever reads may find before the end.
        assert said if "more than" in expected else expected in said
        with pytest.raises(AppStateError, match=expected):
            within(PATIENCE, archive.sent(command).hexdigest)


def test_what_no_decompressor_reads_belongs_to_the_file_all_the_same(tools, archive):
    """Nobody passes over a sender that fails after the last byte that a reader wants."""
    with nothing_left():
        stream = archive.sent("cat %s; exit 5").open()
        with pytest.raises(RemoteError, match="status 5"):
            while within(PATIENCE, lambda: stream.read(1 << 18)):
                pass
            stream.hexdigest()
        stream.close()


def test_a_sender_that_hangs_is_stopped(archive):
    with nothing_left():
        for command in ("head -c 1500000 %s; sleep 600", "cat %s; sleep 600"):
            stream = archive.sent(command).open()
            assert len(within(PATIENCE, lambda: stream.read(1000))) == 1000
            begun = time.monotonic()
            within(PATIENCE, stream.close)
            assert time.monotonic() - begun < 10


def test_who_waits_for_a_sender_that_is_stopped_is_told(archive):
    with nothing_left():
        senders = []

        def start():
            senders.append(Sender("head -c 1500000 %s; sleep 600" % archive._path))
            return senders[0]

        stream = StreamOrigin(start, archive.name, archive.size, archive.identity).open()
        stopper = threading.Timer(0.3, senders[0].stop)
        stopper.start()
        with pytest.raises(AppStateError, match="status -9"):
            while within(PATIENCE, lambda: stream.read(1 << 18)):
                pass
        stream.close()
        stopper.join()


def test_a_sender_that_cannot_be_started(some):
    def start():
        raise RemoteError("nobody is there")
    with nothing_left():
        for step in (StreamOrigin(start, some.name, 1, some.identity).open, StreamOrigin(start, some.name, 1).hexdigest):
            with pytest.raises(RemoteError, match="nobody is there"):
                step()


@pytest.mark.parametrize("program", ["age", "zstd"])
def test_a_program_in_the_middle_dies(some, program):
    if program == "zstd" and "zst" not in some.name or program == "age" and some.identity is None:
        return
    with nothing_left():
        stream = some.sent().open()
        assert len(stream.read(1000)) == 1000
        os.kill(child(program), signal.SIGKILL)
        with pytest.raises(ArchiveError, match="cannot be decrypted" if program == "age" else "cannot be decompressed"):
            while within(PATIENCE, lambda: stream.read(1 << 18)):
                pass
        stream.close()


@pytest.fixture(params=["gzip", "zstd"] + ENCRYPTED)
def broken(request, tools, pair, tmp_path):
    """An archive whose second header is broken, and which goes on for longer than all pipes hold."""
    made = Archive(tools, tmp_path, request.param, pair, 8 << 20)
    plain = drained(made.sent())
    place = plain.index(b"b" + b"\0" * 50)
    made.replace(tools.compressed(plain[:place] + b"\xff" * 512 + plain[place + 512:], request.param.partition(".")[0]))
    return made


def test_an_archive_that_nobody_can_read_on_is_told_and_does_not_hang(tools, broken):
    with nothing_left():
        contents = read(tools, broken.sent())
        assert contents.problems and contents.digest == broken.digest()
        with broken.open_file() as file:
            assert read(tools, FileOrigin(file.fileno(), broken.identity)).problems == contents.problems


def test_what_stands_after_the_end_of_the_tar(tools, some):
    size = some.size
    with some.open_file() as file:
        data = file.read()
    plain = drained(some.sent())
    some.replace(tools.compressed(plain + b"\0" * 10000 + b"x" + os.urandom(8 << 20), some.name.split(".")[2]))
    with nothing_left():
        contents = read(tools, some.sent())
        assert contents.problems and contents.digest == some.digest()
    with open(some._path, "wb") as file:
        file.write(data)
    some.size = size
