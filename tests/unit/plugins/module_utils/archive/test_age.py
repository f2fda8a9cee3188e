# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encryption by the real age: what it writes is read, what is wrong is noticed, and nobody sees a secret key."""

from __future__ import annotations

import base64
import os
import signal
import struct
import subprocess
import tempfile

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.archive import age, streams
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, ArchiveError, IdentityError, SpaceError)
from ansible_collections.appstate.backup.tests.unit.plugins.form import sampled
from ansible_collections.appstate.backup.tests.unit.plugins.leftovers import child, children, nothing_left, shown, within
# Fixtures: pytest finds them by their names in this file.
from ansible_collections.appstate.backup.tests.unit.plugins.live_databases import place, small_disk  # noqa: F401  # pylint: disable=unused-import

STRIDE = sampled(13)
KINDS = ["gzip", "zstd"]


@pytest.fixture(scope="module")
def pairs():
    """Three pairs of keys: (identity, recipient)."""
    return [age.make_pair() for unused in range(3)]


@pytest.fixture
def file():
    """A temporary file."""
    with tempfile.TemporaryFile() as made:
        yield made


def write(file, content, recipients, kind="gzip"):
    """Makes a file an encrypted stream."""
    file.seek(0)
    file.truncate()
    stream = streams.writer(kind, file.fileno(), recipients)
    for start in range(0, len(content), 100000):
        stream.write(content[start:start + 100000])
    stream.close()


def read(file, identity, piece=65536):
    """All plain bytes of it."""
    stream = streams.open_plain(file.fileno(), identity)
    try:
        return b"".join(iter(lambda: stream.read(piece), b""))
    finally:
        stream.close()


class SshPair:
    """A pair of ed25519 keys as OpenSSH writes them; ``locked`` by a passphrase that nobody knows, or not."""

    def __init__(self, locked=False):
        def openssl(*words, **more):
            return subprocess.run(("openssl",) + words, stdout=subprocess.PIPE, check=True, **more).stdout
        made = openssl("genpkey", "-algorithm", "ed25519", "-outform", "DER")
        public = openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", input=made)[-32:]
        blob = _text(b"ssh-ed25519") + _text(public)
        inner = b"1234" * 2 + blob + _text(made[-32:] + public) + _text(b"comment")
        inner += bytes(range(1, 1 + -len(inner) % 8))
        lock = _text(b"aes256-ctr") + _text(b"bcrypt") + _text(_text(b"s" * 16) + struct.pack(">I", 16)) if locked else \
            _text(b"none") * 2 + _text(b"")
        whole = b"openssh-key-v1\0" + lock + struct.pack(">I", 1) + _text(blob) + _text(inner)
        lines = base64.encodebytes(whole).decode()
        self.identity = "-----BEGIN OPENSSH PRIVATE KEY-----\n%s-----END OPENSSH PRIVATE KEY-----\n" % lines
        self.recipient = "ssh-ed25519 %s someone@host" % base64.b64encode(blob).decode()


def _text(data):
    return struct.pack(">I", len(data)) + data


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [b"", b"x", os.urandom(1500000) + bytes(3000000)], ids=len)
def test_what_was_written_is_read(file, pairs, kind, content):
    with nothing_left():
        write(file, content, [pairs[0][1]], kind)
        assert read(file, pairs[0][0]) == content
    file.seek(0)
    start = file.read(1 << 20)
    assert age.is_encrypted(start) and (len(content) < 1000 or content[:1000] not in start)


@pytest.mark.parametrize("kind", KINDS)
def test_age_itself_reads_it_and_is_read(file, pairs, kind, tmp_path):
    write(file, b"content" * 1000, [pairs[0][1]], kind)
    (tmp_path / "key").write_text(pairs[0][0], encoding="ascii")
    file.seek(0)
    opened = subprocess.run(["age", "--decrypt", "--identity", str(tmp_path / "key")], stdin=file, stdout=subprocess.PIPE, check=True).stdout
    assert subprocess.run([kind, "-dc"], input=opened, stdout=subprocess.PIPE, check=True).stdout == b"content" * 1000
    for armor in ([], ["--armor"]):
        made = subprocess.run(["age", "--recipient", pairs[0][1]] + armor, input=opened, stdout=subprocess.PIPE, check=True).stdout
        file.seek(0)
        file.truncate()
        file.write(made)
        file.flush()
        assert read(file, pairs[0][0]) == b"content" * 1000


@pytest.mark.parametrize("kind", KINDS)
def test_each_of_several_recipients_opens_it(file, pairs, kind):
    write(file, b"content", [pairs[0][1], pairs[1][1]], kind)
    assert read(file, pairs[0][0]) == read(file, pairs[1][0]) == b"content"
    assert read(file, pairs[2][0] + "\n# another one\n" + pairs[1][0]) == b"content"
    with pytest.raises(IdentityError):
        read(file, pairs[2][0])


