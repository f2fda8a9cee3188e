# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.source import GIBIBYTE, SOURCES, SourceReader, read_sources
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError

LEAST = {
    "sqlite": {"path": "data/x.db"},
    "files": {"path": "uploads"},
    "postgresql": {"database": "club"},
    "command": {"path": "db.sql", "argv": ["dump"], "format": "sql"},
    "http": {"path": "opstage.db", "url": "https://localhost/backup", "format": "sqlite"},
    "volume": {"volume": "club-data"},
    "bucket": {"remote": "s3:club-blobs", "options": {"type": "s3"}},
}


def read(kind, **words):
    """The one source of a type, with the least that it needs and some keys more."""
    told = dict({"type": kind}, **LEAST[kind])
    told.update(words)
    source, = read_sources(SourceReader("club"), [told])
    return source


def attributes(source):
    """What an object knows."""
    return {key: value for key, value in vars(source).items() if key not in LEAST[source.type] and key != "place"}


def test_every_type_has_its_least():
    assert set(LEAST) == set(SOURCES)


@pytest.mark.parametrize("kind, defaults", [
    ("sqlite", {"required": True, "assertions": (), "method": "auto", "foreign_keys": False, "references": (), "sidecars": (),
                "allow_any_file_system": False}),
    ("files", {"required": True, "exclude": (), "method": "archive", "mentions": ()}),
    ("postgresql", {"path": "postgresql/club.dump", "required": True, "host": None, "port": None, "user": None, "password": None,
                    "password_file": None, "sslmode": None, "run_as": None, "maintenance_database": "postgres",
                    "assertions": (), "references": (), "timeout": 21600.0}),
    ("command", {"required": True, "restore_argv": None, "timeout": 3600.0, "run_as": None, "assertions": (), "references": ()}),
    ("http", {"required": True, "method": "GET", "headers": {}, "headers_file": None, "body": None, "body_file": None,
              "timeout": 60.0, "deadline": 3600.0, "max_size": 10 * GIBIBYTE, "ca_file": None, "assertions": (),
              "references": ()}),
    ("volume", {"path": "volumes/club-data", "required": True, "container": None, "container_path": None, "engine": "auto",
                "project": None, "image": None, "method": "helper", "exclude": (), "databases": (), "timeout": 3600.0}),
    ("bucket", {"path": "buckets/club-blobs", "required": True, "exclude": ()}),
])
def test_what_is_not_said(kind, defaults):
    assert attributes(read(kind)) == defaults


def test_what_is_said():
    source = read("postgresql", path="db/it.dump", host="db.example.com", port=5433, user="club", password="s3cret",
                  sslmode="verify-full", run_as="postgres", required=False, timeout=5,
                  assertions=[{"sql": "SELECT 1"}], references=[{"sql": "SELECT path FROM files", "under": "blobs/"}])
    assert (source.path, source.host, source.port, source.password) == ("db/it.dump", "db.example.com", 5433, "s3cret")
    assert source.assertions[0].to_dict() == {"sql": "SELECT 1"}
    assert (source.references[0].sql, source.references[0].under) == ("SELECT path FROM files", "blobs")
    files = read("files", mentions=[{"pattern": "'([a-z]+/[a-z]+)'", "under": "vendor"}], method="rsync")
    assert files.mentions[0].pattern.findall(b"x 'acme/gallery'") == [b"acme/gallery"]
    assert (files.mentions[0].under, files.method) == ("vendor", "rsync")
    volume = read("volume", volume=None, container="club", container_path="/data", method="exec",
                  databases=[{"path": "db/club.db", "assertions": [{"sql": "SELECT 1"}]}])
    assert (volume.path, volume.container_path, volume.databases[0].path) == ("volumes/club", "/data", "db/club.db")
    assert read("volume", container="club").image is None  # A container beside a volume tells which image has tar.
    assert read("sqlite", sidecars=[".lock"]).sidecars == (".lock",)
    bucket = read("bucket", remote="s3:club-blobs/live/", exclude=["cache"], timeout=60, options={"type": "s3", "env_auth": True})
    assert (bucket.path, bucket.exclude, bucket.place.remote) == ("buckets/live", ("cache",), "s3:club-blobs/live")
    assert (bucket.place.timeout, bucket.place.options) == (60, {"type": "s3", "env_auth": "true"})
    assert read("bucket", remote="/srv/objects", options=None).path == "buckets/objects"
    assert read("http", headers={"Authorization": "Bearer x"}).headers == {"Authorization": "Bearer x"}


