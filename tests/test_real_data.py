"FER2013 itself, where the environment variable FER2013 names it in any form that `read_fer` takes"
import os
from pathlib import Path

import pandas as pd
import pytest

from fer_fastai.core import EMOTIONS, FERError
from fer_fastai.read import majority, read_fer
from fer_fastai.predict import FER
from fer_fastai.train import train_fer

source,folder = os.environ.get('FER2013'),Path(os.environ.get('FERPLUS', ''))
with_votes = pytest.mark.skipif('FERPLUS' not in os.environ, reason='the environment variable FERPLUS does not name a folder with fer2013.csv and fer2013new.csv')
pytestmark = pytest.mark.skipif(not source, reason='the environment variable FER2013 does not name the real data')

def test_counts():
    "As published, for each split and emotion"
    assert read_fer(source).counts().to_numpy().tolist() == [[3995, 436, 4097, 7215, 4830, 3171, 4965, 28709],
                                                            [467, 56, 496, 895, 653, 415, 607, 3589], [491, 55, 528, 879, 594, 416, 626, 3589]]

def test_public_and_private_together():
    assert read_fer(source, protocol='public+private').counts().total.to_dict() == dict(train=28709, valid=7178)

@pytest.mark.parametrize('form', ['to_csv', 'to_folder'])
def test_written_and_read_again(form, tmp_path):
    data = read_fer(source).sample(0.05)
    again = read_fer(getattr(data, form)(tmp_path/('fer.csv' if form == 'to_csv' else 'fer')))
    if form == 'to_csv': assert again.fingerprint == data.fingerprint
    assert again.counts().equals(data.counts())
    assert sorted(o.tobytes() for o in again.images) == sorted(o.tobytes() for o in data.images)

@with_votes
def test_votes():
    "The majority by FER+'s rules, and the folder of Kaggle, which has another order, is refused"
    data = read_fer(folder/'fer2013.csv', votes=folder/'fer2013new.csv')
    assert data.counts().total.to_dict() == dict(train=25059, valid=3199, test=3152) and len(data.problems) == 35887 - 31410
    both = read_fer(folder/'fer2013.csv', votes=folder/'fer2013new.csv', labels=EMOTIONS)
    assert len(both) == 35887 and round((majority(both.votes) == both.df.emotion).mean(), 2) == .59
    with pytest.raises(FERError, match='do not belong to these images'): read_fer(source, votes=folder/'fer2013new.csv')

def test_it_learns(tmp_path):
    "A few epochs on a fifth of three emotions are better than calling every face happy, which is right for 46 %"
    data = read_fer(source, emotions=['happy', 'sad', 'surprise']).sample(0.2)
    train_fer(data, 'fer48', epochs=4, augment={'flip': {}}, lr_find=False, out=tmp_path/'run')
    assert pd.read_csv(tmp_path/'run'/'history.csv').accuracy.max() > 0.6

def scored(fer, data, split='valid'):
    "Accuracy, as the card says it and as it is here, on the split and on its faces that are not in train"
    rows,card = data.idxs(split),fer.config['metrics'][split]
    right,unseen = fer.probs(data.images[rows]).argmax(1) == data.labels[rows],~data.in_train(split)
    assert (card['n'], card['tta'], fer.labels) == (len(rows), False, list(data.vocab))
    return (card['accuracy'], right.mean()),(card['unseen']['accuracy'], right[unseen].mean())

def test_fer48():
    "Its accuracy on PublicTest is that of its card; another processor may round a few images differently"
    for card,here in scored(FER('fer48'), read_fer(source)): assert abs(card - here) < 0.005

@with_votes
def test_ferplus48():
    "The same for the model of the votes, which beats FER2013's own labels at saying what people see"
    data = read_fer(folder/'fer2013.csv', votes=folder/'fer2013new.csv', emotions=EMOTIONS)
    for card,here in scored(FER(), data): assert abs(card - here) < 0.005 and here > 0.8
