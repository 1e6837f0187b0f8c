"A run that is killed with SIGKILL and resumed ends with the same weights, bit for bit, as the run that was never stopped"
import json, multiprocessing, os, random, re, signal, subprocess, sys, time
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import torch
from fastai.vision.all import Callback, EarlyStoppingCallback
from safetensors.torch import load_file

from fer_fastai.bundle import Bundle
from fer_fastai.core import FERError, locked
from fer_fastai.read import read_fer
from fer_fastai.recipes import Recipe
from fer_fastai.train import Run, recipe_learner, train_fer

processes = multiprocessing.get_context('forkserver')
processes.set_forkserver_preload(['fer_fastai.train'])

tiny = dict(arch='fer48', bs=16, augment={'flip': {}, 'erase': {}}, lr=1e-2)
cases = dict( # recipe, and the number of complete epochs after which the process is killed
    one_cycle=(Recipe('one_cycle', **tiny, epochs=4), 2),
    frozen=(Recipe('frozen', **tiny, schedule='fine_tune', schedule_args={'freeze_epochs': 3}, epochs=2), 1),
    unfrozen=(Recipe('unfrozen', **tiny, schedule='fine_tune', epochs=4), 3),
    plateau=(Recipe('plateau', **tiny, schedule='plateau', schedule_args={'patience': 1, 'min_delta': 10}, epochs=5, opt='sgd'), 3),
    stages=(Recipe('stages', **{**tiny, 'lr': (1e-2, 1e-3)}, schedule='flat_cos', epochs=(2, 3), ema=0.9), 3),
    growing=(Recipe('growing', **{**tiny, 'lr': slice(1e-3, 1e-2)}, epochs=(2, 2), size=(32, 64)), 3))
others = dict(
    again=Recipe('again', **{**tiny, 'lr': (1e-2, 1e-3)}, schedule='fine_tune', epochs=(1, 1)), # frozen, not, frozen, not
    stopped=Recipe('stopped', **{**tiny, 'lr': None}, schedule='constant', epochs=6, early_stop=1, mixup=.4, tensorboard=False),
    finished=Recipe('finished', **tiny, epochs=1)) # and written

def train(recipe, out, resume):
    "The part of `train_fer` between reading and scoring"
    torch.set_num_threads(1)
    data = read_fer('sample').sample(0.1)
    learn = recipe_learner(data, recipe, out)
    with learn.no_bar(): run = Run.open(out, recipe, data, resume).fit(learn)
    torch.save(learn.model.state_dict(), out/'best.pth')
    if recipe.name == 'finished': run.finish(learn)

def start(*args):
    p = processes.Process(target=train, args=args)
    p.start()
    return p

def finish(p):
    p.join(300)
    assert p.exitcode == 0

def epochs_done(out): return len(pd.read_csv(out/'history.csv')) if (out/'history.csv').exists() else 0

def kill_after(n, out, alive, pid):
    while epochs_done(out) < n:
        assert alive(), 'it ended before it could be killed'
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)

def checkpoint(out): return torch.load(out/'checkpoint'/'checkpoint.pth', weights_only=True)