@pytest.mark.parametrize("kind, words, said", [
    ("sqlite", {"type": "mysql"}, "needs a 'type': bucket or command or files or http or postgresql or sqlite or volume"),
    ("sqlite", {"colour": 1}, "unknown key 'colour'"),
    ("sqlite", {"path": "/abs"}, "the path of source 1 (/abs) is absolute"),
    ("sqlite", {"sidecars": ["a/b"]}, "'a/b', which is no ending"),
    ("sqlite", {"references": {}}, None),
    ("sqlite", {"references": "x"}, "'references' of source 1 (data/x.db) is a list"),
    ("sqlite", {"references": [{"sql": "SELECT 1"}]}, "needs 'under'"),
    ("sqlite", {"references": [{"sql": "SELECT 1", "under": "../up"}]}, "leaves the root"),
    ("sqlite", {"allow_any_file_system": "yes"}, "is true or false"),
    ("files", {"method": "mirror"}, "'method' is 'mirror'; it can be archive, rsync"),
    ("files", {"mentions": [{"pattern": "(", "under": "vendor"}]}, "is no regular expression"),
    ("files", {"mentions": [{"pattern": "x", "under": "vendor"}]}, "has no group"),
    ("postgresql", {"database": None}, "needs 'database'"),
    ("postgresql", {"database": "a/b"}, "needs a 'path', since 'a/b' cannot be a file's name"),
    ("postgresql", {"port": 0}, "'port' of source 1 is a number from 1 to 65535, not 0"),
    ("postgresql", {"password": ["s3cret"]}, "'password' of source 1 is not a text"),
    ("postgresql", {"password_file": "relative"}, "is not an absolute path"),
    ("postgresql", {"password": "s3cret", "password_file": "/x"}, "'password' and 'password_file' of source 1 exclude"),
    ("http", {"body": "s3cret", "body_file": "/x"}, "'body' and 'body_file' of source 1 (opstage.db) exclude"),
    ("command", {"argv": "dump"}, "'argv' of source 1 (db.sql) is a list of texts"),
    ("command", {"argv": []}, "'argv' of source 1 (db.sql) is a list of texts"),
    ("command", {"restore_argv": []}, "'restore_argv' of source 1 (db.sql) is a list of texts"),
    ("command", {"format": None}, "needs a 'format': sqlite, sql, tar, raw"),
    ("command", {"format": "zip"}, "'format' is 'zip'"),
    ("command", {"timeout": 0}, "a number of seconds above 0"),
    ("http", {"url": "ftp://x"}, "begins with https:// or http://"),
    ("http", {"url": "https://"}, "begins with https:// or http://"),
    ("http", {"url": "https://opstage.example:https/export"}, "begins with https:// or http://, then a host"),
    ("http", {"headers": ["s3cret"]}, "'headers' of source 1 (opstage.db) is a dictionary of texts"),
    ("http", {"headers": {"A": "s3cret\r\nB: c"}}, "each of one line"),
    ("http", {"max_size": "10G"}, "a whole number"),
    ("volume", {"volume": None}, "needs either a 'volume', or a 'container' with a 'container_path'"),
    ("volume", {"container": "c", "container_path": "/x"}, "needs either"),
    ("volume", {"volume": None, "container": "c"}, "needs either"),
    ("volume", {"method": "exec"}, "needs a 'container'"),
    ("volume", {"engine": "lxc"}, "'engine' is 'lxc'"),
    ("volume", {"databases": [{"path": "x", "sidecars": []}]}, "unknown key 'sidecars'"),
    ("bucket", {"remote": None}, "needs 'remote'"),
    ("bucket", {"remote": "s3:"}, "names no bucket or directory"),
    ("bucket", {"remote": "club-blobs"}, "is neither NAME:PATH nor an absolute path"),
    ("bucket", {"remote": ":s3,secret_access_key=s3cret:club-blobs"}, "is neither NAME:PATH nor an absolute path"),
    ("bucket", {"remote": "sftp:/"}, "needs a 'path', since '' cannot be a file's name"),
    ("bucket", {"options": None}, "source 1 needs either 'options', or a 'config_file'"),
    ("bucket", {"options": {"type": "s3", "secret_access_key": ["s3cret"]}}, "the option 'secret_access_key' of source 1 is no text"),
    ("bucket", {"exclude": "cache"}, "'exclude' of source 1 is a list of texts"),
])
def test_what_cannot_be_right(kind, words, said):
    if said is None:
        read(kind, **words)
        return
    with pytest.raises(ConfigurationError) as caught:
        read(kind, **words)
    assert said in str(caught.value) and str(caught.value).startswith("app club: ")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("told", [None, [], {}, "x"])
def test_an_app_has_sources(told):
    with pytest.raises(ConfigurationError, match="a list with at least one"):
        list(read_sources(SourceReader("club"), told))


def test_two_sources_never_share_a_path():
    with pytest.raises(ConfigurationError, match="two sources have the path 'a'"):
        list(read_sources(SourceReader("club"), [{"type": "files", "path": "a"}, {"type": "sqlite", "path": "./a/"}]))
