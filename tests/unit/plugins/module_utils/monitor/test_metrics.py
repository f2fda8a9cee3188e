# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import re

import pytest

from ansible_collections.appstate.backup.plugins.module_utils.monitor import metrics
from ansible_collections.appstate.backup.plugins.module_utils.system.errors import AppStateError

SAMPLE = re.compile(r'(appstate_backup_[a-z_]+)\{app="([A-Za-z0-9_-]+)"\} ([0-9.e+-]+)\n\Z')
ALL = {name[len("appstate_backup_"):]: number for number, (name, unused) in enumerate(metrics.METRICS)}


def read(directory, app="notes", kind=""):
    """The samples of a file, each with the HELP and TYPE that the format asks for in front of it."""
    with open(os.path.join(directory, "appstate_backup_%s%s.prom" % (app, kind)), encoding="ascii") as file:
        lines = file.readlines()
    samples = {}
    for help_line, type_line, sample in zip(lines[::3], lines[1::3], lines[2::3]):
        name, label, value = SAMPLE.match(sample).groups()
        assert help_line.startswith("# HELP %s " % name) and type_line == "# TYPE %s gauge\n" % name and label == app
        samples[name] = float(value)
    assert len(lines) == 3 * len(samples)
    return samples


def test_every_metric_is_written_in_prometheus_own_format(tmp_path):
    metrics.write(str(tmp_path), "notes", ALL)
    assert read(str(tmp_path)) == {"appstate_backup_" + name: value for name, value in ALL.items()}


def test_what_is_not_known_is_left_out(tmp_path):
    metrics.write(str(tmp_path), "notes", {"last_run_success": 0, "kept": None, "newest_timestamp_seconds": 1795057200.5})
    assert read(str(tmp_path)) == {"appstate_backup_last_run_success": 0, "appstate_backup_newest_timestamp_seconds": 1795057200.5}


def test_the_exporter_may_read_it_and_finds_nothing_else(tmp_path):
    for unused in range(2):
        metrics.write(str(tmp_path), "notes", ALL)
    assert os.listdir(tmp_path) == ["appstate_backup_notes.prom"]
    assert (tmp_path / "appstate_backup_notes.prom").stat().st_mode & 0o777 == 0o644


def test_a_reader_never_sees_half_a_file(tmp_path):
    metrics.write(str(tmp_path), "notes", ALL)
    with open(tmp_path / "appstate_backup_notes.prom", encoding="ascii") as file:
        before = file.read()
        metrics.write(str(tmp_path), "notes", {"kept": 1})
        file.seek(0)
        assert file.read() == before
    assert list(read(str(tmp_path))) == ["appstate_backup_kept"]


def test_a_directory_that_is_missing_is_told_by_its_path(tmp_path):
    with pytest.raises(AppStateError) as caught:
        metrics.write(str(tmp_path / "missing"), "notes", ALL)
    assert str(tmp_path / "missing") in str(caught.value) and "metrics_directory" in str(caught.value)


DRILLS = {name[len("appstate_backup_"):]: number for number, (name, unused) in enumerate(metrics.DRILL_METRICS)}


def test_every_metric_of_drills_is_written_likewise(tmp_path):
    metrics.write_drill(str(tmp_path), "notes", DRILLS)
    assert os.listdir(tmp_path) == ["appstate_backup_notes.drill.prom"]
    assert (tmp_path / "appstate_backup_notes.drill.prom").stat().st_mode & 0o777 == 0o644
    assert read(str(tmp_path), "notes", ".drill") == {"appstate_backup_" + name: value for name, value in DRILLS.items()}
    metrics.write_drill(str(tmp_path), "notes", {"drill_last_success": 0, "drill_rto_seconds": None, "drill_rpo_seconds": 7200.5})
    assert read(str(tmp_path), "notes", ".drill") == {"appstate_backup_drill_last_success": 0, "appstate_backup_drill_rpo_seconds": 7200.5}


def test_no_two_files_of_any_apps_are_the_same_nor_any_two_samples(tmp_path):
    """The exporter refuses all it has where two files hold the same sample, or say otherwise what a metric is."""
    apps = ["notes", "notes_drill", "notes-drill", "notes_drill_drill", "drill"]
    for app in apps:
        metrics.write(str(tmp_path), app, ALL)
        metrics.write_drill(str(tmp_path), app, DRILLS)
    assert len(os.listdir(tmp_path)) == 2 * len(apps)
    samples, meanings = [], {}
    for name in os.listdir(tmp_path):
        for line in (tmp_path / name).read_text(encoding="ascii").splitlines():
            if line.startswith("#"):
                kind, metric, told = line[2:].split(" ", 2)
                assert meanings.setdefault((kind, metric), told) == told
            else:
                samples.append(line.rpartition(" ")[0])
    assert len(set(samples)) == len(samples) == len(apps) * (len(ALL) + len(DRILLS))


def test_a_directory_of_drills_that_is_missing_is_told_by_its_path(tmp_path):
    with pytest.raises(AppStateError, match="metrics_directory"):
        metrics.write_drill(str(tmp_path / "missing"), "notes", DRILLS)
