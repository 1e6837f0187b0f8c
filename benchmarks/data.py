"""How fast FER2013 is read, and how much memory that takes. Each contender runs in a process of its own.

    python benchmarks/data.py fer2013.csv --folder fer2013/

Give the CSV, the folder, or both. If you give one, the other form is first written to a temporary folder."""
import argparse, json, os, resource, subprocess, sys, tempfile
from pathlib import Path

from timing import markdown, peak_mb, report, seconds

# A contender imports what it needs before the clock starts, so that all of them pay for reading only

def naive(path):
    import numpy as np, pandas as pd
    def run():
        df = pd.read_csv(path).rename(columns=str.strip)
        return np.stack([np.fromstring(o, sep=' ') for o in df.pixels]).reshape(-1, 48, 48)
    return run

def ours(path):
    from fer_fastai.read import read_fer
    return lambda: read_fer(path)

def measure(contender, path):
    "Run a contender here, and print its seconds, its peak memory and the number of its images"
    run,out = contender(path),[]
    t = seconds(lambda: out.append(run()))
    print(json.dumps(dict(seconds=t, mb=peak_mb(resource.getrusage(resource.RUSAGE_SELF)), n=len(out[0]))))

def fresh(contender, path, **env):
    "Run a contender in a new process"
    cmd = [sys.executable, __file__, '--only', contender.__name__, str(path)]
    out = subprocess.run(cmd, env={**os.environ, **env}, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(out.stdout.splitlines()[-1])

def convert(source, method, to):
    "Write the other form, in a new process: this one must stay small, since those that it starts inherit its peak memory"
    code = 'import sys; from fer_fastai.read import read_fer; getattr(read_fer(sys.argv[1]), sys.argv[2])(sys.argv[3])'
    subprocess.run([sys.executable, '-c', code, str(source), method, to], check=True)
    return to

def row(what, r, base):
    return {'what': what, 'images': f"{r['n']:,}", 'seconds': f"{r['seconds']:.3f}", 'peak MB': f"{r['mb']:,.0f}",
            'time': f"1/{base['seconds']/r['seconds']:,.1f}", 'memory': f"1/{base['mb']/r['mb']:.1f}"}

def main(csv, folder):
    with tempfile.TemporaryDirectory() as tmp:
        csv = csv or convert(folder, 'to_csv', f'{tmp}/fer2013.csv')
        folder = folder or convert(csv, 'to_folder', f'{tmp}/fer2013')
        cache = dict(FER_FASTAI_CACHE=f'{tmp}/cache') # an empty one
        found = {'CSV: `pandas.read_csv`, `np.fromstring` per row': fresh(naive, csv),
                 'CSV: `read_fer`, first time': fresh(ours, csv, **cache),
                 'CSV: `read_fer`, again': fresh(ours, csv, **cache),
                 'folder: `read_fer`, first time': fresh(ours, folder, **cache),
                 'folder: `read_fer`, again': fresh(ours, folder, **cache)}
    base = next(iter(found.values()))
    machine = f'{os.cpu_count()} CPUs, Python {sys.version.split()[0]}'
    report(machine, markdown([row(k, r, base) for k,r in found.items()]))

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('csv', nargs='?', help='the pixel CSV')
    p.add_argument('--folder', type=Path, help='the folder of images')
    p.add_argument('--only', choices=['naive', 'ours'], help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.only: measure(dict(naive=naive, ours=ours)[args.only], args.csv)
    elif args.csv or args.folder: main(args.csv, args.folder)
    else: p.error('give the pixel CSV, the folder of images, or both')
