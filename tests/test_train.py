"`train_fer`: each recipe trains, a run's files can be used, and a user's mistake ends in a message before anything is written"
import json, re, shutil, subprocess, sys, threading
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2
from fastai.vision.all import Callback, CSVLogger, F1Score, FocalLossFlat, TerminateOnNaNCallback, accuracy, load_learner

from fer_fastai.augment import augmentations
from fer_fastai.colorize import tone
from fer_fastai.bundle import Bundle
from fer_fastai.core import EMOTIONS, EMOTIONS8, FERError
from fer_fastai.images import Preprocess
from fer_fastai.data import FERData
from fer_fastai.read import FERPLUS, read_fer
from fer_fastai.export import load_fer_learner, prune_fer, save_bundle
from fer_fastai.interpret import FERInterpretation, with_temperature
from fer_fastai.loaders import fer_dls
from fer_fastai.models import fer48, fer_learner, fer_model
from fer_fastai.recipes import find_recipe, optimizers, recipes
from fer_fastai.sample import draw_face
from fer_fastai.train import Run, fit_stage, recipe_learner, train_fer

few = read_fer('sample').sample(0.06)
few = few.replace(votes=9*(few.labels[:, None] == [EMOTIONS.index(o) if o in EMOTIONS else -1 for o in [*FERPLUS, '', '']])) # of ten people

smaller = dict(vgg16_bn_color=dict(colorize='tone'), affectnet=dict(arch='efficientnet_b0'), cnn6=dict(size=48)) # what needs no key, and no gigabytes

@pytest.mark.parametrize('name', recipes)
def test_recipe(name, tmp_path):
    "Every recipe trains to the end, with its own schedule and stages, but small and without downloads"
    r,stages = recipes[name],np.atleast_1d(recipes[name].epochs)
    kwargs = dict(pretrained=False, size=64, bs=16, epochs=tuple([1]*len(stages)), lr=r.lr or 1e-3) | smaller.get(name, {})
    train_fer(few, name, tmp_path/'run', lr_find=False, **kwargs)
    history = pd.read_csv(tmp_path/'run'/'history.csv')
    assert len(history) == len(stages)*(2 if r.schedule == 'fine_tune' else 1)
    assert json.loads((tmp_path/'run'/'run.json').read_text())['lr'] == [lr for _,lr in find_recipe(r, **kwargs).stages()]
    made = {o.name for o in (tmp_path/'run').iterdir()}
    assert {'tensorboard', 'model.pt', 'FER.mlpackage'} & made == ({'tensorboard', 'model.pt', 'FER.mlpackage'} if name == 'affectnet' else set())

# what the recipes of the systems must have: what their authors did, and what we chose where they do not say (or run a size of our own, as in `resnet34`): channels, size, statistics, batch, optimizer, epochs and rates of the stages, weights in the body, and the linear layers of the head
at48 = dict(size=None, stats='imagenet', opt='fastai_adam', schedule='fine_tune', bs=64, augment=None)
crops = dict(at48, stats='data', schedule='constant', augment=dict(resized_crop={}, flip={}))
facts = dict(
    vgg16_bn=(dict(at48, size=160, augment=dict(aug_transforms=dict(mode='bicubic'))), [(30, 1.2e-3), (30, 1.2e-3), (10, 3e-4)], 14_723_136, [1024, 512, 7]),
    resnet34=(dict(at48, size=160, augment=dict(aug_transforms=dict(mode='bicubic'))), [(8, 4e-3)], 21_284_672, [1024, 512, 7]),
    resnet34_48=(at48, [(8, 4e-3)], 21_284_672, [1024, 512, 7]),
    vgg16_bn_sgd=(dict(at48, opt='fastai_sgd'), [(8, 1.5e-2)], 14_723_136, [1024, 512, 7]),
    vgg19_bn=(at48, [(8, 2.5e-3), (20, 2.5e-3), (20, 2.5e-6), (20, 1.5e-3)], 20_035_392, [1024, 512, 7]),
    vgg16_bn_color=(dict(at48, size=224, colorize='deepai', mode='RGB'), [(20, 2e-3)], 14_723_136, [1024, 512, 7]),
    resnet50_head=(dict(crops, opt='sgd'), [(35, 6.9e-3)], 23_508_032, [2048, 32, 32, 7]),
    cnn6=(dict(crops, opt='adam', pretrained=False), [(20, 1e-3)], 776_487 - 443_399, [800, 512, 64, 7]),
    efficientnet_b0_3=(dict(at48, size=160, stats='none', opt='adam', schedule='plateau', bs=32,
                            augment=dict(invert=dict(p=0.2), color_jitter=dict(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.5)),
                            emotions=('happy', 'neutral', 'sad'), pool='avg', freeze=False,
                            schedule_args=dict(monitor='accuracy', factor=2, patience=4)), [(50, 5e-4)], 4_007_548, [1280, 512, 3]),
    resnet18=(dict(at48, opt='adam', schedule='one_cycle'), [(5, 1e-3)], 11_176_512, [512, 7]),
    affectnet=(dict(at48, size=48, opt='adamw', schedule='plateau', bs=32, mode='L',
                    augment=dict(resized_crop={}, flip={}, affine=dict(degrees=10, translate=[0.1, 0.1], interpolation=2),
                                 color_jitter=dict(brightness=0.2, contrast=0.2, saturation=0.2)),
                    weights='IMAGENET1K_V1', labels='EMOTIONS8', class_weights='frequency', wd=1e-5, wd_bn_bias=True, grad_clip=1., freeze=False,
                    prune=0.2, tensorboard=True, exports=('torchscript', 'coreml'), schedule_args=dict(monitor='valid_loss', factor=10, patience=6)),
               [(100, 1e-4)], 58_143_808, [2048, 8]))
