"""Detector and network together: FER2013's crops pasted in larger pictures, found, cut out and read, beside the same crops given directly.

    python benchmarks/wild.py DATA [--n 500] [--margins 0 0.05 0.1 0.15 0.2] [--seed 0] [--out FOLDER]

DATA is FER2013 in any form that `read_fer` takes as an array; n images of its validation split are drawn. Each lies at a random place of a picture
three times as wide, which is then enlarged (bicubic) until the face has 48 to 384 px; the places are the same for every size. Around the crop its
border pixels go on outwards, as where `crop_face` runs over a picture's edge, and fade within half a crop into the border's mean gray. So no edge
shows where the crop ends, and there is nothing else to find: false faces are those in and around the crop, and real backgrounds have more.
A face is found where a box and the crop's square share at least 0.3 of their union: FER2013's squares are themselves looser and tighter than
that of a detector by so much. A picture that is enlarged and cut out again is interpolated twice, which is part of the difference.

Printed are by size: the share found, false faces a picture, and of the found ones the accuracy given directly (`faces='crop'`) and by the whole path
(`faces='detect'`), with their difference in points and its paired standard error; the same difference for other margins around the same boxes;
and where the boxes lie. --out also writes wild.md in that folder."""
import argparse, time
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from fer_fastai.read import read_fer
from fer_fastai.predict import FER

sizes = 48,64,96,192,384

def scene(face, rng):
    "A picture three times as wide as a face, with the face in it, and the face's box"
    n = len(face)
    x,y = (int(o) for o in rng.integers(n//2, 2*n - n//2, 2, endpoint=True))
    a = np.pad(face.astype(float), ((y, 2*n-y), (x, 2*n-x)), mode='edge')
    i = np.arange(3*n)
    far = [np.maximum(np.maximum(o-i, i-o-n+1), 0) for o in (y, x)]
    fade = np.clip(np.hypot(far[0][:, None], far[1])/(n/2), 0, 1)
    border = np.concatenate([face[0], face[-1], face[1:-1, 0], face[1:-1, -1]]).mean()
    return Image.fromarray(np.uint8(a + fade*(border - a) + .5)),np.array([x, y, n, n])

def overlap(a, b):
    "What two boxes share, of their union"
    both = np.prod(np.clip(np.minimum(a[:2]+a[2:], b[:2]+b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return both/(a[2]*a[3] + b[2]*b[3] - both)

def look(fer, nets, img, true):
    "The found face's emotion, those that `nets` see in its box, and where it lies, or None if none is found; and how many other faces are"
    faces = fer(img)
    best = max(faces, key=lambda o: overlap(np.array(o.box), true), default=None)
    if best is None or overlap(np.array(best.box), true) < .3: return None,len(faces)
    x,y,w,h = best.box
    place = [(x + w/2 - true[0])/true[2] - .5, (y + h/2 - true[1])/true[3] - .5, w/true[2]]
    return (best.emotion, *(o(img, faces=[best.box])[0].emotion for o in nets), place),len(faces)-1

def points(right, direct):
    "A paired difference in points and its standard error"
    d = 100*(right.astype(float) - direct)
    return f'{d.mean():+.2f} ± {d.std(ddof=1)/len(d)**.5:.2f}'

def main(args):
    data,fer = read_fer(args.data),FER()
    nets = [copy(fer) for _ in args.margins]
    for net,margin in zip(nets, args.margins): net.pre = replace(fer.pre, margin=margin)
    rng = np.random.default_rng(args.seed)
    rows = rng.permutation(data.idxs('valid'))[:args.n]
    scenes,truth = [scene(o, rng) for o in data.images[rows]],data.df.emotion[rows].to_numpy()
    direct = np.array([o[0].emotion for o in fer(data.images[rows], faces='crop')]) == truth
    table,margins,places = [],[],[]
    for size in sizes:
        k,start = size/data.images.shape[1],time.perf_counter()
        looks = [look(fer, nets, img.resize([round(o*k) for o in img.size], Image.Resampling.BICUBIC), k*box) for img,box in scenes]
        found,false = np.array([o is not None for o,_ in looks]),np.mean([o for _,o in looks])
        *emotions,place = zip(*(o for o,_ in looks if o is not None))
        path,*others = np.array(emotions) == truth[found]
        seen = direct[found]
        table.append(f'| {size} px | {found.mean():.1%} | {false:.3f} | {seen.mean():.2%} | {path.mean():.2%} | {points(path, seen)} |')
        margins.append(f'| {size} px | ' + ' | '.join(points(o, seen) for o in others) + ' |')
        mean,sd = np.mean(place, 0),np.std(place, 0, ddof=1)
        places.append(f'| {size} px | ' + ' | '.join(f'{m:.3f} ({s:.3f})' for m,s in zip(mean, sd)) + ' |')
        print(f'{size} px: {time.perf_counter() - start:.0f} s', flush=True)
    head = lambda *names: ['| ' + ' | '.join(names) + ' |', '|' + '---|'*len(names)]
    lines = [f'n = {len(rows):,} of the validation split, {direct.mean():.2%} of them right when given directly; margin {fer.pre.margin:g}', '',
             *head('size', 'found', 'false faces a picture', 'given directly', 'whole path', 'difference in points'), *table, '',
             'The difference by the margin around the same boxes:', '', *head('size', *(f'{o:g}' for o in args.margins)), *margins, '',
             'Where the boxes lie, in sides of the true square, mean (standard deviation):', '',
             *head('size', 'to the right', 'downwards', 'side'), *places]
    print('\n'.join(lines))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out/'wild.md').write_text('\n'.join(lines) + '\n', encoding='utf-8')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data')
    p.add_argument('--n', type=int, default=500)
    p.add_argument('--margins', type=float, nargs='+', default=[0, .05, .1, .15, .2])
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--out', type=Path)
    main(p.parse_args())
