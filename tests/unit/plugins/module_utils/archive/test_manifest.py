# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manifest: read as it was written, and in no other way."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings, strategies

from ansible_collections.appstate.backup.plugins.module_utils.archive.manifest import FORMAT, Manifest, parse_manifest
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ArchiveError, SchemaTooNewError
from ansible_collections.appstate.backup.plugins.module_utils.system.times import format_time, parse_time, stamp

ARCHIVE = {"name": "notes-20261120T030000Z.tar.zst", "size": 12345, "digest": "ab" * 32}
VERIFIED = {"level": "content", "at": "2026-11-20T03:00:09Z"}


@pytest.fixture
def inside(tools):
    """The bytes of a manifest in an archive."""
    return tools.manifest(count=3, bytes=700).to_bytes()


@pytest.fixture
def beside(tools):
    """The bytes of the copy beside it."""
    return tools.manifest(count=3, bytes=700).beside(ARCHIVE, VERIFIED).to_bytes()


def sealed(content):
    """The bytes of a copy beside an archive whose digest of itself is right, whatever is in it."""
    return Manifest(content).to_bytes()


def test_what_was_written_is_read(inside, beside):
    manifest = parse_manifest(inside, beside=False)
    assert manifest.to_bytes() == inside
    assert (manifest.id, manifest.app, manifest.bytes, manifest.archive) == (
        "notes-20261120T030000Z", "notes", 700, None)
    assert manifest.created == datetime(2026, 11, 20, 3, tzinfo=timezone.utc)
    assert manifest.sources == [{"type": "files", "path": "data", "present": True}]
    copy = parse_manifest(beside, beside=True)
    assert copy.to_bytes() == beside and copy.archive == ARCHIVE and copy.content["verified"] == VERIFIED
    assert copy.same_backup(manifest) and manifest.same_backup(copy)


def test_each_copy_is_refused_in_the_place_of_the_other(inside, beside):
    for data, place in ((inside, True), (beside, False)):
        with pytest.raises(ArchiveError):
            parse_manifest(data, beside=place)


def test_every_changed_byte_of_the_copy_beside_is_refused(beside):
    for position in range(len(beside)):
        values = {beside[position] ^ 1 << bit for bit in range(8)} | set(b'0z"} \n\0')
        for value in values - {beside[position]}:
            with pytest.raises((ArchiveError, SchemaTooNewError)):
                parse_manifest(beside[:position] + bytes([value]) + beside[position + 1:], beside=True)


def test_every_cut_and_every_addition_is_refused(beside):
    for length in range(len(beside)):
        with pytest.raises(ArchiveError):
            parse_manifest(beside[:length], beside=True)
    for data in (beside + b" ", beside + b"\n", b" " + beside, beside + beside, b"\xef\xbb\xbf" + beside):
        with pytest.raises(ArchiveError):
            parse_manifest(data, beside=True)


def test_the_same_values_written_in_another_way_are_refused(beside):
    content = json.loads(beside)
    for data in (json.dumps(content), json.dumps(content, indent=1), json.dumps(content, sort_keys=True),
                 json.dumps(content, sort_keys=True, indent=1),
                 beside.decode().replace('"notes"', '"\\u006eotes"'), beside.decode().replace("12345", "12345.0")):
        with pytest.raises(ArchiveError):
            parse_manifest(data.encode(), beside=True)


@pytest.mark.parametrize("number", [FORMAT + 1, 99, 10 ** 4000])
def test_a_newer_format_is_told_as_one(tools, number):
    for data in (sealed(dict(tools.manifest().content, format=number)), b'{"format": %d}' % number):
        with pytest.raises(SchemaTooNewError) as caught:
            parse_manifest(data, beside=False)
        assert "Upgrade" in str(caught.value) and caught.value.exit_code == 78


ALWAYS = (None, True, [], {}, 5, -1, 1.5, "", "x", [None], {"a": 1}, 10 ** 30)
# What each key may be, of the values above; all else has to be refused.
MAY_BE = {"host": ("", "x"), "duration": (5, -1, 1.5, 10 ** 30), "kind": ("", "x"), "app_version": (None, "", "x"),
          "sources": ([],), "verified": (None, {}, {"a": 1}), "warnings": ([], [None])}
