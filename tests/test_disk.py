"On a full disk a command ends in one line that names the file, and every file is whole: the old one or the new one"
import json, multiprocessing, os, re, resource, shutil, subprocess, sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fer_fastai.bundle import Bundle
from fer_fastai.core import FERError, atomic
from fer_fastai.export import export_torchscript, load_fer_net
from fer_fastai.read import read_fer
from fer_fastai.sample import draw_face

processes = multiprocessing.get_context('forkserver')
processes.set_forkserver_preload(['fer_fastai.train', 'fer_fastai.video', 'fer_fastai.folders', 'fer_fastai.audit'])

def work(command, args, kwargs, log, limit, env):
    "What the terminal would do"
    for o in 1, 2: os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND), o)
    os.environ.update(env)
    torch.set_num_threads(1)
    if limit is not None: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    from fer_fastai import cli
    getattr(cli, command)(*args, **kwargs)

class Disk:
    "A small disk in memory; a limit on the size of a file takes its place where nothing can be mounted"
    def __init__(self, folder):
        self.path,self.limit,self.log = folder/'disk',None,folder/'log'
        self.path.mkdir()
        self.mounted = not subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', self.path], stderr=subprocess.DEVNULL).returncode

    def resize(self, free):
        "Leave so many bytes"
        disk,self.limit = os.statvfs(self.path),None if self.mounted else free
        used = (disk.f_blocks - disk.f_bfree)*disk.f_bsize
        size = max(4096, used + round(free/4096)*4096) # 0 would be no limit at all
        if self.mounted: subprocess.run(['mount', '-o', f'remount,size={size}', self.path], check=True)

    def run(self, command, *args, env={}, **kwargs):
        "The exit code, and the lines on stderr that are no warnings"
        p = processes.Process(target=work, args=(command, args, kwargs, self.log, self.limit, env))
        p.start()
        p.join(300)
        return p.exitcode,[o for o in self.log.read_text().splitlines() if o.startswith(('error: ', 'Traceback', 'terminate'))]

    def files(self): return {str(o.relative_to(self.path)): o.read_bytes() for o in self.path.rglob('*') if o.is_file()}

    def clear(self):
        for o in self.path.iterdir(): shutil.rmtree(o) if o.is_dir() else o.unlink()

@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path)
    yield disk
    if disk.mounted: subprocess.run(['umount', '-l', disk.path], check=True)

def check_line(disk, code, lines):
    "One line that names the file"
    assert code == 2 and len(lines) == 1 and len(lines[0]) < 320, (code, lines)
    assert re.match(f'error: ({disk.path}/|a.mp4)', lines[0]) and 'ake room' in lines[0], lines

def at_ten_sizes(disk, enough, whole, command, *args, old=(), partial=(), **kwargs):
    "Check what a command leaves; `whole(path)` raises if a new file is not whole; files in `old` were there, `partial` stay for the next time"
    codes = []
    for size in np.linspace(1, enough, 10):
        disk.resize(1 << 26)
        disk.clear()
        for o in old: (disk.path/o).write_bytes(b'old'*2000)
        disk.resize(size)
        code,lines = disk.run(command, *args, **kwargs)
        codes.append(code)
        if code: check_line(disk, code, lines)
        else: assert not lines, lines
        for name,data in disk.files().items():
            assert '.tmp-' not in name and '.lock' not in name, (size, name)
            if name.endswith(partial or '?'): assert code, (size, name)
            elif name not in old or data != b'old'*2000: whole(disk.path/name)
            else: assert code, f'{name} is the old one, at {size}'
        assert set(old) <= set(disk.files())
    assert codes[0] == 2 and codes[-1] == 0, codes
    print(command, ''.join('full '*(o == 2) or 'whole ' for o in codes), 'of', f'{enough:,} bytes')

def is_whole(path):
    "Raise if a file is torn"
    if path.suffix == '.csv': assert len(pd.read_csv(path).columns) > 2 and path.read_bytes()[-1:] == b'\n'
    elif path.suffix in ('.png', '.jpg'): Image.open(path).load()
    elif path.suffix == '.json': json.loads(path.read_text())
    elif path.suffix == '.html': assert path.read_text().rstrip().endswith('</html>')
    elif path.suffix in ('.pth', '.pkl'): torch.load(path, weights_only=path.suffix == '.pth')
    elif path.suffix == '.safetensors': load_file(path)
    elif path.suffix == '.mp4': assert n_frames(path) == 40
    else: assert path.suffix in ('.onnx', '.md') # a bundle is checked as one

def n_frames(path):
    cap,n = cv2.VideoCapture(str(path)),0
    while cap.read()[0]: n += 1
    return n

@pytest.fixture(scope='module')
def csv(tmp_path_factory):
    return str(read_fer('sample').sample(.1).to_csv(tmp_path_factory.mktemp('csv')/'faces.csv'))

