"""Train every system of the recipes on real data, each for an equal share of some minutes, and write their scores side by side.

    python benchmarks/systems.py DATA RUNS --budget MINUTES [--recipes resnet18 cnn6 ...] [--largest 48] [--pretrained] [--threads 1] [--out benchmarks/systems.md]

DATA is FER2013 in any form that `read_fer` takes. A few batches of each recipe are measured first, and its number of epochs, or the share of the
train split where the time is too short for two epochs of all of it, is set so that training fits in its share of the minutes. That plan stands in
RUNS/<recipe>.json and the run in RUNS/<recipe>, so this command can be stopped at any time and goes on when it is given again; what is finished is not made again.
--largest makes larger inputs as small as that many pixels, since small machines get further with them. --pretrained starts from ImageNet's weights where
the recipe does, which needs them to be at hand or a network connection; without it every network starts from random weights, and the table says so.

Everything is chosen on the validation split (PublicTest), and the test split (PrivateTest) is scored once, by `train_fer`, at the end of each run."""
import argparse, json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.vision.all import L

from fer_fastai.core import write_json
from fer_fastai.read import read_fer
from fer_fastai.recipes import find_recipe, recipes
from fer_fastai.train import recipe_learner, train_fer
from train import Stop, seconds

reported = dict(vgg16_bn='70.24 %, PublicTest and PrivateTest together', resnet34='62.58 %, PublicTest and PrivateTest together', resnet50_head='65.5 % test',
                cnn6='about 52 % valid', efficientnet_b0_3='80.7 %, three emotions', resnet18='about 61 % test', affectnet='almost 65 %, AffectNet, eight emotions')
instead = dict(vgg16_bn_color=dict(colorize='tone'), affectnet=dict(arch='efficientnet_b0', exports=None)) # for what needs a key, or a large machine

def changes(name, args):
    "The fields in which the run differs from its recipe, but for epochs and learning rates"
    r,new = recipes[name],dict(instead.get(name, {}))
    if r.size and r.size > args.largest: new['size'] = args.largest
    if r.pretrained and not args.pretrained:
        new['pretrained'] = False
        if r.freeze: new['freeze'] = False # a random body is not worth keeping
        if r.schedule == 'fine_tune': new['schedule'] = 'one_cycle' # nor is it worth a stage of its own to thaw it
    return new

def some(data, n):
    "The data with `n` training images at the most"
    rows = np.random.default_rng(0).permutation(data.idxs('train'))[:n]
    return data.subset(np.sort(np.concatenate([rows, data.idxs('valid'), data.idxs('test')])))

def seconds_per_image(data, recipe, batches=6):
    "Of training as `Learner.fit` does it, on this machine"
    r = find_recipe(recipe, colorize=None, teachers=None)
    learn = recipe_learner(data, r)
    with learn.no_bar(), learn.no_logging(), learn.added_cbs(Stop(batches)):
        learn.fit(1, 1e-3) # the warm-up
        return seconds(lambda: learn.fit(1, 1e-3))/(batches*learn.dls.train.bs)

def make_plan(name, data, minutes, args):
    "What is trained: the fields that differ, the number of training images and of epochs"
    new = changes(name, args)
    r = find_recipe(name, **new)
    data = read_fer(data, emotions=r.emotions)
    n,images = len(data.idxs('train')),minutes*60/seconds_per_image(data, r)
    epochs = min(int(images/n), int(np.sum(r.epochs)))
    use = n if epochs >= 2 else max(1000, int(images/2))
    if epochs < 2: epochs = 2
    if r.schedule == 'fine_tune': epochs -= 1 # which the head trains alone
    return dict(recipe=name, changes=new, images=min(use, n), epochs=epochs, minutes=minutes)

def run(name, data, minutes, args):
    "Make or finish one run"
    out,plan = args.runs/name,args.runs/f'{name}.json'
    if plan.exists() and (out/'model').exists(): return
    if not plan.exists(): write_json(plan, make_plan(name, data, minutes, args))
    p = json.loads(plan.read_text())
    r = find_recipe(name, **p['changes'])
    train_fer(some(read_fer(data, emotions=r.emotions), p['images']), r, out, epochs=p['epochs'], lr_find=False, resume=(out/'recipe.json').exists())

def percent(o): return f"{o['accuracy']:.2%} of {o['n']:,} ({100*o['accuracy_low']:.1f} to {100*o['accuracy_high']:.1f})"

def row(name, args):
    "A row of the table"
    r,empty = recipes[name],dict(recipe=name, **{'differs in': '', 'images': '', 'epochs': '', 'minutes': '', 'valid': 'not run', 'test': 'not run'})
    out,plan = args.runs/name,args.runs/f'{name}.json'
    if not (plan.exists() and (out/'model').exists()): return {**empty, 'the source reports': reported.get(name, '-')}
    p,report,history = json.loads(plan.read_text()),json.loads((out/'report.json').read_text()),pd.read_csv(out/'history.csv')
    differs = ', '.join(f'{k}={v!r}' for k,v in p['changes'].items()) or '-'
    planned = f'{len(history)} of {int(np.sum(r.epochs)) + (len(L(r.epochs)) if r.schedule == "fine_tune" else 0)}'
    return {**empty, 'differs in': differs, 'images': f"{p['images']:,}", 'epochs': planned, 'minutes': f'{history.time.sum()/60:.1f}',
            'valid': percent(report['valid']), 'test': percent(report['test']), 'the source reports': reported.get(name, '-')}

def write_table(args):
    "The table, which also goes into the file `out`"
    rows = [row(o, args) for o in recipes if o != 'fer48_large']
    line = lambda cells: f'| {" | ".join(map(str, cells))} |'
    text = '\n'.join([line(rows[0]), line(['---']*len(rows[0])), *(line(o.values()) for o in rows)])
    if args.out:
        head = args.out.read_text().partition('\n| recipe')[0].rstrip('\n') if args.out.exists() else '# The systems, side by side'
        args.out.write_text(f'{head}\n\n{text}\n')
    return text

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data')
    p.add_argument('runs', type=Path)
    p.add_argument('--budget', type=float, default=60)
    p.add_argument('--recipes', nargs='+', default=[o for o in recipes if o != 'fer48_large'])
    p.add_argument('--largest', type=int, default=48)
    p.add_argument('--pretrained', action='store_true')
    p.add_argument('--threads', type=int, default=1)
    p.add_argument('--out', type=Path)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    args.runs.mkdir(parents=True, exist_ok=True)
    data = read_fer(args.data)
    for name in args.recipes:
        run(name, data, args.budget/len(args.recipes), args)
        table = write_table(args)
    print(table)
