# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator says of remotes; the client itself is tested where it is called."""

from __future__ import annotations

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.remote import DAY, Place, secrets_of
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError

CANARY = "canary/Secret+Key=0123456789"
OPTIONS = {"type": "s3", "provider": "Minio", "endpoint": "https://s3.example", "region": "eu-central-1", "access_key_id": "AKIACANARY",
           "secret_access_key": CANARY}


def told(*remotes, **words):
    """An app with those remotes."""
    return dict({"name": "notes", "root": "/srv/notes", "destination": "/var/backups", "sources": [{"type": "files", "path": "data"}],
                 "remotes": list(remotes)}, **words)


def remote(**words):
    """A remote that is right, but for some words; a word of None takes a key out."""
    made = dict({"name": "offsite", "remote": "s3:bucket/backups", "options": OPTIONS}, **words)
    return {key: value for key, value in made.items() if value is not None}


def read(**words):
    return parse_app(told(remote(**words))).remotes[0]


def refusal(made):
    """The message for an app; whatever is wrong, none of the values that are secret is in it."""
    with pytest.raises(ConfigurationError) as caught:
        parse_app(made)
    said = str(caught.value)
    assert caught.value.exit_code == 78 and said.startswith("app notes: ") and said.endswith((".", "?"))
    assert CANARY not in said and "AKIACANARY" not in said and "canary" not in said
    return said


def test_all_that_an_operator_can_say():
    made = read(host="web1.example", retention={"keep_daily": 7, "timezone": "Europe/Berlin"}, bandwidth="08:00,512k 19:00,off",
                attempts=2, timeout=60)
    assert (made.name, made.remote, made.section, made.host) == ("offsite", "s3:bucket/backups", "s3", "web1.example")
    assert made.options == OPTIONS and made.config_file is None
    assert (made.retention.counts["keep_daily"], made.retention.timezone, made.delete) == (7, "Europe/Berlin", True)
    assert (made.bandwidth, made.attempts, made.timeout) == ("08:00,512k 19:00,off", 2, 60.0)


def test_what_holds_where_nothing_is_said():
    made = read()
    assert (made.host, made.retention, made.delete, made.bandwidth, made.attempts, made.timeout) == (None, None, True, None, 4, DAY)
    assert parse_app(told()).remotes == () and parse_app(told(remotes=None)).remotes == ()


def test_ways_to_say_where():
    assert read(options=None, config_file="/etc/rclone.conf").config_file == "/etc/rclone.conf"
    assert read(remote="/mnt/disk/", options=None).remote == "/mnt/disk" and read(remote="/mnt/disk", options=None).section is None
    assert read(remote="nas_1.home:/").remote == "nas_1.home:/"
    assert read(remote="sftp:/srv/backups/").remote == "sftp:/srv/backups"
    assert read(remote="s3:bucket/a,b:c d").remote == "s3:bucket/a,b:c d"


@pytest.mark.parametrize("remote, path, expected", [
    ("s3:bucket", "h/a/x", "s3:bucket/h/a/x"), ("s3:bucket", "", "s3:bucket"), ("sftp:/", "h/a", "sftp:/h/a"), ("/mnt/x", "h", "/mnt/x/h"),
    ("s3:bucket/deep/", "x", "s3:bucket/deep/x")])
def test_places_of_files(remote, path, expected):
    assert Place(remote).at(path) == expected
    assert Place("s3:bucket").of_section("other/x") == "s3:other/x"


