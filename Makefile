# make demo        text to a textured 3D object, from nothing
# make test        every quick test (under 12 minutes on 2 cores)
# make test-slow   end-to-end runs measured against the true shapes
# make sync        every generated file: labels, tables of help pages, frozen ids, workflows
# make bench       times of the kernels and of a training step
PYTHON ?= python3
VENV   ?= .venv
OUTPUT ?= output
PROMPT ?= a blue sphere on top of a green cylinder
BIN    := $(VENV)/bin
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test test-slow bench sync clean

demo: $(VENV)/installed
	$(BIN)/distill3d run dreamfusion --set prompt="$(PROMPT)" --output $(OUTPUT)

test: $(VENV)/tested
	$(BIN)/python -m pytest tests -n 2 -q -m "not slow" -o faulthandler_timeout=300 -o faulthandler_exit_on_timeout=true

test-slow: $(VENV)/tested
	$(BIN)/python -m pytest tests -q -m slow -s

sync: $(VENV)/installed
	$(BIN)/distill3d sync

bench: $(VENV)/installed
	$(BIN)/python -m tests.bench

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[test,remesh]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
