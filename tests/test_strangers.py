"Files from strangers: bundles, networks, weights and archives that lie, claim too much, or want to run code or leave their folder"
import ast, gzip, io, json, os, resource, shutil, struct, subprocess, sys, tarfile, time, zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from skimage.data import astronaut

from fer_fastai.bundle import Bundle
from fer_fastai.core import FERError, sha256
from fer_fastai.predict import FER
from fer_fastai.read import read_fer

root = Path(__file__).resolve().parent.parent
shipped = Bundle()

def refused(f, *texts, seconds=20):
    "`f` ends soon in a message of at most 300 characters that has these texts in it"
    start = time.time()
    with pytest.raises(FERError) as e: f()
    assert time.time() - start < seconds
    message = str(e.value)
    assert len(message) <= 300 and message.isprintable(), message
    for o in texts: assert o in message, message

@pytest.fixture
def bundle(tmp_path): return Path(shutil.copytree(shipped.path, tmp_path/'model'))

def edit(bundle, **kwargs):
    "Change fields of config.json; None for none"
    config = {k: v for k,v in {**shipped.config, **kwargs}.items() if v is not None}
    (bundle/'config.json').write_text(json.dumps(config))
    return bundle

def shape(**kwargs): return dict(preprocess={**shipped.config['preprocess'], **kwargs})
def net(**kwargs): return dict(model={**shipped.config['model'], **kwargs})

# config.json

labels = shipped.labels
configs = {
    'labels: text': dict(labels='happy'), 'labels: numbers': dict(labels=[1, 2]), 'labels: one': dict(labels=['happy']),
    'labels: twice the same': dict(labels=['sad', 'sad']), 'labels: too many': dict(labels=[str(i) for i in range(1001)]),
    'labels: too long': dict(labels=['x'*201, 'y']), 'labels: empty': dict(labels=['', 'y']),
    'labels: a line': dict(labels=['a\nb', 'y']), 'labels: escape': dict(labels=['\x1b[2J', 'y']), 'labels: half a letter': dict(labels=['\ud800', 'y']),
    'format': dict(format=0), 'format: true': dict(format=True), 'format: fraction': dict(format=1.5), 'format: new': dict(format=2),
    'files: above': dict(files={'../model.onnx': '0'*64}), 'files: absolute': dict(files={'/etc/passwd': '0'*64}),
    'files: below': dict(files={'a/b': '0'*64}), 'files: Windows': dict(files={'..\\x': '0'*64}), 'files: drive': dict(files={'C:x': '0'*64}),
    'files: dots': dict(files={'..': '0'*64}), 'files: no checksum': dict(files={'model.onnx': 'abc'}), 'files: number': dict(files={'model.onnx': 3}),
    'files: list': dict(files=['model.onnx']), 'preprocess: list': dict(preprocess=[]), 'preprocess: unknown': dict(preprocess=dict(code='x')),
    **{f'preprocess: {k}={v}': shape(**{k: v}) for k,v in (
        ('size', 10**9), ('size', 0), ('size', 48.5), ('size', '48'), ('size', [48]), ('size', float('nan')), ('net_size', 10**6), ('margin', 1e9),
        ('margin', float('nan')), ('stretch', 10**9), ('stretch', .5), ('mode', 'CMYK'), ('mode', ['L']), ('mean', [float('nan')]), ('mean', [10**400]),
        ('mean', [.5]*2), ('mean', 'half'), ('mean', 3), ('std', [0]), ('std', [-1]), ('std', [float('inf')]), ('std', []), ('mean', [.5]*100_000))},
    'model: text': dict(model='fer48'), 'model: code': net(code='x'), 'model: n_out': net(n_out=10**9), 'model: n_in': net(n_in=10**9),
    'model: head': net(head=[10**9]), 'model: heads': net(head=[64]*10**5), 'model: no arch': dict(model=dict(n_in=1, n_out=7)), 'model: arch': net(arch=3),
    'temperature': dict(temperature=0), 'temperature: nan': dict(temperature=float('nan')), 'temperature: text': dict(temperature='1'),
}

