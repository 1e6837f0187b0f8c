"""How fast batches are made, and whether the fast order costs accuracy.

    python benchmarks/pipeline.py DATA [--threads 1] [--batches 8] [--rounds 5]
    python benchmarks/pipeline.py DATA --accuracy [--frac 0.12] [--epochs 5] [--seeds 4] [--size 64] [--arch fer48]

DATA is FER2013 in any form that `read_fer` takes.

The first form prints images per second at 160 px with aug_transforms. It compares the DataBlock of the fast.ai study,
which parses strings of pixels one by one, with whole batches: in the order of that study (enlarge while augmenting),
and enlarged last, bilinear and bicubic. All contenders take turns in one process, and ratios are medians over rounds.
train.py says what batches cost a training step.

The second form trains a network in each of these orders, from the same seeds, on a share of the training split, and
prints the accuracy on PublicTest."""
import argparse
from itertools import islice

import numpy as np
import pandas as pd
import torch
from fastai.vision.all import (CategoryBlock, ColReader, DataBlock, ImageBlock, Normalize, PILImage, RandomSplitter,
                               aug_transforms, imagenet_stats, set_seed)

from fer_fastai.loaders import fer_dls, fer_preprocess
from fer_fastai.read import read_fer
from fer_fastai.recipes import find_recipe
from fer_fastai.train import recipe_learner
from timing import markdown, report, take_turns

def orders(size):
    "The arguments of `aug_transforms` in each order"
    return {'enlarged while augmenting': {'size': size}, 'enlarged last': {},
            'enlarged last, bicubic': {'mode': 'bicubic'}}

def pixels(row):
    face = np.array(row.pixels.split(' '), dtype=np.uint8).reshape(48, 48)
    return PILImage.create(np.stack([face]*3, axis=-1))

def fastai_dls(data, bs):
    "The DataBlock of the fast.ai study, on a DataFrame of pixel strings"
    df = pd.DataFrame(dict(emotion=data.df.emotion, pixels=[' '.join(map(str, x.ravel())) for x in data.images]))
    tfms = [*aug_transforms(size=160), Normalize.from_stats(*imagenet_stats)]
    block = DataBlock(blocks=(ImageBlock, CategoryBlock(data.vocab)), get_x=pixels, get_y=ColReader('emotion'),
                      splitter=RandomSplitter(0.2), batch_tfms=tfms)
    return block.dataloaders(df, bs=bs, num_workers=0, device='cpu')

def drain(dl, n): return lambda: [None for _ in islice(dl, n)]

def bench_loader(data, args):
    pre = fer_preprocess(data, 160, channels=3, stats='imagenet')
    dls = {'DataBlock, pixel strings': fastai_dls(data.sample(min(1, 3000/len(data))), 64)}
    for k,o in orders(160).items():
        dls[f'whole batches, {k}'] = fer_dls(data, pre, {'aug_transforms': o}, bs=64, device='cpu')
    t = pd.DataFrame(take_turns({k: drain(o.train, args.batches) for k,o in dls.items()}, args.rounds))
    n,base = 64*args.batches,t['DataBlock, pixel strings']
    rows = [{'': k, 'images/s': f'{n/t[k].median():,.0f}', 'times the DataBlock': f'{(base/t[k]).median():.2f}'} for k in t]
    report(f'loader, 160 px, {args.threads} thread(s)', markdown(rows))

def bench_accuracy(data, args):
    train = data.idxs('train')
    some = np.random.default_rng(0).choice(train, round(args.frac*len(train)), replace=False)
    data = data.subset(np.sort(np.concatenate([some, data.idxs('valid')])))
    one = lambda seed: {k: accuracy(data, o, seed, args) for k,o in orders(args.size).items()}
    acc = pd.DataFrame([one(o) for o in range(args.seeds)])
    diff = acc.sub(acc.iloc[:, 0], axis=0).iloc[:, 1:]
    rows = [{'seed': i, **{k: f'{v:.2%}' for k,v in o.items()}} for i,o in acc.iterrows()]
    report(f'{data}\n{args.arch} at {args.size} px from scratch, {args.epochs} epochs, accuracy on PublicTest', markdown(rows),
           *[f'{k}: {diff[k].mean():+.2%} +- {diff[k].sem():.2%} against the first (standard error)' for k in diff])

def accuracy(data, aug, seed, args):
    "Train once, and score the validation split"
    r = find_recipe('resnet34', arch=args.arch, size=args.size, pretrained=False, seed=seed,
                    augment={'aug_transforms': aug})
    learn = recipe_learner(data, r)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(args.epochs, 3e-3)
    return learn.final_record[2]

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data')
    p.add_argument('--accuracy', action='store_true')
    defaults = dict(threads=1, batches=8, rounds=5, frac=0.12, epochs=5, seeds=4, size=64, arch='fer48')
    for k,v in defaults.items(): p.add_argument(f'--{k}', type=type(v), default=v)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    set_seed(0)
    data = read_fer(args.data)
    (bench_accuracy if args.accuracy else bench_loader)(data, args)
