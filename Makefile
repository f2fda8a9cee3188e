# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# What a stage runs stands in tests/tools/stages.py; TESTS="…" narrows a stage to some of its tests.
CHECK = python3 tests/tools/check.py
SIZE = full
WORDS =
TESTS =

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show these targets
	@sed -n 's/^\([a-z0-9.-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

.PHONY: demo
demo: ## Back up, damage and restore a small application, in under a minute and without root
	@python3 demo/run

.PHONY: test
test: ## Install what is missing and run every check
	@$(CHECK)

.PHONY: unit unit-3.8 unit-3.11 unit-3.13 lint sanity build integration e2e
unit: ## Unit tests on Python 3.8, 3.11 and 3.13
unit-3.8: ## Unit tests of the engine on Python 3.8
unit-3.11: ## Unit tests on Python 3.11 with the oldest ansible-core
unit-3.13: ## Unit tests on Python 3.13 with the newest ansible-core
lint: ## ansible-lint with yamllint, antsibull-docs, antsibull-changelog, import-linter
sanity: ## ansible-test sanity, with the oldest and the newest ansible-core
build: ## Build and install the collection, ask ansible-doc and the Galaxy importer
integration: ## ansible-test integration
e2e: ## Playbooks over SSH on hosts made from namespaces (root)
unit unit-3.8 unit-3.11 unit-3.13 lint sanity build integration e2e:
	@$(CHECK) $@ --tests "$(TESTS)"

.PHONY: bench
bench: ## Measure speed, memory and pauses; SIZE=small for a quick look
	@mkdir -p build
	@python3 tests/bench/bench.py --size $(SIZE) --json build/bench.json

.PHONY: torture
torture: ## Try to break each promise on purpose, for up to an hour (root); WORDS="--row kill" for a part
	@python3 tests/tools/torture.py $(WORDS)

.PHONY: clean
clean: ## Remove all that was made, but not the virtual environments
	rm -rf build
