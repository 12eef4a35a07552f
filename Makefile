PY      := .venv/bin/python
SOURCES := $(shell find mdl proofs explanations models cli -type f -not -path '*/__pycache__/*')
# The strict editable install links file by file: a new or renamed file needs linking again.
LISTING := .venv/linked-$(shell printf '%s\n' $(SOURCES) | cksum | cut -d' ' -f1)
ROOMS   := assay.mdl assay.proofs assay.explanations assay.models assay.cli
.PHONY: demo test lint install clean
demo: install ; .venv/bin/assay demo
test: install ; $(PY) -m pytest -n 2 --dist worksteal tests $(ROOMS)
lint: install
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
install: $(LISTING)
.venv/installed: pyproject.toml constraints.txt
	python3 -m venv .venv
	$(PY) -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@
$(LISTING): .venv/installed
	$(PY) -m pip install -q --no-deps --no-build-isolation -e .
	rm -f .venv/linked-* && touch $@
clean: ; rm -rf .venv build *.egg-info
