# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of what the modules share; it mirrors ``module_utils/module.py``."""

    # Ansible merges fragments by whole options, and its linters read nothing but literals: so each way to take an app is
    # written out. A section named like its file (app.app) is never found.
    DOCUMENTATION = r"""
options:
  app:
    description:
      - One application as the inventory describes it.
      - "Keys of the app: V(name), V(profile), V(root), V(sources), V(destination), V(owner), V(group), V(file_mode),
        V(directory_mode), V(compression) (V(auto), V(zstd) or V(gzip)), V(snapshot_deadline) (seconds), V(mode) (V(live)
        or V(cold)), V(service), V(health), V(version), V(version_max), V(retention), V(shrink_guard), V(hooks),
        V(monitoring), V(schedule), V(allow_network_destination), V(remotes), V(encryption) and V(filename)."
      - "Keys of each of the V(remotes): V(name), V(remote), V(options) or V(config_file), V(host), V(retention), V(delete),
        V(bandwidth), V(attempts) and V(timeout)."
      - "Each source has a V(type), a V(path), and V(required). The types are V(sqlite), V(files), V(postgresql), V(command),
        V(http), V(volume) and V(bucket)."
      - "Keys of a source of type V(sqlite): V(assertions) (each with V(sql) and V(min), V(max) or V(equals)), V(method)
        (V(auto), V(backup), V(clone) or V(vacuum)), V(foreign_keys), V(references) (each with V(sql) and V(under)),
        V(sidecars) and V(allow_any_file_system)."
      - "Keys of a source of type V(files): V(exclude), V(method) (V(archive) or V(rsync)) and V(mentions) (each with
        V(pattern) and V(under))."
      - "Keys of a source of type V(postgresql): V(database), V(host), V(port), V(user), V(password) or V(password_file),
        V(sslmode), V(run_as), V(maintenance_database), V(assertions), V(references) and V(timeout)."
      - "Keys of a source of type V(command): V(argv), V(restore_argv), V(format) (V(sqlite), V(sql), V(tar) or V(raw)),
        V(timeout), V(run_as), V(assertions) and V(references)."
      - "Keys of a source of type V(http): V(url), V(method), V(headers) or V(headers_file), V(body) or V(body_file),
        V(format), V(timeout), V(deadline), V(max_size), V(ca_file), V(assertions) and V(references)."
      - "Keys of a source of type V(volume): V(volume), or V(container) and V(container_path); V(engine) (V(auto),
        V(podman) or V(docker)), V(project), V(image), V(method) (V(helper) or V(exec)), V(exclude), V(databases) and
        V(timeout)."
      - "Keys of a source of type V(bucket): V(remote), V(options) (a dictionary, what rclone has to know of it) or
        V(config_file), V(exclude) and V(timeout)."
      - An unknown key is an error that names the app. The guide of the collection describes each key.
    type: dict
    required: true
"""

    APP_OPTIONAL = r"""
options:
  app:
    description:
      - One application as the inventory describes it.
      - "Keys of the app: V(name), V(profile), V(root), V(sources), V(destination), V(owner), V(group), V(file_mode),
        V(directory_mode), V(compression) (V(auto), V(zstd) or V(gzip)), V(snapshot_deadline) (seconds), V(mode) (V(live)
        or V(cold)), V(service), V(health), V(version), V(version_max), V(retention), V(shrink_guard), V(hooks),
        V(monitoring), V(schedule), V(allow_network_destination), V(remotes), V(encryption) and V(filename)."
      - "Keys of each of the V(remotes): V(name), V(remote), V(options) or V(config_file), V(host), V(retention), V(delete),
        V(bandwidth), V(attempts) and V(timeout)."
      - "Each source has a V(type), a V(path), and V(required). The types are V(sqlite), V(files), V(postgresql), V(command),
        V(http), V(volume) and V(bucket)."
      - "Keys of a source of type V(sqlite): V(assertions) (each with V(sql) and V(min), V(max) or V(equals)), V(method)
        (V(auto), V(backup), V(clone) or V(vacuum)), V(foreign_keys), V(references) (each with V(sql) and V(under)),
        V(sidecars) and V(allow_any_file_system)."
      - "Keys of a source of type V(files): V(exclude), V(method) (V(archive) or V(rsync)) and V(mentions) (each with
        V(pattern) and V(under))."
      - "Keys of a source of type V(postgresql): V(database), V(host), V(port), V(user), V(password) or V(password_file),
        V(sslmode), V(run_as), V(maintenance_database), V(assertions), V(references) and V(timeout)."
      - "Keys of a source of type V(command): V(argv), V(restore_argv), V(format) (V(sqlite), V(sql), V(tar) or V(raw)),
        V(timeout), V(run_as), V(assertions) and V(references)."
      - "Keys of a source of type V(http): V(url), V(method), V(headers) or V(headers_file), V(body) or V(body_file),
        V(format), V(timeout), V(deadline), V(max_size), V(ca_file), V(assertions) and V(references)."
      - "Keys of a source of type V(volume): V(volume), or V(container) and V(container_path); V(engine) (V(auto),
        V(podman) or V(docker)), V(project), V(image), V(method) (V(helper) or V(exec)), V(exclude), V(databases) and
        V(timeout)."
      - "Keys of a source of type V(bucket): V(remote), V(options) (a dictionary, what rclone has to know of it) or
        V(config_file), V(exclude) and V(timeout)."
      - An unknown key is an error that names the app. The guide of the collection describes each key.
    type: dict
    required: false
"""

    PLACES = r"""
options:
  state_directory:
    description:
      - Where journals of restores are kept.
      - Defaults to V(/var/lib/appstate-backup) for root, and to a folder below E(XDG_STATE_HOME) for everyone else.
    type: path
  lock_directory:
    description:
      - Where the locks are kept that let one run at a time work on an app.
      - Defaults to V(/run/appstate-backup) for root, and to V(locks) in O(state_directory) for everyone else.
    type: path
"""

    REMOTE = r"""
options:
  remote:
    description:
      - Name of one of the V(remotes) of the app. What is there is meant, instead of what is at the destination. An archive is read as
        a stream, and needs no room on the host.
      - O(remote) and O(archive) exclude one another.
    type: str
  remote_host:
    description:
      - The host whose backups are meant at the O(remote), by the name of its directory there.
      - Defaults to V(host) of the remote, or to the name of the host itself.
    type: str
"""

    SELECTION = r"""
options:
  which:
    description:
      - Which backup of the app is meant. V(latest) is the newest good one; anything else is the id of a backup.
      - O(which), O(before) and O(archive) exclude one another.
    type: str
    default: latest
  before:
    description:
      - A time as RFC 3339 with its offset, for example V(2026-11-19T03:00:00Z). The newest good backup that was begun at or
        before it is meant.
    type: str
  archive:
    description:
      - Path on the host of one archive. This can be a backup of this collection, with or without the manifest beside it, or
        what an old shell recipe made, a tar in any compression, a SQLite database, or a compressed one.
    type: path
"""

    IDENTITY = r"""
options:
  identity:
    description:
      - The secret key, of age or SSH, that opens an encrypted archive. It is only ever in memory on the host.
      - O(identity) and O(identity_file) exclude one another.
    type: str
  identity_file:
    description:
      - Path on the host of a file with that key.
    type: path
"""
