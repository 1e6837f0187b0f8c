"""A long run of the predictor: does its memory stay flat, and are its answers the same in threads and in other processes?

    python benchmarks/soak.py PHOTOS [--faces 100000] [--photos 1000] [--detector yunet] [--most 20]

PHOTOS is a folder of photos. One `FER` reads --photos of them, again and again the same ones, and --faces drawn faces in
batches of many sizes. The memory of the process is taken ten times in each part, after a first round that does not
count, and may grow by --most MB. Then 8 threads share the `FER`, a forked child uses it, and a spawned child makes its
own. All have to give the same answers, to the last bit. A difference ends with exit code 1."""
import argparse, gc, hashlib, json, multiprocessing, os, sys, time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from fer_fastai.folders import image_files
from fer_fastai.predict import FER
from fer_fastai.sample import sample_faces

def memory():
    "MB that this process holds"
    gc.collect()
    return int(Path('/proc/self/statm').read_text().split()[1])*os.sysconf('SC_PAGE_SIZE')/1e6

def answer(fer, path): return [(o.box, o.probs) for o in fer(path)]

def digest(fer, paths, faces):
    "A checksum of everything that is said about some photos and faces"
    said = json.dumps([answer(fer, o) for o in paths]).encode() + fer.probs(faces).tobytes()
    return hashlib.sha256(said).hexdigest()

def batches(faces, n):
    "`n` faces in batches of 1 to 300"
    sizes = np.random.default_rng(0)
    while n > 0:
        k = min(n, int(sizes.integers(1, 301)))
        yield np.resize(faces, (k, *faces.shape[1:]))
        n -= k

def grown(name, steps, n, work):
    "Do `work` for each step; how much the memory grew over ten parts, in MB, and a line about it"
    start,seen,done = time.perf_counter(),[memory()],0
    for o in steps:
        done += work(o)
        if done >= len(seen)*n/10: seen.append(memory())
    seconds = time.perf_counter() - start
    print(f'{done:,} {name}: {done/seconds:.1f} a second; memory {", ".join(f"{o:.0f}" for o in seen)} MB', flush=True)
    return max(seen) - seen[0]

def in_child(kind, fer, detector, paths, faces):
    "What a child says; a forked one uses the parent's `FER`, a spawned one makes its own"
    ctx = multiprocessing.get_context(kind)
    out,back = ctx.Pipe(False)
    child = ctx.Process(target=say, args=(back, fer if kind == 'fork' else None, detector, paths, faces))
    child.start()
    said = out.recv() if out.poll(300) else 'nothing in 300 s'
    child.kill()
    child.join()
    return said

def say(back, fer, detector, paths, faces): back.send(digest(fer or FER(detector=detector), paths, faces))

def soak(folder, n_faces, n_photos, detector, most):
    "Names of what did not hold"
    fer,paths = FER(detector=detector),image_files(folder)
    faces,_ = sample_faces(20)
    for o in paths: answer(fer, o)
    for o in batches(faces, 1000): fer.probs(o)
    more = dict(photos=grown('photos', islice(cycle(paths), n_photos), n_photos, lambda o: len(answer(fer, o)) >= 0),
                faces=grown('faces', batches(faces, n_faces), n_faces, lambda o: len(fer.probs(o))))
    bad = [f'memory, {k}' for k,v in more.items() if v > most]
    few,want = paths[:8],digest(fer, paths[:8], faces)
    with ThreadPoolExecutor(8) as pool: said = dict(enumerate(pool.map(lambda _: digest(fer, few, faces), range(8))))
    said |= {kind: in_child(kind, fer, detector, few, faces) for kind in ('fork', 'spawn')}
    bad += [f'answers of {k}' for k,v in said.items() if v != want]
    print(f'memory grew by {max(more.values()):.1f} MB; 8 threads, a forked and a spawned child: '
          f'{sum(v == want for v in said.values())} of 10 give the same answers')
    return bad

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('folder')
    p.add_argument('--faces', type=int, default=100_000)
    p.add_argument('--photos', type=int, default=1000)
    p.add_argument('--detector', default='yunet')
    p.add_argument('--most', type=float, default=20)
    args = p.parse_args()
    bad = soak(args.folder, args.faces, args.photos, args.detector, args.most)
    sys.exit(f'did not hold: {", ".join(bad)}' if bad else 0)
