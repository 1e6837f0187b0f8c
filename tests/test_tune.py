"A search on Ray Tune: what it finds, what it refuses, and that one that was killed goes on"
import json, os, shutil, signal, subprocess, sys, threading, time
from pathlib import Path

import pandas as pd
import psutil
import pytest

import fer_fastai
from fer_fastai.core import FERError

ray = pytest.importorskip('ray')
from ray import tune

from fer_fastai.colorize import tone
from fer_fastai.read import read_fer
from fer_fastai.train import train_fer
from fer_fastai.tune import plot_trials, tune_fer

settings = dict(recipe='fer48', epochs=2, bs=16, augment={'flip': {}})

def faces(): return read_fer('sample').sample(0.05)

@pytest.fixture
def one_core():
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()

def test_search(tmp_path, one_core, capsys):
    data = faces()
    space = dict(lr=[1e-4, 3e-3, 1e30], label_smoothing=tune.uniform(0, 0.2))
    recipe,trials = tune_fer(data, space=space, n_trials=5, out=tmp_path/'search', **settings)
    assert 'failed with NaNLossError: the loss is nan in epoch 0, batch ' in capsys.readouterr().out
    assert ray.is_initialized() and signal.getsignal(signal.SIGINT) is signal.default_int_handler # Ctrl-C is Python's again
    assert list(trials.columns) == ['lr', 'label_smoothing', 'accuracy', 'valid_loss', 'epochs', 'seconds', 'status'] and len(trials) == 5
    failed = trials.lr == 1e30
    assert failed.any() and not failed.all()
    assert set(trials.status[failed]) == {'failed'} and set(trials.status[~failed]) <= {'finished', 'stopped'}
    good = trials[~failed]
    assert ((good.epochs == 2) == (good.status == 'finished')).all()
    assert (trials.index[:len(good)] == good.index).all() and good.accuracy.is_monotonic_decreasing
    assert good.epochs.between(1, 2).all() and good.label_smoothing.between(0, 0.2).all() and good.label_smoothing.nunique() == len(good)
    assert (recipe.name, recipe.lr, recipe.label_smoothing, recipe.epochs) == ('fer48-tuned', *trials.iloc[0][['lr', 'label_smoothing']], 2)
    assert pd.read_csv(tmp_path/'search'/'trials.csv', index_col=0).status.tolist() == trials.status.tolist()
    for name,row in good.iterrows():
        history = pd.read_csv(tmp_path/'search'/'trials'/name/'history.csv')
        assert history.accuracy.max() == pytest.approx(row.accuracy) and len(history) == row.epochs
    assert len(plot_trials(trials).axes[0].get_xticklabels()) == 3
    train_fer(data, recipe, out=tmp_path/'run', lr_find=False)
    history = pd.read_csv(tmp_path/'run'/'history.csv')
    assert history.accuracy[:trials.epochs.iloc[0]].max() == pytest.approx(trials.accuracy.iloc[0]) # what was found is what is trained

search = dict(space=dict(lr=[1e-4, 1e-3, 3e-3, 5e-3], bs=[16, 32]), n_trials=4, **{**settings, 'epochs': 3})

script = """
import ray
from test_tune import faces, search
from fer_fastai.tune import tune_fer
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
tune_fer(faces(), out='search', **search)
"""

def start(folder):
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get('PYTHONPATH', '')])
    env = {**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'}
    with (folder/'log').open('w') as log: return subprocess.Popen([sys.executable, '-c', script], cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)

def histories(folder): return {o.parent.name: pd.read_csv(o) for o in (folder/'search'/'trials').glob('*/history.csv')}

def wait_until(ready, process, folder, seconds=150):
    end = time.time() + seconds
    while not ready():
        assert process.poll() is None and time.time() < end, (folder/'log').read_text()
        time.sleep(0.02)

@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGINT])
def test_interrupted_and_resumed(how, tmp_path):
    process = start(tmp_path)
    wait_until(lambda: '1 of 4' in (tmp_path/'log').read_text() and len(histories(tmp_path)) > 1, process, tmp_path)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    if how == signal.SIGINT: process.send_signal(how)
    else:
        for o in family: o.kill()
    assert process.wait(60) != 0
    assert not psutil.wait_procs(family[1:], timeout=30)[1] # Ray does not outlive its search
    assert how == signal.SIGKILL or 'KeyboardInterrupt: the search was interrupted: tune_fer(..., resume=True)' in (tmp_path/'log').read_text()
    assert not (tmp_path/'search'/'trials.csv').exists()
    before = histories(tmp_path)
    out = tmp_path/'search'
    with pytest.raises(FERError, match='holds an interrupted search: resume=True continues it'): tune_fer(faces(), out=out, **search)
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try: recipe,trials = tune_fer(faces(), out=out, resume=True, **search)
    finally: ray.shutdown()
    assert len(trials) == 4 and trials.epochs.max() == 3 and ((trials.epochs == 3) == (trials.status == 'finished')).all()
    after = histories(tmp_path)
    for name,old in before.items(): # times too: no epoch was trained again
        pd.testing.assert_frame_equal(after[name][:len(old)], old)
    for name,row in trials.iterrows(): assert (len(after[name]), after[name].accuracy.max()) == (row.epochs, pytest.approx(row.accuracy))
    assert recipe.lr == trials.lr.iloc[0] and isinstance(recipe.lr, float)

