"A run that is killed with SIGKILL and resumed ends with the same weights, bit for bit, as the run that was never stopped"
import json, multiprocessing, os, signal, subprocess, sys, time
from pathlib import Path

import pandas as pd
import pytest
import torch
from fastai.vision.all import Callback, EarlyStoppingCallback
from safetensors.torch import load_file

from fer_fastai.bundle import Bundle
from fer_fastai.core import FERError
from fer_fastai.read import read_fer
from fer_fastai.recipes import Recipe
from fer_fastai.train import Run, recipe_learner

processes = multiprocessing.get_context('forkserver')
processes.set_forkserver_preload(['fer_fastai.train'])

tiny = dict(arch='fer48', bs=16, augment={'flip': {}, 'erase': {}}, lr=1e-2)
cases = dict( # recipe, and the number of complete epochs after which the process is killed
    one_cycle=(Recipe('one_cycle', **tiny, epochs=4), 2),
    frozen=(Recipe('frozen', **tiny, schedule='fine_tune', schedule_args={'freeze_epochs': 3}, epochs=2), 1),
    unfrozen=(Recipe('unfrozen', **tiny, schedule='fine_tune', epochs=4), 3),
    plateau=(Recipe('plateau', **tiny, schedule='plateau', schedule_args={'patience': 1, 'min_delta': 10}, epochs=5, opt='sgd'), 3),
    stages=(Recipe('stages', **{**tiny, 'lr': (1e-2, 1e-3)}, schedule='flat_cos', epochs=(2, 3), ema=0.9), 3))

def train(recipe, out, resume):
    "The part of `train_fer` between reading and scoring"
    torch.set_num_threads(1)
    data = read_fer('sample').sample(0.1)
    learn = recipe_learner(data, recipe, out)
    with learn.no_bar(): Run.open(out, recipe, data, resume).fit(learn, lr_find=False)
    torch.save(learn.model.state_dict(), out/'best.pth')

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

@pytest.mark.parametrize('name', cases)
def test_killed_and_resumed(name, tmp_path):
    recipe,n = cases[name]
    whole,broken = tmp_path/'whole',tmp_path/'broken'
    reference,killed = start(recipe, whole, False),start(recipe, broken, False)
    kill_after(n, broken, killed.is_alive, killed.pid)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    done = epochs_done(broken)
    finish(start(recipe, broken, True))
    finish(reference)
    assert n <= done < epochs_done(whole)
    a,b = (pd.read_csv(o/'history.csv').drop(columns='time') for o in (whole, broken))
    assert a.equals(b) and b.epoch.tolist() == list(range(len(b)))
    assert_same(*(torch.load(o/'best.pth', weights_only=True) for o in (whole, broken)))
    for c in (x := checkpoint(whole)), (y := checkpoint(broken)):
        for row in c['rows']: row.pop('time')
    assert_same(x, y)

def test_the_plateau_was_reached(tmp_path):
    "Otherwise the case above would test nothing of ReduceLROnPlateau's memory"
    finish(start(cases['plateau'][0], tmp_path, False))
    assert pd.read_csv(tmp_path/'history.csv').lr.nunique() > 1

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
    cmd = [Path(sys.executable).parent/'fer_train', 'sample', '--epochs', '3', '--emotions', 'happy,sad', '--out']
    run = lambda out, *more: subprocess.Popen([*cmd, out, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    whole,broken = tmp_path/'whole',tmp_path/'broken'
    reference,killed = run(whole),run(broken)
    kill_after(1, broken, lambda: killed.poll() is None, killed.pid)
    assert killed.wait() == -signal.SIGKILL
    left = [broken/o for o in ('checkpoint/tmpabc', '.tmp-model-x/model/.tmp-model.onnx-y')] # as if it had been killed there
    for o in left: o.mkdir(parents=True)
    again = run(broken)
    assert 'holds an interrupted run' in again.communicate()[1] and again.returncode == 2
    other = run(broken, '--resume', '--seed', '7')
    assert 'cannot be resumed: seed was 42 and is 7' in other.communicate()[1] and other.returncode == 2
    resumed = run(broken, '--resume')
    for p in (resumed, reference): assert p.communicate()[1] == '' and p.returncode == 0
    assert_same(*(load_file(o/'model'/'model.safetensors') for o in (whole, broken)))
    assert not list(broken.rglob('.tmp-*')) and [o.name for o in (broken/'checkpoint').iterdir()] == ['checkpoint.pth']

def test_killed_before_run_json_was_there(tmp_path):
    "Then the folder is as good as empty"
    (tmp_path/'.tmp-run.json-abc').mkdir()
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