def test_keys_of_ssh(file, pairs):
    ssh, other = SshPair(), SshPair()
    write(file, b"content", [pairs[0][1], ssh.recipient])
    assert read(file, ssh.identity) == read(file, ssh.identity.rstrip("\n")) == read(file, pairs[0][0]) == b"content"
    with pytest.raises(IdentityError, match="belongs to none of the recipients"):
        read(file, other.identity)


def test_a_key_with_a_passphrase_is_asked_of_nobody(file):
    locked = SshPair(locked=True)
    write(file, b"content", [locked.recipient])
    with nothing_left(), pytest.raises(IdentityError, match="no secret key that age can use. Give the text that age-keygen printed, or an SSH key "
                                                            "without a passphrase"):
        within(20, lambda: read(file, locked.identity))


@pytest.mark.parametrize("kind", KINDS)
def test_an_identity_that_is_not_that_of_a_recipient(file, pairs, kind):
    write(file, os.urandom(300000), [pairs[0][1]], kind)
    with nothing_left(), pytest.raises(IdentityError) as caught:
        read(file, pairs[1][0])
    assert str(caught.value) == "the identity does not open it: it belongs to none of the recipients. Give the secret key of one of the " \
        "recipients that its manifest names."


@pytest.mark.parametrize("identity", [None, "", " \n\t"])
def test_without_an_identity(file, pairs, identity):
    write(file, b"content", [pairs[0][1]])
    with nothing_left(), pytest.raises(IdentityError, match="is encrypted, and no identity was given. Give the secret key .*'identity_file'.*--identity"):
        read(file, identity)


@pytest.mark.parametrize("identity", [
    "CANARY", "AGE-SECRET-KEY-1CANARY", "# only a comment: CANARY", "-----BEGIN OPENSSH PRIVATE KEY-----\nCANARY\n-----END OPENSSH PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", "CANARY\0\x01", "CANARY\ud800",
    "CANARY" * 100000, "AGE-PLUGIN-CANARY-1QQQQQQQ"], ids=lambda text: text[:30].encode("ascii", "replace").decode())
def test_an_identity_that_is_none(file, pairs, identity):
    write(file, b"content", [pairs[0][1]])
    with nothing_left(), pytest.raises(IdentityError) as caught:
        read(file, identity)
    assert "what was given as the identity is no secret key that age can use" in str(caught.value)
    assert "CANARY" not in str(caught.value)


def test_every_cut_and_every_flipped_byte_is_noticed(tools, pairs, tmp_path):
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "a").write_bytes(b"content")
    tools.archive_tree(str(tmp_path / "top"), str(tmp_path / "plain"))
    plain = (tmp_path / "plain").read_bytes()
    assert not problems(tools, plain, None)
    whole = subprocess.run(["age", "-r", pairs[0][1], "-r", pairs[1][1]], input=plain, stdout=subprocess.PIPE, check=True).stdout
    assert not problems(tools, whole, pairs[0][0])
    with nothing_left():
        for place in list(range(0, len(whole), STRIDE)) + [len(whole) - 1]:
            flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:]
            assert problems(tools, whole[:place], pairs[0][0]), place
            assert problems(tools, flipped, pairs[0][0]), place
        for after in (b"x", b"\0", whole):
            assert problems(tools, whole + after, pairs[0][0])


