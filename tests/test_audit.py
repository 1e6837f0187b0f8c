"What an audit finds, on FER2013 where the environment variable names it, and what it says about input that cannot be audited"
import os
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_fastai.audit import audit_fer, votes_for_label
from fer_fastai.core import EMOTIONS, FERError
from fer_fastai.data import FERData
from fer_fastai.read import read_fer

source = os.environ.get('FER2013')
real = pytest.mark.skipif(not source, reason='the environment variable FER2013 does not name the real data')

def faces(n=30, seed=0, **kwargs):
    "Noise, of which no two pictures are alike"
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 48, 48)).astype(np.uint8)
    df = pd.DataFrame(dict(emotion=[EMOTIONS[i % 3] for i in range(n)], split=['train', 'train', 'valid', 'test', 'train'][:5]*(n//5),
                           name=[f'row {i}' for i in range(n)]))
    return FERData(df, images, **kwargs)

@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        yield

@real
def test_figures_of_fer2013():
    data,start = read_fer(source),time.time()
    audit = audit_fer(data)
    assert time.time() - start < 60
    f,s = audit.findings,audit.summary()
    twice = f[f.kind == 'duplicates']
    assert (s.groups['duplicates'], s.images['duplicates']) == (1516, 3369)
    assert (twice.groupby('group').split.nunique() > 1).sum() == s.groups['leaks'] == 557
    assert s.groups['conflicts'] == 57
    assert (s.train['blank'], s.valid['blank'], s.test['blank']) == (12, 1, 0)
    clean = read_fer(data, drop=audit.leaks)
    assert len(clean.idxs('test')) == 3589 and not clean.in_train('valid').any() and not clean.in_train('test').any()

def test_nothing_to_find():
    audit = audit_fer(faces())
    assert len(audit.findings) == 0 and audit.summary().images.sum() == 0
    assert 'kind' in audit.findings and not audit.leaks | audit.blank

def test_copies_in_three_splits_keep_the_test_image():
    data = faces()
    data.images[2] = data.images[3] = data.images[0]
    audit = audit_fer(data)
    assert audit.leaks == {'row 0', 'row 2'} and audit.duplicates == {'row 0', 'row 2', 'row 3'}
    assert audit.summary().groups['duplicates'] == 1
    assert not audit.near

@pytest.mark.parametrize('change', [lambda a: a//2, lambda a: a[:, ::-1], lambda a: 255 - a//3*2, lambda a: np.full_like(a, 7)])
def test_what_is_near(change):
    "Darker and mirrored pictures are near; negatives and blank ones are not"
    yy,xx = np.mgrid[:48, :48]
    data = faces()
    data.images[0] = (2*yy + 3*xx + 40*(yy > 20)*(xx > 30))//1.2
    data.images[1] = change(data.images[0])
    assert bool(audit_fer(data).near) == (change(np.array([[0, 9]], np.uint8)).tolist() in ([[0, 4]], [[9, 0]]))

def test_near_copies_of_copies_do_not_depend_on_the_order():
    "An image in test that is nearly one which occurs twice in train"
    yy,xx = np.mgrid[:48, :48]
    for rows in ((0, 1, 3), (1, 4, 3), (3, 0, 1)):
        data = faces()
        for k,i in enumerate(rows): data.images[i] = (2*yy + 3*xx)//(2 if i == 3 else 1)
        audit = audit_fer(data)
        assert audit.near == {f'row {i}' for i in rows} and audit.near_leaks == {f'row {i}' for i in rows if i != 3}

def test_files_of_any_size(tmp_path):
    rng = np.random.default_rng(0)
    pics = {'train/happy/a.png': (90, 70), 'train/happy/b.png': (200, 300), 'train/sad/c.png': (64, 64), 'train/sad/d.png': (50, 80)}
    for i,(k,size) in enumerate(pics.items()):
        (tmp_path/k).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(tmp_path/k)
    (tmp_path/'train/sad/e.png').write_bytes((tmp_path/'train/happy/a.png').read_bytes())
    Image.new('RGB', (90, 90), 'red').save(tmp_path/'train/sad/f.png')
    audit = audit_fer(tmp_path)
    assert audit.conflicts == {'train/happy/a.png', 'train/sad/e.png'} and audit.blank == {'train/sad/f.png'}
    assert audit.stats['size'].min() == 50
    text = audit.page().write(tmp_path/'audit.html').read_text()
    assert text.count('<img') >= 3 and 'src="http' not in text

def test_votes():
    votes = np.zeros((30, 10), int)
    votes[:, 0] = 10 # all say neutral
    votes[1] = [0, 0, 0, 0, 0, 9, 0, 0, 1, 0] # disgust, which is right
    votes[2] = 0 # nobody said anything
    data = faces(votes=votes)
    audit = audit_fer(data)
    assert audit.votes == {f'row {i}' for i in range(30)} - {'row 1', 'row 2'}
    assert votes_for_label(data)[:2].tolist() == [0, 9]
    assert audit.findings.note.iloc[0] == 'people say 10 neutral'
    own = FERData(data.df.assign(emotion=['bored', 'awake']*15), data.images, votes=votes)
    assert votes_for_label(own).max() == 0

def test_labels():
    pytest.importorskip('cleanlab')
    data = faces(vocab=EMOTIONS) # four classes are absent
    probs = np.full((30, 7), .01)
    probs[np.arange(30), data.labels] = .94
    probs[4] = np.roll(probs[4], 1)
    audit = audit_fer(data, probs=probs)
    assert audit.labels == {'row 4'} and audit.findings.note.iloc[-1] == 'the model says fear, 94%'
    assert audit_fer(data, probs=np.full((30, 7), 1/7)).labels is not None # constant predictions

@pytest.mark.parametrize('probs, msg', [
    (np.full((29, 7), 1/7), '29 predictions and 30 images'), (np.full((30, 6), 1/6), '6 columns and there are 7 classes'),
    (np.full((30, 7), np.nan), 'NaN'), (np.full((30, 7), 2.), 'softmax'), ('model', 'give numbers of shape'), (np.ones(30), 'shape (30,)')])
def test_predictions_that_cannot_be(probs, msg):
    with pytest.raises(FERError) as e: audit_fer(faces(vocab=EMOTIONS), probs=probs)
    assert msg in str(e.value)

def test_other_mistakes():
    data = faces()
    with pytest.raises(FERError, match='near=0'): audit_fer(data, near=0)
    with pytest.raises(FERError, match='no images'): audit_fer(data.subset(np.arange(0)))
    with pytest.raises(FERError, match='detector='): audit_fer(data).faceless
    with pytest.raises(FERError, match='none of its 1 names'): read_fer(data, drop={'row 99'})
    with pytest.raises(FERError, match='the test split would be empty'): read_fer(data, drop=data.df.name[data.df.split == 'test'])
    assert len(read_fer(data, drop='row 1')) == 29

def test_without_cleanlab(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cleanlab.filter', None)
    with pytest.raises(FERError, match=r'pip install fer_fastai\[audit\]'): audit_fer(faces(vocab=EMOTIONS), probs=np.full((30, 7), 1/7))
