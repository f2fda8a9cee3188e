# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Members, their lines, and what a path or a link's target may be."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile

import pytest
from hypothesis import example, given, settings, strategies

from ansible_collections.appstate.backup.plugins.module_utils.archive.members import (
    DIRECTORY, FILE, HARD_LINK, LINK, Member, check_path, new_digest, parse_line, stays_inside)
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ArchiveError

NAMES = strategies.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name)
IDS = strategies.integers(0, 2 ** 32 - 2)
TEXT = strategies.text(strategies.characters(blacklist_categories=("Cs",)), max_size=20)


def members():
    """Any member that a file system can hold."""
    return strategies.builds(
        Member, path=NAMES, type=strategies.sampled_from((FILE, DIRECTORY, LINK)),
        size=strategies.integers(0, 2 ** 63), mode=strategies.integers(0, 0o7777), uid=IDS, gid=IDS, owner=TEXT,
        group=TEXT, mtime=strategies.integers(-2 ** 62, 2 ** 62),
        digest=strategies.none() | strategies.binary(min_size=32, max_size=32).map(bytes.hex),
        target=strategies.none() | NAMES)


def parts_of(member):
    """All that a member holds."""
    return [getattr(member, name) for name in Member.__slots__]


@settings(max_examples=50)
@given(members())
def test_a_line_gives_back_its_member(member):
    line = member.line()
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert parts_of(parse_line(line)) == parts_of(member)
    assert parse_line(line).line() == line


def test_a_name_that_is_not_utf_8_is_told_in_hexadecimal():
    told = json.loads(Member(b"caf\xe9", LINK, target=b"\xff").line())
    assert told["path_hex"] == "636166e9" and told["target_hex"] == "ff" and "path" not in told
    assert json.loads(Member("café".encode(), FILE).line())["path"] == "café"


GOOD = json.loads(Member(b"data/a", FILE, 3, digest="0" * 64).line())
WRONG = [("path", None), ("path", 5), ("path", ["a"]), ("path", "\ud800"), ("type", "fifo"), ("type", HARD_LINK),
         ("type", None), ("size", -1), ("size", True), ("size", 1.0), ("size", "3"), ("size", None), ("mode", 420),
         ("mode", "9999"), ("mode", "-644"), ("mode", "17777"), ("uid", -1), ("uid", 2 ** 32 - 1), ("uid", 10 ** 30),
         ("gid", -2), ("gid", 2 ** 32 - 1), ("gid", False), ("owner", None), ("group", 7), ("mtime", 1.5),
         ("mtime", 10 ** 40), ("mtime", -10 ** 40), ("digest", ["0"]), ("digest", 5), ("digest", "x"), ("target", 5)]


@pytest.mark.parametrize("key, value", WRONG, ids=lambda value: repr(value)[:20])
def test_a_line_with_a_wrong_value_is_refused(key, value):
    told = dict(GOOD, **{key: value})
    with pytest.raises(ArchiveError):
        parse_line(json.dumps(told, sort_keys=True, separators=(",", ":")).encode() + b"\n")


@pytest.mark.parametrize("key", sorted(set(GOOD) - {"digest"}))
def test_a_line_that_lacks_something_is_refused(key):
    told = {name: value for name, value in GOOD.items() if name != key}
    with pytest.raises(ArchiveError):
        parse_line(json.dumps(told, sort_keys=True, separators=(",", ":")).encode() + b"\n")


@pytest.mark.parametrize("line", [
    b"", b"\n", b"null\n", b"[]\n", b"5\n", b"{}\n", b"{\n", b"\xff\n", b"[" * 100000, b"9" * 100000,
    Member(b"a", FILE).line() + b"\n", Member(b"a", FILE).line().rstrip(), b" " + Member(b"a", FILE).line(),
    Member(b"a", FILE).line().replace(b'"path":"a"', b'"path_hex":"61"'),
    Member(b"a", FILE).line().replace(b'"path":"a"', b'"path":"a","path_hex":"62"'),
    Member(b"a", FILE).line().replace(b'"path":"a"', b'"path":"a","path":"a"'),
    Member(b"a", FILE).line().replace(b'"size":0', b'"size":NaN'),
], ids=range(17))
def test_what_member_line_would_not_write_is_refused(line):
    with pytest.raises(ArchiveError):
        parse_line(line)


