"""Train the network that ships with the package, from the data to the bundle.

    python benchmarks/fer48.py DATA RUNS [--bundle fer_fastai/pretrained/fer48] [--large] [--epochs 1] [--threads 2]

DATA is FER2013 in any form that `read_fer` takes. The script makes the runs of `chain` in the folder RUNS, one after
the other. Most of them begin with the weights of an earlier run of the same network, at a lower rate, and learn from
the labels and from the answers of earlier runs. `student2` is the network that ships. --large adds `large3`, the best
of the larger networks; benchmarks/ensemble.py scores it. --epochs is for a quick try: so many epochs in each run.
While the networks train they do not have the test split. You can stop the command at any time: the same command
continues.

With --bundle, the script then turns `student2` into 8-bit integers and fits its temperature on the validation split.
It scores the bundle as it ships, through the predictor, on the validation split and, once, on the test split: with
and without mirror TTA, with and without the images that are in the training split too."""
import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fer_fastai.bundle import Bundle
from fer_fastai.core import atomic
from fer_fastai.read import read_fer
from fer_fastai.export import load_fer_learner, save_bundle
from fer_fastai.interpret import FERInterpretation, fit_temperature
from fer_fastai.predict import FER
from fer_fastai.train import train_fer

chain = dict(
    first=dict(recipe='fer48', epochs=45),
    student=dict(recipe='fer48', start='first', teachers=['first'], epochs=34, lr=3e-3, seed=2),
    large=dict(recipe='fer48_large', teachers=['student'], epochs=50, seed=3),
    large2=dict(recipe='fer48_large', start='large', teachers=['large', 'student'], epochs=34, lr=2.5e-3, seed=4),
    student2=dict(recipe='fer48', start='student', teachers=['large2', 'student'], epochs=34, lr=3e-3, seed=5),
    large3=dict(recipe='fer48_large', start='large2', teachers=['large2', 'student'], epochs=30, lr=2.5e-3, seed=6))

def train(data, runs, name, **kwargs):
    "One of the runs, unless it is finished"
    out = runs/name
    if (out/'model').exists(): return
    if 'start' in kwargs: kwargs['start'] = runs/kwargs['start']
    if 'teachers' in kwargs: kwargs.update(teachers=[runs/o for o in kwargs['teachers']], distill=0.5)
    train_fer(data, out=out, lr_find=False, resume=(out/'run.json').exists(), **{'recipe': 'fer48', **kwargs})

def bundle(data, run, folder):
    "Make the small bundle of a finished run, and score it"
    learn = load_fer_learner(run)
    config = Bundle(run).config
    rows = np.random.default_rng(0).choice(data.idxs('train'), 1024, replace=False)
    faces = {o: data.images[data.idxs(o)] for o in ('valid', 'test')}
    counts = data.counts().drop(columns='total').to_dict('index')
    meta = dict(recipe=config['recipe'], lr=config['lr'], data={**config['data'], 'counts': counts})
    save = partial(save_bundle, learn=learn, calibration=learn.pre.batch(data.images[rows]))
    with atomic(folder) as tmp:
        raw = FER(save(tmp)).probs(faces['valid'])
        temperature = fit_temperature(raw, data.labels[data.idxs('valid')])
        fer = FER(save(tmp, temperature=temperature))
        reports = {}
        for split,tta in [(o, tta) for o in faces for tta in (False, True)]:
            probs,targs = fer.probs(faces[split], tta=tta),data.labels[data.idxs(split)]
            interp = FERInterpretation(probs, targs, data.vocab, split, tta, data.in_train(split))
            reports[split + ('_tta' if tta else '')] = interp.report()
        save(tmp, temperature=temperature, meta={**meta, 'metrics': reports})
    return reports

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data')
    p.add_argument('runs', type=Path)
    p.add_argument('--bundle', type=Path)
    p.add_argument('--large', action='store_true')
    p.add_argument('--epochs', type=int)
    p.add_argument('--threads', type=int, default=torch.get_num_threads())
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    data = read_fer(args.data)
    no_test = data.subset(np.concatenate([data.idxs('train'), data.idxs('valid')]))
    few = dict(epochs=args.epochs) if args.epochs else {}
    for name,kwargs in chain.items():
        if name != 'large3' or args.large: train(no_test, args.runs, name, **kwargs | few)
    if args.bundle:
        for k,o in bundle(data, args.runs/'student2', args.bundle).items():
            print(f"{k:10} {o['accuracy']:.2%} of {o['n']:,} ({o['accuracy_low']:.2%} to {o['accuracy_high']:.2%}); "
                  f"{o['unseen']['accuracy']:.2%} of the {o['unseen']['n']:,} that are not in the training split; "
                  f"balanced {o['balanced_accuracy']:.2%}, ECE {o['ece']:.3f}")
