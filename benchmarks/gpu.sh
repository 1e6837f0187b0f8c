#!/usr/bin/env bash
# Everything that we want to measure on a GPU, in one go and within 20 minutes, without a network connection:
#
#     bash benchmarks/gpu.sh DATA OUT [MINUTES]
#
# DATA is FER2013 in any form that read_fer takes. The script trains networks of the recipe fer48_large with one seed after the other,
# then students of all of them, until the time is up. OUT then has the tables and small result files: train.md (seconds for an epoch, and the
# ratio to the network alone), reached.md (time until 65.8, 70 and 73 % valid accuracy), predict.md, ensemble.md, the history.csv of
# each network, and the bundle of the best student.
set -euo pipefail
cd "$(dirname "$0")/.."
data=$(realpath "$1") out=$2 minutes=${3:-20}
mkdir -p "$out"
out=$(realpath "$out")
end=$((SECONDS + minutes*60 - 60)) # a minute to score and copy
left() { echo $((end - SECONDS)); }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python benchmarks/train.py "$data" --batches 40 --out "$out"
python benchmarks/predict.py --rounds 3 --out "$out"

run() { # name, teachers as JSON, seed
    timeout "$(left)" python - "$data" "$work/$1" "$2" "$3" <<'PY' || return 1
import json, sys
import numpy as np
from fer_fastai.read import read_fer
from fer_fastai.train import train_fer
data,out,teachers,seed = sys.argv[1:]
data = read_fer(data)
data = data.subset(np.concatenate([data.idxs('train'), data.idxs('valid')])) # the test split is scored once, by ensemble.py
train_fer(data, 'fer48_large', out=out, epochs=100, seed=int(seed), teachers=json.loads(teachers) or None, lr_find=False)
PY
}
half=$((end - (end - SECONDS)/2))
for seed in 1 2 3 4 5 6 7 8; do
    [ $SECONDS -lt $half ] && run "labels-$seed" '[]' "$seed" || break
done
teachers=$(ls -d "$work"/labels-*/model 2>/dev/null | python -c 'import json, sys; print(json.dumps(sys.stdin.read().split()))')
for seed in 11 12 13 14 15 16 17 18; do
    [ "$(left)" -gt 60 ] && [ "$teachers" != '[]' ] && run "student-$seed" "$teachers" "$seed" || break
done

runs=$(ls -d "$work"/*/model | xargs -n1 dirname)
python benchmarks/train.py --reached $runs --out "$out"
python benchmarks/ensemble.py "$data" $runs --out "$out"
for o in $runs; do cp "$o/history.csv" "$out/$(basename "$o").csv"; done
best=$(for o in "$work"/student-*/history.csv; do python -c 'import sys, pandas as pd; print(pd.read_csv(sys.argv[1]).accuracy.max(), sys.argv[1])' "$o"; done 2>/dev/null | sort | tail -n 1 | cut -d' ' -f2)
[ -z "$best" ] || cp -r "$(dirname "$best")/model" "$out/student"
