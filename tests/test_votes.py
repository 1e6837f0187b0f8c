"Training on the votes of ten people: what the network is compared with, a run that resumes, and mistakes"
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from fastai.vision.all import Callback

from fer_fastai.bundle import Bundle
from fer_fastai.core import FERError
from fer_fastai.data import FERData
from fer_fastai.read import FERPLUS, read_fer
from fer_fastai.recipes import find_recipe
from fer_fastai.train import recipe_learner, train_fer
from fer_fastai.callbacks import VoteTargets, vote_targets

def with_votes(data, others=3):
    "Seven of ten say what the label says, the others the next of FER+'s emotions"
    at = np.array([FERPLUS.index(o) for o in data.vocab])[data.labels]
    votes = np.zeros((len(data), 10), int)
    votes[np.arange(len(data)), at] = 10 - others
    votes[np.arange(len(data)), (at + 1) % 8] += others
    return data.replace(votes=votes)

faces = with_votes(read_fer('sample').sample(0.06))
short = dict(epochs=2, lr=1e-3, bs=16, lr_find=False, augment={'flip': {}})

class Note(Callback):
    "What the network answered, what it was compared with, and the loss, in training"
    order = 60
    def __init__(self): self.seen = []
    def after_loss(self):
        if self.training: self.seen.append((self.pred.detach().float(), torch.from_numpy(self.dls.train.rows), float(self.loss)))

@pytest.mark.parametrize('fields', [dict(label_smoothing=0.2), dict(logit_adjust=0.7, label_smoothing=0.), dict(vote_weight=0.4)])
def test_the_loss_is_that_of_the_targets(fields, tmp_path):
    note,weight = Note(),fields.get('vote_weight', 1)
    learn = recipe_learner(faces, find_recipe('fer48', targets='distribution', bs=16, augment=None, **fields), tmp_path, note)
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-4)
    targets = torch.from_numpy(vote_targets(faces, weight=weight))
    shift = torch.zeros(len(faces.vocab))
    if 'logit_adjust' in fields: shift = 0.7*(targets[faces.idxs('train')].mean(0)).log()
    smooth = fields.get('label_smoothing', 0.1)
    assert len(note.seen) > 3
    for pred,rows,loss in note.seen:
        aim = targets[rows]*(1-smooth) + smooth/len(faces.vocab)
        assert loss == pytest.approx(-(aim*(pred + shift).log_softmax(1)).sum(1).mean().item(), rel=2e-2)

def test_one_of_several_right_answers():
    learn = recipe_learner(faces, find_recipe('fer48', targets='multi_target', label_smoothing=0, bs=16, augment=None), cbs=(note := Note()))
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-4)
    targets = vote_targets(faces, 'multi_target')
    assert set(targets.sum(1)) <= {1, 2} and 2 in targets.sum(1) # contempt is no class here
    for pred,rows,loss in note.seen:
        best = np.where(targets[rows] == 1, pred.softmax(1), 0).max(1)
        assert loss == pytest.approx(-np.log(best).mean(), rel=2e-2)

def test_a_run_with_votes(tmp_path):
    "It scores labels as ever, keeps no votes in its files, and resumes to the same weights"
    fields = dict(targets='distribution', logit_adjust=0.5, mixup=0.2, **short)
    learn = train_fer(faces, out=tmp_path/'whole', **fields)
    assert not any(isinstance(o, VoteTargets) for o in learn.cbs)
    assert pd.read_csv(tmp_path/'whole'/'history.csv').train_accuracy.between(0, 1).all()
    recipe = Bundle(tmp_path/'whole').config['recipe']
    assert (recipe['targets'], recipe['logit_adjust']) == ('distribution', 0.5)
    class Stop(Callback):
        def before_epoch(self):
            if self.epoch == 1: raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): train_fer(faces, out=tmp_path/'parts', cbs=Stop(), **fields)
    again = train_fer(faces, out=tmp_path/'parts', resume=True, **fields)
    for a,b in zip(learn.model.parameters(), again.model.parameters()): assert torch.equal(a, b)

@pytest.mark.parametrize('data, fields, message', [
    (read_fer('sample').sample(0.06), dict(targets='distribution'), "has no votes: give the file of FER.*votes='fer2013new.csv'"),
    (faces, dict(targets='distributoin'), "did you mean 'distribution'"),
    (faces, dict(targets='multi_target'), 'leave out label_smoothing'),
    (faces, dict(vote_weight=0.5), "add targets='distribution'"),
    (faces, dict(logit_adjust=-1), 'logit_adjust'),
    (faces, dict(logit_adjust=.5, class_weights='frequency'), 'logit_adjust and class_weights make up for rare classes'),
    (faces, dict(weighted_sampler=True, class_weights='frequency'), 'weighted_sampler and class_weights make up for rare classes'),
    (faces, dict(logit_adjust=[1]), 'logit_adjust=.*: it must be a number'),
    (faces, dict(targets='distribution', vote_weight=[0.5]), 'vote_weight=.*: it must be a number'),
    (faces, dict(seed=[1]), 'seed=.*: it must be a whole number'),
    (faces.replace(df=faces.df.assign(emotion=np.where(faces.df.emotion == 'happy', 'bored', 'awake')), vocab=None, votes=faces.votes),
     dict(targets='distribution'), 'the classes are awake, bored')])
def test_mistakes(data, fields, message, tmp_path):
    with pytest.raises(FERError, match=message): train_fer(data, out=tmp_path/'run', **short, **fields)
    assert not (tmp_path/'run'/'run.json').exists()

def test_images_that_are_files(tmp_path):
    faces.to_folder(tmp_path/'faces')
    paths = sorted((tmp_path/'faces').rglob('*.png'))[:len(faces)]
    files = FERData(faces.df.iloc[:len(paths)], paths=paths, vocab=faces.vocab, votes=faces.votes[:len(paths)])
    with pytest.raises(FERError, match='targets needs.* the images are files'):
        train_fer(files, out=tmp_path/'run', targets='distribution', size=48, **short)
    assert not (tmp_path/'run'/'run.json').exists()
