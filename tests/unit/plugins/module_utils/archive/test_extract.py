# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Extraction: trees come back as they were, and nothing that an archive says writes anywhere else."""

from __future__ import annotations

import os
import resource
import stat
import time

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from ansible_collections.appstate.backup.plugins.module_utils.archive import tar
from ansible_collections.appstate.backup.plugins.module_utils.archive.extract import Extractor
from ansible_collections.appstate.backup.plugins.module_utils.archive.members import (
    DIRECTORY, FILE, LINK, Member)
from ansible_collections.appstate.backup.plugins.module_utils.system import files
from ansible_collections.appstate.backup.plugins.module_utils.system.accounts import Ownership
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import (
    AppStateError, ArchiveError, SpaceError)

ROOT = os.geteuid() == 0


@pytest.fixture
def around(tmp_path):
    """A place with things that an archive may want to change; it has to look the same in the end."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "f").write_text("f")
    return str(tmp_path)


def attempt(tools, around, data, **words):
    """What extracting raises or finds, and what lies in staging then; all around it has to be untouched."""
    before = tools.tree(around)
    staging = os.path.join(around, "staging")
    told = None
    try:
        contents = tools.extract(data, staging, **words)
        told = "; ".join(item["problem"] for item in contents.problems)
    except AppStateError as error:
        told = str(error)
    after = tools.tree(around)
    inside = {path[8:]: what for path, what in after.items() if path.startswith(b"staging/")}
    assert {path: what for path, what in after.items() if not path.startswith(b"staging")} == before
    for path, what in inside.items():
        assert stat.S_ISREG(what[0]) or stat.S_ISDIR(what[0]) or stat.S_ISLNK(what[0])
        if stat.S_ISLNK(what[0]):
            top = os.path.realpath(os.fsencode(staging))
            reached = os.path.realpath(os.path.join(top, path))
            assert (reached + b"/").startswith(top + b"/"), path
    return told, inside


def hostile():
    """Members that no archive of ours has: name to a function of ``Tools`` that gives raw parts and listed members."""
    def plain(path, content=b"x", **words):
        return lambda tools: ([tools.entry(path, content, **words)], [tools.member(path, content)])

    def other(path, kind, target=b""):
        return lambda tools: ([tools.block(path, kind, target=target)],
                              [Member(path, LINK if kind == b"2" else FILE, mode=0o644, target=target or None)])

    def parts(*makers):
        def make(tools):
            made = [maker(tools) for maker in makers]
            return [part for raw, unused in made for part in raw], [item for unused, told in made for item in told]
        return make

    def named(path, kind=b"0", target=None):
        records = [(b"path", path)] + ([(b"linkpath", target)] if target is not None else [])
        return lambda tools: ([tools.pax(records) + tools.block(b"x", kind, target=b"x")],
                              [Member(path, LINK if kind == b"2" else FILE, mode=0o644, target=target)])

    def folder(path):
        return lambda tools: ([tools.block(path, b"5")], [Member(path, DIRECTORY, mode=0o644)])

    def link(path, target):
        return other(path, b"2", target)

    return {
        "dotdot": plain(b"../secret"), "dotdot inside": plain(b"a/../../secret"), "dotdot last": plain(b"a/.."),
        "absolute": plain(b"/tmp/appstate-test-absolute"), "prefix": plain(b"secret", prefix=b".."),
        "pax path": named(b"../secret"), "pax absolute": named(b"/etc/x"), "pax nul": named(b"a\0/../../secret"),
        "long component": named(b"x" * 256), "long path": named(b"/".join([b"y" * 200] * 21)),
        "deep": named(b"/".join([b"d"] * 201)), "deep dotdot": named(b"d/" * 100 + b"../" * 120 + b"secret"),
        "link absolute": link(b"l", b"/etc"), "link up": link(b"l", b"../secret"), "link empty": link(b"l", b""),
        "link through a name": link(b"a/l", b"b/../../../secret"), "link nul": named(b"l", b"2", b"a\0b"),
        "link long": named(b"l", b"2", b"z" * 4096), "link of links": parts(
            folder(b"a"), folder(b"a/b"), link(b"a/b/c", b".."), link(b"l", b"a/b/c/../../..")),
        "file below a link": parts(folder(b"d"), link(b"l", b"d"), plain(b"l/f")),
        "link, then a directory of its name": parts(link(b"l", b"."), folder(b"l"), plain(b"l/f")),
        "directory, then a link of its name": parts(folder(b"l"), link(b"l", b"."), plain(b"l/f")),
        "link below a link": parts(folder(b"d"), link(b"d/l", b".."), link(b"d/l/m", b"x")),
        "link below a file": parts(plain(b"f"), link(b"f/l", b"x")),
        "file below a file": parts(plain(b"f"), plain(b"f/g")),
        "deeper below a file": parts(plain(b"f"), plain(b"f/g/h/i")),
        "directory below a file": parts(plain(b"f"), folder(b"f/g")),
        "directory over a file": parts(plain(b"f"), folder(b"f")),
        "file over a directory": parts(folder(b"f"), plain(b"f")),
        "file twice": parts(plain(b"f"), plain(b"f", b"other")), "file twice by another name": parts(
            plain(b"f"), plain(b"./f")), "link twice": parts(link(b"l", b"a"), link(b"l", b"b")),
        "directory twice": parts(folder(b"d"), folder(b"d/")),
        "link over a file": parts(plain(b"f"), link(b"f", b"g")), "file over a link": parts(link(b"f", b"g"), plain(b"f")),
        "hard link out": other(b"h", b"1", b"../secret"), "hard link absolute": other(b"h", b"1", b"/etc/passwd"),
        "hard link to nothing": other(b"h", b"1", b"missing"), "hard link to itself": other(b"h", b"1", b"h"),
        "hard link to the top": other(b"h", b"1", b"."), "hard link to a directory": parts(
            folder(b"d"), other(b"h", b"1", b"d")), "hard link through a link": parts(
            folder(b"d"), plain(b"d/f"), link(b"l", b"d"), other(b"h", b"1", b"l/f")),
        "hard link over a file": parts(plain(b"f"), plain(b"g"), other(b"g", b"1", b"f")),
        "hard link below a file": parts(plain(b"f"), other(b"f/g", b"1", b"f")),
        "hard link in ours": parts(plain(b"f"), other(b"h", b"1", b"f")),
        "character device": other(b"n", b"3"), "block device": other(b"n", b"4"), "FIFO": other(b"n", b"6"),
        "sparse": other(b"s", b"S"), "volume": other(b"v", b"M"), "unknown": other(b"u", b"Z"),
        "reserved": plain(b".appstate/x"), "reserved directory": folder(b".appstate"),
        "reserved below": plain(b".appstate/members.jsonl/x"), "reserved link": link(b".appstate/manifest.json", b"x"),
        "huge size": lambda tools: ([tools.block(b"f", number=b"\x80" + b"\0" * 4 + b"\xff" * 7)], []),
        "claimed size": lambda tools: ([tools.block(b"f", size=8 ** 11 - 1)], []),
    }


@pytest.mark.parametrize("name", sorted(hostile()))
def test_a_hostile_member_is_refused_with_a_list_and_a_manifest_that_fit(tools, around, name):
    parts, members = hostile()[name](tools)
    told, unused = attempt(tools, around, tools.grafted(parts, members))
    assert told, "nothing was noticed"


# In an archive without a list, some of these are harmless.
HARMLESS = {"hard link in ours", "link below a link"}


@pytest.mark.parametrize("name", sorted(hostile()))
def test_a_hostile_member_is_refused_in_an_old_archive(tools, around, name):
    parts, unused = hostile()[name](tools)
    told, inside = attempt(tools, around, b"".join(parts) + tar.END)
    assert told or name in HARMLESS
    if name == "hard link in ours":
        assert inside[b"h"][-1] == inside[b"f"][-1] == b"x"


@pytest.mark.parametrize("data", ["header", "tar", "garbage"])
def test_nothing_may_follow_the_end(tools, around, data):
    good = tools.grafted([tools.entry(b"f", b"x")], [tools.member(b"f", b"x")])
    after = {"header": tools.entry(b"g", b"y"), "tar": good, "garbage": b"garbage" * 100}[data]
    assert attempt(tools, around, good)[0] == ""
    os.rename(os.path.join(around, "staging"), os.path.join(around, "first"))
    assert "after its end" in attempt(tools, around, good + after)[0]


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_second_stream_after_the_first_is_refused(tools, around, kind):
    good = tools.grafted([tools.entry(b"f", b"x")], [tools.member(b"f", b"x")])
    for number, after in enumerate((tools.compressed(good, kind), b"garbage", tools.compressed(b"x", kind))):
        told, unused = attempt(tools, around, tools.compressed(good, kind) + after)
        assert told
        os.rename(os.path.join(around, "staging"), os.path.join(around, "done%d" % number))


def test_a_member_after_the_manifest_or_the_list_is_refused(tools, around):
    late = tools.entry(b"late", b"x")
    told, inside = attempt(tools, around, tools.grafted([], [], after=late))
    assert "after the manifest" in told and inside == {}
    os.rmdir(os.path.join(around, "staging"))
    told, inside = attempt(tools, around, tools.grafted([tools.entry(b".appstate/members.jsonl"), late], []))
    assert "after the list" in told and inside == {}


def test_a_list_that_tells_otherwise_is_noticed(tools, around):
    real = Member(b"f", FILE, 1, 0o644, digest=tools.member(b"f", b"x").digest)
    for number, wrong in enumerate((
            tools.member(b"g", b"x"), tools.member(b"f", b"y"), tools.member(b"f", b"xx"),
            tools.member(b"f", b"x", mode=0o4755), Member(b"f", DIRECTORY, mode=0o644),
            Member(b"f", LINK, mode=0o644, target=b"/etc"))):
        told, unused = attempt(tools, around, tools.grafted([tools.entry(b"f", b"x")], [wrong]))
        assert told and told != "nothing"
        os.rename(os.path.join(around, "staging"), os.path.join(around, "done%d" % number))
    for number, listed in enumerate(([], [real, tools.member(b"g")], [tools.member(b"a"), real])):
        told, unused = attempt(tools, around, tools.grafted([tools.entry(b"f", b"x")], listed))
        assert told
        os.rename(os.path.join(around, "staging"), os.path.join(around, "more%d" % number))


def test_what_a_list_says_of_owner_and_time_cannot_raise_anything_else(tools, around):
    for number, changes in enumerate((
            {"uid": 2 ** 32 - 2}, {"uid": 2 ** 70}, {"uid": -1}, {"mtime": 2 ** 62 * 10 ** 9}, {"mtime": 10 ** 40},
            {"owner": "a\0b"}, {"owner": "\x01" * 5000}, {"group": "no such group"}, {"mtime": -2 ** 62 * 10 ** 9})):
        attempt(tools, around, tools.grafted([tools.entry(b"f", b"x")], [tools.member(b"f", b"x", **changes)]))
        os.rename(os.path.join(around, "staging"), os.path.join(around, "done%d" % number))


def test_set_id_bits_of_files_do_not_come_back(tools, around):
    data = tools.grafted([tools.entry(b"f", b"x", mode=0o6755), tools.block(b"d", b"5", mode=0o2750)],
                         [tools.member(b"f", b"x", mode=0o6755), Member(b"d", DIRECTORY, mode=0o2750)])
    told, inside = attempt(tools, around, data)
    assert told == "" and inside[b"f"][1] == 0o755 and inside[b"d"][1] == 0o2750


def swapped():
    """What somebody who got into staging could put in the place of a file: name to a function of its path."""
    def strangers(path):
        open(path, "w").close()
        os.chown(path, 3001, 3001)

    return dict({"strangers": strangers} if ROOT else {}, FIFO=os.mkfifo, directory=os.mkdir,
                link=lambda path: os.symlink("../secret", path),
                hard=lambda path: os.link(os.path.join(os.path.dirname(path), "..", "secret"), path))


@pytest.mark.parametrize("name", sorted(swapped()))
def test_what_is_not_the_file_that_was_extracted_is_given_to_nobody(tools, around, name):
    """A hard link would make its other name somebody else's."""
    staging = os.path.join(around, "staging")
    contents = tools.extract(tools.entry(b"f", b"x", mode=0o606) + tar.END, staging, finish=False)
    os.unlink(os.path.join(staging, "f"))
    swapped()[name](os.path.join(staging, "f"))
    before, descriptors = tools.tree(around), len(os.listdir("/proc/self/fd"))
    directory = os.open(staging, files.DIRECTORY)
    extractor = Extractor(directory, staging)
    with pytest.raises(OSError if name == "link" else AppStateError) as error:
        extractor.finish(contents.lines, Ownership())
    extractor.close()
    os.close(directory)
    assert name == "link" or error.value.path == staging + "/f" and error.value.remedy
    assert tools.tree(around) == before and len(os.listdir("/proc/self/fd")) == descriptors