def test_finished_search_gives_its_results(tmp_path, capsys):
    args = dict(space=dict(lr=[1e-3]), n_trials=1, out=tmp_path/'search', **{**settings, 'epochs': 1})
    recipe,trials = tune_fer(faces(), **args)
    assert not ray.is_initialized() # it was started for the search
    assert capsys.readouterr().out.startswith('1 of 1: lr=0.001: accuracy ')
    stamp = (tmp_path/'search'/'trials'/trials.index[0]/'history.csv').stat().st_mtime_ns
    again,same = tune_fer(faces(), resume=True, **args)
    assert again == recipe
    pd.testing.assert_frame_equal(same, trials)
    assert (tmp_path/'search'/'trials'/trials.index[0]/'history.csv').stat().st_mtime_ns == stamp
    with pytest.raises(FERError, match="cannot be resumed: epochs was 1 and is 2; the data was .*; space of lr was"):
        tune_fer(faces().subset(range(60)), resume=True, **{**args, 'epochs': 2, 'space': dict(lr=[1e-3, 1e-2])})

@pytest.mark.parametrize('space,message', [
    (dict(lrs=[1e-3]), "unknown field to search 'lrs': did you mean 'lr'"),
    (dict(epochs=[1, 2]), "unknown field to search 'epochs'"),
    (dict(seed=[1, 2]), "unknown field to search 'seed'"),
    (dict(head=[(64,)]), 'fer48 has its own head'),
    (dict(opt=['adam', 'sdg']), "unknown opt 'sdg': did you mean 'sgd'"),
    (dict(bs=[16, 0]), 'bs=0: it must be a whole number'),
    (dict(arch=['fer48', 'fer84']), "unknown arch 'fer84': did you mean 'fer48'"),
    (dict(lr=1e-3), 'lr=0.001 is neither a list of values'),
    (dict(lr=[]), r'lr=\[\] is neither a list of values'),
    (dict(lr=tune.grid_search([1e-3])), 'is neither a list of values'),
    (dict(lr=[None, 1e-3]), 'no learning rate')])
def test_mistakes_are_told_before_anything_starts(space, message, tmp_path):
    with pytest.raises(FERError, match=message): tune_fer(faces(), space=space, out=tmp_path/'search', **settings)
    assert not ray.is_initialized() and not (tmp_path/'search').exists()

def test_ray_cannot_start(tmp_path, monkeypatch):
    monkeypatch.setenv('RAY_TMPDIR', str(tmp_path/('long'*25)))
    with pytest.raises(FERError, match='Ray does not start .*107 bytes.* set RAY_TMPDIR=/tmp'):
        tune_fer(faces(), space=dict(lr=[1e-3]), out=tmp_path/'search', **settings)
    assert not ray.is_initialized()

def test_all_trials_failed(tmp_path, one_core):
    with pytest.raises(FERError, match='all 2 trials failed, the first one with FERError: alexnet does not take images of 48 px'):
        tune_fer(faces(), space=dict(arch=['alexnet']), n_trials=2, out=tmp_path/'search', **settings)

def test_test_split_is_not_seen_and_relative_paths_hold(tmp_path, one_core, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(Path(fer_fastai.__file__).parent/'pretrained'/'fer48', 'mine')
    data = faces()
    rows = data.subset([i for i in range(len(data)) if data.df.split[i] != 'test'])
    recipe,_ = tune_fer(data, space=dict(lr=[1e-3]), n_trials=1, out='search', start='mine', **{**settings, 'epochs': 1})
    found = json.loads((tmp_path/'search'/'search.json').read_text())
    assert found['data']['fingerprint'] == rows.fingerprint and set(found['data']['counts']) == {'train', 'valid'}
    assert recipe.start == 'mine'

class Painter:
    "A colorizer that can neither be copied nor sent to another process"
    identity = 'Painter'
    def __init__(self): self.lock = threading.Lock()
    def __call__(self, img): return tone(img)

def test_in_colour_and_by_another_protocol(tmp_path, one_core, monkeypatch):
    monkeypatch.setenv('FER_FASTAI_CACHE', str(tmp_path/'cache'))
    data,painter = read_fer(faces(), protocol='public+private'),Painter()
    recipe,_ = tune_fer(data, space=dict(lr=[1e-3]), n_trials=1, out=tmp_path/'search', colorize=painter, **{**settings, 'epochs': 1})
    assert recipe.colorize is painter and recipe.protocol == 'public+private'
    assert json.loads((tmp_path/'search'/'search.json').read_text())['recipe']['colorize'] == 'Painter'

def test_import_is_light():
    subprocess.run([sys.executable, '-c', "import sys, fer_fastai.tune; assert 'ray' not in sys.modules"], check=True)