hypers = dict(fastai_adam=dict(mom=0.9, sqr_mom=0.99, eps=1e-5, wd=0.01), fastai_sgd=dict(mom=0., wd=0.), sgd=dict(mom=0.9, wd=0.),
              adam=dict(mom=0.9, sqr_mom=0.999, eps=1e-8, wd=0.), adamw=dict(mom=0.9, sqr_mom=0.999, eps=1e-8, wd=1e-5))

@pytest.mark.parametrize('name', [o for o in recipes if o not in ('fer48', 'fer48_large', 'ferplus48', 'transfer')])
def test_recipe_is_that_of_its_source(name):
    "Fields, input, network, loss and optimizer"
    own,stages,n_body,head = facts[name]
    r = recipes[name]
    defaults = {o.name: o.default for o in fields(r)[2:] if o.name not in ('arch', 'head', 'epochs', 'lr')} # the others are below
    assert {k: getattr(r, k) for k in defaults} == defaults | dict(pretrained=True, channels=3) | own
    assert r.stages() == stages
    faces = read_fer('sample', emotions=list(r.emotions or (EMOTIONS8 if name == 'affectnet' else EMOTIONS))).sample(0.06)
    learn = recipe_learner(faces, find_recipe(r, pretrained=False, bs=4, size=r.size and 48))
    body,top = learn.model
    linear = [m for m in top.modules() if isinstance(m, torch.nn.Linear)]
    assert sum(p.numel() for p in body.parameters()) == n_body
    assert type(top[0]).__name__ == {1024: 'AdaptiveConcatPool2d', 800: 'Flatten'}.get(head[0], 'AdaptiveAvgPool2d')
    assert [linear[0].in_features, *[m.out_features for m in linear]] == head
    if head[0] not in (1024, 800): assert [type(o).__name__ for o in top[1:]] == ['Flatten', *['Linear', 'ReLU']*(len(head) - 2), 'Linear']
    assert all(p.requires_grad for p in learn.model.parameters())
    pixels = faces.images[faces.idxs('train')]/255
    stats = dict(imagenet=([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), none=([0]*3, [1]*3), data=([pixels.mean()]*3, [pixels.std()]*3))
    assert np.allclose((learn.pre.mean, learn.pre.std), stats[r.stats], atol=1e-6)
    weights = learn.loss_func.func.weight
    if name == 'affectnet': # the author has 1/count, and torch's mean over a batch divides by the sum of its weights
        counts = np.bincount(faces.labels[faces.idxs('train')])
        assert np.ptp(weights.numpy()*counts) < 1e-4 and learn.wd_bn_bias
    else: assert weights is None and not learn.wd_bn_bias
    learn.create_opt()
    if learn.wd is not None: learn.opt.set_hypers(wd=learn.wd) # as `fit` does
    assert {k: o for k,o in learn.opt.hypers[0].items() if k in hypers[r.opt]} == hypers[r.opt]
    assert learn.opt_func is optimizers[r.opt]

def test_crops_are_those_of_torchvision():
    ours,theirs = augmentations['resized_crop'](),v2.RandomResizedCrop(48)
    assert (ours.scale, ours.ratio, augmentations['flip']().p) == (theirs.scale, theirs.ratio, v2.RandomHorizontalFlip().p)

def test_cnn6_is_its_authors():
    nn,relu = torch.nn,torch.nn.ReLU(True)
    conv,pool,drop = nn.Conv2d,nn.MaxPool2d(2),nn.Dropout(0.5)
    p = dict(kernel_size=3, padding=1)
    body = nn.Sequential(conv(3, 32, 3), relu, conv(32, 64, **p), relu, pool, conv(64, 128, **p), relu, conv(128, 128, **p), relu, pool,
                         conv(128, 64, **p), relu, conv(64, 32, **p), relu, pool)
    top = nn.Sequential(nn.Flatten(), nn.Linear(800, 512), relu, drop, nn.Linear(512, 64), relu, drop, nn.Linear(64, 7))
    net = fer_model('cnn6', 7, head=(512, 64))
    assert repr(net) == repr(nn.Sequential(body, top)) and sum(o.numel() for o in net.parameters()) == 776_487

def test_what_is_frozen_with_weights_from_elsewhere(tmp_path):
    "fastai freezes the body for the first epoch of `fine_tune`; the other schedules train all from the start"
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path/'resnet18.pth')
    def frozen(**kwargs):
        learn = recipe_learner(few, find_recipe('resnet18', weights=tmp_path/'resnet18.pth', bs=8, **kwargs))
        convs = [m for m in learn.model[0].modules() if isinstance(m, torch.nn.Conv2d)]
        return [not m.weight.requires_grad for m in convs]
    for o in 'one_cycle', 'constant', 'plateau': assert not any(frozen(schedule=o))
    assert all(frozen(schedule='fine_tune')) and all(frozen(freeze=True))

class Norms(Callback):
    "Note the norm of the gradients before each step"
    order = 1000
    def __init__(self): self.norms = []
    def before_step(self): self.norms.append(torch.norm(torch.stack([p.grad.norm() for p in self.model.parameters()])).item())

def test_gradients_are_clipped(tmp_path):
    free,clipped = Norms(),Norms()
    for cb,clip in ((free, None), (clipped, 0.01)): train_fer(few, out=tmp_path/str(clip), cbs=cb, grad_clip=clip, **short)
    assert max(free.norms) > 0.1 and 0 < max(clipped.norms) < 0.0101

class Series(Callback):
    "Replace what was measured in an epoch, and note the rate of each"
    order = 55 # after the recorder, and before the callback that lowers the rate
    def __init__(self, what, series): self.what,self.series,self.rates = what,series,[]
    def before_epoch(self): self.rates.append(self.opt.hypers[-1]['lr'])
    def after_epoch(self): self.recorder.values[-1][list(self.recorder.metric_names[1:]).index(self.what)] = self.series[self.epoch]