def test_everything_is_private_until_it_is_finished(tools, around):
    data = tools.grafted([tools.block(b"d", b"5", mode=0o777), tools.entry(b"d/f", b"x", mode=0o666)],
                         [Member(b"d", DIRECTORY, mode=0o777), tools.member(b"d/f", b"x", mode=0o666)])
    unused, inside = attempt(tools, around, data, finish=False)
    assert inside[b"d"][1] == 0o700 and inside[b"d/f"][1] == 0o600


def test_an_archive_larger_than_the_disk_is_refused_at_once(tools, around):
    started = time.monotonic()
    with pytest.raises(SpaceError):
        tools.extract(tools.entry(b"f", b"x") + tools.block(b"g", number=b"\x80" + b"\0" * 4 + b"\x7f" * 7),
                      os.path.join(around, "staging"))
    assert time.monotonic() - started < 2


def test_a_bomb_takes_neither_memory_nor_room_where_it_is_not_wanted(tools, around):
    """100 MB of zeros in a few kilobytes, and 5000 members."""
    data = tools.compressed(tools.block(b"z", size=100 << 20) + bytes(100 << 20) + b"".join(
        tools.block(b"n%d" % number) for number in range(5000)) + tar.END, "zstd")
    assert len(data) < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    contents = tools.extract(data, os.path.join(around, "staging"), rename=lambda path: None)
    assert (contents.count, contents.bytes) == (5001, 100 << 20)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024
    assert os.listdir(os.path.join(around, "staging")) == []