@pytest.mark.parametrize('change', configs.values(), ids=configs)
def test_config(bundle, change):
    refused(lambda: Bundle(edit(bundle, **change)), 'config.json')

@pytest.mark.parametrize('text', ['', 'null', '3', '"a"', '[', '[' * 10**6, '{"a":' * 10**5, '{"format": 1' + '0'*5000 + '}', '\ufeff{}', '\0'], ids=range(10))
def test_config_that_is_no_json(bundle, text):
    (bundle/'config.json').write_text(text)
    refused(lambda: Bundle(bundle), 'config.json')

def test_config_in_another_encoding(bundle):
    (bundle/'config.json').write_bytes(b'\xff\xfe{\0}\0')
    refused(lambda: Bundle(bundle), 'is no JSON')

# Places

@pytest.mark.parametrize('name', ['config.json', 'model.onnx', 'model.safetensors', 'README.md'])
def test_link_out_of_the_folder(bundle, tmp_path, name):
    "A link to another place is not followed; one within the folder is, and so are those of the Hub's cache"
    (bundle/name).rename(tmp_path/'other')
    (bundle/name).symlink_to(tmp_path/'other')
    def use(path=bundle): return [b := Bundle(path), b.onnx, b.weights, b.card]
    refused(use, f'{name} is a link to a place outside of the model')
    (bundle/name).unlink()
    (tmp_path/'other').rename(bundle/'other')
    (bundle/name).symlink_to('other')
    use()
    snapshot = tmp_path/'models--me--faces'/'snapshots'/'abc'
    snapshot.parent.mkdir(parents=True)
    (bundle/'other').rename((tmp_path/'models--me--faces'/'blobs'/'123').parent.mkdir() or tmp_path/'models--me--faces'/'blobs'/'123')
    bundle.rename(snapshot)
    (snapshot/name).unlink()
    (snapshot/name).symlink_to('../../blobs/123')
    use(snapshot)

@pytest.mark.parametrize('name', ['config.json', 'model.onnx', 'model.safetensors'])
@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir, lambda p: os.symlink('/dev/zero', p), lambda p: os.symlink(p, p)], ids=['fifo', 'folder', 'device', 'loop'])
def test_no_file(bundle, name, make):
    "What never ends or is no file is not opened"
    (bundle/name).unlink()
    make(bundle/name)
    refused(lambda: [b := Bundle(bundle), b.onnx, b.weights], 'config.json' if name == 'config.json' else f'{name} is missing')

@pytest.mark.parametrize('name', ['config.json', 'model.onnx', 'model.safetensors', 'README.md'])
def test_too_large(bundle, name):
    "Files that claim a terabyte, none of which is on the disk, are not read"
    with open(bundle/name, 'r+b') as f: f.truncate(2**40)
    refused(lambda: [b := Bundle(bundle), b.onnx, b.weights, b.card], f'{name} has 1,099,511,627,776 bytes', seconds=5)

# ONNX

def save(bundle, model):
    data = model if isinstance(model, bytes) else model.SerializeToString()
    (bundle/'model.onnx').write_bytes(data)
    return edit(bundle, files={'model.onnx': sha256(bundle/'model.onnx')})

def value(name, *dims, kind=TensorProto.FLOAT): return helper.make_tensor_value_info(name, kind, dims)

def faces_net(*nodes, tensors=(), out=7, size=48, **kwargs):
    "A network that takes the mean of a face, multiplies it by W, and adds whatever `nodes` make of it as 'extra'"
    W = numpy_helper.from_array(np.ones((1, out), np.float32), 'W')
    last = [helper.make_node('Add', ['logits', 'extra'], ['probs'])] if nodes else [helper.make_node('Identity', ['logits'], ['probs'])]
    body = [helper.make_node('ReduceMean', ['image'], ['mean'], axes=[2, 3], keepdims=0), helper.make_node('MatMul', ['mean', 'W'], ['logits']), *nodes, *last]
    graph = helper.make_graph(body, 'g', [value('image', 'n', 1, size, size)], [value('probs', 'n', out)], [W, *tensors])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8, **kwargs)

