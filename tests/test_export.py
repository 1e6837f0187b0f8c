"A Core ML file gives the probabilities of the network: its program is read from the file and run here, operation by operation"
import importlib.util, logging

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fer_fastai.bundle import Bundle
from fer_fastai.images import Preprocess
from fer_fastai.read import read_fer
from fer_fastai.export import InferenceNet, export_coreml, load_fer_net, prune_fer
from fer_fastai.models import fer_model
from fer_fastai.predict import FER

needs_coreml = pytest.mark.skipif(not importlib.util.find_spec('coremltools'), reason="pip install 'fer_fastai[export]'")

def pads(o):
    "Core ML's padding, top bottom left right, as PyTorch has it: one number for each direction"
    if o['pad_type'] != 'custom': return (0, 0)
    p = [int(i) for i in o['pad']]
    assert p[0::2] == p[1::2]
    return p[0::2]

def pool(f, x, o, **kwargs): return f(x, tuple(o['kernel_sizes']), tuple(o['strides']), pads(o), ceil_mode=bool(o['ceil_mode']), **kwargs)

ops = dict(
    mul=lambda o: o['x']*o['y'], add=lambda o: o['x']+o['y'], sub=lambda o: o['x']-o['y'], cast=lambda o: o['x'],
    relu=lambda o: o['x'].relu(), softmax=lambda o: o['x'].softmax(int(o['axis'])), reshape=lambda o: o['x'].reshape(*o['shape']),
    conv=lambda o: F.conv2d(o['x'], o['weight'], o.get('bias'), tuple(o['strides']), pads(o), tuple(o['dilations']), int(o['groups'])),
    linear=lambda o: F.linear(o['x'], o['weight'], o['bias']),
    batch_norm=lambda o: F.batch_norm(o['x'], o['mean'], o['variance'], o['gamma'], o['beta'], eps=float(o['epsilon'])),
    max_pool=lambda o: pool(F.max_pool2d, o['x'], o),
    avg_pool=lambda o: pool(F.avg_pool2d, o['x'], o, count_include_pad=not o['exclude_padding_from_average']),
    reduce_max=lambda o: o['x'].amax(tuple(o['axes']), bool(o['keep_dims'])),
    reduce_mean=lambda o: o['x'].mean(tuple(o['axes']), bool(o['keep_dims'])),
    concat=lambda o: torch.cat(o['values'], int(o['axis'])), squeeze=lambda o: o['x'].squeeze(tuple(o['axes'])),
    expand_dims=lambda o: o['x'][(...,) + (None,)*len(o['axes'])],
    upsample_bilinear=lambda o: F.interpolate(o['x'], scale_factor=(float(o['scale_factor_height']), float(o['scale_factor_width'])), mode='bilinear',
                                              align_corners=bool(o['align_corners'])))

def value(var, known):
    "The value of a variable of the program: computed before, or a constant; numbers as float32 tensors"
    if isinstance(var, (tuple, list)): return [value(o, known) for o in var]
    if var.name in known: return known[var.name]
    v = var.val
    return torch.from_numpy(np.array(v, np.float32)) if np.asarray(v).dtype.kind == 'f' else v

def program(path):
    "Function from images of pixels from 0 to 1 to probabilities: what the file computes"
    logging.getLogger('coremltools').setLevel(logging.ERROR)
    import coremltools as ct
    from coremltools.converters.mil.frontend.milproto.load import load
    spec = ct.models.MLModel(str(path), skip_model_load=True).get_spec()
    main = load(spec, spec.specificationVersion, str(path/'Data'/'com.apple.CoreML'/'weights')).functions['main']
    def one(x):
        known = dict(image=x[None]*255)
        for op in main.operations:
            if op.op_type == 'classify': return known[op.inputs['probabilities'].name]
            if op.op_type == 'const': continue
            if op.op_type == 'constexpr_sparse_to_dense':
                known[op.outputs[0].name] = torch.from_numpy(op.materialized_val_inference().astype(np.float32))
                continue
            args = {k: value(v, known) for k,v in op.inputs.items() if v is not None}
            known[op.outputs[0].name] = ops[op.op_type](args)
    return lambda x: torch.cat([one(o) for o in x])

def faces(net):
    data = read_fer('sample')
    return torch.from_numpy(net.pre.batch([data.image(i) for i in range(0, len(data), len(data)//24)]))

def agree(net, path):
    "On the sample's faces the file says what the network says"
    x = faces(net)
    with torch.no_grad(): want,got = net(x),program(path)(x)
    assert want.std(0).max() > .1 # faces differ, so that agreement means something
    torch.testing.assert_close(got, want, atol=.01, rtol=0)

imagenet = (.485, .456, .406), (.229, .224, .225)

@needs_coreml
@pytest.mark.parametrize('arch,pre', [('resnet18', Preprocess('L', 48, 64, *imagenet)), ('resnet18', Preprocess('RGB', 64, None, *imagenet)),
                                      ('fer48_large', Preprocess('L', 48, None, (.4,), (.2,)))], ids=['enlarged', 'rgb', 'gray'])
def test_coreml_computes_the_same(arch, pre, tmp_path):
    torch.manual_seed(0)
    net = InferenceNet(fer_model(arch, 3, pre.channels), pre, temperature=.2).eval()
    for m in net.modules(): # no two layers the same, as after training
        if isinstance(m, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            for o in (m.weight, m.bias, m.running_mean, m.running_var): o.data.uniform_(.5, 1)
    *_,last = (m for m in net.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad(): # and no class that every face belongs to
        logits = (net(faces(net)) + 1e-9).log().mean(0)*net.temperature
        last.bias = torch.nn.Parameter((last.bias if last.bias is not None else 0) - logits)
    path = export_coreml(net, tmp_path/'FER.mlpackage', ['happy', 'sad', 'surprise'])
    agree(net, path)

@needs_coreml
def test_coreml_of_the_model_that_ships(tmp_path):
    bundle = FER().path.parent
    net = load_fer_net(bundle)
    agree(net, export_coreml(net, tmp_path/'FER.mlpackage', Bundle(bundle).labels))

@needs_coreml
def test_coreml_stores_no_zeros(tmp_path):
    bundle = FER().path.parent
    net,sizes = load_fer_net(bundle),{}
    for amount in (0, .05, .2, .5):
        net.net = prune_fer(net.net, amount)
        path = export_coreml(net, tmp_path/f'{amount}.mlpackage', Bundle(bundle).labels)
        agree(net, path)
        sizes[amount] = sum(o.stat().st_size for o in path.rglob('*') if o.is_file())
    assert sizes[.05] == sizes[0] # a bit for each weight would take more
    for o in (.2, .5): assert abs(sizes[o]/sizes[0] - (1 - o + 1/16)) < .02
