# Two commands on a fresh machine: `make demo` and `make test`. What they run is defined in tox.ini.
PYTHON ?= python3
TOX = .venv/bin/tox

.PHONY: demo test lint types speed docs hurt cluster-test
demo lint types speed docs hurt: $(TOX)
	$(TOX) run -e bench,$@
test: $(TOX)
	$(TOX) run -e bench,lint,types,test

$(TOX): constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet -c constraints.txt tox
	touch $@
cluster-test: $(TOX)
	$(TOX) run -e bench,cluster
