# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.app import parse_app
from ansible_collections.appstate.backup.plugins.module_utils.archive.age import make_pair
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError

AGE = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN"


def read(encryption):
    told = {"name": "notes", "root": "/srv/notes", "destination": "/var/backups", "sources": [{"type": "files", "path": "data"}],
            "encryption": encryption}
    return parse_app(told).recipients


def refusal(encryption):
    with pytest.raises(ConfigurationError) as caught:
        read(encryption)
    assert str(caught.value).startswith("app notes: ") and caught.value.exit_code == 78
    return str(caught.value)


def test_recipients_stay_in_their_order():
    assert read(None) == ()
    assert read({"recipients": [SSH + " admin@host", "  %s\n" % AGE]}) == (SSH + " admin@host", AGE)
    assert read({"recipients": ["ssh-rsa AAAAB3NzaC1yc2E="]}) == ("ssh-rsa AAAAB3NzaC1yc2E=",)


def test_what_age_makes_is_taken():
    identity, recipient = make_pair()
    assert read({"recipients": [recipient]}) == (recipient,)
    assert identity.count("AGE-SECRET-KEY-1") == 1


@pytest.mark.parametrize("value", [
    "", "age1", "AGE1QL3Z7HJY54PW3HYWW5AYYFG7ZQGVC7W3J2ELW8ZMRJ2KG5SFN9AQMCAC8P", "ssh-ed25519", "ssh-dss AAAA", "ecdsa-sha2-nistp256 AAAA",
    AGE + "\n" + AGE, SSH + "\nx", "--recipients-file=/etc/passwd", "-R", "github.com/user", None, 7, [AGE], "recipient\0"])
def test_what_is_no_public_key(value):
    assert "recipient 2 of 'encryption' is no public key. It begins with age1, ssh-ed25519 or ssh-rsa." in refusal({"recipients": [AGE, value]})


@pytest.mark.parametrize("value", [
    "AGE-SECRET-KEY-1QQQQCANARY", "age-secret-key-1canary", "# public key: %s\nAGE-SECRET-KEY-1CANARY" % AGE, "AGE-PLUGIN-CANARY-1Q",
    "-----BEGIN OPENSSH PRIVATE KEY-----\ncanary", "-----BEGIN RSA PRIVATE KEY-----"])
def test_a_secret_key_is_refused_and_not_shown(value):
    said = refusal({"recipients": [value]})
    assert "recipient 1 of 'encryption' is a secret key. Name the public key that belongs to it, and keep this one elsewhere." in said
    assert "canary" not in said.lower() and "BEGIN" not in said


def test_the_rest_of_it():
    assert "'encryption' is a dictionary, not a str" in refusal(AGE)
    assert "'encryption' needs 'recipients', a list with at least one public key. Make a pair of keys with age-keygen" in refusal({})
    assert "'encryption' needs 'recipients'" in refusal({"recipients": []})
    assert "'recipients' of 'encryption' is a list, not a str" in refusal({"recipients": AGE})
    assert "CANARY" not in refusal({"recipients": "AGE-SECRET-KEY-1CANARY"})
    assert "'encryption' has an unknown key 'identity'" in refusal({"recipients": [AGE], "identity": "x"})