def test_old_archives_need_not_have_their_directories(tools, around):
    told, inside = attempt(tools, around, tools.block(b"a/b/l", b"2", target=b"../f") + tools.entry(b"a/c/f", b"x") +
                           tools.block(b"a/c/h", b"1", target=b"./a/c/f") + tar.END)
    assert told == ""
    assert inside[b"a/b/l"][-1] == b"../f" and inside[b"a/c/h"][-1] == b"x"


def test_a_link_may_not_lead_out_once_it_lies_higher_up(tools, around):
    """The path of the root stood in front of an old archive's names, and was taken off."""
    data = tools.block(b"opt/notes/data/l", b"2", target=b"../../../secret") + tar.END
    told, inside = attempt(tools, around, data)
    assert told == ""
    os.rename(os.path.join(around, "staging"), os.path.join(around, "first"))
    told, inside = attempt(tools, around, data, rename=lambda path: path[len(b"opt/notes/"):])
    assert "leads out of the tree" in told and inside == {}


def test_directories_of_ours_in_front_do_not_count(tools, tmp_path):
    for above, target, good in ((0, b"../f", True), (1, b"../f", False), (1, b"f", True)):
        staging = tmp_path / ("%d-%s" % (above, "good" if good else "bad"))
        staging.mkdir()
        directory = os.open(str(staging), files.DIRECTORY)
        extractor = Extractor(directory, str(staging), lambda path: b"tree/l", above=above)
        contents = tools.read(tools.block(b"d/l", b"2", target=target) + tar.END, extractor)
        try:
            extractor.finish(contents.lines, Ownership())
            assert good
        except ArchiveError:
            assert not good
        os.close(directory)