@pytest.mark.parametrize('name,given', [('efficientnet_b0_3', dict(mode='max', factor=0.5, patience=3)), ('affectnet', dict(factor=0.1, patience=5))])
def test_plateau_is_that_of_pytorch(name, given):
    "The same rates as by PyTorch's `ReduceLROnPlateau` with the author's arguments, for the same scores"
    r = recipes[name]
    sign = 1 if given.get('mode') else -1
    values = [0.5 + sign*o for o in [.1, .2, .1, .2, .3, *[.25]*7, .31, *[.3]*3, .32, *[.2]*14]]
    learn = recipe_learner(few, find_recipe('cnn6', bs=len(few)//2))
    cb = Series(r.schedule_args['monitor'], values)
    with learn.added_cbs(cb), learn.no_bar(), learn.no_logging(): fit_stage(learn, r, len(values), r.lr)
    p = torch.nn.Parameter(torch.zeros(1))
    opt = torch.optim.Adam([p], lr=r.lr)
    plateau,rates = torch.optim.lr_scheduler.ReduceLROnPlateau(opt, **given),[]
    for o in values:
        rates.append(opt.param_groups[0]['lr'])
        opt.step()
        plateau.step(o)
    assert np.allclose(cb.rates, rates) and len(set(rates)) > 2

def test_constant_rate():
    "That of `resnet50_head` and `cnn6`, and that of `affectnet` as its code ran"
    learn = recipe_learner(few, find_recipe('cnn6', bs=len(few)//2))
    for name in 'resnet50_head', 'cnn6', 'affectnet':
        cb = Series('valid_loss', [1., 2., 2., 2.])
        r = find_recipe(name, schedule='constant', schedule_args=None)
        with learn.added_cbs(cb), learn.no_bar(), learn.no_logging(): fit_stage(learn, r, 4, r.lr)
        assert cb.rates == [r.lr]*4

def test_faces_are_coloured_at_the_size_of_the_network(tmp_path):
    seen = []
    def paint(img):
        seen.append(img.size)
        return img.convert('RGB')
    paint.identity = 'gray'
    train_fer(few, 'vgg16_bn_color', tmp_path/'run', colorize=paint, arch='resnet18', pretrained=False, size=64, bs=16, epochs=1, lr_find=False)
    assert set(seen) == {(64, 64)} and find_recipe('vgg16_bn_color').net_size == 224

def test_max_pooling_reaches_every_average():
    net = fer_model('efficientnet_b0', 3, head=[512], pool='max')
    assert not any(isinstance(m, torch.nn.AdaptiveAvgPool2d) for m in net.modules())
    assert sum(isinstance(m, torch.nn.AdaptiveMaxPool2d) for m in net.modules()) == 17 # sixteen squeeze-excitation blocks and the head

def test_weights_of_the_sources(monkeypatch):
    "`pretrained=True` takes torchvision's newest, which are V2 for ResNet-50 and V1 for the others"
    newest = {o: torchvision.models.get_model_weights(o).DEFAULT.name for o in ('resnet50', 'resnet34', 'resnet18', 'vgg16_bn', 'vgg19_bn', 'efficientnet_b0')}
    assert newest == dict.fromkeys(newest, 'IMAGENET1K_V1') | dict(resnet50='IMAGENET1K_V2')
    assert recipes['resnet50_head'].weights is None and recipes['affectnet'].weights == 'IMAGENET1K_V1'
    asked = [] # in place of the download
    def fetch(self, *args, **kwargs):
        asked.append(self.name)
        return torchvision.models.resnet50().state_dict()
    monkeypatch.setattr(torchvision.models.WeightsEnum, 'get_state_dict', fetch)
    fer_model('resnet50', 7, head=(32, 32), pretrained=True)
    fer_model('resnet50', 7, head=(32, 32), weights='IMAGENET1K_V1')
    assert asked == ['IMAGENET1K_V2', 'IMAGENET1K_V1']

@pytest.mark.parametrize('arch', 'resnet101 densenet121 densenet161 densenet201'.split())
def test_other_networks_for_the_phone(arch):
    "The affectnet author's code has these, too: the same weights, and one new layer"
    assert 'IMAGENET1K_V1' in torchvision.models.get_model_weights(arch).__members__
    body,top = fer_model(arch, 8, head=())
    with torch.no_grad(): assert top(body.eval()(torch.zeros(1, 3, 48, 48))).shape == (1, 8)
    assert [type(o).__name__ for o in top] == ['AdaptiveAvgPool2d', 'Flatten', 'Linear']

def test_files_of_a_run(tmp_path):
    "fastai's pickle, the bundle as a Learner and its ONNX network all say what the report says, and a finished run can be resumed"
    out = tmp_path/'run'
    train_fer(few, 'fer48', out, epochs=2)
    report = json.loads((out/'report.json').read_text())['test']
    rows = few.idxs('test')
    config = json.loads((out/'model'/'config.json').read_text())
    onnx = onnxruntime.InferenceSession(out/'model'/'model.onnx')
    probs, = onnx.run(['probs'], {'image': Preprocess(**config['preprocess']).batch([few.image(i) for i in rows])})
    assert (probs.argmax(1) == few.labels[rows]).sum() == report['correct']
    for learn in load_learner(out/'learner.pkl'), load_fer_learner(out/'model'):
        said = np.stack([learn.predict(few.image(i))[2] for i in rows[:4]])
        assert np.allclose(with_temperature(said, config['temperature']), probs[:4], atol=1e-3) # the bundle is calibrated, the Learner is not
    again = train_fer(few, 'fer48', out, epochs=2, resume=True)
    assert json.loads((out/'report.json').read_text())['test'] == report
    assert len(pd.read_csv(out/'history.csv')) == 2 and again.dls.vocab == config['labels']

short = dict(recipe='fer48', epochs=1, lr=1e-3, bs=16, lr_find=False)

def test_scores_of_another_protocol_say_so(tmp_path, capsys):
    "Also where the recipe leaves it to the data"
    data = read_fer('sample', protocol='public+private').sample(0.06)
    train_fer(data, out=tmp_path/'run', **short)
    run,report = (json.loads((tmp_path/'run'/f'{o}.json').read_text()) for o in ('run', 'report'))
    assert run['recipe']['protocol'] == 'public+private'
    assert list(report) == ['valid'] and report['valid']['split'] == 'valid (public+private)'
    assert '| valid (public+private) |' in (tmp_path/'run'/'model'/'README.md').read_text()
    assert 'valid (public+private) ' in capsys.readouterr().out

class Painter:
    "Colours no face like another and one not at all, and cannot be copied"
    identity = 'Painter'
    def __init__(self): self.lock,self.n = threading.Lock(),0
    def __call__(self, img):
        with self.lock: self.n += 1
        if self.n == 2: raise OSError('no colour left')
        return tone(img).point(lambda o: min(255, o + self.n % 100))

def test_coloured_data_are_described_as_they_were_read(tmp_path, monkeypatch):
    "Duplicates are found though their colours differ, an image that stays gray is not left out, and one that is coloured later is no other data"
    monkeypatch.setenv('FER_FASTAI_CACHE', str(tmp_path/'cache'))
    images = np.array(few.images)
    images[few.idxs('test')[:3]] = images[few.idxs('train')[:3]]
    data = FERData(few.df, images, vocab=few.vocab)
    train_fer(data, out=tmp_path/'run', colorize=Painter(), **short)
    run,report = (json.loads((tmp_path/'run'/f'{o}.json').read_text()) for o in ('run', 'report'))
    assert run['recipe']['colorize'] == 'Painter' and run['data']['left_out'] == 0
    assert data.in_train('test').sum() >= 3
    assert report['test']['unseen']['n'] == (~data.in_train('test')).sum()
    train_fer(data, out=tmp_path/'run', colorize=Painter(), resume=True, **short)
    with pytest.raises(FERError, match="the colorizer was 'Painter' and is 'tone"):
        train_fer(data, out=tmp_path/'run', colorize=type('Painter', (), dict(identity='tone', __call__=lambda self, img: tone(img)))(), resume=True, **short)

def test_a_bundle_does_not_say_where_files_lie(tmp_path):
    first = tmp_path/'runs'/'first'/'model'
    shutil.copytree(Bundle('fer48').path, first)
    train_fer(few, out=tmp_path/'run', start=first, teachers=[first.parent], **short)
    config,card = ((tmp_path/'run'/'model'/o).read_text() for o in ('config.json', 'README.md'))
    assert json.loads(config)['recipe']['start'] == 'first/model' and json.loads(config)['recipe']['teachers'] == ['first']
    assert str(tmp_path) not in config + card
    assert json.loads((tmp_path/'run'/'run.json').read_text())['recipe']['start'] == str(first) # to run it again

def test_start_with_another_head(tmp_path):
    save_bundle(tmp_path/'model', fer_learner(fer_dls(few, bs=16), 'cnn6', head=[64]))
    with pytest.raises(FERError, match=r'does not fit; head is \[64\] there and \[512, 64\] here$'):
        recipe_learner(few, find_recipe('cnn6', start=tmp_path/'model', bs=16, channels=1))

def few_faces(n):
    "`n` training faces of two emotions, and as many to validate"
    data = read_fer('sample', emotions=['happy', 'sad'])
    rows = [data.idxs(o)[::len(data.idxs(o))//n][:n] for o in ('train', 'valid')]
    return data.subset(np.concatenate(rows))

@pytest.mark.parametrize('recipe', ['fer48', 'resnet18'])
def test_ten_training_faces(recipe, tmp_path):
    "The batch that the recipe has fits, without being told"
    train_fer(few_faces(10), recipe, tmp_path/'run', epochs=1, lr=1e-3, pretrained=False, lr_find=False)
    run = Run(tmp_path/'run')
    assert run.finished and len(run.history) == 1 and np.isfinite(run.history.train_loss).all()
    assert run.recipe.bs == (None if recipe == 'fer48' else 10)

def test_batches_that_cannot_be(tmp_path):
    for bs,message in {11: 'bs=11: a batch must hold 1 to 10 images', 1: 'bs=1: fer48 has batch norms'}.items():
        with pytest.raises(FERError, match=message): train_fer(few_faces(10), 'fer48', tmp_path/'run', bs=bs)
        assert not (tmp_path/'run').exists()
    with pytest.raises(FERError, match='resnet18 has batch norms.* bs=2 or more'):
        train_fer(few_faces(10), 'resnet18', tmp_path/'run', bs=1, pretrained=False)
    train_fer(few_faces(10), out=tmp_path/'run', **{**short, 'bs': 2}) # what the message says
    train_fer(few_faces(10), out=tmp_path/'cnn6', **{**short, 'recipe': 'cnn6', 'bs': 1}) # it has no batch norms

mistakes = dict(
    recipe=(dict(recipe='resnt34'), "unknown recipe 'resnt34': did you mean 'resnet34'?"),
    arch=(dict(arch='resnt18'), "unknown arch 'resnt18': did you mean 'resnet18'?"),
    whole_arch=(dict(arch='vit_b_16'), "take that of timm, arch='vit_base_patch16_224'"),
    ema=(dict(ema=2), 'ema=2: it must be a number between 0 and 1'),
    start=(dict(start='nowhere'), 'nowhere: there is no such model'),
    field=(dict(epoch=3), "unknown field 'epoch': did you mean 'epochs'?"),
    schedule=(dict(schedule='one_cicle'), "did you mean 'one_cycle'?"),
    augmentation=(dict(augment={'flipp': {}}), "did you mean 'flip'?"),
    lr=(dict(lr=0), 'lr=0: it must be a number above 0'),
    epochs=(dict(epochs=0), 'epochs=0: it must be a whole number of at least 1'),
    half_an_epoch=(dict(epochs=2.5), 'epochs=2.5: it must be a whole number'),
    bs=(dict(bs=5000), 'bs=5000: a batch must hold 1 to 1470 images, the size of the train split'),
    emotion=(dict(emotions=['happy', 'smug']), "unknown emotion 'smug'"),
    one_emotion=(dict(emotions=['happy']), "there is only one class, 'happy': a classifier needs two"),
    stats=(dict(stats='imagnet'), "did you mean 'imagenet'?"),
    pool=(dict(arch='resnet18', pool='maxx'), "did you mean 'max'?"),
    size=(dict(augment={'aug_transforms': {'size': 96}}), 'augment aug_transforms: size=96, and the network takes 48 px'),
    imagenet=(dict(pretrained=True), 'fer48 has no weights from ImageNet'),
    head=(dict(arch='resnet18', head=[0]), 'head=0: it must be a whole number of at least 1'),
    own_head=(dict(pool='max'), 'fer48 has its own head: leave out pool'),
    too_deep=(dict(arch='alexnet'), 'alexnet does not take images of 48 px'),
    fixed_size=(dict(arch='vit_tiny_patch16_224', size=96), 'vit_tiny_patch16_224 takes images of 224 px only'),
    class_weights=(dict(class_weights={'contempt': 2}), "unknown class in class_weights 'contempt'"),
    class_weights_name=(dict(class_weights='frequent'), "did you mean 'frequency'?"),
    colorizer=(dict(colorize='tones'), "did you mean 'tone'?"),
    format=(dict(exports=['torchscrip']), "did you mean 'torchscript'?"),
    frozen=(dict(freeze=True, schedule='fine_tune'), 'keeps it frozen'))

@pytest.mark.parametrize('name', mistakes)
def test_mistake(name, tmp_path):
    kwargs,message = mistakes[name]
    with pytest.raises(FERError) as e: train_fer('sample', out=tmp_path/'run', **kwargs)
    assert message in str(e.value)
    assert not (tmp_path/'run').exists()

def test_weights_that_explode(tmp_path):
    text = r'^the loss is (nan|inf) in epoch 0, batch \d+, at a learning rate of \S+e\+\d\d: train again with a smaller rate, such as 0.001, and overwrite=True$'
    with pytest.raises(FERError, match=text): train_fer(few, 'fer48', opt='sgd', lr=1e30, epochs=1, bs=16, lr_find=False, out=tmp_path/'run')
    train_fer(few, 'fer48', opt='sgd', lr=1e-3, epochs=1, bs=16, lr_find=False, out=tmp_path/'run', overwrite=True)

class Break(Callback):
    "Spoil one batch of the training, or all weights after the training batches of an epoch"
    def __init__(self, epoch, batch=None, value=float('nan')): self.at,self.batch,self.value = epoch,batch,value
    def after_loss(self):
        if self.training and (self.epoch, self.iter) == (self.at, self.batch): self.learn.loss = self.learn.loss_grad = self.loss_grad*self.value
    def after_train(self):
        if self.epoch == self.at and self.batch is None:
            for o in self.model.parameters(): o.data.mul_(self.value)

@pytest.mark.parametrize('at', [dict(batch=2), dict(batch=0, value=float('inf')), {}], ids=['nan', 'inf', 'valid'])
def test_loss_that_is_no_number(at, tmp_path):
    "The run stops there, keeps the best epoch before, and finishes with it"
    out,kwargs = tmp_path/'run',dict(recipe='fer48', epochs=4, lr=1e-3, bs=16, lr_find=False)
    where = f'epoch 2, batch {at["batch"]}' if at else 'the validation of epoch 2'
    with pytest.raises(FERError) as e: train_fer(few, out=out, cbs=Break(2, **at), **kwargs)
    text = f'the loss is {at.get("value", "nan")} in {where}, at a learning rate of RATE: train again with a smaller rate, such as RATE, and overwrite=True; or finish with the best of 2 epochs, with resume=True'
    assert re.sub(r'\b\d\S*\d\b', 'RATE', str(e.value)) == text
    kept = torch.load(out/'checkpoint'/'checkpoint.pth', weights_only=True)
    assert len(kept['rows']) == len(pd.read_csv(out/'history.csv')) == 2 and all(o.isfinite().all() for o in kept['model'].values())
    assert not (out/'model').exists()
    if at: return # the rest is the same for all
    learn = train_fer(few, out=out, resume=True, **kwargs)
    best = kept['cbs']['keep_best'][0]['weights']
    assert all(torch.equal(v, best[k]) for k,v in learn.model.state_dict().items())
    assert len(Run(out).history) == 2 and Run(out).finished and 'stopped' in Run(out).info

def test_weights_that_are_no_numbers(tmp_path):
    "Statistics of batch norm may be infinite and the loss is finite all the same"
    class Overflow(Callback):
        def after_train(self):
            for k,o in self.model.named_buffers():
                if k.endswith('running_var'): o.fill_(float('inf'))
    with pytest.raises(FERError, match=r'the weights became infinite or nan: lr=\[0.001\] is too large'):
        train_fer(few, out=tmp_path/'run', cbs=Overflow(), **short)

@pytest.mark.parametrize('bs,advice', [(16, 'try bs=8, and overwrite=True'), (2, 'try a smaller size, or a smaller arch, and overwrite=True')])
def test_out_of_memory(bs, advice, tmp_path):
    "PyTorch's own exception, raised on a CPU in a step of training or of `lr_find`"
    class Full(Callback):
        def before_step(self): raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')
    for lr_find in False, True:
        with pytest.raises(FERError) as e: train_fer(few, out=tmp_path/'run', cbs=Full(), overwrite=lr_find, arch='resnet18', **dict(short, bs=bs, lr_find=lr_find))
        assert str(e.value) == f'the memory of the GPU is too small for bs={bs}: {advice}' and e.value.__context__ is None
    if bs > 3: train_fer(few, out=tmp_path/'run', overwrite=True, **dict(short, bs=bs//2))

def test_stopped_in_the_first_epoch(tmp_path):
    with pytest.raises(FERError, match='stopped before its first epoch was complete; is lr=.* too large'):
        train_fer(few, 'fer48', opt='sgd', lr=1e30, epochs=1, bs=16, lr_find=False, out=tmp_path/'run', cbs=TerminateOnNaNCallback())

@pytest.mark.parametrize('logger', [CSVLogger, CSVLogger()])
def test_callback_that_cannot_be_saved(logger, tmp_path):
    "It trains along, and neither the model nor the history is lost to it"
    for resume in False, True:
        learn = train_fer(few, out=tmp_path/'run', cbs=logger, resume=resume, **short)
        assert [type(o) for o in learn.cbs].count(CSVLogger) == 1
        assert len(pd.read_csv(tmp_path/'run'/'history.csv')) == 1
        assert CSVLogger not in [type(o) for o in load_learner(tmp_path/'run'/'learner.pkl').cbs]

def top2(pred, y): return (pred.topk(2).indices == y[:,None]).any(1).float().mean()

class Stop(Callback):
    "Interrupt after the first epoch"
    order = 96
    def after_epoch(self): raise KeyboardInterrupt

own = dict(recipe='fer48', start='fer48', epochs=2, lr=1e-3, bs=16, lr_find=False)

def test_own_metrics_and_loss(tmp_path):
    "Your metrics are columns of the history, the first of which stays accuracy; a run continues with them, and only with them"
    kwargs = dict(own, arch=fer48, metrics=[accuracy, top2, F1Score(average='macro')], loss_func=FocalLossFlat(gamma=3))
    learn = train_fer(few, out=tmp_path/'whole', **kwargs)
    run = Run(tmp_path/'whole')
    assert list(run.history)[:-2] == 'epoch phase lr train_loss valid_loss accuracy top2 f1_score'.split()
    assert run.info['metrics'] == ['top2', 'f1_score'] and run.info['loss_func'] == 'FocalLossFlat'
    loss,right,two,f1 = learn.validate()
    probs,targs = learn.get_preds()
    p = probs.gather(1, targs[:,None]).log()
    assert np.isclose(loss, (-(1 - p.exp())**3*p).mean(), rtol=0.03) and two >= right and 0 < f1 <= 1
    with pytest.raises(KeyboardInterrupt): train_fer(few, out=tmp_path/'part', cbs=Stop(), **kwargs)
    for o in dict(metrics=top2), dict(loss_func=None):
        with pytest.raises(FERError, match='cannot be resumed: '): train_fer(few, out=tmp_path/'part', resume=True, **{**kwargs, **o})
    train_fer(few, out=tmp_path/'part', resume=True, **kwargs)
    assert Run(tmp_path/'part').history.drop(columns='time').equals(run.history.drop(columns='time'))
    saved = load_learner(tmp_path/'whole'/'learner.pkl')
    assert type(saved.loss_func) is FocalLossFlat and [o.name for o in saved.metrics] == ['accuracy', 'top2', 'f1_score']
    assert '`"FocalLossFlat"`' in (tmp_path/'whole'/'model'/'README.md').read_text()

class Locked:
    "A loss that no file can hold"
    def __init__(self): self.lock = threading.Lock()
    def __call__(self, pred, y): return torch.nn.functional.cross_entropy(pred, y)

def test_own_loss_that_cannot_be_used(tmp_path):
    for kwargs,message in ((dict(loss_func=Locked()), 'loss_func=Locked cannot be written to learner.pkl .cannot pickle'),
                           (dict(metrics=Locked()), 'cannot be written to learner.pkl'),
                           (dict(loss_func=torch.nn.CrossEntropyLoss(reduction='none')), r'gives a tensor of shape \(16,\)'),
                           (dict(loss_func=torch.nn.MSELoss()), r'MSELoss fails for logits of shape \(16, 7\)'),
                           (dict(loss_func=torch.nn.CrossEntropyLoss(), mixup=0.2), 'mixup and cutmix need one with'),
                           (dict(loss_func=torch.nn.CrossEntropyLoss(), logit_adjust=1.), 'takes the place of the loss that targets and logit_adjust need')):
        with pytest.raises(FERError, match=message): train_fer(few, out=tmp_path/'run', **own, **kwargs)
    assert not (tmp_path/'run').exists()

class Watch(Callback):
    "Note the sizes of the images and the rates of the first and the last layers in each epoch"
    order = 94
    def __init__(self): self.rows = []
    def before_epoch(self): self.rows.append({})
    def before_batch(self): self.rows[-1][self.training] = self.x.shape[-1], self.opt.hypers[0]['lr'], self.opt.hypers[-1]['lr']

def test_sizes_and_slices_of_the_stages(tmp_path):
    "Each stage trains at its size and at the rates of its slice; validation and the exported model have the last size; a resumed run too"
    kwargs = dict(recipe='fer48', start='fer48', epochs=(1, 2, 1), size=(32, 48, 64), schedule='constant', lr=(slice(1e-5, 1e-3), slice(1e-4)), bs=16, lr_find=False)
    want = [(32, 1e-5, 1e-3), (48, 1e-5, 1e-4), (48, 1e-5, 1e-4), (64, 1e-5, 1e-4)]
    class Stop2(Watch):
        def after_epoch(self):
            if len(self.rows) == 2: raise KeyboardInterrupt
    stop,rest = Stop2(),Watch()
    Stop2.order = 96
    with pytest.raises(KeyboardInterrupt): train_fer(few, out=tmp_path, cbs=stop, **kwargs)
    learn = train_fer(few, out=tmp_path, cbs=rest, resume=True, **kwargs)
    seen = [o for o in stop.rows + rest.rows if True in o]
    assert np.allclose([o[True] for o in seen], want) and {o[False][0] for o in seen} == {64}
    assert learn.dls.one_batch()[0].shape[-1] == learn.pre.net_size == 64
    config = Bundle(tmp_path).config
    assert config['preprocess']['net_size'] == 64 and config['lr'] == [[1e-5, 1e-3], [None, 1e-4], [None, 1e-4]] == Run(tmp_path).info['lr']
    assert Run(tmp_path).recipe.lr == ((1e-5, 1e-3), (None, 1e-4)) and '[[1e-05, 0.001], [null, 0.0001], [null, 0.0001]]' in Bundle(tmp_path).card

def test_pruned_start_stays_pruned(tmp_path):
    "A run that starts from a pruned model keeps its zeros, and so does a run that starts from that one"
    share = lambda net: [(o == 0).float().mean().item() for o in net.parameters() if o.dim() > 1]
    learn = load_fer_learner('fer48', fer_dls(few, Bundle('fer48').pre, bs=16))
    learn.model = prune_fer(learn.model, .5)
    save_bundle(tmp_path/'pruned', learn, dict(pruned=dict(amount=.5)))
    for start,out in ('pruned', 'first'), ('first', 'second'):
        before = load_fer_learner(tmp_path/start).model.state_dict()
        net = train_fer(few, out=tmp_path/out, **{**own, 'start': str(tmp_path/start)}).model
        assert np.allclose(share(net), .5, atol=.01) and any(not torch.equal(v, before[k]) for k,v in net.state_dict().items())

@pytest.mark.parametrize('photos', [False, True])
def test_image_classifier_cleaner(photos, tmp_path, monkeypatch):
    "fastai's widget shows the files of a folder with the largest losses, and what is chosen there can be done to the files"
    pytest.importorskip('ipywidgets')
    from fastai.vision.widgets import ImageClassifierCleaner
    monkeypatch.setattr('builtins.display', lambda _: None, raising=False) # which a notebook has
    few.to_folder(tmp_path/'faces')
    for o in tmp_path.rglob('*.png') if photos else (): Image.open(o).convert('RGB').resize((90, 90)).save(o)
    data = read_fer(tmp_path/'faces')
    assert photos == (data.images is None)
    learn = load_fer_learner('fer48', fer_dls(data, Bundle('fer48').pre, bs=16))
    found = FERInterpretation.from_learner(learn)
    assert found.rows.tolist() == data.idxs('valid').tolist() # a report still finds its rows
    cleaner = ImageClassifierCleaner(learn, max_n=3)
    cleaner.dd_ds.value,cleaner.dd_cats.value = 'Valid','happy'
    happy = np.flatnonzero(found.targs == data.vocab.index('happy'))
    worst = happy[np.argsort(-found.losses[happy])[:3]]
    assert cleaner.fns == [tmp_path/'faces'/data.df.name[found.rows[o]] for o in worst]
    assert {o.parent for o in cleaner.fns} == {tmp_path/'faces'/'valid'/'happy'}
    for i,choice in enumerate(['<Delete>', 'sad']): cleaner.iw.widget.children[i].children[1].value = choice
    for i in cleaner.delete(): cleaner.fns[i].unlink()
    for i,label in cleaner.change(): shutil.move(cleaner.fns[i], tmp_path/'faces'/'valid'/label)
    a,b = (o.counts().loc['valid'] for o in (data, read_fer(tmp_path/'faces')))
    assert (b - a)[['happy', 'sad', 'total']].tolist() == [-2, 1, -1]

def write_faces(folder, n, seed):
    "Drawn faces as colour files of three sizes, in folders whose names are no emotions"
    for i,(name,emotion) in enumerate(dict(tired='sad', awake='surprise', joking='happy').items()):
        (folder/name).mkdir(parents=True)
        for j in range(n): draw_face(emotion, seed + 1000*i + j, size=(64, 112, 180)[j%3], mode='RGB').save(folder/name/f'{j}.png')

def test_transfer_learns_own_classes(tmp_path, capsys):
    "From 20 colour files of each class, of several sizes; chance is 33 %, and from random weights it stays there"
    write_faces(tmp_path/'faces', 20, 5000)
    write_faces(tmp_path/'new', 30, 100)
    names = ['tired', 'awake', 'joking']
    learn = train_fer(tmp_path/'faces', emotions=names, out=tmp_path/'run', lr_find=False)
    assert 'no recipe is named, so it is transfer, ' in capsys.readouterr().out
    assert Run(tmp_path/'run').recipe.name == 'transfer' and len(Run(tmp_path/'run').history) == 9
    bundle = Bundle(tmp_path/'run')
    assert bundle.labels == names and (bundle.pre.mode, bundle.pre.size, bundle.pre.net_size) == ('L', 48, None)
    probs,targs = learn.get_preds(dl=learn.dls.test_dl(sorted((tmp_path/'new').rglob('*.png')), with_labels=True))
    assert (probs.argmax(1) == targs).float().mean() > 0.75

class Never(Callback):
    "Interrupt before the first epoch"
    def before_fit(self): raise KeyboardInterrupt

def test_recipe_is_chosen_for_the_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = pd.DataFrame(dict(emotion=np.resize(EMOTIONS, 10_000), split=['train']*9_000 + ['valid']*1_000, name=''))
    like = FERData(rows, np.random.default_rng(0).integers(0, 256, (10_000, 48, 48), np.uint8), vocab=EMOTIONS)
    for source,name in ('sample', 'transfer'), (like, 'fer48'):
        with pytest.raises(KeyboardInterrupt): train_fer(source, lr_find=False, cbs=Never())
        assert f'no recipe is named, so it is {name}, ' in capsys.readouterr().out
        assert Run(f'runs/{name}').recipe == replace(recipes[name], bs=Run(f'runs/{name}').recipe.bs)

@pytest.mark.parametrize('first,out', [({}, None), (dict(recipe='fer48'), 'run')])
def test_resumed_without_naming_the_recipe(first, out, tmp_path, monkeypatch, capsys):
    "In the usual folder it is found again, and in a folder that you name, the recipe is that of its run"
    monkeypatch.chdir(tmp_path)
    kwargs = dict(epochs=2, bs=16, lr_find=False, out=out)
    with pytest.raises(KeyboardInterrupt): train_fer(few, cbs=Stop(), **first, **kwargs)
    train_fer(few, resume=True, **kwargs)
    run = Run(out or 'runs/transfer')
    assert run.finished and (run.recipe.name, len(run.history)) == (('fer48', 2) if first else ('transfer', 3))

def test_sizes_and_arch_that_cannot_be_used(tmp_path):
    for kwargs,message in ((dict(arch='cnn6', size=(32, 48)), 'cnn6 does not take images of 32 px'),
                           (dict(arch='vit_tiny_patch16_224', size=(96, 224), channels=3), 'takes images of 224 px only; leave size out'),
                           (dict(arch=lambda: None), 'is no network that we know by name')):
        with pytest.raises(FERError, match=message): train_fer(few, out=tmp_path/'run', epochs=(1, 1), bs=16, **kwargs)
    assert not (tmp_path/'run').exists()

def test_suggested_rate_is_shown_and_not_used(tmp_path, capsys):
    r = find_recipe('fer48', start='fer48', epochs=1, lr=1e-3, bs=16)
    run = Run.open(tmp_path, r, few).fit(recipe_learner(few, r, tmp_path))
    found = run.info['lr_suggested']
    assert f'lr_find suggests lr={found:.2g}, and the recipe has lr=0.001, which is used' in capsys.readouterr().out
    assert run.info['lr'] == [1e-3] and found != 1e-3 and run.history.lr.max() < 1e-3

def test_rates_of_plateau(tmp_path):
    train_fer(few, out=tmp_path/'run', schedule='plateau', schedule_args=dict(patience=1, min_delta=10.), **(short | dict(epochs=4)))
    assert np.allclose(pd.read_csv(tmp_path/'run'/'history.csv').lr, [1e-3, 1e-3, 1e-4, 1e-5])

def test_finished_run_without_its_checkpoint(tmp_path):
    train_fer(few, out=tmp_path/'run', **short)
    before = (tmp_path/'run'/'model'/'config.json').read_bytes()
    shutil.rmtree(tmp_path/'run'/'checkpoint')
    with pytest.raises(FERError, match='finished and its checkpoint is gone'): train_fer(few, out=tmp_path/'run', resume=True, **short)
    assert (tmp_path/'run'/'model'/'config.json').read_bytes() == before

def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.csv'): train_fer(tmp_path/'nowhere.csv', out=tmp_path/'run')
    assert not (tmp_path/'run').exists()

def test_no_network_for_pretrained_weights(tmp_path, monkeypatch):
    monkeypatch.setenv('https_proxy', 'http://127.0.0.1:9') # nothing listens there
    monkeypatch.setenv('no_proxy', '')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(torch.hub, '_hub_dir', None)
    with pytest.raises(FERError, match='resnet34: its pretrained weights could not be fetched .* pretrained=False'):
        train_fer('sample', recipe='resnet34', out=tmp_path/'run')
    assert not (tmp_path/'run').exists()

    save_bundle(tmp_path/'model', fer_learner(fer_dls(few, bs=16), 'resnet18', head=[]))
    recipe_learner(few, find_recipe('resnet18', start=tmp_path/'model', bs=16, channels=1)) # needs none

def test_out_of_something_else(tmp_path):
    (tmp_path/'holiday.jpg').touch()
    for overwrite in False, True:
        with pytest.raises(FERError, match='holds something that is not a run'): train_fer('sample', out=tmp_path, overwrite=overwrite)
    assert [o.name for o in tmp_path.iterdir()] == ['holiday.jpg']

def test_loss_that_is_no_number_at_the_command_line(tmp_path):
    cmd = [Path(sys.executable).parent/'fer_train', 'sample', '--lr', '1e30', '--epochs', '1', '--emotions', 'happy,sad', '--fields', '{"opt": "sgd"}', '--out', tmp_path/'run']
    r = subprocess.run(cmd, capture_output=True, text=True)
    assert r.returncode == 2 and re.fullmatch(r'error: the loss is nan in epoch 0, batch \d+, at a learning rate of .*, such as 0.001, and --overwrite\n', r.stderr), r.stderr

@pytest.mark.parametrize('args,message', [('sample --lr 0', 'error: --lr 0.0: it must be a number above 0'), ('sample --lr inf', 'error: --lr inf: it must be a finite number'), ('sample --epochs three', 'cannot be read'),
                                          ('sample --fields {', '--fields {: this is no JSON'),
                                          ('sample --fields {"wd":-1}', "error: --fields '{\"wd\": -1}': it must be"), ('sample --recipe fer48 --fields {"targets":"majority"}', 'give the file of FER+, --votes fer2013new.csv,'), ('nowhere.csv', 'nowhere.csv')])
def test_command_line(args, message, tmp_path):
    r = subprocess.run([Path(sys.executable).parent/'fer_train', *args.split(), '--out', tmp_path/'run'], capture_output=True, text=True)
    assert r.returncode == 2 and r.stdout == ''
    assert r.stderr.count('\n') == 1 and message in r.stderr
    assert not (tmp_path/'run').exists()
