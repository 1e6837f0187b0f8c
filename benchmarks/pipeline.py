"""How fast batches are made, and whether the fast order costs accuracy.

    python benchmarks/pipeline.py DATA [--threads 1] [--batches 8] [--rounds 5]
    python benchmarks/pipeline.py DATA --accuracy [--frac 0.12] [--epochs 5] [--seeds 4] [--size 64] [--arch fer48]

DATA is FER2013 in any form that `read_fer` takes. The first form prints images per second at 160 px with
aug_transforms, for the DataBlock of the fast.ai study (pixel strings, parsed item by item), for whole batches in that study's order
(enlarge while augmenting) and for whole batches enlarged last, bilinear and bicubic. All contenders take turns in one process; ratios are
medians over rounds. What batches cost a training step is in train.py.
The second form trains with these orders from the same seeds on a share of the training split, and prints the accuracy on PublicTest."""
import argparse, time
from itertools import islice

import numpy as np
import pandas as pd
import torch
from fastai.vision.all import (CategoryBlock, ColReader, DataBlock, ImageBlock, Normalize, PILImage, RandomSplitter, aug_transforms, imagenet_stats,
                               set_seed)

from fer_fastai.read import read_fer
from fer_fastai.loaders import fer_dls, fer_preprocess
from fer_fastai.recipes import find_recipe
from fer_fastai.train import recipe_learner

exact,last,bicubic = ({'aug_transforms': o} for o in ({'size': 160}, {}, {'mode': 'bicubic'}))

def pixels(row): return PILImage.create(np.stack([np.array(row.pixels.split(' '), dtype=np.uint8).reshape(48, 48)]*3, axis=-1))

def fastai_dls(data, bs):
    "The DataBlock of the fast.ai study, on a DataFrame of pixel strings"
    df = pd.DataFrame(dict(emotion=data.df.emotion, pixels=[' '.join(map(str, x.ravel())) for x in data.images]))
    block = DataBlock(blocks=(ImageBlock, CategoryBlock(data.vocab)), get_x=pixels, get_y=ColReader('emotion'), splitter=RandomSplitter(0.2),
                      batch_tfms=[*aug_transforms(size=160), Normalize.from_stats(*imagenet_stats)])
    return block.dataloaders(df, bs=bs, num_workers=0, device='cpu')

def seconds(f):
    t = time.perf_counter()
    f()
    return time.perf_counter() - t

def take_turns(contenders, rounds):
    "Seconds of each contender in each round, after one round that is not counted"
    return pd.DataFrame([{k: seconds(f) for k,f in contenders.items()} for _ in range(rounds + 1)])[1:]

def drain(dl, n): return lambda: [None for _ in islice(dl, n)]

def bench_loader(data, args):
    pre = fer_preprocess(data, 160, channels=3, stats='imagenet')
    few = data.sample(min(1, 3000/len(data)))
    dls = {'DataBlock, pixel strings': fastai_dls(few, 64), 'whole batches, same order': fer_dls(data, pre, exact, device='cpu'),
           'whole batches, enlarged last': fer_dls(data, pre, last, device='cpu'),
           'whole batches, bicubic, enlarged last': fer_dls(data, pre, bicubic, device='cpu')}
    t = take_turns({k: drain(o.train, args.batches) for k,o in dls.items()}, args.rounds)
    n = 64*args.batches
    print(f'loader, 160 px, {args.threads} thread(s)\n\n| | images/s | times the DataBlock |\n|---|---|---|')
    for k in t: print(f'| {k} | {n/t[k].median():,.0f} | {(t[t.columns[0]]/t[k]).median():.2f} |')

def bench_accuracy(data, args):
    train = data.idxs('train')
    some = np.random.default_rng(0).choice(train, round(args.frac*len(train)), replace=False)
    data = data.subset(np.sort(np.concatenate([some, data.idxs('valid')])))
    orders = {'enlarged while augmenting': {'size': args.size}, 'enlarged last': {}, 'enlarged last, bicubic': {'mode': 'bicubic'}}
    print(f'{data}\n{args.arch} at {args.size} px from scratch, {args.epochs} epochs\n\n| seed | {" | ".join(orders)} |\n|---|---|---|---|')
    rows = []
    for seed in range(args.seeds):
        rows.append([])
        for kwargs in orders.values():
            r = find_recipe('resnet34', arch=args.arch, size=args.size, pretrained=False, augment={'aug_transforms': kwargs}, seed=seed)
            learn = recipe_learner(data, r)
            with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(args.epochs, 3e-3)
            rows[-1].append(learn.final_record[2])
        print(f'| {seed} | {" | ".join(f"{o:.2%}" for o in rows[-1])} |', flush=True)
    d = np.array(rows)[:,1:] - np.array(rows)[:,:1]
    for k,m,s in zip(list(orders)[1:], d.mean(0), d.std(0, ddof=1)/len(d)**0.5):
        print(f'\n{k}: {m:+.2%} +- {s:.2%} against the first (standard error over {len(d)} seeds; {len(data.idxs("valid")):,} images)')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data')
    p.add_argument('--accuracy', action='store_true')
    for k,v in dict(threads=1, batches=8, rounds=5, frac=0.12, epochs=5, seeds=4, size=64, arch='fer48').items(): p.add_argument(f'--{k}', type=type(v), default=v)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    set_seed(0)
    data = read_fer(args.data)
    (bench_accuracy if args.accuracy else bench_loader)(data, args)
