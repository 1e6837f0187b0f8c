"""Detector and network together: FER2013's crops pasted into larger pictures, found, cut out and read, beside the same crops given directly.

    python benchmarks/wild.py DATA [--n 500] [--margins 0 0.05 0.1] [--turn 0] [--detector yunet] [--seed 0] [--out FOLDER]

DATA is FER2013 in any form that `read_fer` takes as an array. We take n images of its validation split. Each lies at a
random place of a picture three times as wide. The picture is then enlarged (bicubic) until the face has 48 to 384 px,
and turned by --turn degrees. The places are the same for every size. Around the crop its border pixels go on outwards,
as in `crop_face` at a picture's edge, and fade within half a crop into the border's mean gray. So no edge shows where
the crop ends, and there is nothing else to find: false faces are those in and around the crop. Real backgrounds have
more of them.

A face is found if a box and the crop's square share at least 0.3 of their union. FER2013's squares are themselves
looser and tighter than those of a detector by so much. A picture that is enlarged and cut out again is interpolated
twice, which is part of the difference.

We print by size: the share found, false faces a picture, and of the found ones the accuracy of the crop given directly
(`faces='crop'`) and of the whole path (`faces='detect'`), with their difference in points and its paired standard error.
The last columns are the differences with tta, against the crop without it, and in a picture darkened to 12 %. Further
tables have the difference for other margins around the same boxes, and where the boxes lie. --out also writes wild.md
in that folder."""
import argparse, time
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from fer_fastai.faces import iou
from fer_fastai.predict import FER
from fer_fastai.read import read_fer
from timing import markdown, report

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

def turned(img, box, angle):
    "The picture turned around the middle of the box, filled with the gray of its corner"
    if not angle: return img
    x,y,w,h = box
    return img.rotate(angle, Image.Resampling.BICUBIC, center=(x + w/2, y + h/2), fillcolor=img.getpixel((0, 0)))

def look(fer, nets, img, true):
    "What is read of the face that is found: the whole path, with tta, in the dark, by each of `nets`; where its box lies; other faces"
    faces = fer(img)
    best = max(faces, key=lambda o: iou(o.box, true), default=None)
    if best is None or iou(best.box, true) < .3: return None,None,len(faces)
    x,y,w,h = best.box
    place = [(x + w/2 - true[0])/true[2] - .5, (y + h/2 - true[1])/true[3] - .5, w/true[2]]
    dark = img.point(lambda v: v*.12)
    read = [best, fer(img, [best], tta=True)[0], fer(dark, [best])[0], *(o(img, [best])[0] for o in nets)]
    return [o.emotion for o in read],place,len(faces)-1

def points(right, direct):
    "A paired difference in points and its standard error"
    d = 100*(right.astype(float) - direct)
    return f'{d.mean():+.2f} ± {d.std(ddof=1)/len(d)**.5:.2f}'

def at_size(size, fer, nets, scenes, truth, direct, args):
    "Three rows: what is found and read at this size of the face, what other margins change, where the boxes lie"
    k,start = size/48,time.perf_counter()
    looks = []
    for img,box in scenes:
        img = img.resize([round(o*k) for o in img.size], Image.Resampling.BICUBIC)
        looks.append(look(fer, nets, turned(img, k*box, args.turn), k*box))
    found = np.array([o[0] is not None for o in looks])
    emotions,places,_ = zip(*(o for o,ok in zip(looks, found) if ok))
    path,tta,dark,*others = np.array(emotions).T == truth[found]
    seen = direct[found]
    print(f'{size} px: {time.perf_counter() - start:.0f} s', flush=True)
    name = dict(size=f'{size} px')
    return ({**name, 'found': f'{found.mean():.1%}', 'false faces a picture': f'{np.mean([o[2] for o in looks]):.3f}',
             'given directly': f'{seen.mean():.2%}', 'whole path': f'{path.mean():.2%}', 'difference in points': points(path, seen),
             'with tta': points(tta, seen), 'in the dark': points(dark, seen)},
            name | {f'{m:g}': points(o, seen) for m,o in zip(args.margins, others)},
            name | {k: f'{m:.3f} ({s:.3f})' for k,m,s in zip(('to the right', 'downwards', 'width'), np.mean(places, 0), np.std(places, 0, ddof=1))})

def main(args):
    data,fer = read_fer(args.data),FER('fer48', detector=args.detector) # the truth is FER2013's labels
    nets = [copy(fer) for _ in args.margins]
    for net,margin in zip(nets, args.margins): net.pre = replace(fer.pre, margin=margin)
    rng = np.random.default_rng(args.seed)
    rows = rng.permutation(data.idxs('valid'))[:args.n]
    scenes,truth = [scene(o, rng) for o in data.images[rows]],data.df.emotion[rows].to_numpy()
    direct = np.array([o[0].emotion for o in fer(data.images[rows], faces='crop')]) == truth
    table,margins,places = zip(*(at_size(o, fer, nets, scenes, truth, direct, args) for o in sizes))
    report(f'n = {len(rows):,} of the validation split, {direct.mean():.2%} of them right when given directly; margin {fer.pre.margin:g}',
           markdown(table), 'The difference by the margin around the same boxes:', markdown(margins),
           'Where the boxes lie, in sides of the true square, mean (standard deviation):', markdown(places),
           file=args.out and args.out/'wild.md')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data')
    p.add_argument('--n', type=int, default=500)
    p.add_argument('--margins', type=float, nargs='+', default=[0, .05, .1, .15, .2])
    p.add_argument('--turn', type=float, default=0)
    p.add_argument('--detector')
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--out', type=Path)
    main(p.parse_args())
