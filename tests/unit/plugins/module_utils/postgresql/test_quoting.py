# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names and values as PostgreSQL reads them, asked of a real server."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from ansible_collections.appstate.backup.plugins.module_utils.postgresql.client import Server
from ansible_collections.appstate.backup.plugins.module_utils.postgresql.quoting import (
    database_argument, elements, identifier, literal, suffixed)
from ansible_collections.appstate.backup.plugins.module_utils.postgresql.session import Session
from ansible_collections.appstate.backup.plugins.module_utils.source import PostgresqlSource
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import ConfigurationError
from ansible_collections.appstate.backup.tests.unit.plugins.postgres_server import PROGRAMS

ODD = ["plain", "it's", 'say "x"', "back\\slash", "\\'", "a\nb", "x; DROP TABLE y --", "$$", "ü €",
       ":name :'x'", "=", " "]


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_texts_and_names_are_what_they_were(postgres, conforming):
    source = PostgresqlSource("x.dump", "postgres", host=postgres.host, user="club")
    with Session(Server(source), "postgres", time.monotonic() + 20) as session:
        session.run("SET standard_conforming_strings = %s" % conforming)
        texts = ", ".join("%s AS %s" % (literal(text), identifier(text)) for text in ODD)
        numbers = ", ".join("%d AS %s" % (number, identifier(text)) for number, text in enumerate(ODD))
        names = ", ".join(identifier(text) for text in ODD)
        assert session.rows("SELECT " + texts) == [ODD]
        assert session.rows("SELECT %s FROM (SELECT %s) AS q" % (names, numbers)) == [list(range(len(ODD)))]


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_cannot_be_a_name_is_refused(name):
    with pytest.raises(ConfigurationError):
        identifier(name)


def test_a_zero_byte_is_no_text():
    with pytest.raises(ConfigurationError):
        literal("a\0b")


@pytest.mark.parametrize("name", ["a=b", "postgresql://x/y", "it's", "back\\slash", "two words"])
def test_a_database_of_any_name_is_reached(postgres, name):
    postgres.sql("CREATE DATABASE %s" % identifier(name))
    found = subprocess.run([os.path.join(PROGRAMS, "psql"), "-XAt", "-h", postgres.host, "-U", "club", "--dbname",
                            database_argument(name), "-c", "SELECT current_database()"],
                           stdout=subprocess.PIPE, check=True)
    assert found.stdout.decode().strip() == name


@given(strategies.text(min_size=1, max_size=70, alphabet=strategies.characters(blacklist_categories=["Cs"])))
@settings(suppress_health_check=list(HealthCheck))
def test_a_name_with_a_suffix_is_never_too_long(name):
    made = suffixed(name, "_appstate_0123456789abcdef")
    assert made.endswith("_appstate_0123456789abcdef") and len(made.encode()) <= 63
    assert name.startswith(made[:-26])


@pytest.mark.parametrize("value, found", [
    ("public", ["public"]), ('"$user", public', ["$user", "public"]), ('"A b","c""d", e', ["A b", 'c"d', "e"]),
    ('""', [""])])
def test_a_setting_that_is_a_list_has_elements(value, found):
    assert elements(value) == found
