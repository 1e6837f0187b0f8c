"""An honest ensemble: its members are chosen on the validation split, and the test split is scored once, at the end.

    python benchmarks/ensemble.py DATA MODEL [MODEL ...] [--out FOLDER]

DATA is FER2013 in any form that `read_fer` takes. Each MODEL is a bundle or the folder of a finished run.
Probabilities are averaged with those of the mirror image. We begin with the best network, and add the one that raises
the accuracy on the validation split most, until none does.

The script prints the validation score of each network, which of them are members, and the scores of the ensemble and
of its best member on both splits. --out also writes ensemble.md in that folder."""
import argparse
from pathlib import Path

import numpy as np

from fer_fastai.interpret import fer_scores
from fer_fastai.predict import FER
from fer_fastai.read import read_fer
from timing import markdown, report

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
        if net.labels != list(data.vocab):
            raise SystemExit(f'{path} knows {net.labels}, and the data has {list(data.vocab)}')
    faces,targs = [{o: a[data.idxs(o)] for o in ('valid', 'test')} for a in (data.images, data.labels)]
    valid = [o.probs(faces['valid'], tta=True) for o in nets]
    members = choose(valid, targs['valid'])
    right = [f"{(p.argmax(1) == targs['valid']).mean():.2%}" for p in valid]
    each = [{'network': o, 'valid': right[i], 'member': 'yes' if i in members else 'no'}
            for i,o in enumerate(args.models)]
    test = {i: nets[i].probs(faces['test'], tta=True) for i in members}
    rows = []
    for name,chosen in ((f'best member, {args.models[members[0]]}', members[:1]), (f'{len(members)} members', members)):
        for split,probs in dict(valid=valid, test=test).items():
            s = fer_scores(np.mean([probs[i] for i in chosen], axis=0), targs[split], data.vocab)
            interval = f"{s['accuracy_low']:.2%} to {s['accuracy_high']:.2%}"
            rows.append({'what': name, 'split': split, 'images': f"{s['n']:,}", 'accuracy': f"{s['accuracy']:.2%}",
                         '95 % interval': interval, 'balanced accuracy': f"{s['balanced_accuracy']:.2%}"})
    report('mirror TTA throughout', markdown(each), markdown(rows), file=args.out and args.out/'ensemble.md')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data')
    p.add_argument('models', nargs='+')
    p.add_argument('--out', type=Path)
    main(p.parse_args())
