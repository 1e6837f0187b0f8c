"""Train every recipe on FER2013, each for an equal share of some minutes, and write their scores side by side.

    python benchmarks/systems.py DATA RUNS --budget MINUTES [--recipes resnet18 cnn6 ...] [--largest 48] [--pretrained]
                                 [--threads 1] [--out benchmarks/systems.md]

DATA is FER2013 in any form that `read_fer` takes. The script first measures a few batches of each recipe. Then it
plans as many epochs as fit into the recipe's share of the minutes. If the time is too short for two epochs, it plans
two epochs on a part of the training split. The plan is in RUNS/<recipe>.json and the run in RUNS/<recipe>. You can
stop the command at any time: the same command continues, and does not repeat what is finished.

--largest reduces larger inputs to that many pixels, since a small machine gets further with them. --pretrained starts
from ImageNet's weights where the recipe does; they are downloaded if they are not there yet. Without it every network
starts from random weights, and the table says so.

Everything is chosen on the validation split (PublicTest). `train_fer` scores the test split (PrivateTest) once, at
the end of each run."""
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
from timing import markdown, short_fit, take_turns

both = 'of PublicTest and PrivateTest together'
reported = dict(
    vgg16_bn=f'70.24 % {both}', vgg16_bn_sgd=f'49.67 % {both}', vgg19_bn=f'66.09 % {both}', resnet34=f'62.58 % {both}',
    vgg16_bn_color=f'64.06 % {both}', resnet50_head='65.48 % test', cnn6='52.49 % valid',
    efficientnet_b0_3='80.7 % valid, three emotions', resnet18='about 61 % test',
    affectnet='almost 65 %, AffectNet, eight emotions')
instead = dict(vgg16_bn_color=dict(colorize='tone'), # which needs no key
               affectnet=dict(arch='efficientnet_b0', exports=None)) # which needs no large machine
compared = [o for o in recipes if o != 'fer48_large']

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
    t, = take_turns(dict(fit=short_fit(learn, batches)), 1)
    return t['fit']/(batches*learn.dls.train.bs)

def make_plan(name, data, minutes, args):
    "What is trained: the fields that differ, the number of training images and of epochs"
    new = changes(name, args)
    r = find_recipe(name, **new)
    data = read_fer(data, emotions=r.emotions)
    n,images = len(data.idxs('train')),minutes*60/seconds_per_image(data, r)
    epochs = max(2, min(int(images/n), int(np.sum(r.epochs))))
    use = min(n, max(1000, int(images/epochs)))
    if r.schedule == 'fine_tune': epochs -= 1 # since the head also trains alone for one
    return dict(recipe=name, changes=new, images=use, epochs=epochs, minutes=minutes)

def run(name, data, minutes, args):
    "Make or finish one run"
    out,plan = args.runs/name,args.runs/f'{name}.json'
    if plan.exists() and (out/'model').exists(): return
    if not plan.exists(): write_json(plan, make_plan(name, data, minutes, args))
    p = json.loads(plan.read_text())
    r = find_recipe(name, **p['changes'])
    faces = some(read_fer(data, emotions=r.emotions), p['images'])
    train_fer(faces, r, out, epochs=p['epochs'], lr_find=False, resume=(out/'run.json').exists())

def percent(o):
    low,high = 100*o['accuracy_low'],100*o['accuracy_high']
    return f"{o['accuracy']:.2%} of {o['n']:,} ({low:.1f} to {high:.1f})"

def row(name, args):
    "A row of the table"
    r,out,plan = recipes[name],args.runs/name,args.runs/f'{name}.json'
    cells = {'recipe': name, **dict.fromkeys(['differs in', 'images', 'epochs', 'minutes'], ''), 'valid': 'not run', 'test': 'not run'}
    if plan.exists() and (out/'model').exists():
        p,scores = [json.loads(o.read_text()) for o in (plan, out/'report.json')]
        history = pd.read_csv(out/'history.csv')
        whole = int(np.sum(r.epochs)) + (len(L(r.epochs)) if r.schedule == 'fine_tune' else 0)
        differs = ', '.join(f'{k}={v!r}' for k,v in p['changes'].items()) or '-'
        cells |= {'differs in': differs, 'images': f"{p['images']:,}", 'epochs': f'{len(history)} of {whole}',
                  'minutes': f'{history.time.sum()/60:.1f}', 'valid': percent(scores['valid']), 'test': percent(scores['test'])}
    return {**cells, 'the source reports': reported.get(name, '-')}

def write_table(args):
    "The table, which also replaces the one in the file `out`"
    text = markdown([row(o, args) for o in compared])
    if args.out:
        old = args.out.read_text() if args.out.exists() else '# The systems, side by side'
        head = old.partition('\n| recipe')[0].rstrip('\n')
        args.out.write_text(f'{head}\n\n{text}\n')
    return text

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data')
    p.add_argument('runs', type=Path)
    p.add_argument('--budget', type=float, default=60)
    p.add_argument('--recipes', nargs='+', default=compared)
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