def test_the_digest_is_that_of_b2sum():
    digest = new_digest()
    digest.update(b"abc")
    assert digest.hexdigest() == "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"


@pytest.mark.parametrize("path, plain", [
    (b"a", b"a"), (b"./a/b/", b"a/b"), (b"a//b/./c", b"a/b/c"), (b".", b""), (b"./", b""), (b"...", b"..."),
    (b"a..b", b"a..b"), (b"x" * 255, b"x" * 255), (b"\xff\n", b"\xff\n"), (b"/".join([b"d"] * 200),) * 2])
def test_a_path_is_made_plain(path, plain):
    assert check_path(path) == plain


@pytest.mark.parametrize("path", [
    b"/", b"/etc/passwd", b"//etc", b"..", b"../a", b"a/..", b"a/../b", b"./../a", b"a\0b", b"x" * 256,
    b"/".join([b"d"] * 201), b"/".join([b"x" * 255] * 17)])
def test_a_path_that_cannot_lie_below_the_root_is_refused(path):
    with pytest.raises(ArchiveError):
        check_path(path)


@pytest.mark.parametrize("target, depth", [
    (b"a", 0), (b"a/b", 0), (b"./a", 0), (b".", 0), (b"..", 1), (b"../a", 1), (b"../../a", 2), (b"../.././a/", 2)])
def test_a_link_that_stays_is_known(target, depth):
    assert stays_inside(target, depth)


@pytest.mark.parametrize("target, depth", [
    (b"", 0), (b"/", 9), (b"/etc", 9), (b"..", 0), (b"../a", 0), (b"../../a", 1), (b"a/..", 5), (b"a/../../b", 5),
    (b"./../a", 0), (b"../a/..", 5), (b"a\0b", 0), (b"x" * 4096, 0)])
def test_a_link_that_may_lead_out_is_known(target, depth):
    assert not stays_inside(target, depth)


PARTS = strategies.sampled_from((b"..", b".", b"", b"a", b"b", b"c"))
TARGETS = strategies.lists(PARTS, min_size=1, max_size=7).map(b"/".join)
PLACES = strategies.sampled_from((b"a", b"b", b"a/a", b"a/b", b"a/c", b"a/c/a", b"a/c/b", b"a/c/c", b"a/c/c/a"))


def loops(path):
    """Whether the kernel gives up on a path because its links lead in a circle."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


@settings(max_examples=60)
@given(strategies.dictionaries(PLACES, TARGETS, min_size=1, max_size=6))
@example({b"a/b": b"..", b"b": b"a/b/.."})
@example({b"a/b": b"c/..", b"a/c": b".."})
def test_links_that_stay_inside_by_their_text_do_so_on_a_real_file_system(links):
    """The model is the kernel: no way through any of the links leads out of the directory that they were made in."""
    outside = tempfile.mkdtemp()
    try:
        top = os.path.realpath(os.path.join(outside, "top"))
        os.makedirs(os.path.join(top, "a", "c", "c"))
        made = []
        for path, target in links.items():
            try:
                if stays_inside(target, path.count(b"/")):
                    os.symlink(target, os.path.join(os.fsencode(top), path))
                    made.append(path)
            except OSError as error:
                assert error.errno in (errno.EEXIST, errno.ENOENT)
        for path in made:
            for beyond in ("", "a", "b", "c", "a/b", "c/c"):
                place = os.path.join(top, os.fsdecode(path), beyond)
                if loops(place):
                    continue  # Nothing is reached, and what realpath makes of it means nothing.
                reached = os.path.realpath(place)
                assert (reached + "/").startswith(top + "/"), (path, beyond, reached)
    finally:
        shutil.rmtree(outside)


@given(strategies.lists(PARTS | strategies.just(b"/"), max_size=8).map(b"/".join))
def test_a_path_that_is_taken_lies_inside(path):
    try:
        plain = check_path(path)
    except ArchiveError:
        assert path.startswith(b"/") or b".." in path
        return
    inside = os.path.normpath(os.path.join(b"/top", path))
    assert inside == b"/top" + (b"/" + plain if plain else b"")