def const(name, *numbers, kind=np.int64): return numpy_helper.from_array(np.array(numbers, kind), name)
def node(kind, takes, gives, **kwargs): return helper.make_node(kind, takes.split(), gives.split(), **kwargs)

def small(*nodes, tensors=()):
    "Nodes that make 'big', of which the network takes the largest number"
    return faces_net(*nodes, node('ReduceMax', 'big', 'extra', keepdims=0), tensors=tensors)

def loop():
    body = helper.make_graph([node('Identity', 'c', 'c2')], 'body', [value('i', kind=TensorProto.INT64), value('c', kind=TensorProto.BOOL)], [value('c2', kind=TensorProto.BOOL)])
    return faces_net(node('Loop', 'times go', '', body=body), node('Cast', 'zero', 'extra', to=1),
                     tensors=[const('times', 2**62), const('zero', 0), numpy_helper.from_array(np.array(True), 'go')])

def doubling(n):
    "Each node squares the size of the one before"
    nodes = [o for i in range(n) for o in (node('Reshape', f'v{i} up', f'u{i}'), node('Reshape', f'v{i} side', f's{i}'), node('Mul', f'u{i} s{i}', f'm{i}'), node('Reshape', f'm{i} flat', f'v{i+1}'))]
    return small(*nodes, node('Identity', f'v{n}', 'big'), tensors=[const('v0', *range(16), kind=np.float32), const('up', -1, 1), const('side', 1, -1), const('flat', -1)])

def lying(dims, **kwargs):
    t = TensorProto(name='x', data_type=1, dims=dims, **kwargs)
    return small(node('Identity', 'x', 'big'), tensors=[t])

def with_functions():
    f = helper.make_function('mine', 'F', ['a'], ['b'], [node('Identity', 'a', 'b')], [helper.make_opsetid('', 17)])
    return faces_net(functions=[f])