def assert_same(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for k in a: assert_same(a[k], b[k])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x,y in zip(a, b): assert_same(x, y)
    elif isinstance(a, torch.Tensor): assert torch.equal(a, b)
    else: assert a == b

@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    "Name of a recipe -> the folder of a run that was never stopped, and its seconds"
    @cache
    def make(name):
        out,began = tmp_path_factory.mktemp('whole'),time.time()
        finish(start(recipes[name], out, False))
        return out,time.time() - began
    return make

recipes = {**{k: r for k,(r,_) in cases.items()}, **others}

def files(out): return sorted(str(o.relative_to(out)) for o in out.rglob('*'))

def assert_same_run(whole, broken):
    a,b = (pd.read_csv(o/'history.csv').drop(columns='time') for o in (whole, broken))
    assert a.equals(b) and b.epoch.tolist() == list(range(len(b)))
    assert_same(*(torch.load(o/'best.pth', weights_only=True) for o in (whole, broken)))
    for c in (x := checkpoint(whole)), (y := checkpoint(broken)):
        for row in c['rows']: row.pop('time')
    assert_same(x, y)
    assert files(whole) == files(broken) # nothing is left behind
    if (whole/'model').exists(): assert_same(*(load_file(o/'model'/'model.safetensors') for o in (whole, broken)))

@pytest.mark.parametrize('name', cases)
def test_killed_and_resumed(name, tmp_path, whole):
    recipe,n = cases[name]
    reference,_ = whole(name)
    killed = start(recipe, tmp_path, False)
    kill_after(n, tmp_path, killed.is_alive, killed.pid)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert n <= epochs_done(tmp_path) < epochs_done(reference)
    finish(start(recipe, tmp_path, True))
    assert_same_run(reference, tmp_path)

def test_the_plateau_was_reached(whole):
    "Otherwise the case above would test nothing of ReduceLROnPlateau's memory"
    assert pd.read_csv(whole('plateau')[0]/'history.csv').lr.nunique() > 1

def moments(n):
    "Names of recipes, each with a share of its time"
    rng,names = random.Random(n),list(recipes)
    return [(names[i % len(names)], rng.random()) for i in range(n)]

@pytest.mark.parametrize('name,share', moments(int(os.environ.get('FER_KILLS', 5))))
def test_killed_at_any_moment(name, share, tmp_path, whole):
    "FER_KILLS=50 asks for 50 moments: in reading, in `lr_find`, in an epoch, in writing; the last of the recipes exports, too"
    (reference,seconds),recipe = whole(name),recipes[name]
    killed = start(recipe, tmp_path, False)
    killed.join(share*seconds)
    killed.kill()
    killed.join()
    at = f'killed after {share*seconds:.2f} of {seconds:.1f} s, {epochs_done(tmp_path)} epochs, and'
    print(name, at, [o for o in files(tmp_path) if '.tmp-' in o] or 'nothing', 'half written')
    finish(start(recipe, tmp_path, (tmp_path/'run.json').exists()))
    assert_same_run(reference, tmp_path)

def test_early_stop_is_one_step(whole):
    "A process that is killed after it must not train another epoch when it resumes"
    out,_ = whole('stopped')
    assert 1 < epochs_done(out) < 6 and checkpoint(out)['next_epoch'] == 6

def test_two_at_once(tmp_path):
    held = "import sys, time; from fer_fastai.core import locked\nwith locked(sys.argv[1]): print('in', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, '-c', held, tmp_path/'run'/'.lock'], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == 'in\n'
    for how in {}, dict(resume=True), dict(overwrite=True):
        with pytest.raises(FERError, match='run is in use by another process: wait until it ends, or choose another folder'):
            train_fer(read_fer('sample').sample(0.1), out=tmp_path/'run', lr=1e-3, **how)
    assert files(tmp_path) == ['run', 'run/.lock']
    other.kill() # a dead process holds nothing
    other.wait()
    with locked(tmp_path/'run'/'.lock'): pass
    assert files(tmp_path) == ['run']

class Stop(Callback):
    "Break a run down after two epochs"
    order = 96
    def after_epoch(self):
        if self.epoch == 1: raise KeyboardInterrupt

def fit(recipe, out, monkeypatch, fast, cbs=(), resume=False):
    monkeypatch.setattr('fer_fastai.callbacks.cpu_has_bf16', lambda: fast) # two more callbacks where it has
    data = read_fer('sample').sample(0.1)
    learn = recipe_learner(data, recipe, out, list(cbs))
    with learn.no_bar(): return learn,Run.open(out, recipe, data, resume).fit(learn, lr_find=False).history

@pytest.mark.parametrize('fast', [True, False])
def test_resumed_with_other_callbacks(fast, tmp_path, monkeypatch):
    "As on another device: the best epoch of both parts is kept, and so is what early stopping has counted"
    recipe = Recipe('one', **tiny, epochs=4, ema=0.9, early_stop=4)
    with pytest.raises(KeyboardInterrupt): fit(recipe, tmp_path, monkeypatch, fast, [Stop()])
    saved = checkpoint(tmp_path)['cbs']
    assert saved.keys() == {'keep_best', 'ema', 'early_stopping'}
    done = pd.read_csv(tmp_path/'history.csv')
    assert saved['keep_best'][0]['best'] == done.accuracy.max()
    saved['keep_best'][0]['best'] = 2. # better than any epoch to come, so the weights must be those of the first part
    torch.save({**checkpoint(tmp_path), 'cbs': saved}, tmp_path/'checkpoint'/'checkpoint.pth')
    learn,history = fit(recipe, tmp_path, monkeypatch, not fast, resume=True)
    assert len(history) == 4 and history.accuracy[:2].tolist() == done.accuracy.tolist()
    assert_same(dict(learn.model.state_dict()), saved['keep_best'][0]['weights'])

def test_two_callbacks_of_one_name(tmp_path, monkeypatch):
    recipe = Recipe('one', **tiny, epochs=4, early_stop=4)
    mine = lambda: EarlyStoppingCallback('valid_loss', patience=4)
    with pytest.raises(KeyboardInterrupt): fit(recipe, tmp_path, monkeypatch, False, [mine(), Stop()])
    assert [o['best'] < 1 for o in checkpoint(tmp_path)['cbs']['early_stopping']] == [False, True] # a loss, and an accuracy
    with pytest.raises(FERError, match='what the callback early_stopping remembers'): fit(recipe, tmp_path, monkeypatch, False, resume=True)
    assert len(fit(recipe, tmp_path, monkeypatch, False, [mine()], resume=True)[1]) == 4

def test_command_line_killed_and_resumed(tmp_path):
    cmd = [Path(sys.executable).parent/'fer_train', 'sample', '--recipe', 'fer48', '--epochs', '3', '--emotions', 'happy,sad', '--out']
    run = lambda out, *more: subprocess.Popen([*cmd, out, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    whole,broken = tmp_path/'whole',tmp_path/'broken'
    reference,killed = run(whole),run(broken)
    kill_after(1, broken, lambda: killed.poll() is None, killed.pid)
    assert killed.wait() == -signal.SIGKILL
    left = broken/'.tmp-model-12345678' # as if it had been killed there
    for o in left/'.lock', left/'model'/'.tmp-model.onnx-12345678'/'.lock':
        o.parent.mkdir(parents=True)
        o.touch()
    again = run(broken)
    assert 'holds an interrupted run' in again.communicate()[1] and again.returncode == 2
    other = run(broken, '--resume', '--seed', '7')
    assert 'cannot be resumed: seed was 42 and is 7' in other.communicate()[1] and other.returncode == 2
    stopped = run(broken, '--resume')
    while epochs_done(broken) < 2: time.sleep(.01)
    stopped.send_signal(signal.SIGINT)
    out,err = stopped.communicate()
    assert stopped.returncode == 130 and re.fullmatch(r'interrupted after [23] epochs; the best one \(\d+\.\d% of valid right\) is kept: '
                                                      rf'--resume continues the run in {broken}\n', err), err
    resumed = run(broken, '--resume')
    for p in (resumed, reference): assert p.communicate()[1] == '' and p.returncode == 0
    assert_same(*(load_file(o/'model'/'model.safetensors') for o in (whole, broken)))
    assert not list(broken.rglob('.tmp-*')) and [o.name for o in (broken/'checkpoint').iterdir()] == ['checkpoint.pth']

def test_killed_before_run_json_was_there(tmp_path):
    "Then the folder is as good as empty"
    (tmp_path/'.tmp-run.json-12345678').mkdir()
    (tmp_path/'.tmp-run.json-12345678'/'.lock').touch()
    Run.open(tmp_path, cases['one_cycle'][0], read_fer('sample').sample(0.1))
    assert [o.name for o in tmp_path.iterdir()] == ['run.json']

def test_a_run_of_an_older_version(tmp_path, monkeypatch):
    "Its file is called recipe.json, and its recipe has fewer fields"
    recipe = Recipe('one', **tiny, epochs=3)
    with pytest.raises(KeyboardInterrupt): fit(recipe, tmp_path, monkeypatch, False, [Stop()])
    info = json.loads((tmp_path/'run.json').read_text())
    for k in 'distill', 'groups': info['recipe'].pop(k, None)
    (tmp_path/'run.json').unlink()
    (tmp_path/'recipe.json').write_text(json.dumps(info))
    assert len(Run(tmp_path).history) == 2 and not Run(tmp_path).finished
    learn,history = fit(recipe, tmp_path, monkeypatch, False, resume=True)
    assert history.epoch.tolist() == [0, 1, 2]
    Run.open(tmp_path, recipe, read_fer('sample').sample(0.1), resume=True).fit(learn).finish(learn)
    assert Run(tmp_path).finished and not (tmp_path/'run.json').exists()
    assert Bundle(tmp_path).labels == Bundle(tmp_path/'model').labels == list(learn.dls.vocab)
