"The page of a run, and interpretations of predictions that are odd or cannot be"
import re
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from fer_fastai.core import EMOTIONS, EMOTIONS8, FERError
from fer_fastai.data import FERData
from fer_fastai.interpret import FERInterpretation, compare, report_page
from fer_fastai.predictions import save_predictions

@pytest.fixture(autouse=True)
def no_warnings():
    "A numpy warning is a failure"
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        yield
    plt.close('all')

def faces(n=70, vocab=EMOTIONS, classes=None, **kwargs):
    rng = np.random.default_rng(0)
    df = pd.DataFrame(dict(emotion=[vocab[i % (classes or len(vocab))] for i in range(n)], split=['train', 'test']*(n//2),
                           name=[f'row {i}' for i in range(n)]))
    return FERData(df, rng.integers(0, 256, (n, 48, 48)).astype(np.uint8), vocab=vocab, **kwargs)

def probs(data, seed=0):
    n = len(data.idxs('test'))
    p = np.random.default_rng(seed).dirichlet(np.ones(len(data.vocab)), n)
    p[np.arange(n), data.labels[data.idxs('test')]] += .5
    return p/p.sum(1, keepdims=True)

def everything(interp):
    "All tables, plots and pictures that need no network"
    for o in (interp.table(), interp.mistakes(), interp.by_seen(), interp.coverage(), interp.by_look()): assert isinstance(o, pd.DataFrame)
    for o in (interp.plot_confusion_matrix, interp.plot_calibration, interp.plot_coverage, interp.plot_by_look, interp.plot_top_losses): o()
    compare(interp, interp)
    return report_page({'test': interp.report()}, dict(test=interp))._repr_html_()

@pytest.mark.parametrize('vocab', [EMOTIONS[:3], EMOTIONS, EMOTIONS8])
def test_ordinary(vocab):
    data = faces(len(vocab)*10, vocab)
    assert 'nan' not in everything(FERInterpretation.from_data(data, probs(data)))

def odd(kind):
    "Predictions that are odd and possible"
    if kind == 'a class is absent': data = faces(classes=5)
    elif kind == 'one class only': data = faces(classes=1)
    elif kind == 'one image': data = faces(2)
    else: data = faces()
    p = probs(data)
    if kind == 'constant': p = np.tile(np.eye(7)[3], (len(p), 1))
    if kind == 'uniform': p = np.full_like(p, 1/7)
    if kind == 'all right': p = np.eye(7)[data.labels[data.idxs('test')]]
    if kind == 'all wrong': p = np.eye(7)[(data.labels[data.idxs('test')] + 1) % 7]
    if kind == 'blank images': data.images[:] = 0
    return data, p

@pytest.mark.parametrize('kind', ['a class is absent', 'one class only', 'one image', 'constant', 'uniform', 'all right', 'all wrong', 'blank images'])
def test_odd(kind):
    data,p = odd(kind)
    interp = FERInterpretation.from_data(data, p)
    text = everything(interp)
    assert not re.search(r'\b(nan|inf)\b', re.sub(r'data:image[^"]*|<svg.*?</svg>', '', text, flags=re.S))
    r = interp.report()
    assert 0 <= r['accuracy_low'] <= r['accuracy'] <= r['accuracy_high'] <= 1 and 0 <= r['brier'] <= 2 and 0 <= r['ece'] <= 1

def test_what_cannot_be(tmp_path):
    data = faces()
    p = probs(data)
    for bad,msg in ((p[:-1], 'predictions and 35 images'), (p[:, :6], '6 columns and there are 7 classes'), (p*np.nan, 'NaN'), (p*9, 'softmax')):
        with pytest.raises(FERError) as e: FERInterpretation.from_data(data, bad)
        assert msg in str(e.value) and len(str(e.value)) <= 300
    with pytest.raises(FERError, match='the valid split is empty'): FERInterpretation.from_data(data, p, split='valid')
    with pytest.raises(FERError, match="did you mean 'test'"): FERInterpretation.from_data(data, p, split='tset')
    file = save_predictions(tmp_path/'p.npz', p, data, data.idxs('test'))
    assert np.allclose(FERInterpretation.from_data(data, file).probs, p)
    eight = faces(80, EMOTIONS8)
    with pytest.raises(FERError, match='the file knows'): FERInterpretation.from_data(eight, file)
    with pytest.raises(FERError, match='ferplus48 knows'): FERInterpretation.from_data(eight)
    with pytest.raises(FERError, match='not the same faces'):
        compare(FERInterpretation.from_data(data, p), FERInterpretation.from_data(eight, probs(eight)))

def test_a_file_of_predictions_in_another_order(tmp_path):
    data = faces()
    file = save_predictions(tmp_path/'p.npz', probs(data), data, data.idxs('test'))
    turned = FERData(data.df[::-1], data.images[::-1], vocab=data.vocab[::-1])
    a,b = FERInterpretation.from_data(data, file),FERInterpretation.from_data(turned, file)
    assert a.report()['correct'] == b.report()['correct'] and a.mistakes().name.tolist() == b.mistakes().name.tolist()

def test_seen_and_votes():
    votes = np.zeros((70, 10), int)
    votes[:, 1] = 10 # happy
    data = faces(votes=votes)
    data.images[1] = data.images[0]
    interp = FERInterpretation.from_data(data, np.eye(7)[(data.labels[data.idxs('test')] + 1) % 7])
    m = interp.mistakes().set_index('name')
    assert m.seen.sum() == 1 and m.seen['row 1']
    assert set(m.votes_for_label[m.label == 'happy']) == {10} and set(m.votes_for_label[m.label != 'happy']) == {0}
    assert interp.by_seen().n.to_dict() == {'all': 35, 'not seen': 34, 'seen': 1}

def test_mcnemar():
    "10 against 2 of 12 that differ: p = 2*(66 + 12 + 1)/4096"
    targs = np.zeros(30, int)
    right,wrong = np.eye(2)[0],np.eye(2)[1]
    a = FERInterpretation(np.array([right]*20 + [wrong]*10), targs, ['a', 'b'])
    b = FERInterpretation(np.array([right]*10 + [wrong]*10 + [right]*2 + [wrong]*8), targs, ['a', 'b'])
    c = compare(a, b)
    assert (c.both, c.only_a, c.only_b, c.neither, len(c.differ)) == (10, 10, 2, 8, 12)
    assert abs(c.p_value - 2*79/4096) < 1e-9

@pytest.mark.parametrize('suffix', ['png', 'svg'])
def test_plots_are_files(tmp_path, suffix):
    data = faces()
    fig = FERInterpretation.from_data(data, probs(data)).plot_calibration().figure
    fig.savefig(tmp_path/f'plot.{suffix}')
    assert (tmp_path/f'plot.{suffix}').stat().st_size > 5000