def external(folder='', where='data.bin'):
    t = TensorProto(name='x', data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    t.external_data.add(key='location', value=where)
    return small(node('Identity', 'x', 'big'), tensors=[t])

def sparse():
    model = faces_net()
    v,i = TensorProto(name='S', data_type=1, dims=[1], float_data=[1.]),TensorProto(name='i', data_type=7, dims=[1], int64_data=[0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(v, i, [2**40]))
    return model

in_attribute = node('Constant', '', 'x', value=TensorProto(name='t', data_type=1, dims=[2**40], raw_data=b'1234'))
nets = {
    'external data': (external(), "'x' is in another file"), 'external data above': (external(where='../../etc/passwd'), "'x' is in another file"),
    'external data, absolute': (external(where='/etc/passwd'), "'x' is in another file"),
    'other size': (faces_net(size=64), 'takes pictures of shape [1, 64, 64], and config.json says [1, 48, 48]'),
    'other labels': (faces_net(out=5), 'has 5 outputs and there are 7 labels'), 'loop': (loop(), 'has loops'), 'functions': (with_functions(), 'functions of its own'),
    'no network': (b'no network', 'is no ONNX model'), 'nothing': (b'', 'is not a network of fer_fastai'), 'zeros': (bytes(10**6), 'is no ONNX model'),
    'claims a terabyte': (lying([2**40], raw_data=b'1234'), "'x' is in another file, or not as large as it says"), 'claims nothing': (lying([2**40]), "'x' is in"),
    'claims below zero': (lying([-4], raw_data=b'1234'), "'x' is in"), 'claims in an attribute': (small(in_attribute, node('Identity', 'x', 'big')), "'t' is in"),
    'sparse': (sparse(), 'has loops, branches or operators'),
    'fill': (small(node('ConstantOfShape', 'n', 'big'), tensors=[const('n', 2**36)]), 'numbers for a face'),
    'fill unseen': (small(node('Mul', 'n n', 'm'), node('ConstantOfShape', 'm', 'big'), tensors=[const('n', 2**20)]), 'network'),
    'expand': (small(node('Expand', 'x n', 'big'), tensors=[const('n', 2**36), const('x', 1, kind=np.float32)]), 'numbers for a face'),
    'tile': (small(node('Tile', 'x n', 'big'), tensors=[const('n', 2**36), const('x', 1, kind=np.float32)]), 'numbers for a face'),
    'range': (small(node('Range', 'a b c', 'r'), node('Cast', 'r', 'big', to=1), tensors=[numpy_helper.from_array(np.array(i), k) for k,i in dict(a=0, b=2**36, c=1).items()]), 'numbers for a face'),
    'range backwards': (small(node('Range', 'a b c', 'r'), node('Cast', 'r', 'big', to=1), tensors=[numpy_helper.from_array(np.array(i), k) for k,i in dict(a=2**36, b=0, c=-1).items()]), 'numbers for a face'),
    'squares': (doubling(3), 'numbers for a face'), 'squares past all numbers': (doubling(40), 'network'), 'many': (small(*[node('ConstantOfShape', 'n', f'v{i}') for i in range(300)], node('Identity', 'v0', 'big'), tensors=[const('n', 2**24)]), 'numbers for a face'),
    'unknown': (small(node('NonZero', 'mean', 'z'), node('Cast', 'z', 'big', to=1)), 'cannot be told'),
    'other operators': (small(helper.make_node('Gelu', ['mean'], ['big'], domain='com.microsoft')), 'operators that a network for faces does not need'),
    'unknown operator': (small(node('Exec', 'mean', 'big')), 'cannot be told'),
    'a good one': (faces_net(), None),
    'fewer rows': (helper.make_model(helper.make_graph([node('ReduceMean', 'image', 'mean', axes=[0, 2, 3], keepdims=0), node('Unsqueeze', 'mean a', 'm'), node('MatMul', 'm W', 'probs')], 'g',
                   [value('image', 'n', 1, 48, 48)], [value('probs', 'k', 7)], [const('a', 0), numpy_helper.from_array(np.ones((1, 7), np.float32), 'W')]), opset_imports=[helper.make_opsetid('', 17)], ir_version=8), 'for 3 faces the network gives [1, 7]'),
    'integers': (helper.make_model(helper.make_graph([node('Cast', 'W', 'probs', to=1)], 'g', [value('image', 'n', 1, 48, 48, kind=TensorProto.UINT8)], [value('probs', 'n', 7)], [const('W', 1)])), 'is not a network of fer_fastai'),
}

@pytest.mark.parametrize('model,message', nets.values(), ids=nets)
def test_onnx(bundle, model, message):
    path = save(bundle, model)
    if message is None: return FER(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(lambda: FER(path), 'model.onnx', message)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000 # kB

def test_onnx_with_data_in_the_folder(bundle):
    "Weights in a second file are refused even if it is there, as the checksums may not cover it"
    (bundle/'data.bin').write_bytes(bytes(16))
    refused(lambda: FER(save(bundle, external())), "'x' is in another file")

def test_onnx_that_fails_or_gives_no_numbers(bundle):
    "What can be seen only when it runs ends in a message as well"
    gather = small(node('Cast', 'mean', 'i', to=7), node('Add', 'i far', 'j'), node('Gather', 'W j', 'big'), tensors=[const('far', 99)])
    refused(lambda: FER(save(bundle, gather))(astronaut()), 'model.onnx', 'the network failed')
    nan = small(node('Div', 'zero zero', 'big'), tensors=[const('zero', 0, kind=np.float32)])
    refused(lambda: FER(save(bundle, nan))(astronaut()), 'model.onnx', 'gives no probability for each label')

# safetensors

def tensors(header, data=b'', n=None):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack('<Q', len(head) if n is None else n) + head + data

one = dict(dtype='F32', shape=[4], data_offsets=[0, 16])
weights = {
    'nothing': b'', 'short': b'abc', 'long head': tensors(b'{}', n=2**63), 'head past the end': tensors(b'{}', n=1000), 'no JSON': tensors(b'{"a'), 'list': tensors([]),
    'too few bytes': tensors(dict(a=one), bytes(8)), 'too many bytes': tensors(dict(a=one), bytes(32)), 'claims a terabyte': tensors(dict(a={**one, 'shape': [2**40], 'data_offsets': [0, 2**42]}), bytes(16)),
    'shape and bytes differ': tensors(dict(a={**one, 'shape': [2**40]}), bytes(16)), 'overflow': tensors(dict(a={**one, 'shape': [2**62, 2**62]}), bytes(16)),
    'below zero': tensors(dict(a={**one, 'shape': [-4]}), bytes(16)), 'backwards': tensors(dict(a={**one, 'data_offsets': [16, 0]}), bytes(16)),
    'overlap': tensors(dict(a=one, b=one), bytes(16)), 'unknown type': tensors(dict(a={**one, 'dtype': 'object'}), bytes(16)), 'a pickle': b'\x80\x04cos\nsystem\n(S"exit"\ntR.',
}

@pytest.mark.parametrize('data', weights.values(), ids=weights)
def test_weights(bundle, data):
    (bundle/'model.safetensors').write_bytes(data)
    edit(bundle, files={})
    refused(lambda: Bundle(bundle).weights, 'model.safetensors is no file of weights', seconds=5)

others = {
    'another arch': (net(arch='fer48_large'), 'fer48_large needs', 'this is another network'), 'huge arch': (net(arch='regnet_y_128gf', n_in=3), 'regnet_y_128gf needs'),
    'huge head': (net(arch='resnet18', head=[65536]*9), 'resnet18 needs'), 'unknown arch': (net(arch='fer49'), 'did you mean'), 'wide': (net(n_in=3), 'fer48 needs'),
    'n_out': (net(n_out=8), 'has 8 outputs and there are 7 labels'), 'no network': (dict(model=None), 'does not say which network this is'), 'head of another': (net(pool='avg'), 'fer48 has its own head'),
    'path': (net(arch='../../x'), "unknown arch '../../x'"), 'hub': (net(arch='hf_hub:someone/model'), 'unknown arch'), 'more weights': ({}, "'extra' has the shape [4], and fer48 needs None"),
}

@pytest.mark.parametrize('change,texts', [(o[0], o[1:]) for o in others.values()], ids=others)
def test_another_network(bundle, change, texts):
    "Nothing is made in memory that the file has no weights for"
    load_fer_net = pytest.importorskip('fer_fastai.export').load_fer_net
    edit(bundle, **change, files={})
    if not change:
        from safetensors.numpy import load_file, save_file
        save_file({**load_file(bundle/'model.safetensors'), 'extra': np.zeros(4, np.float32)}, bundle/'model.safetensors')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(lambda: load_fer_net(bundle), *texts, seconds=30)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000 # kB

# Pickles

def test_who_unpickles():
    "Modules that predict, and the ground, read no pickle from a file; those of `folders` go through the pipes of its own processes"
    light = [o.stem[3:] for o in sorted((root/'nbs').glob('[0-9][0-9]_*.ipynb')) if o.stem[:1] in '03']
    assert 'bundle' in light and 'app' in light
    for name in light:
        tree = ast.parse((root/'fer_fastai'/f'{name}.py').read_text(encoding='utf-8'))
        calls = [(ast.unparse(o.func), ast.unparse(o)) for o in ast.walk(tree) if isinstance(o, ast.Call)]
        loads = {text for f,text in calls if f in ('eval', 'exec', 'compile', '__import__') or f.rpartition('.')[2] in ('Unpickler', 'load_learner', 'read_pickle')
                 or f in ('pickle.load', 'pickle.loads', 'torch.load', 'marshal.loads', 'joblib.load', 'shelve.open') or f == 'np.load' and 'allow_pickle=False' not in text}
        assert loads == ({'pickle.load(inp)', 'pickle.load(worker.stdout)'} if name == 'folders' else set()), name
        imports = {a.name for o in ast.walk(tree) if isinstance(o, ast.Import) for a in o.names} | {o.module for o in ast.walk(tree) if isinstance(o, ast.ImportFrom)}
        assert not imports & {'dill', 'cloudpickle', 'joblib', 'marshal', 'shelve'} and ('pickle' in imports) == (name == 'folders')

planted = '''
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append(args) if event == 'pickle.find_class' else None)
from pathlib import Path
from fer_fastai.bundle import Bundle
from fer_fastai.core import FERError
from fer_fastai.predict import FER
folder = Path(sys.argv[1])
for o in (folder, folder/'learner.pkl', folder/'model'/'other.pkl', folder/'checkpoint'/'checkpoint.pth', folder/'model'/'model.onnx'):
    FER(o)(sys.argv[2])
for o in ('evil.onnx', 'evil/model.onnx', 'evil/learner.pkl', 'evil', 'evil/model.safetensors', 'lone.pkl', 'lone.pth', 'lone.pt'):
    try: b = Bundle(folder/o); FER(b); print('taken', o)
    except FERError: pass
try: Bundle(folder/'evil').weights; print('taken')
except FERError: pass
FER(folder).find(str(folder/'learner.pkl'))
FER(folder).find((folder/'learner.pkl').read_bytes())
print(seen)
'''

class Evil:
    def __reduce__(self): return os.mkdir, ('ran',)

def test_planted_pickles(bundle, tmp_path, monkeypatch):
    "Pickles wherever a model may have a file: none is opened, whatever is asked for"
    import pickle
    run,evil = tmp_path/'run',pickle.dumps(Evil())
    (run/'checkpoint').mkdir(parents=True)
    bundle.rename(run/'model')
    shutil.copytree(run/'model', run/'evil')
    for o in ('model.onnx', 'model.safetensors', 'README.md', 'learner.pkl'): (run/'evil'/o).write_bytes(evil)
    edit(run/'evil', files={})
    for o in ('learner.pkl', 'model/other.pkl', 'checkpoint/checkpoint.pth', 'evil.onnx'): (run/o).write_bytes(evil)
    for o in ('lone.pkl', 'lone.pth', 'lone.pt'): (tmp_path/o).write_bytes(evil)
    photo = tmp_path/'photo.png'
    Image.fromarray(astronaut()).save(photo)
    got = subprocess.run([sys.executable, '-c', planted, run, photo], cwd=tmp_path, capture_output=True, text=True)
    assert (got.returncode, got.stdout) == (0, '[]\n'), got.stderr
    assert not (tmp_path/'ran').exists()
    monkeypatch.chdir(tmp_path)
    pickle.loads(evil) # it does run
    assert (tmp_path/'ran').exists()

# Archives

@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    "A cache of its own, which a refused archive leaves empty"
    monkeypatch.setenv('FER_FASTAI_CACHE', str(tmp_path/'cache'))
    return tmp_path/'cache'

def archive(path, members):
    "An archive with members of these names and contents"
    if path.suffix == '.zip':
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as z:
            for name,data in members: z.writestr(name, data)
    else:
        with tarfile.open(path, f'w:{path.suffix[1:]}'.replace(':tar', '')) as t:
            for name,data in members:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
    return path

def left(folder): return [o for o in folder.rglob('*') if o.is_file()]

def refused_archive(path, *texts, seconds=30):
    "The archive is refused, and nothing is left of it"
    before = {*path.parent.iterdir()} - {path.parent/'cache'}
    refused(lambda: read_fer(path), *texts, seconds=seconds)
    assert not left(path.parent/'cache') and {*path.parent.iterdir()} - {path.parent/'cache'} == before

def bomb(path, n):
    "A compressed file of `n` MB of the digit 0"
    with gzip.open(path, 'wb', compresslevel=1) as f:
        for _ in range(n): f.write(b'0'*10**6)
    return path

def test_bomb(tmp_path): refused_archive(bomb(tmp_path/'fer2013.csv.gz', 1200), 'would unpack to over 1 GB and 20 times its size')

def test_zip_bombs(tmp_path, monkeypatch):
    "Ten archives of 12 MB in an archive have room for 16 MB together; so have ten layers of archives"
    monkeypatch.setattr('fer_fastai.read._free', 2**24)
    (tmp_path/'in').mkdir()
    data = archive(tmp_path/'in'/'one.zip', [('a.jpg', bytes(12*10**6))]).read_bytes()
    refused_archive(archive(tmp_path/'ten.zip', [(f'{i}.zip', data) for i in range(10)]), 'would unpack to over 1 GB')
    for i in range(10): data = archive(tmp_path/'in'/f'{i}.zip', [('a.zip', data)]).read_bytes()
    (tmp_path/'deep.zip').write_bytes(data)
    refused_archive(tmp_path/'deep.zip', 'there are archives in archives in archives')

def test_number_of_members(tmp_path, monkeypatch):
    "A small tar with 10,000 empty files"
    monkeypatch.setattr('fer_fastai.read._free', 2**24)
    with gzip.open(tmp_path/'many.tar.gz', 'wb') as f: f.write(tarfile.TarInfo('a/b').tobuf()*10_000 + bytes(1024))
    refused_archive(tmp_path/'many.tar.gz', 'would unpack to over 1 GB')

@pytest.mark.parametrize('kind', [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_tar_of_links_and_devices(tmp_path, kind):
    info = tarfile.TarInfo('happy/a.jpg')
    info.type,info.linkname = kind,'/etc/passwd'
    (tmp_path/'a.tar').write_bytes(info.tobuf() + bytes(1024))
    refused_archive(tmp_path/'a.tar', "member 'happy/a.jpg' is a link or a device")

def test_zip_of_links(tmp_path):
    info = zipfile.ZipInfo('happy/a.jpg')
    info.external_attr = 0o120777 << 16
    refused_archive(archive(tmp_path/'a.zip', [(info, '/etc/passwd')]), "member 'happy/a.jpg' is a link or a device")

@pytest.mark.parametrize('kind', [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize('name', ['a.tar', 'a.tar.gz', 'a.gz'])
def test_tar_with_a_long_head(tmp_path, kind, name):
    "A name of 8 GB is not read into memory, whether the zeros are there or only claimed"
    info = tarfile.TarInfo('x')
    info.type,info.size = kind,8*2**30
    data = info.tobuf(tarfile.GNU_FORMAT) + bytes(10**6)
    (tmp_path/name).write_bytes(data if name == 'a.tar' else gzip.compress(data))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused_archive(tmp_path/name, name)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000

@pytest.mark.parametrize('names', [['a', 'a/b'], ['a/b', 'a'], ['x'*300], ['a/' + 'x'*300 + '/b'], ['.']], ids=range(5))
@pytest.mark.parametrize('name', ['a.zip', 'a.tar'])
def test_names_that_can_be_no_file(tmp_path, name, names):
    refused_archive(archive(tmp_path/name, [(o, b'x') for o in names]), 'there can be no file for member')

def test_device_as_data(tmp_path):
    os.mkfifo(tmp_path/'a.csv')
    for o in tmp_path/'a.csv', '/dev/zero': refused(lambda: read_fer(o), 'is a device', seconds=5)
    (tmp_path/'faces'/'happy').mkdir(parents=True)
    os.mkfifo(tmp_path/'faces'/'happy'/'a.jpg')
    refused(lambda: read_fer(tmp_path/'faces'), 'there are no images', seconds=5)
