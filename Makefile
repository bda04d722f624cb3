# make lab       everything a student needs, and JupyterLab with lesson 00
# make grading   everything an instructor needs: the formgrader lists all lessons
# make test      everything a developer needs, and every test
PYTHON ?= python3
BIN := .venv/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# In a container one is often root, which Jupyter wants to be told.
ROOT_FLAG := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test grading notebooks demo bench bench-grading claims check lint sandbox site pictures browser
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# In a copy of one's own: an update of the course touches nothing that was written there.
lab: .venv/lab
	$(BIN)/python -m vae_helpers
	$(BIN)/jupyter lab --notebook-dir my_notebooks $(ROOT_FLAG) --LabApp.default_url=/lab/tree/00_start_here/00_start_here.ipynb $(LAB_OPTIONS)

test: .venv/dev sandbox browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n auto --dist loadgroup

# What you just changed: lint, whether anything is stale, and the catalogue, references and stubs of the lessons that differ from
# main. LESSON=03 takes one.
check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n auto --dist loadgroup --lesson $(or $(LESSON),changed) \
	  tests/test_build.py tests/test_catalogue.py tests/test_stubs.py tests/test_references_*.py

grading: .venv/dev sandbox
	$(BIN)/python -m autograde prepare

notebooks: .venv/dev
	$(BIN)/python -m autograde build

demo: .venv/dev sandbox
	$(BIN)/python -m autograde demo

bench: .venv/dev
	$(BIN)/python tests/bench_fit.py

bench-grading: .venv/dev sandbox
	$(BIN)/python tests/bench_grading.py $(BENCH_OPTIONS)

# What the lessons say of their runs, over seeds and processors: an hour or two. LESSON=07 takes one.
claims: .venv/dev
	$(BIN)/python -m autograde claims $(LESSON) $(CLAIMS_OPTIONS)

# The course as a web site, in build/site. What the lessons print and draw is kept in build/executed. LESSON="00 03" takes two.
site: .venv/site
	$(BIN)/python -m autograde site $(LESSON)

# The README's screenshots.
pictures: .venv/dev sandbox browser
	$(BIN)/python -m autograde pictures

lint: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What student code runs in when it is graded, and the server that one test of the gradebook starts.
sandbox:
	@command -v bwrap >/dev/null && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { \
	  $(SUDO) apt-get update -qq; $(SUDO) apt-get install -y -qq bubblewrap postgresql >/dev/null; } || \
	  echo "bubblewrap or PostgreSQL could not be installed: sudo apt install bubblewrap postgresql" >&2

# What the site is looked at with.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || { \
	  $(SUDO) apt-get update -qq; $(SUDO) apt-get install -y -qq chromium >/dev/null; } || \
	  echo "Chromium could not be installed: sudo apt install chromium" >&2

.venv/bin/python:
	$(PYTHON) -m venv .venv || { rm -rf .venv; echo "python3 -m venv failed. On Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; }

# On Linux x86-64 without an NVIDIA driver: PyTorch's CPU build, from its own index, in place of gigabytes of CUDA. One short question
# tells whether that index can be reached; once it has answered, pip may take its time. GPU=1 takes the CUDA build.
CPU_INDEX := https://download.pytorch.org/whl/cpu
TORCH := $(shell sed -n 's/^ *\("torch[^"]*"\).*/\1/p' pyproject.toml)
ASK := import urllib.request as web; web.urlopen(web.Request("$(CPU_INDEX)/torch/", headers={"User-Agent": "pip"}), timeout=5)

.venv/dev: EXTRAS := [dev]
.venv/site: EXTRAS := [site]
.venv/lab .venv/dev .venv/site: pyproject.toml | .venv/bin/python
	@if [ -z "$(filter-out 0,$(GPU))" ] && [ "$$(uname -sm)" = "Linux x86_64" ] && ! nvidia-smi -L >/dev/null 2>&1 && \
	    ! $(BIN)/python -c "import torchvision" 2>/dev/null; then \
	  timeout 10 $(BIN)/python -c '$(ASK)' 2>/dev/null && \
	  $(BIN)/python -m pip install --quiet --index-url $(CPU_INDEX) $(TORCH) || \
	  echo "No PyTorch from $(CPU_INDEX): taking the default index's, on Linux the CUDA build, gigabytes." >&2; \
	fi
	$(BIN)/python -m pip install --quiet --editable ".$(EXTRAS)"
	touch $@