def test_only_what_is_wanted_is_extracted_and_where_it_is_wanted(tools, around):
    data = (tools.entry(b"a/f", b"1") + tools.entry(b"b/g", b"2") + tools.block(b"b/l", b"2", target=b"g") +
            tools.block(b"c", b"5") + tar.END)
    told, inside = attempt(tools, around, data, rename=lambda path: b"x/" + path[2:] if path[:2] == b"b/" else None)
    assert told == "" and sorted(inside) == [b"x", b"x/g", b"x/l"]


def test_a_hard_link_to_what_is_not_wanted_is_told(tools, around):
    data = tools.entry(b"a", b"1") + tools.block(b"b", b"1", target=b"a") + tar.END
    told, unused = attempt(tools, around, data, rename=lambda path: path if path == b"b" else None)
    assert "hard link" in told


def test_modes_times_and_owners_come_back(tools, tmp_path):
    top = tmp_path / "top"
    (top / "d" / "e").mkdir(parents=True)
    (top / "d" / "e" / "f").write_bytes(b"x")
    (top / "empty").mkdir()
    os.symlink("d/e/f", str(top / "l"))
    os.symlink("nowhere", str(top / "dangling"))
    uid, gid = (4000001, 4000002) if ROOT else (os.getuid(), os.getgid())
    for path, mode, mtime in (("d/e/f", 0o640, -5), ("d/e", 0o500, 123456789), ("d", 0o2751, 10 ** 18 + 1),
                              ("empty", 0o000 if ROOT else 0o700, 1)):
        os.chown(str(top / path), uid, gid)
        os.chmod(str(top / path), mode)
        os.utime(str(top / path), ns=(mtime, mtime))
    os.utime(str(top / "l"), ns=(7, 7), follow_symlinks=False)
    os.chown(str(top / "l"), uid, gid, follow_symlinks=False)
    tools.archive_tree(str(top), str(tmp_path / "a.tar.gz"))
    contents = tools.extract(str(tmp_path / "a.tar.gz"), str(tmp_path / "out"))
    assert contents.problems == []
    assert tools.tree(str(tmp_path / "out")) == tools.tree(str(top))
    if not ROOT:
        os.chmod(str(top / "d" / "e"), 0o700)
        os.chmod(str(tmp_path / "out" / "d" / "e"), 0o700)


