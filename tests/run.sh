#!/usr/bin/env bash
# Install what the tests need into .venv (or the folder given) and run every test: the notebooks, then pytest
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
python3 -m venv "$venv"
export PATH="$(cd "$venv/bin" && pwd):$PATH" OMP_NUM_THREADS=1
pip install -q --config-settings editable_mode=compat -e '.[dev,all]'
nbdev-test --do-print
pytest
