"""An honest ensemble: members are chosen on the validation split, and the test split is scored once, at the end.

    python benchmarks/ensemble.py DATA MODEL [MODEL ...] [--out FOLDER]

DATA is FER2013 in any form that `read_fer` takes; each MODEL is a bundle or the folder of a finished run. Probabilities are averaged with those of the
mirror image. Beginning with the best network, the one that raises the accuracy on the validation split most is added, until none does.
Printed are the validation scores of each network, the members, and the scores of the ensemble and of its best member on both splits;
--out also writes ensemble.md in that folder."""
import argparse
from pathlib import Path

import numpy as np

from fer_fastai.read import read_fer
from fer_fastai.interpret import fer_scores
from fer_fastai.predict import FER

def choose(probs, targs):
    "Positions of the members, the best first, from the probabilities of all networks on the validation split"
    right = lambda members: (np.mean([probs[i] for i in members], axis=0).argmax(1) == targs).mean()
    members = [max(range(len(probs)), key=lambda i: right([i]))]
    while rest := [i for i in range(len(probs)) if i not in members]:
        best = max(rest, key=lambda i: right(members + [i]))
        if right(members + [best]) <= right(members): break
        members.append(best)
    return members

def main(args):
    data = read_fer(args.data)
    nets = [FER(o) for o in args.models]
    for path,net in zip(args.models, nets):
        if net.labels != list(data.vocab): raise SystemExit(f'{path} knows {net.labels}, and the data has {list(data.vocab)}')
    rows = {o: data.idxs(o) for o in ('valid', 'test')}
    valid = [o.probs(data.images[rows['valid']], tta=True) for o in nets]
    members = choose(valid, data.labels[rows['valid']])
    lines = ['mirror TTA throughout', '', '| network | valid |', '|---|--:|']
    lines += [f"| {path}{' (member)' if i in members else ''} | {(p.argmax(1) == data.labels[rows['valid']]).mean():.2%} |" for i,(path,p) in enumerate(zip(args.models, valid))]
    lines += ['', '| what | split | images | accuracy | 95 % interval | balanced accuracy |', '|---|---|--:|--:|---|--:|']
    for name,chosen in ((f'best member, {args.models[members[0]]}', members[:1]), (f'{len(members)} members', members)):
        for split in rows:
            p = np.mean([valid[i] if split == 'valid' else nets[i].probs(data.images[rows[split]], tta=True) for i in chosen], axis=0)
            s = fer_scores(p, data.labels[rows[split]], data.vocab)
            lines.append(f"| {name} | {split} | {s['n']:,} | {s['accuracy']:.2%} | {s['accuracy_low']:.2%} to {s['accuracy_high']:.2%} | {s['balanced_accuracy']:.2%} |")
    print('\n'.join(lines))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out/'ensemble.md').write_text('\n'.join(lines) + '\n')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data')
    p.add_argument('models', nargs='+')
    p.add_argument('--out', type=Path)
    main(p.parse_args())