WRONG = [(key, value) for key in ("format", "id", "app", "host", "created", "duration", "kind", "app_version",
                                  "sources", "members", "verified", "warnings", "archive")
         for value in ALWAYS if not any(value is good or value == good and type(value) is type(good)
                                        for good in MAY_BE.get(key, ()))]


@pytest.mark.parametrize("key, value", WRONG, ids=lambda value: str(value)[:20])
def test_a_wrong_value_is_refused_even_with_its_digest_right(tools, key, value):
    content = dict(tools.manifest().beside(ARCHIVE, VERIFIED).content, **{key: value})
    with pytest.raises((ArchiveError, SchemaTooNewError)):
        parse_manifest(sealed(content), beside=True)


@pytest.mark.parametrize("key", ["format", "id", "app", "host", "created", "duration", "kind", "app_version", "sources",
                                 "members", "verified", "warnings", "archive"])
def test_a_missing_key_is_refused(tools, key):
    content = dict(tools.manifest().beside(ARCHIVE, VERIFIED).content)
    del content[key]
    with pytest.raises(ArchiveError):
        parse_manifest(sealed(content), beside=True)


@pytest.mark.parametrize("changes", [
    {"extra": 1}, {"id": "notes-20261120T030001Z"}, {"id": "other-20261120T030000Z"}, {"app": "other"},
    {"id": "../notes-20261120T030000Z"}, {"id": "notes-20261120T030000Z\n"}, {"format": 0}, {"format": -1},
    {"created": "2026-11-20T03:00:00"}, {"created": "yesterday"}, {"created": "2026-13-20T03:00:00Z"},
    {"created": "0001-01-01T00:00:00+23:59", "id": "notes-00010101T000000Z"},
    {"created": "9999-12-31T23:59:59-23:59", "id": "notes-99991231T235959Z"},
    {"members": {"count": 0, "bytes": 0}}, {"members": {"count": -1, "bytes": 0, "digest": "0" * 64}},
    {"members": {"count": 0, "bytes": 1.0, "digest": "0" * 64}}, {"members": {"count": 0, "bytes": 0, "digest": "0" * 63}},
    {"members": {"count": True, "bytes": 0, "digest": "0" * 64}}, {"members": {"count": 0, "bytes": 0, "digest": None}},
    {"sources": [5]}, {"sources": [{}]}, {"sources": [{"type": "files", "path": "a"}]},
    {"sources": [{"type": "files", "path": "a", "present": 1}]}, {"sources": [{"type": 1, "path": "a", "present": True}]},
    {"sources": [{"type": "files", "path": None, "present": True}]},
    {"sources": [{"type": "files", "path": "../a", "present": True}]},
    {"sources": [{"type": "files", "path": "/etc", "present": True}]},
    {"sources": [{"type": "files", "path": "a/../../b", "present": True}]},
    {"sources": [{"type": "files", "path": "a//b", "present": True}]},
    {"sources": [{"type": "files", "path": ".", "present": True}]},
    {"sources": [{"type": "files", "path": "", "present": True}]},
    {"sources": [{"type": "files", "path": "a\0b", "present": True}]},
    {"sources": [{"type": "sqlite", "path": "a", "present": True, "passport": 5}]},
    {"sources": [{"type": "sqlite", "path": "a", "present": True, "passport": []}]},
    {"sources": [{"type": "sqlite", "path": "a", "present": True, "passport": {"tables": 5}}]},
], ids=lambda changes: str(changes)[:60])
def test_values_that_cannot_be_are_refused_in_both_copies(tools, changes):
    for manifest in (tools.manifest(**changes), tools.manifest(**changes).beside(ARCHIVE, VERIFIED)):
        with pytest.raises(ArchiveError):
            parse_manifest(manifest.to_bytes(), beside=manifest.archive is not None)


@pytest.mark.parametrize("changes", [
    {"name": "other-20261120T030000Z.tar.zst"}, {"name": "notes-20261120T030000Z"}, {"name": None}, {"size": -1},
    {"name": "notes-20261120T030000Z./../../etc/shadow"}, {"digest": "AB" * 32}, {"digest": 5}, {"size": "5"}])
