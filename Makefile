# What a fresh machine with Python 3.11, make and git needs: `make run` and `make test`. Everything lives in .venv.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
RECIPES ?= townhouses-cf_gan townhouses-gan_compression

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: run test lint docs ui bench wheel install clean

run: $(STAMP) data/train/townhouses  ## The main job: search, compress, measure and export a generator, by two methods
	@for recipe in $(RECIPES); do echo "$(BIN)/slimgen run $$recipe"; $(BIN)/slimgen run $$recipe --brief || exit; done
	$(BIN)/slimgen compare $(RECIPES:%=runs/%)

data/train/townhouses: | $(STAMP)
	@if test -e .git; then $(BIN)/dvc pull --quiet data.dvc; else \
	echo "This copy has no .git, which DVC needs: slimgen draws the pictures itself. 'git init' makes DVC work."; fi

test: $(STAMP)  ## All tests, a worker for each core
	@$(BIN)/python -m compileall -q core components pipelines  # for the hundred processes that tests start
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder --durations 25

lint: $(STAMP) docs  ## Style, types, layers, and the documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)  ## The documentation as a site, in site/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

ui: $(STAMP)  ## The MLflow UI over the runs of this folder
	$(BIN)/slimgen ui

bench: $(STAMP)  ## What docs/results.md quotes; takes hours. BENCH='--facades DIR ...' for images from elsewhere
	$(BIN)/python -m benchmarks $(BENCH)

wheel: $(STAMP)  ## dist/: wheel and sdist, and whether a clean environment can install and use them
	$(BIN)/python -m build --quiet --outdir dist .
	$(BIN)/python -m benchmarks.install dist

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

clean:  ## Removes what was installed and computed; never data
	@for run in runs/*; do test -e "$$run/source.json" || rm -rf "$$run"; done
	rm -rf .venv mlruns build dist