def problems(tools, data, identity):
    """What a reading of an archive finds; ``tools.read`` with an identity."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            contents = tools.read_origin(tools.origin(file.fileno(), identity))
        except IdentityError as error:
            return [str(error)]  # Of the lines of its header, the one for this identity is gone.
        contents.lines.close()
        return contents.problems


@pytest.mark.parametrize("kind", KINDS)
def test_age_that_dies_while_it_writes(file, pairs, kind):
    with nothing_left():
        stream = streams.writer(kind, file.fileno(), [pairs[0][1]])
        stream.write(os.urandom(300000))
        os.kill(child("age"), signal.SIGKILL)
        with pytest.raises(AppStateError, match="^age failed: "):
            for unused in range(100):
                stream.write(os.urandom(1 << 20))
            stream.close()
        stream.abort()


@pytest.mark.parametrize("kind", KINDS)
def test_age_that_dies_before_the_end(file, pairs, kind):
    """All was passed on, and waits in the pipe."""
    with nothing_left():
        stream = streams.writer(kind, file.fileno(), [pairs[0][1]])
        stream.write(b"content")
        os.kill(child("age"), signal.SIGKILL)
        with pytest.raises(AppStateError, match="^age failed: "):
            stream.close()
        stream.abort()


def test_a_compressor_that_dies_while_age_writes(file, pairs):
    with nothing_left():
        stream = streams.writer("zstd", file.fileno(), [pairs[0][1]])
        os.kill(child("zstd"), signal.SIGKILL)
        with pytest.raises(AppStateError, match="zstd"):
            for unused in range(100):
                stream.write(os.urandom(1 << 20))
            stream.close()
        stream.abort()


@pytest.mark.parametrize("kind", KINDS + ["plain"])
def test_age_that_dies_while_it_reads(file, tools, pairs, kind):
    content = os.urandom(12 << 20)
    packed = tools.compressed(content, kind)
    file.write(subprocess.run(["age", "-r", pairs[0][1]], input=packed, stdout=subprocess.PIPE, check=True).stdout)
    file.flush()
    with nothing_left():
        stream = streams.open_plain(file.fileno(), pairs[0][0])
        assert stream.read(1000) == content[:1000]
        os.kill(child("age"), signal.SIGKILL)
        with pytest.raises(ArchiveError, match="the archive cannot be decrypted: it said nothing"):
            for unused in iter(lambda: stream.read(65536), b""):
                pass
        stream.close()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_aborted_or_left_early_leaves_nothing(file, pairs, kind):
    with nothing_left():
        stream = streams.writer(kind, file.fileno(), [pairs[0][1]])
        stream.write(os.urandom(3 << 20))
        stream.abort()
    write(file, os.urandom(12 << 20), [pairs[0][1]], kind)
    with nothing_left():
        stream = streams.open_plain(file.fileno(), pairs[0][0])
        assert len(stream.read(10)) == 10
        stream.close()
        stream.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_told(pairs, small_disk, kind):
    with open(os.path.join(small_disk, "x") if os.geteuid() == 0 else "/dev/full", "wb", buffering=0) as full, nothing_left():
        stream = streams.writer(kind, full.fileno(), [pairs[0][1]])
        with pytest.raises(SpaceError, match="no space left for the archive. Free some space at the destination"):
            for unused in range(40):
                stream.write(os.urandom(1 << 18))
            stream.close()
        stream.abort()


def test_a_recipient_that_is_none(file):
    with nothing_left():
        stream = streams.writer("gzip", file.fileno(), ["age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqq"])
        with pytest.raises(AppStateError, match="age failed: .*Look at the 'recipients' of 'encryption'"):
            for unused in range(100):
                stream.write(os.urandom(1 << 18))
            stream.close()
        stream.abort()


def test_nobody_sees_an_identity(file, pairs):
    write(file, os.urandom(12 << 20), [pairs[0][1]], "zstd")
    stream = streams.open_plain(file.fileno(), pairs[0][0])
    stream.read(10)
    pid = child("age")
    secret = next(line for line in pairs[0][0].splitlines() if line.startswith("AGE-SECRET-KEY-")).encode()
    for each in children():
        assert secret not in shown(each, "cmdline") + shown(each, "environ")
    inherited = {os.readlink("/proc/%d/fd/%s" % (pid, name)) for name in os.listdir("/proc/%d/fd" % pid)}
    assert "/memfd:identity (deleted)" in inherited
    assert os.stat("/proc/%d/fd/%s" % (pid, shown(pid, "cmdline").decode().split("/")[-1].rstrip("\0"))).st_mode & 0o777 == 0o600
    # Nor has who decompresses any of it.
    packer = child("zstd")
    assert not [name for name in os.listdir("/proc/%d/fd" % packer) if "identity" in os.readlink("/proc/%d/fd/%s" % (packer, name))]
    stream.close()


def test_pairs_are_new_ones(pairs):
    assert len(set(pairs)) == 3
    for identity, recipient in pairs:
        assert "AGE-SECRET-KEY-1" in identity and recipient.startswith("age1")


def test_a_host_without_age_says_so(file, pairs, monkeypatch, tmp_path):
    write(file, b"content", [pairs[0][1]])
    monkeypatch.setenv("PATH", str(tmp_path))
    for step in (lambda: read(file, pairs[0][0]), lambda: write(file, b"", [pairs[0][1]]), age.make_pair):
        with nothing_left(), pytest.raises(AppStateError, match="age is not installed on this host. Install the package 'age'"):
            step()


def test_files_with_an_identity(tmp_path):
    path = tmp_path / "key"
    path.write_text("AGE-SECRET-KEY-1X\n", encoding="ascii")
    assert age.read_identity(str(path)) == "AGE-SECRET-KEY-1X\n"
    with pytest.raises(IdentityError, match="none: the file with the identity cannot be read: No such file"):
        age.read_identity(str(tmp_path / "none"))
    with pytest.raises(IdentityError, match="cannot be read: Is a directory"):
        age.read_identity(str(tmp_path))
    for content in (b"\xff\xfe", b"x" * (age.IDENTITY_MOST + 1)):
        path.write_bytes(content)
        with nothing_left(), pytest.raises(IdentityError, match="is no file with an identity. Name the file that age-keygen wrote"):
            age.read_identity(str(path))
