"""How long an epoch of each recipe takes, how much of that is the network alone, and when a run reached an accuracy.

    python benchmarks/train.py DATA [--recipes fer48 resnet34 vgg16_bn] [--batches 8] [--rounds 5] [--threads 1] [--out FOLDER]
    python benchmarks/train.py --reached RUN [RUN ...] [--out FOLDER]

DATA is FER2013 in any form that `read_fer` takes. If there is a GPU, the network runs on it.

The first form takes turns between two ways to make the same training steps: as `Learner.fit` makes them, with loader,
augmentation and callbacks, and with the bare network on batches that are on the device already. The ratio is the
median over rounds. The time of an epoch is that of a step times the number of batches, without validation.

The second form reads the history.csv of finished or running runs. It prints the seconds of training and validation
until the accuracy on the validation split first reached 65.8, 70 and 73 %. --out also writes the table to train.md or
reached.md in that folder."""
import argparse
from itertools import islice
from pathlib import Path

import pandas as pd
import torch

from fer_fastai.callbacks import cpu_has_bf16
from fer_fastai.read import read_fer
from fer_fastai.recipes import find_recipe
from fer_fastai.train import recipe_learner
from timing import markdown, report, short_fit, take_turns

def bare_fit(learn, n):
    "The same steps without loader and callbacks; call it when `learn` was fitted once and so has an optimizer"
    plain = lambda o: o.as_subclass(torch.Tensor) # as fastai's `CastToTensor` gives them to the network
    batches = [(plain(x).contiguous(memory_format=torch.channels_last), plain(y)) for x,y in islice(learn.dls.train, n)]
    device = torch.device(learn.dls.device).type
    low = torch.autocast(device, torch.bfloat16, enabled=device == 'cuda' or cpu_has_bf16())
    def fit():
        learn.model.train()
        for x,y in batches:
            with low: pred = learn.model(x)
            learn.loss_func(pred.float(), y).backward()
            learn.opt.step()
            learn.opt.zero_grad()
    return fit

def steps(data, recipe, args):
    "A row of the table"
    learn = recipe_learner(data, find_recipe(recipe, pretrained=False))
    dl = learn.dls.train
    n = min(args.batches, len(dl))
    t = pd.DataFrame(take_turns(dict(fit=short_fit(learn, n), bare=bare_fit(learn, n)), args.rounds))
    ratio,step = t.fit/t.bare,t.fit.median()/n
    return {'recipe': recipe, 'px': learn.pre.net_size or learn.pre.size, 'batch': dl.bs,
            'ms/image': f'{step/dl.bs*1000:.2f}', 's/epoch': f'{step*len(dl):,.1f}',
            'ratio': f'{ratio.median():.3f}', 'rounds': f'{ratio.min():.3f} to {ratio.max():.3f}'}

def reached(run):
    "A row of the table"
    h = pd.read_csv(Path(run)/'history.csv')
    def when(goal):
        there = h.accuracy >= goal
        return f'{h.time.cumsum()[there.idxmax()]:,.0f} s' if there.any() else 'not reached'
    return {'run': Path(run).name, 'epochs': len(h), 'seconds': f'{h.time.sum():,.0f}',
            'best valid accuracy': f'{h.accuracy.max():.2%}', **{f'{o:.1%}': when(o) for o in (0.658, 0.70, 0.73)}}

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data', nargs='?')
    p.add_argument('--recipes', nargs='+', default=['fer48', 'resnet34', 'vgg16_bn'])
    p.add_argument('--reached', nargs='+')
    p.add_argument('--out', type=Path)
    for k,v in dict(batches=8, rounds=5, threads=1).items(): p.add_argument(f'--{k}', type=int, default=v)
    args = p.parse_args()
    if not (args.data or args.reached): p.error('give DATA, or --reached and the folders of runs')
    torch.set_num_threads(args.threads)
    if args.reached:
        title,file = 'Time until an accuracy on the validation split','reached.md'
        rows = [reached(o) for o in args.reached]
    else:
        data = read_fer(args.data)
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else f'CPU, {args.threads} thread(s)'
        title,file = f'{device}, torch {torch.__version__}','train.md'
        rows = [steps(data, o, args) for o in args.recipes]
    report(title, markdown(rows), file=args.out and args.out/file)
