"""Train the network that ships with the package, from the data to the bundle.

    python benchmarks/fer48.py DATA RUNS [--bundle fer_fastai/models/fer48] [--large] [--epochs 1] [--threads 2]

DATA is FER2013 in any form that `read_fer` takes. The runs in `chain` are made in the folder RUNS, one after the other: each begins with the weights
of an earlier one of its kind, at a lower rate, and learns from the labels and from the answers of earlier ones. `student2` is the network that ships;
--large goes on to `large3`, the best of the larger ones, which benchmarks/ensemble.py scores. --epochs is for a quick try, so many epochs in each run.
The test split is not there while they train. A run that is finished is not made again, and one that was interrupted goes on, so this command can be
stopped at any time.

With --bundle, `student2` is then put into 8-bit integers, its temperature is fitted on the validation split, and the bundle is scored as it ships,
through the predictor, on the validation split and, for the only time, on the test split: with and without mirror TTA, with and
without the images that also stand in the train split."""
import argparse
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
    out,model = runs/name,lambda o: runs/o/'model'
    if 'start' in kwargs: kwargs['start'] = model(kwargs['start'])
    if 'teachers' in kwargs: kwargs.update(teachers=[model(o) for o in kwargs['teachers']], distill=0.5)
    if not model(name).exists(): train_fer(data, out=out, lr_find=False, resume=(out/'recipe.json').exists(), **kwargs)

def bundle(data, source, folder):
    "Make the small bundle of a finished run, and score it"
    learn = load_fer_learner(source)
    config = Bundle(source).config
    rows = np.random.default_rng(0).choice(data.idxs('train'), 1024, replace=False)
    faces = {o: data.images[data.idxs(o)] for o in ('valid', 'test')}
    meta = {k: config[k] for k in ('recipe', 'lr')} | dict(data={**config['data'], 'counts': data.counts().drop(columns='total').to_dict('index')})
    def save(to, **kwargs):
        return save_bundle(to, learn, calibration=learn.pre.batch(data.images[rows]), **kwargs)
    with atomic(folder) as tmp:
        raw = FER(save(tmp)).probs(faces['valid'])
        temperature = fit_temperature(raw, data.labels[data.idxs('valid')])
        fer = FER(save(tmp, temperature=temperature))
        reports = {}
        for split,tta in [(o, tta) for o in faces for tta in (False, True)]:
            interp = FERInterpretation(fer.probs(faces[split], tta=tta), data.labels[data.idxs(split)], data.vocab, split, tta, data.in_train(split))
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
    for name,kwargs in chain.items():
        if name != 'large3' or args.large: train(no_test, args.runs, name, **kwargs | (dict(epochs=args.epochs) if args.epochs else {}))
    if args.bundle:
        for k,o in bundle(data, args.runs/'student2'/'model', args.bundle).items():
            print(f"{k:10} {o['accuracy']:.2%} of {o['n']:,} ({o['accuracy_low']:.2%} to {o['accuracy_high']:.2%}); {o['unseen']['accuracy']:.2%} of the "
                  f"{o['unseen']['n']:,} that are not in the train split; balanced {o['balanced_accuracy']:.2%}, ECE {o['ece']:.3f}")
