"""Train the two networks that ship with the package, from the data to the bundles.

    python benchmarks/fer48.py DATA VOTES RUNS [--bundles fer_fastai/pretrained] [--only NAME ...] [--epochs 1] [--threads 2]

DATA is FER2013 as one CSV in its own order, and VOTES is fer2013new.csv, the file of FER+ (see `nbs/12_read.ipynb`). The
script makes the runs of `chain` in the folder RUNS, one after the other. Most of them begin with the weights of an
earlier run of the same network, at a lower rate, and learn from the answers of earlier runs, too. The runs of `plus`
learn from FER+'s votes. --epochs is for a quick try: so many epochs in each run. While the networks train they do not
have the test split. You can stop the command at any time: the same command continues.

With --bundles, the script then turns runs into `fer48` and `ferplus48`, which compute with 8-bit integers. The weights of
`ferplus48` are the mean of three runs, each of which began with the weights of the one before (Wortsman et al. 2022,
https://arxiv.org/abs/2203.05482). The temperature is fitted on the validation split. Each bundle is scored as it ships,
through the predictor, on the validation split and, once, on the test split: with and without mirror TTA, with and without
the images that are in the training split too, against the labels of FER2013 and against the majority of FER+."""
import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from fer_fastai.bundle import Bundle
from fer_fastai.core import EMOTIONS, atomic
from fer_fastai.read import read_fer
from fer_fastai.export import load_fer_learner, save_bundle
from fer_fastai.interpret import FERInterpretation, fit_temperature
from fer_fastai.predict import FER
from fer_fastai.recipes import recipes
from fer_fastai.train import train_fer

world = recipes['ferplus48'].augment
mild = {**world, 'aug_transforms': {**world['aug_transforms'], 'max_rotate': 25}, 'border': {}, 'jpeg': {'p': 0.1}}
chain = dict(
    first=dict(recipe='fer48', epochs=45),
    student=dict(recipe='fer48', start='first', teachers=['first'], epochs=34, lr=3e-3, seed=2),
    large=dict(recipe='fer48_large', teachers=['student'], epochs=50, seed=3),
    large2=dict(recipe='fer48_large', start='large', teachers=['large', 'student'], epochs=34, lr=2.5e-3, seed=4),
    student2=dict(recipe='fer48', start='student', teachers=['large2', 'student'], epochs=34, lr=3e-3, seed=5),
    large3=dict(recipe='fer48_large', start='large2', teachers=['large2', 'student'], epochs=30, lr=2.5e-3, seed=6),
    plus=dict(recipe='ferplus48', augment=mild, start='student2', epochs=24, lr=3e-3, seed=11),
    plus2=dict(recipe='ferplus48', start='plus', epochs=12, lr=2e-3, seed=12),
    plus_large=dict(recipe='ferplus48', arch='fer48_large', start='large', epochs=12, lr=3e-3, seed=13),
    plus3=dict(recipe='ferplus48', start='plus2', teachers=['plus_large', 'plus2'], epochs=12, lr=2.5e-3, seed=14))
kept = dict( # the runs and the truth of each bundle, whose weights are the mean of the runs
    fer48=(['student2'], 'FER2013'), ferplus48=(['plus', 'plus2', 'plus3'], 'majority of FER+'))

def train(data, runs, name, **kwargs):
    "One of the runs, unless it is finished"
    out = runs/name
    if (out/'model').exists(): return
    if 'start' in kwargs: kwargs['start'] = runs/kwargs['start']
    if 'teachers' in kwargs: kwargs.update(teachers=[runs/o for o in kwargs['teachers']], distill=0.5)
    no_test = data.subset(np.concatenate([data.idxs('train'), data.idxs('valid')]))
    train_fer(no_test, out=out, lr_find=False, resume=(out/'run.json').exists(), **kwargs)

purpose = dict(
    fer48="It is for FER2013: it says what FER2013's own labels say. For photos from the world, `ferplus48` is better.",
    ferplus48="It is for photos from the world: it has learned from the votes of ten people (FER+) and from bad pictures.\n"
              "Its weights are the mean of three runs; the table of the training is that of the last one.\n"
              "To compare yourself on FER2013's own labels, use `fer48`.")

def reports(fer, data, truth, key=''):
    "Scores of a predictor on the validation and the test split, with and without mirror TTA"
    res = {}
    for split,tta in [(o, tta) for o in ('valid', 'test') for tta in (False, True)]:
        rows = data.idxs(split)
        interp = FERInterpretation(fer.probs(data.images[rows], tta=tta), data.labels[rows], data.vocab,
                                   f'{split}, {truth}', tta, data.in_train(split))
        res[split + key + ('_tta' if tta else '')] = interp.report()
    return res

def mean_of(runs):
    "The learner of the last of some runs, with the mean of their weights"
    learn,all_weights = load_fer_learner(runs[-1]),[load_file(Bundle(o).weights) for o in runs]
    mean = {k: torch.stack([o[k].double() for o in all_weights]).mean(0).to(v.dtype) for k,v in all_weights[-1].items()}
    learn.model.load_state_dict(mean)
    return learn

def bundle(name, runs, folder, data):
    "Make the small bundle of finished runs, fit its temperature, and score it on its own truth and on the other"
    (truth,own),(truth2,other) = sorted(data.items(), key=lambda o: o[0] != kept[name][1])
    learn,config = mean_of(runs),Bundle(runs[-1]).config
    train,valid = own.idxs('train'),own.idxs('valid')
    rows = np.random.default_rng(0).choice(train, min(1024, len(train)), replace=False)
    meta = dict(purpose=purpose[name], recipe={**config['recipe'], 'name': name, 'about': recipes[name].about}, lr=config['lr'],
                data={**config['data'], 'counts': own.counts().drop(columns='total').to_dict('index')})
    save = partial(save_bundle, learn=learn, calibration=learn.pre.batch(own.images[rows]))
    with atomic(folder) as tmp:
        temperature = fit_temperature(FER(save(tmp)).probs(own.images[valid]), own.labels[valid])
        fer = FER(save(tmp, temperature=temperature))
        scores = reports(fer, own, truth) | reports(fer, other, truth2, f', {truth2}')
        save(tmp, temperature=temperature, meta={**meta, 'metrics': scores})
    return scores

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data')
    p.add_argument('votes')
    p.add_argument('runs', type=Path)
    p.add_argument('--bundles', type=Path)
    p.add_argument('--only', nargs='+', default=[*chain], choices=[*chain])
    p.add_argument('--epochs', type=int)
    p.add_argument('--threads', type=int, default=torch.get_num_threads())
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    data = {'FER2013': dict(labels='EMOTIONS'), 'majority of FER+': {}}
    data = {k: read_fer(args.data, votes=args.votes, emotions=EMOTIONS, **o) for k,o in data.items()}
    few = dict(epochs=args.epochs) if args.epochs else {}
    for name,kwargs in chain.items():
        truth = 'majority of FER+' if name.startswith('plus') else 'FER2013'
        if name in args.only: train(data[truth], args.runs, name, **kwargs | few)
    for name,(runs,_) in kept.items() if args.bundles else ():
        for k,o in bundle(name, [args.runs/o for o in runs], args.bundles/name, data).items():
            print(f"{name} {k:30} {o['accuracy']:.2%} of {o['n']:,} ({o['accuracy_low']:.2%} to {o['accuracy_high']:.2%}); "
                  f"{o['unseen']['accuracy']:.2%} of the {o['unseen']['n']:,} that are not in the training split; "
                  f"balanced {o['balanced_accuracy']:.2%}, ECE {o['ece']:.3f}")