def test_data(disk, csv): at_ten_sizes(disk, 2.2*os.path.getsize(csv), is_whole, 'fer_data', csv, to_csv=f'{disk.path}/a.csv')

def test_data_in_a_folder(disk, csv):
    n = len(pd.read_csv(csv))
    def whole(path):
        is_whole(path)
        assert sum(o.is_file() for o in disk.path.rglob('*')) == n
    at_ten_sizes(disk, 1_500_000, whole, 'fer_data', csv, to_folder=f'{disk.path}/a')

def test_cache(disk, csv):
    def whole(path): assert path.name in ('images.npy', 'rows.csv', 'meta.json')
    at_ten_sizes(disk, 700_000, whole, 'fer_data', csv, env=dict(FER_FASTAI_CACHE=f'{disk.path}/cache'))
    assert len(disk.files()) == 3

def test_predict(disk, tmp_path):
    (tmp_path/'photos').mkdir()
    for i in range(4): draw_face('happy', i, size=160, mode='RGB').save(tmp_path/'photos'/f'{i}.png')
    how = dict(out=f'{disk.path}/a.csv', draw=f'{disk.path}/drawn', faces='crop')
    at_ten_sizes(disk, 1_500_000, is_whole, 'fer_predict', str(tmp_path/'photos'), partial=('.part', '.part.json'), **how)

def test_video(disk, tmp_path):
    source = str(tmp_path/'in.mp4')
    out = cv2.VideoWriter(source, cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*'mp4v'), 20, (160, 160))
    for i in range(40): out.write(np.array(draw_face(['happy', 'sad'][i//20], i, size=160, mode='RGB')))
    out.release()
    names = 'a.mp4', 'a.png', 'a.csv'
    how = dict(zip(('out', 'plot', 'table'), [f'{disk.path}/{o}' for o in names]), faces='crop', overwrite=True)
    at_ten_sizes(disk, 3_000_000, is_whole, 'fer_video', source, old=names, **how)

def test_audit(disk, csv):
    how = dict(out=f'{disk.path}/a.html', csv=f'{disk.path}/a.csv')
    at_ten_sizes(disk, 3_000_000, is_whole, 'fer_audit', csv, old=('a.html', 'a.csv'), **how)

# Training

def test_train(disk, tmp_path, csv):
    "FER_DISKS=1 takes ten sizes, up to a disk that is large enough; the others end in `run.json`, in `lr_find` and in the second checkpoint"
    slow = 'FER_DISKS' in os.environ
    out,how = disk.path/'run',dict(recipe='fer48', epochs='2', bs=16, lr='1e-3')
    if slow: assert disk.run('fer_train', csv, out=str(tmp_path/'whole'), **how)[0] == 0
    for size in np.linspace(1, 126_000_000, 10) if slow else (1, 6_000_000, 56_000_000):
        disk.resize(1 << 28)
        disk.clear()
        disk.resize(size)
        code,lines = disk.run('fer_train', csv, out=str(out), **how)
        names = disk.files()
        print(f'{size/1e6:.0f} MB:', lines or 'all is written', len(names), 'files')
        assert not any('.tmp-' in o or '.lock' in o for o in names)
        for o in names: is_whole(disk.path/o)
        if (out/'model').exists(): Bundle(out)
        if not code: break
        check_line(disk, code, lines)
        disk.resize(1 << 28)
        if not slow or 'run/run.json' not in names: continue
        assert disk.run('fer_train', csv, out=str(out), resume=True, **how)[0] == 0
        assert_same(out, tmp_path/'whole')
    if slow: assert code == 0
    else: assert set(names) == {f'run/{o}' for o in ('run.json', 'lr_find.png', 'history.csv', 'checkpoint/checkpoint.pth')}

def export(path, log, limit):
    "PyTorch's own writers, of which TorchScript's would end Python"
    if limit is not None: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    net = load_fer_net('fer48')
    def pickle():
        with atomic(path/'net.pth') as tmp: torch.save(net.state_dict(), tmp)
    for write in pickle, lambda: export_torchscript(net, path/'net.pt'):
        try: write()
        except FERError as e: print(e, file=sys.stderr)

def test_export(disk):
    for size in 1, 5_000_000:
        disk.resize(size)
        p = processes.Process(target=export, args=(disk.path, disk.log, disk.limit))
        p.start()
        p.join(300)
        lines = [o for o in disk.log.read_text().splitlines() if 'cannot be written' in o]
        assert p.exitcode == 0 and [Path(o.split()[0]).name for o in lines] == ['net.pth', 'net.pt'] and not disk.files(), lines

def assert_same(*runs):
    a,b = (load_file(o/'model'/'model.safetensors') for o in runs)
    for k in a: assert torch.equal(a[k], b[k]), k
    a,b = (pd.read_csv(o/'history.csv').drop(columns='time') for o in runs)
    assert a.equals(b)