NAMES = strategies.binary(min_size=1, max_size=255).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..") and name != b".appstate")
CONTENTS = strategies.binary(max_size=2000) | strategies.sampled_from((b"\0" * 700000, b"y" * (256 * 1024 + 1)))
NODES = strategies.recursive(
    CONTENTS | strategies.tuples(strategies.just("link"), NAMES),
    lambda inner: strategies.dictionaries(NAMES, inner, max_size=4), max_leaves=10)


def build(top, node):
    """Makes what a drawn tree describes."""
    os.mkdir(top)
    for name, what in node.items():
        path = os.path.join(top, name)
        if isinstance(what, dict):
            build(path, what)
        elif isinstance(what, tuple):
            os.symlink(what[1], path)
        else:
            with open(path, "wb") as file:
                file.write(what)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(strategies.dictionaries(NAMES, NODES, max_size=5), strategies.sampled_from(("gzip", "gzip", "zstd")))
def test_any_tree_comes_back_identical(tools, tmp_path_factory, node, kind):
    place = str(tmp_path_factory.mktemp("tree"))
    build(os.path.join(os.fsencode(place), b"top"), node)
    assert tools.archive_tree(os.path.join(place, "top"), os.path.join(place, "a"), kind) == {}
    contents = tools.extract(os.path.join(place, "a"), os.path.join(place, "out"))
    assert contents.problems == []
    assert tools.tree(os.path.join(place, "out")) == tools.tree(os.path.join(place, "top"))


TARGETS = strategies.sampled_from((b"a", b".", b"..", b"../a", b"a/..", b"../..", b"/", b"a/b", b"../b/../..", b"b"))
PLACES = strategies.sampled_from((b"a", b"b", b"a/a", b"a/b", b"./a", b"../a", b"a/../b", b"/a", b"a/b/c", b"a/"))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(strategies.lists(strategies.tuples(PLACES, strategies.sampled_from(b"01256\x00"), TARGETS), max_size=7))
def test_no_order_of_members_leads_anywhere(tools, tmp_path_factory, drawn):
    place = str(tmp_path_factory.mktemp("order"))
    with open(os.path.join(place, "secret"), "w") as file:
        file.write("secret")
    data = b"".join(tools.entry(path, b"evil" if kind in b"0\x00" else b"", kind=bytes([kind]), target=target)
                    for path, kind, target in drawn)
    attempt(tools, place, data + tar.END)


def test_a_hard_link_is_a_file_of_its_own_with_its_own_mode(tools, around):
    told, inside = attempt(tools, around, tools.entry(b"f", b"x" * 5000, mode=0o600) +
                           tools.block(b"h", b"1", target=b"f", mode=0o640) + tar.END)
    assert told == "" and inside[b"h"][1] == 0o640 and inside[b"h"][-1] == b"x" * 5000
    assert os.stat(os.path.join(around, "staging", "h")).st_nlink == 1
