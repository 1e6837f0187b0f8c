"""How fast FER2013 is read, each contender in a process of its own, side by side.

    python benchmarks/data.py fer2013.csv --folder fer2013/

One of the two forms is enough: the other is then written into a temporary folder first. Without arguments, the
environment variables FER2013_CSV and FER2013 (either form) say where they are."""
import argparse, json, os, resource, subprocess, sys, tempfile, time
from pathlib import Path

# Contenders import what they need before the clock starts, so that all of them are only charged for reading

def naive(path):
    import numpy as np, pandas as pd
    def run():
        df = pd.read_csv(path).rename(columns=str.strip)
        return np.stack([np.fromstring(o, sep=' ') for o in df.pixels]).reshape(-1, 48, 48)
    return run

def ours(path):
    from fer_fastai.read import read_fer
    return lambda: read_fer(path)

def index(path):
    from fer_fastai.read import _index_folder, _walk
    return lambda: _index_folder(_walk(path))

def write_csv(path):
    from fer_fastai.read import read_fer
    return lambda: read_fer(path).to_csv(os.environ['OTHER_FORM'])

def write_folder(path):
    from fer_fastai.read import read_fer
    return lambda: read_fer(path).to_folder(os.environ['OTHER_FORM'])

def measure(contender, path):
    "Run a contender here and print its seconds, its peak memory in MB, and how many rows it gave"
    run = contender(path)
    start = time.perf_counter()
    out = run()
    seconds = time.perf_counter() - start
    unit = 1e6 if sys.platform == 'darwin' else 1e3
    print(json.dumps(dict(seconds=seconds, mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/unit, n=len(out) if hasattr(out, '__len__') else None)))

def fresh(contender, path, **env):
    "Run a contender in a new process"
    out = subprocess.run([sys.executable, __file__, '--only', contender.__name__, str(path)], env={**os.environ, **env}, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(out.stdout.splitlines()[-1])

def table(rows):
    "Print measurements as markdown, with ratios to the first"
    base = rows[0][1]
    print('| what | images | seconds | peak MB | time | memory |\n|---|--:|--:|--:|--:|--:|')
    for name, r in rows:
        ratios = f'1/{base["seconds"]/r["seconds"]:,.1f} | 1/{base["mb"]/r["mb"]:.1f}' if r is not base else '1 | 1'
        print(f'| {name} | {r["n"]:,} | {r["seconds"]:.3f} | {r["mb"]:,.0f} | {ratios} |')

def main(path, folder):
    with tempfile.TemporaryDirectory() as d:
        env = dict(FER_FASTAI_CACHE=f'{d}/cache', OTHER_FORM=f'{d}/other.csv' if path is None else f'{d}/other')
        if path is None: fresh(write_csv, folder, **env)
        if folder is None: fresh(write_folder, path, **env)
        path, folder = path or env['OTHER_FORM'], folder or env['OTHER_FORM']
        env['FER_FASTAI_CACHE'] = f'{d}/cold'
        print(f'{os.cpu_count()} CPUs, Python {sys.version.split()[0]}\n')
        table([('CSV: `pandas.read_csv`, `np.fromstring` per row', fresh(naive, path)),
               ('CSV: `read_fer`, first time', fresh(ours, path, **env)),
               ('CSV: `read_fer`, again', fresh(ours, path, **env)),
               ('folder: index', fresh(index, folder)),
               ('folder: `read_fer`, first time', fresh(ours, folder, **env)),
               ('folder: `read_fer`, again', fresh(ours, folder, **env))])

if __name__ == '__main__':
    known = os.environ.get('FER2013')
    csv = os.environ.get('FER2013_CSV') or (known if known and known.endswith('.csv') else None)
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('path', nargs='?', default=csv, help='the pixel CSV')
    p.add_argument('--folder', default=known if known and Path(known).is_dir() else None, help='the folder of images')
    p.add_argument('--only', choices=[o.__name__ for o in (naive, ours, index, write_csv, write_folder)], help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.only: measure(globals()[args.only], args.path)
    elif args.path or args.folder: main(args.path, args.folder)
    else: p.error('give the pixel CSV, the folder of images, or both')
