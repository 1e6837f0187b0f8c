"""How long an epoch of each recipe takes, how much of that is the network alone, and when a run reached an accuracy.

    python benchmarks/train.py DATA [--recipes fer48 resnet34 vgg16_bn] [--batches 8] [--rounds 5] [--threads 1] [--out FOLDER]
    python benchmarks/train.py --reached RUN [RUN ...] [--out FOLDER]

DATA is FER2013 in any form that `read_fer` takes; the network is on the GPU where there is one. The first form takes turns between training steps
as `Learner.fit` makes them (loader, augmentation, callbacks and all) and the same steps of the bare network on batches that lie on the
device already; the ratio is the median over rounds. An epoch is the time of a step times the number of batches, without validation.
The second form reads history.csv of finished or running runs: seconds of training and validation until the accuracy on the validation split
first reached 65.8, 70 and 73 %. --out also writes the table to train.md or reached.md in that folder."""
import argparse, time
from itertools import islice
from pathlib import Path

import pandas as pd
import torch
from fastai.vision.all import Callback, CancelFitException

from fer_fastai.read import read_fer
from fer_fastai.recipes import find_recipe
from fer_fastai.train import cpu_has_bf16, recipe_learner

class Stop(Callback):
    "End a fit after some batches"
    order = 100
    def __init__(self, n): self.n = n
    def after_batch(self):
        if self.iter + 1 == self.n: raise CancelFitException

def seconds(f):
    wait = torch.cuda.synchronize if torch.cuda.is_available() else (lambda: None)
    wait()
    t = time.perf_counter()
    f()
    wait()
    return time.perf_counter() - t

def steps(data, recipe, args):
    "A row of the table"
    learn = recipe_learner(data, find_recipe(recipe, pretrained=False))
    device = torch.device(learn.dls.device)
    n = min(args.batches, len(learn.dls.train))
    with learn.no_bar(), learn.no_logging(), learn.added_cbs(Stop(n)): # the warm-up, in which the optimizer is made
        learn.fit(1, 1e-3)
        plain = lambda o: o.as_subclass(torch.Tensor) # as fastai's `CastToTensor` gives them to the network
        resident = [(plain(x).contiguous(memory_format=torch.channels_last), plain(y)) for x,y in islice(learn.dls.train, n)]
        low = torch.autocast(device.type, torch.bfloat16, enabled=device.type == 'cuda' or cpu_has_bf16())
        def bare():
            learn.model.train()
            for x,y in resident:
                with low: pred = learn.model(x)
                learn.loss_func(pred.float(), y).backward()
                learn.opt.step()
                learn.opt.zero_grad()
        t = pd.DataFrame([dict(fit=seconds(lambda: learn.fit(1, 1e-3)), bare=seconds(bare)) for _ in range(args.rounds)])
    ratio,per_image = t.fit/t.bare, t.median()/n/learn.dls.train.bs
    return {'recipe': recipe, 'px': learn.pre.net_size or learn.pre.size, 'batch': learn.dls.train.bs, 'ms/image': f'{per_image.fit*1000:.2f}',
            's/epoch': f"{t.fit.median()/n*len(learn.dls.train):,.1f}", 'ratio': f'{ratio.median():.3f}', 'rounds': f'{ratio.min():.3f} to {ratio.max():.3f}'}

def reached(run):
    "A row of the table"
    h = pd.read_csv(Path(run)/'history.csv')
    when = lambda goal: f'{h.time.cumsum()[(h.accuracy >= goal).idxmax()]:,.0f} s' if (h.accuracy >= goal).any() else 'not reached'
    return {'run': Path(run).name, 'epochs': len(h), 'seconds': f'{h.time.sum():,.0f}', 'best': f'{h.accuracy.max():.2%}', **{f'{o:.1%}': when(o) for o in (0.658, 0.70, 0.73)}}

def show(rows, file, title):
    "Print a table, and write it where --out says"
    line = lambda cells: f'| {" | ".join(map(str, cells))} |'
    text = '\n'.join([title, '', line(rows[0]), line(['---']*len(rows[0])), *(line(o.values()) for o in rows)])
    print(text)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + '\n')

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
    if args.reached: show([reached(o) for o in args.reached], args.out and args.out/'reached.md', 'Time until an accuracy on the validation split')
    else:
        data = read_fer(args.data)
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else f'CPU, {args.threads} thread(s)'
        show([steps(data, o, args) for o in args.recipes], args.out and args.out/'train.md', f'{device}, torch {torch.__version__}')