def test_an_archive_that_cannot_be_is_refused(tools, changes):
    with pytest.raises(ArchiveError):
        parse_manifest(tools.manifest().beside(dict(ARCHIVE, **changes), VERIFIED).to_bytes(), beside=True)


@pytest.mark.parametrize("data", [
    b"", b"null", b"[]", b"5", b'"format"', b"{}", b"{", b"\xff", b"\0" * 100, b'{"format": null}', b'{"format": true}',
    b'{"format": 1.0}', b'{"format": "1"}', b'{"format": NaN}', b'{"format": Infinity}', b'{"format": 1}',
    b'{"format": -' + b"9" * 5000 + b"}", b"[" * 200000, b'{"a":' * 200000, b"[" * 3000 + b"]" * 3000,
    b'{"format": 1, "a": ' + b"[" * 900 + b"]" * 900 + b"}"], ids=range(21))
def test_what_is_no_manifest_is_refused(data):
    for place in (True, False):
        with pytest.raises(ArchiveError):
            parse_manifest(data, beside=place)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_is_refused(inside, value):
    data = inside.replace(b'"duration": 1.5', b'"duration": ' + json.dumps(value).encode())
    assert data != inside
    with pytest.raises(ArchiveError):
        parse_manifest(data, beside=False)


@pytest.mark.parametrize("depth", [100, 400, 900, 5000, 100000])
def test_deep_nesting_is_read_or_refused(tools, depth):
    """A host's stack is its own, so only what is raised is the same everywhere."""
    nested = b"[" * depth + b"]" * depth
    data = tools.manifest().to_bytes().replace(b'"warnings": []', b'"warnings": ' + nested)
    with pytest.raises(ArchiveError):
        parse_manifest(data, beside=False)


JSON = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(strategies.text(), inner, max_size=4),
    max_leaves=8)


@settings(max_examples=15)
@given(JSON, strategies.sampled_from(("members", "sources", "verified", "archive", "created", "id", "format", "other")),
       strategies.booleans())
def test_no_value_raises_anything_else(value, key, place):
    content = {"format": FORMAT, "id": "notes-20261120T030000Z", "app": "notes", "host": "alpha",
               "created": "2026-11-20T03:00:00Z", "duration": 1, "kind": "full", "app_version": None, "sources": [],
               "members": {"count": 0, "bytes": 0, "digest": "0" * 64}, "verified": None, "warnings": []}
    content[key] = value
    try:
        parse_manifest(sealed(content), beside=place)
    except (ArchiveError, SchemaTooNewError):
        pass
    except ValueError:
        with pytest.raises(ValueError):  # Not a number: such a manifest cannot even be written.
            sealed(content)


def test_the_path_of_a_source_need_not_be_utf_8(tools):
    manifest = tools.manifest(sources=[{"type": "sqlite", "path": "caf\udce9", "present": True, "passport": None}])
    assert parse_manifest(manifest.to_bytes(), beside=False).sources == manifest.sources


def test_two_copies_of_different_backups_are_told_apart(tools):
    one = tools.manifest(count=1)
    assert not one.same_backup(tools.manifest(count=2))
    assert not one.same_backup(tools.manifest(count=1, host="beta"))
    assert one.same_backup(tools.manifest(count=1, duration=9, warnings=["late"], verified=VERIFIED))


@pytest.mark.parametrize("text, seconds", [
    ("1970-01-01T00:00:00Z", 0), ("1970-01-01T00:00:00z", 0), ("1970-01-01T01:00:00+01:00", 0),
    ("1969-12-31T19:00:00-05:00", 0), ("1970-01-01 00:01:00Z", 60)])
def test_a_time_is_read(text, seconds):
    assert parse_time(text).timestamp() == seconds


@pytest.mark.parametrize("text", ["", "Z", "now", "1970-01-01T00:00:00", "1970-02-30T00:00:00Z", "1970-01-01"])
def test_a_time_without_an_offset_is_no_time(text):
    with pytest.raises(ValueError):
        parse_time(text)


@given(strategies.datetimes(min_value=datetime(1900, 1, 2), max_value=datetime(9000, 1, 1)),
       strategies.integers(-14 * 60, 14 * 60))
def test_a_time_comes_back(moment, minutes):
    aware = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_time(format_time(aware)) == aware
    assert stamp(aware) == format_time(aware).replace("-", "").replace(":", "")
