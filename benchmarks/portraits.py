"""Expressions in photos of one person each, found and read by the library: several networks on the same faces.

    python benchmarks/portraits.py FOLDER [--models fer48 ferplus48] [--peer PYTHON] [--tta] [--out FOLDER]

FOLDER has a folder of photos for each expression, named as people name them (`happy`, `smiling`, `anger` ...). We take
the largest face that the detector finds, with its own margin for each network. A photo without a face counts as a
mistake of everybody. Each MODEL is a bundle or the folder of a run. PYTHON is the interpreter of an environment with
fer's network, as for benchmarks/robust.py, which gets the same faces without a margin.

We print the accuracy with its interval, the mean recall, and the recall of each expression. --out also writes
portraits.md in that folder."""
import argparse
from pathlib import Path

import numpy as np

from fer_fastai.core import EMOTIONS
from fer_fastai.images import image_suffixes, open_image
from fer_fastai.interpret import wilson
from fer_fastai.predict import FER
from fer_fastai.read import emotion_word
from robust import resized, theirs
from timing import markdown, report

def photos(folder):
    "Path and emotion of each photo"
    files = [o for o in sorted(Path(folder).rglob('*')) if o.suffix.lower() in image_suffixes]
    return [(o, emotion_word(o.parent.name)) for o in files]

def largest(faces): return max(faces, key=lambda o: o.box[2]*o.box[3], default=None)

def gray_crop(img, box):
    "48 pixels of the box, gray"
    x,y,w,h = (round(o) for o in box)
    return resized(np.asarray(img.convert('L').crop((x, y, x+w, y+h))), 48)

def row(name, said, truth):
    "Scores of a network as a row of the table"
    n,right = len(truth),said == truth
    low,high = wilson(right.sum(), n)
    recall = {o: right[truth == o].mean() for o in dict.fromkeys(truth)}
    return {'network': name, 'right': f'{right.mean():.1%} of {n} ({100*low:.1f} to {100*high:.1f})',
            'mean recall': f'{np.mean(list(recall.values())):.1%}', **{k: f'{v:.1%}' for k,v in recall.items()}}

def main(args):
    found,fers = photos(args.folder),{o: FER(o) for o in args.models}
    truth = np.array([e for _,e in found])
    said,crops,where = {o: [] for o in fers},[],[]
    for i,(path,_) in enumerate(found):
        img = open_image(path)
        face = largest(next(iter(fers.values()))(img))
        for k,fer in fers.items(): said[k].append(fer(img, [face], tta=args.tta)[0].emotion if face else '')
        if face: crops.append(gray_crop(img, face.box)); where.append(i)
    rows = [row(k, np.array(o), truth) for k,o in said.items()]
    if args.peer:
        words = np.full(len(found), '', object)
        words[where] = np.array(EMOTIONS)[theirs(args.peer, np.stack(crops)).argmax(1)]
        rows.append(row("fer's network", words, truth))
    report(f'{len(found)} photos, a face in {len(where)} of them', markdown(rows), file=args.out and args.out/'portraits.md')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('folder')
    p.add_argument('--models', nargs='+', default=['fer48'])
    p.add_argument('--peer')
    p.add_argument('--tta', action='store_true')
    p.add_argument('--out', type=Path)
    main(p.parse_args())