@pytest.mark.parametrize("words, expected", [
    ({"remote": None}, "remote offsite needs 'remote', a text"),
    ({"name": None}, "remote 1 needs 'name', a text"),
    ({"name": "off site"}, "'name' of remote 1 is 'off site'; it may have letters, digits, '-' and '_', 63 at the most"),
    ({"name": "../x"}, "'name' of remote 1 is '../x'"),
    ({"name": "x" * 64}, "63 at the most"),
    ({"kind": "s3"}, "remote 1 has an unknown key 'kind'"),
    ({"bandwith": "4M"}, "Did you mean 'bandwidth'?"),
    ({"bandwidth": "4M; rm"}, "'bandwidth' of remote offsite is '4M; rm'. Write bytes a second, as 4M"),
    ({"bandwidth": 4}, "'bandwidth' of remote offsite is not a text: 4"),
    ({"host": "a/b"}, "'host' of remote offsite is 'a/b', which is no name of a host"),
    ({"host": ".."}, "'host' of remote offsite is '..', which is no name of a host"),
    ({"retention": {"before_restore": "1d"}}, "'retention' of remote offsite has an unknown key 'before_restore'"),
    ({"retention": {"keep_last": 0}}, "'retention' of remote offsite keeps nothing"),
    ({"retention": ["keep_last"]}, "'retention' of remote offsite is a dictionary, not a list"),
    ({"retention": {"keep_last": 1}, "delete": False}, "remote offsite has a 'retention', and says 'delete: false'. Leave out the one"),
    ({"delete": "no"}, "'delete' of remote offsite is true or false, not 'no'"),
    ({"attempts": -1}, "'attempts' of remote offsite is a whole number"),
    ({"attempts": "4"}, "'attempts' of remote offsite is a whole number"),
    ({"timeout": 0}, "'timeout' of remote offsite is a number of seconds above 0"),
    ({"remote": "/mnt/disk"}, "the 'remote' of remote offsite is a directory of this host, which needs no 'options'"),
    ({"remote": "/mnt/disk", "options": None, "config_file": "/x"}, "is a directory of this host, which needs no 'options'"),
    ({"remote": "/", "options": None}, "the 'remote' of remote offsite may not be '/'. Name one directory"),
    ({"remote": "/mnt/a\nb", "options": None}, "Name one directory"),
    ({"remote": "bucket"}, "the 'remote' of remote offsite is neither NAME:PATH nor an absolute path. Write the name of the remote, a colon"),
    ({"remote": ":s3,secret_access_key=canary:bucket"}, "is neither NAME:PATH nor an absolute path"),
    ({"remote": "s3,secret_access_key=canary:bucket"}, "is neither NAME:PATH nor an absolute path"),
    ({"remote": "-v:bucket"}, "is neither NAME:PATH nor an absolute path"),
    ({"remote": "s3:bucket\nx"}, "is neither NAME:PATH nor an absolute path"),
    ({"remote": "s3:"}, "the 'remote' of remote offsite names no bucket or directory. Write it after the colon"),
    ({"options": None}, "remote offsite needs either 'options', or a 'config_file'. Write into 'options' what 'rclone config' would write"),
    ({"config_file": "/etc/rclone.conf"}, "remote offsite needs either 'options', or a 'config_file'"),
    ({"options": None, "config_file": "rclone.conf"}, "'config_file' of remote offsite is not an absolute path: 'rclone.conf'"),
    ({"remote": "s3:bucket/../other"}, "the 'remote' of remote offsite may not have '..' in it"),
    ({"remote": "/mnt/../etc", "options": None}, "may not have '..' in it"),
    ({"options": CANARY}, "'options' of remote offsite is a dictionary, not a str"),
    ({"options": [CANARY]}, "'options' of remote offsite is a dictionary, not a list"),
    ({"options": {"secret_access_key": CANARY}}, "'options' of remote offsite needs a 'type'. It is that of rclone"),
    ({"options": {"type": 3, "pass": CANARY}}, "'options' of remote offsite needs a 'type'"),
    ({"options": {"type": "s3", "Secret Key": CANARY}}, "'options' of remote offsite has the name 'Secret Key', which no option of rclone has"),
    ({"options": {"type": "s3", "a]\n[b": CANARY}}, "which no option of rclone has"),
    ({"options": {"type": "s3", 3: CANARY}}, "has the name 3, which no option of rclone has"),
    ({"options": {"type": "s3", "pass": [CANARY]}}, "the option 'pass' of remote offsite is no text"),
    ({"options": {"type": "s3", "pass": None}}, "the option 'pass' of remote offsite is no text"),
    ({"options": {"type": "s3", "pass": CANARY + "\n[other]"}}, "the option 'pass' of remote offsite has a line break, or '%(' in it"),
    ({"options": {"type": "s3", "pass": CANARY + "\r"}}, "has a line break"),
    ({"options": {"type": "s3", "pass": CANARY + "\0"}}, "has a line break"),
    ({"options": {"type": "s3", "pass": CANARY + "%(type)s"}}, "has a line break, or '%(' in it, which rclone's configuration cannot hold"),
    ({"options": {"type": "s3", "pass": CANARY + "\ud800"}}, "has a line break"),
])
def test_what_is_refused_says_why_and_shows_no_secret(words, expected):
    assert expected in refusal(told(remote(**words)))


def test_remotes_as_a_whole():
    assert "'remotes' of the app is a list, not a dict" in refusal(told(remotes=remote()))
    assert "remote 1 is a dictionary, not a str" in refusal(told("s3:canary"))
    assert "two remotes have the name 'offsite'" in refusal(told(remote(), remote(remote="/mnt", options=None)))
    assert "'remotes' nor 'encryption'" in refusal(told(remote(), sources=[{"type": "files", "path": "data", "method": "rsync"}]))


def test_a_remote_by_its_name():
    app = parse_app(told(remote(), remote(name="disk", remote="/mnt", options=None)))
    assert app.remote("disk").remote == "/mnt"
    with pytest.raises(ConfigurationError, match="app notes: has no remote 'x'. Its remotes are: offsite, disk"):
        app.remote("x")
    with pytest.raises(ConfigurationError, match="Its remotes are: none"):
        parse_app(told()).remote("x")


def test_values_as_the_configuration_has_them():
    options = read(options={"type": "sftp", "port": 22, "disable_hashcheck": True, "ask_password": False, "pass": " `x` = #",
                            "key_pem": "-----BEGIN-----\nabc\n-----END-----\n", "empty": ""}).options
    assert options == {"type": "sftp", "port": "22", "disable_hashcheck": "true", "ask_password": "false", "pass": " `x` = #",
                       "key_pem": "-----BEGIN-----\\nabc\\n-----END-----", "empty": ""}


def test_which_options_are_secrets():
    assert secrets_of(OPTIONS) == ["AKIACANARY", CANARY]
    assert secrets_of({"type": "s3", "pass": "short", "token": "123456", "upload_cutoff": "200000", "x": True, "y": 1234567}) == ["123456"]
    # What nobody has thought of is taken for one.
    assert secrets_of({"an_option_of_tomorrow": "value-of-it"}) == ["value-of-it"]
