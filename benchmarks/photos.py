"""Detectors side by side on labelled photos: how many faces they find, how many boxes are false, what is read, and what it costs.

    python benchmarks/photos.py FOLDER [--detectors yunet haar] [--rounds 3] [--out FOLDER]

FOLDER holds photos and truth.json: for each photo its `kind` (s single, g group, c crowd, n none, d drawn), and boxes
x, y, width, height in pixels: `want` (faces that a person would want found), `small`, `skip` and `drawn` (neither a hit
nor a miss), and `expr` (index of a wanted face to its expression, if it is unmistakable). A detector is anything that
`FER(detector=...)` takes; an ONNX file of YuNet is named by its path.

A hit is a box that shares at least 0.3 of its union with a wanted face. A false box shares less with every labelled
face. Expressions are those of the faces that were found. The photos are also darkened to 12 %, which leaves about 30
levels of gray. Milliseconds are of CPU time for `FER()(photo)` on one thread, from an array: as the photo is, and with
its longer side brought to 640 pixels. The detectors take turns. --out also writes photos.md in that folder."""
import argparse, json, time
from pathlib import Path
from statistics import mean, median

import cv2, numpy as np

from fer_fastai.faces import iou
from fer_fastai.images import open_image
from fer_fastai.predict import FER
from timing import markdown, report

kinds = dict(s='single', g='group', c='crowd')

def hits(boxes, want):
    "Which box finds which wanted face: the pairs with the largest overlap first, each box and each face once"
    pairs = sorted(((iou(b, w), i, j) for i,b in enumerate(boxes) for j,w in enumerate(want)), reverse=True)
    res = {}
    for share,i,j in pairs:
        if share >= .3 and i not in res.values() and j not in res: res[j] = i
    return res

def look(fer, img, truth):
    "Wanted faces, faces found, false boxes, expressions read rightly and all that were read"
    faces = fer(img)
    boxes,found = [o.box for o in faces],{}
    found = hits(boxes, truth['want'])
    known = [o for k in ('want', 'small', 'skip', 'drawn') for o in truth[k]]
    false = sum(i not in found.values() and not any(iou(o, k) >= .3 for k in known) for i,o in enumerate(boxes))
    read = [faces[found[int(j)]].emotion == e for j,e in truth.get('expr', {}).items() if int(j) in found]
    return len(truth['want']),len(found),false,sum(read),len(read)

def milliseconds(fer, img):
    "CPU time of one prediction"
    start = time.process_time()
    fer(img)
    return 1000*(time.process_time() - start)

def at_640(img):
    "A copy with a longer side of 640 pixels"
    k = 640/max(img.size)
    return img.resize([max(1, round(k*o)) for o in img.size])

def row(name, fer, photos, truth, times):
    "What is said about a detector"
    looks = {k: look(fer, img, truth[k]) for k,img in photos.items()}
    dark = [look(fer, img.point(lambda v: v*.12), truth[k]) for k,img in photos.items()]
    def recall(some): return f'{sum(o[1] for o in some)/max(1, sum(o[0] for o in some)):.1%}'
    by_kind = {v: recall([o for k,o in looks.items() if truth[k]['kind'] == s]) for s,v in kinds.items()}
    wanted,found,false,right,read = np.sum(list(looks.values()), 0)
    return dict(detector=name, recall=f'{recall(looks.values())} ({found} of {wanted})', **by_kind, **{'false boxes': false},
                **{'expressions right': f'{right} of {read}', 'recall, dark': recall(dark), 'false, dark': sum(o[2] for o in dark)},
                **{k: f'{v:.0f}' for k,v in times.items()})

def main(args):
    cv2.setNumThreads(1)
    truth = json.loads((args.folder/'truth.json').read_text())
    photos = {k: open_image(args.folder/k) for k in truth}
    fers = {o: FER(detector=o, threads=1) for o in args.detectors}
    sizes = {'ms, as it is': photos, 'ms at 640 px': {k: at_640(o) for k,o in photos.items()}}
    ms = {o: {k: [] for k in sizes} for o in fers}
    for _ in range(args.rounds + 1): # the first one does not count
        for name,fer in fers.items():
            for k,imgs in sizes.items(): ms[name][k].append(mean(milliseconds(fer, o) for o in imgs.values()))
    rows = [row(o, fer, photos, truth, {k: median(v[1:]) for k,v in ms[o].items()}) for o,fer in fers.items()]
    report(f'{len(photos)} photos, {rows[0]["recall"].split()[-1].strip(")")} faces; medians of {args.rounds} rounds', markdown(rows),
           file=args.out and args.out/'photos.md')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('folder', type=Path)
    p.add_argument('--detectors', nargs='+', default=['yunet', 'haar'])
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--out', type=Path)
    main(p.parse_args())
