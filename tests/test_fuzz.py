"""Thousands of broken inputs: each is read, or ends in a `FERError` or in exit code 2 with one line

A few hundred cases by default. The long run: FER_FUZZ=10000 pytest tests/test_fuzz.py"""
import gzip, inspect, io, json, os, random, shutil, subprocess, sys, tarfile, zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from fastcore.script import _run_cli
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

hypothesis = pytest.importorskip('hypothesis')
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from fer_fastai import cli
from fer_fastai.bundle import Bundle
from fer_fastai.core import EMOTIONS, FERError
from fer_fastai.images import open_image
from fer_fastai.predict import FER
from fer_fastai.read import read_fer
from fer_fastai.sample import draw_face

cases = int(os.environ.get('FER_FUZZ', 300))

def share(percent):
    "Settings of a test that takes this part of all cases; a short run has the same cases each time, a long one new ones"
    return settings(max_examples=max(5, cases*percent//100), deadline=None, derandomize=cases <= 300, database=None, phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck))

@pytest.fixture(autouse=True, scope='module')
def place(tmp_path_factory):
    "A folder of its own for the cache and for what is written"
    folder,old = tmp_path_factory.mktemp('fuzz'),Path.cwd()
    with pytest.MonkeyPatch.context() as m:
        m.setenv('FER_FASTAI_CACHE', str(folder/'cache'))
        yield folder
        os.chdir(old)

def fine(f, *args, **kwargs):
    "What `f` gives, None if it raises a `FERError`; anything else that it raises is a fault"
    try: return f(*args, **kwargs)
    except FERError as e:
        message = str(e)
        assert message and len(message) <= 300 and '\n' not in message and 'Traceback' not in message, message

# What is made of bytes

tokens = [b'', b'\0', b'\xff', b'\n', b',', b'"', b' ', b'0', b'-1', b'256', b'nan', b'1e999', b'9'*30, b'\xef\xbb\xbf', b'\xff\xfe', b'happy', b'../', b'PK\3\4',
          b'\x1f\x8b', bytes(8), b'\xff'*8, b'\x7f\xff\xff\xff', b'%s', b'pixels', b'emotion', b'\xe2\x80\xae', b'\xed\xa0\x80']

@st.composite
def mutated(draw, data):
    "A good file with up to eight changes: bytes replaced, inserted, left out, repeated or moved"
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 8))):
        i,n = draw(st.integers(0, max(0, len(data) - 1))),draw(st.sampled_from([1, 1, 2, 4, 16, 1000]))
        new = draw(st.one_of(st.sampled_from(tokens), st.binary(max_size=9)))
        kind = draw(st.integers(0, 4))
        if kind == 0: data[i:i+len(new)] = new
        elif kind == 1: data[i:i] = new
        elif kind == 2: del data[i:i+n]
        elif kind == 3: data[i:i] = data[i:i+n]
        elif draw(st.integers(0, 9)) == 0: del data[i:]
        else: data[i:i+1] = bytes([data[i] ^ 1 << draw(st.integers(0, 7))]) if data else b''
    return bytes(data)

# CSVs

rng = np.random.default_rng(0)
rows = [f'{i%7},{" ".join(map(str, rng.integers(0, 256, 16)))},{["Training", "Training", "PublicTest", "PrivateTest"][i//7]}' for i in range(28)]
csvs = ['\n'.join(['emotion,pixels,Usage', *rows]), '\r\n'.join(['pixels;emotion', *[f'{o.split(",")[1]};{EMOTIONS[i%7]}' for i,o in enumerate(rows)]]),
        '\n'.join([' Usage , "pixels",label', *['{2},"{1}",{0}'.format(*o.split(',')) for o in rows]]), 'image,emotion\na.png,happy\nb.png,sad\n', 'emotion,pixels\n']

options = st.fixed_dictionaries({}, optional=dict(bad=st.sampled_from(['raise', 'skip', 'x']), labels=st.sampled_from(['affectnet', 'x', [None, 'sad'], {}, 3, ['happy']]), groups=st.sampled_from(['(', 'Usage', r'(\d+)', '', 3]),
                                                  emotions=st.sampled_from(['happy', ['happy', 'sad'], [], ['x'], [3]]), seed=st.sampled_from([0, -1, 2**70, .5, 'a']), valid_pct=st.sampled_from([.5, 0, 1, float('nan'), 'a', 1e-9]),
                                                  protocol=st.sampled_from(['official', 'public+private', ''])))

@share(20)
@given(st.sampled_from([o.encode() for o in csvs]).flatmap(mutated), options, st.sampled_from(['a.csv', 'a.tsv', 'a.txt', 'a', 'train.csv', 'a.parquet', 'a.zip']))
def test_csv(place, data, kwargs, name):
    (place/name).write_bytes(data)
    fine(read_fer, place/name, **kwargs)

# Folders

def picture(kind, mode='L', size=(12, 10), seed=0, **kwargs):
    file = io.BytesIO()
    draw_face('happy', seed, size=48, mode='RGB' if mode != 'L' else 'L').resize(size).convert(mode).save(file, kind, **kwargs)
    return file.getvalue()

names = st.sampled_from('happy sad Angry fear train test valid Training_1 0 1 7 images labels annotations a b 01_happy .git __MACOSX é \udcff happy.zip x'.split() + ['two words', 'a\nb', '\x1b[2J', 'n'*200, '-', '%s'])
files = st.sampled_from(['a.jpg', 'b.png', 'c.JPG', 'happy_1.jpg', 'PublicTest_1.png', 'labels.csv', 'metadata.jsonl', 'data.yaml', 'a.txt', '1_exp.npy', 'fer2013new.csv', 'classes.txt', 'a.zip', 'a.parquet', 'list_patition_label.txt', '.a.jpg', '\udcff.jpg', 'happy\udcff.png'])
contents = st.one_of(st.sampled_from([picture('png', seed=i) for i in range(5)] + [picture('jpeg', 'RGB')]), st.sampled_from([b'', b'happy\n', b'a.jpg happy\nb.png sad\n', b'a.jpg,happy\n', b'file,emotion\na.jpg,happy\n', b'0 .5 .5 1 1\n', b'names: [happy, sad]\n',
                     b'{"file_name": "a.jpg", "label": "happy"}\n', b'version https://git-lfs.github.com/spec/v1\n']), st.binary(max_size=40))
links = st.sampled_from(['.', '..', 'nothing', '/dev/zero', '/dev/null', 'a.jpg'])

@share(10)
@given(st.lists(st.tuples(st.lists(names, max_size=3), files, st.one_of(contents, contents, contents, links)), max_size=14), options)
def test_tree(place, tree, kwargs):
    root = place/'tree'
    shutil.rmtree(root, ignore_errors=True)
    for folders,name,data in [([], 'z.txt', b''), *tree]:
        path = root.joinpath(*folders, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data) if isinstance(data, bytes) else path.symlink_to(data)
        except OSError: pass # two things of one name
    fine(read_fer, root, **kwargs)

# Archives

def packed(kind):
    file = io.BytesIO()
    if kind == 'zip':
        with zipfile.ZipFile(file, 'w') as z:
            for i in range(4): z.writestr(f'{EMOTIONS[3 + i%2]}/{i}.png', picture('png', seed=i))
    else:
        with tarfile.open(fileobj=file, mode='w:gz' if kind == 'tgz' else 'w', format=tarfile.PAX_FORMAT) as t:
            for i in range(4):
                info = tarfile.TarInfo(f'{EMOTIONS[3 + i%2]}/{"é"*i*40}{i}.png')
                info.size = len(data := picture('png', seed=i))
                t.addfile(info, io.BytesIO(data))
    return file.getvalue()

@share(8)
@given(st.sampled_from(['zip', 'tar', 'tgz']).flatmap(lambda k: st.tuples(st.just(k), mutated(packed(k)))), st.sampled_from(['a.zip', 'a.tar', 'a.gz', 'a', 'a.csv.gz']), options)
def test_archive(place, made, name, kwargs):
    kind,data = made
    (place/name).write_bytes(gzip.compress(data, 1) if kind == 'tar' and 'gz' in name else data)
    fine(read_fer, place/name, **kwargs)
    assert {o.name for o in place.iterdir()} <= {'cache', 'tree', 'model', 'in', *'a.zip a.tar a.gz a a.csv.gz a.csv a.tsv a.txt train.csv a.parquet'.split()}

# Pictures

frames = [Image.new('L', (12, 10), i) for i in (0, 99)]
exif = Image.Exif()
exif[0x0112] = 6
pictures = [picture('jpeg', 'RGB', exif=exif), picture('jpeg', quality=20), picture('jpeg', 'CMYK'), picture('jpeg', 'RGB', progressive=True), picture('png'), picture('png', 'RGBA'), picture('png', 'P'), picture('png', 'I;16'), picture('png', '1'),
            picture('gif'), picture('gif', save_all=True, append_images=frames), picture('tiff'), picture('tiff', 'RGB', compression='tiff_lzw'), picture('tiff', 'RGB', compression='jpeg'), picture('tiff', 'F'), picture('tiff', 'L', compression='tiff_deflate', save_all=True, append_images=frames),
            picture('webp', 'RGB'), picture('webp', 'RGBA', lossless=True), picture('webp', 'RGB', save_all=True, append_images=frames), picture('bmp', 'RGB'), picture('ppm', 'RGB'), picture('jpeg2000', 'RGB'), picture('avif', 'RGB') if 'AVIF' in Image.SAVE else picture('bmp')]

@pytest.fixture(scope='module')
def fer(place): return FER(detector='haar', threads=1)

@share(25)
@given(data=st.sampled_from(pictures).flatmap(mutated))
@pytest.mark.filterwarnings('ignore')
def test_picture(fer, data):
    img = fine(open_image, data)
    assert img is None or img.mode in ('L', 'RGB') and 0 not in img.size
    if img is not None and max(img.size) < 500: fine(fer, data, faces='crop')

# Bundles

def conv(name, *shape): return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
def node(kind, takes, gives, **kwargs): return helper.make_node(kind, takes.split(), gives.split(), **kwargs)

def small_net():
    "A network with what exported ones have: sizes that are computed, a Resize, a Range, convolutions"
    i64 = lambda name, *v: numpy_helper.from_array(np.array(v, np.int64), name)
    nodes = [node('Shape', 'image', 's', end=2), node('Concat', 's side', 'to', axis=0), node('Resize', 'image   to', 'big', mode='linear'), node('Conv', 'big w b', 'c', kernel_shape=[3, 3], strides=[2, 2]), node('Relu', 'c', 'r'),
             node('GlobalAveragePool', 'r', 'p'), node('Shape', 'p', 'n', end=1), node('Concat', 'n rest', 'flat', axis=0), node('Reshape', 'p flat', 'f'), node('Squeeze', 'n', 'n0'), node('Range', 'zero n0 one', 'rows'), node('Gather', 'f rows', 'g'),
             node('Gemm', 'g W B', 'logits'), node('Softmax', 'logits', 'probs', axis=1)]
    nodes[2].input[:] = ['image', '', '', 'to']
    tensors = [i64('side', 24, 24), conv('w', 4, 1, 3, 3), conv('b', 4), i64('rest', 4), numpy_helper.from_array(np.array(0), 'zero'), numpy_helper.from_array(np.array(1), 'one'), conv('W', 4, 7), conv('B', 7)]
    value = lambda name, *dims: helper.make_tensor_value_info(name, 1, dims)
    graph = helper.make_graph(nodes, 'g', [value('image', 'n', 1, 48, 48)], [value('probs', 'n', 7)], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9)

net,config = small_net(),{**Bundle().config, 'files': {}}
weights = None

@pytest.fixture(scope='module')
def bundle(place):
    "A small bundle, whose parts the tests replace"
    from safetensors.numpy import save_file
    (place/'model').mkdir()
    (place/'model'/'model.onnx').write_bytes(net.SerializeToString())
    (place/'model'/'config.json').write_text(json.dumps(config))
    save_file(dict(a=np.ones((2, 3), np.float32), b=np.ones(4, np.float16)), place/'model'/'model.safetensors')
    assert FER(place/'model').probs(np.zeros((3, 48, 48), np.uint8)).shape == (3, 7)
    return place/'model'

values = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.sampled_from([2**31, 10**400, -1, 1e300, '../x', '/etc/passwd', 'L', 'happy', '0'*64, 'fer48', '\x1b[2J', '\ud800', 'x'*10_000])),
                      lambda o: st.one_of(st.lists(o, max_size=4), st.dictionaries(st.sampled_from([*config, 'size', 'mode', 'arch', 'n_out', 'head', '../a', 'x', '']), o, max_size=4)), max_leaves=6)

@st.composite
def changed(draw, obj):
    "A good config with a few of its values, at any depth, replaced or left out"
    obj = json.loads(json.dumps(obj))
    for _ in range(draw(st.integers(1, 3))):
        at = obj
        while True:
            keys = list(at) if isinstance(at, dict) else range(len(at))
            if not keys: break
            k = draw(st.sampled_from(list(keys)))
            if isinstance(at[k], (dict, list)) and at[k] and draw(st.booleans()): at = at[k]
            else: break
        if keys and draw(st.integers(0, 4)): at[k] = draw(values)
        elif keys: del at[k]
    return obj

few = {k: config[k] for k in ('format', 'labels', 'model', 'preprocess', 'temperature', 'files')}

@share(14)
@given(st.one_of(changed(few).map(lambda o: json.dumps(o).encode()), changed(few).map(lambda o: json.dumps(o).encode()), mutated(json.dumps(few).encode())))
def test_config(bundle, data):
    (bundle/'config.json').write_bytes(data)
    b = fine(Bundle, bundle)
    if b:
        for o in 'onnx', 'weights', 'model_args': fine(getattr, b, o)
        if f := fine(FER, b, 'haar', 1): fine(f.probs, np.zeros((2, 48, 48), np.uint8))

@st.composite
def edited(draw):
    "The small network with a few fields of its graph changed"
    m = onnx.ModelProto()
    m.CopyFrom(net)
    size = st.sampled_from([0, 1, -1, 2, 3, 7, 48, 2**20, 2**31, 2**62, -2**63])
    for _ in range(draw(st.integers(1, 4))):
        kind,g = draw(st.integers(0, 8)),m.graph
        o,t = draw(st.sampled_from(list(g.node) or [helper.make_node('Relu', ['image'], ['x'])])),draw(st.sampled_from(list(g.initializer) or [TensorProto()]))
        if kind == 0: o.op_type = draw(st.sampled_from('Loop If Scan ConstantOfShape Expand Tile Range Pad MatMul Add Concat Identity Cast Reshape NonZero RandomNormal EyeLike OneHot GridSample Exec Attention Shape Size Where Slice Split'.split() + ['']))
        elif kind == 1 and o.input: o.input[draw(st.integers(0, len(o.input) - 1))] = draw(st.sampled_from(['image', 'w', 'to', 's', 'nothing', '', 'probs', 'g', 'side']))
        elif kind == 2 and o.output: o.output[0] = draw(st.sampled_from(['image', 'probs', '', 'w', 'x']))
        elif kind == 3 and o.attribute: draw(st.sampled_from(list(o.attribute))).i = draw(size)
        elif kind == 4 and o.attribute and (a := draw(st.sampled_from(list(o.attribute)))).ints: a.ints[0] = draw(size)
        elif kind == 5:
            dims = draw(st.lists(size, max_size=4))
            del t.dims[:]
            t.dims.extend(dims)
        elif kind == 6: t.CopyFrom(numpy_helper.from_array(np.array(draw(st.lists(st.sampled_from([0, 1, -1, 24, 2**20, 2**40]), max_size=4)), np.int64), t.name))
        elif kind == 7: t.data_type = draw(st.integers(0, 25))
        else: g.node.remove(o) if o in g.node else None
    return m.SerializeToString()

@share(12)
@given(st.one_of(edited(), edited(), mutated(net.SerializeToString())))
def test_onnx(bundle, data):
    (bundle/'config.json').write_text(json.dumps(few))
    (bundle/'model.onnx').write_bytes(data)
    f = fine(FER, bundle, 'haar', 1)
    if f: fine(f.probs, np.zeros((3, 48, 48), np.uint8))

@share(5)
@given(st.data())
def test_safetensors(bundle, data):
    global weights
    (bundle/'config.json').write_text(json.dumps(few))
    weights = weights or (bundle/'model.safetensors').read_bytes()
    (bundle/'model.safetensors').write_bytes(data.draw(mutated(weights)))
    path = fine(lambda: Bundle(bundle).weights)
    if path:
        from safetensors.numpy import load_file
        load_file(path)

# Commands

words = st.one_of(st.sampled_from(['', '0', '1', '-1', '2**9', '1e400', 'nan', 'inf', '.5', '9'*30, 'x', 'happy,sad', ',', '..', '.', 'in', 'in/faces', 'in/a.csv', 'in/photo.jpg', 'in/clip.avi', 'in/model', 'in/none', 'out.csv', 'out.parquet', 'out.mp4', 'out.png', 'out', 'new/a/b.csv', 'sample',
    'yunet', 'haar', 'crop', 'detect', 'raise', 'skip', 'fer48', 'fer49', 'cnn6', 'affectnet', 'é', '\udcff', 'n'*300, '{"ema": 3}', '{"ema"', '[]', '{"x": 1}', '{"epochs": null}', 'yes', 'no', 'true', '(', '%s', '-', '--', '/dev/null', '/dev/zero', 'in/fifo', '~', '~nobody/x', '\x1b[2J', 'a\nb']), st.text(st.characters(exclude_characters='\0'), max_size=5))

commands = [o for o in (cli.fer_train, cli.fer_predict, cli.fer_video, cli.fer_data, cli.fer_audit, cli.fer_app)]

@st.composite
def lines(draw, commands=commands):
    "A command and its arguments"
    cmd = draw(st.sampled_from(commands))
    known = [f'--{k.replace("_", "-")}' for k in inspect.signature(cmd).parameters if k not in ('fetch', 'share', 'browser')]
    args = draw(st.lists(words, max_size=2))
    for o in draw(st.lists(st.sampled_from([*known, '--nothing', '--h']), max_size=4)): args += [o] + draw(st.lists(words, max_size=1))
    return cmd,args

@pytest.fixture(scope='module')
def desk(place):
    "A folder with a little of everything, in which the commands work; what would train or open a page stops just before"
    import cv2
    folder = place/'in'
    (folder/'faces').mkdir(parents=True)
    (folder/'a.csv').write_text(csvs[0])
    (folder/'photo.jpg').write_bytes(picture('jpeg', 'RGB', (120, 100)))
    shutil.copytree(Bundle().path, folder/'model')
    for i in range(28):
        to = folder/'faces'/EMOTIONS[i%7]/f'{i}.png'
        to.parent.mkdir(exist_ok=True)
        to.write_bytes(picture('png', seed=i))
    video = cv2.VideoWriter(str(folder/'clip.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 5, (64, 64))
    for i in range(3): video.write(np.full((64, 64, 3), 80*i, np.uint8))
    video.release()
    os.mkfifo(folder/'fifo')
    train = pytest.importorskip('fer_fastai.train')
    def stop(*args, **kwargs): raise FERError('it would begin now')
    with pytest.MonkeyPatch.context() as m:
        m.setattr(train.Run, 'fit', stop)
        try: import gradio
        except ImportError: pass
        else: m.setattr(gradio.Blocks, 'launch', stop)
        m.setattr('cv2.VideoCapture', careful(cv2.VideoCapture))
        yield folder

def careful(capture): return lambda source, *args: capture(source if str(source).startswith('/') or Path(str(source)).is_file() else 'nothing.avi', *args) # no camera, no network

def end(code, err):
    "Success; or exit code 2 with one line, after the usage if an option is unknown"
    assert 'Traceback' not in err, err
    if code in (0, None): return
    assert code == 2, (code, err)
    said = [o for o in err.splitlines() if not o.startswith('warning: ')]
    if said and said[0].startswith('usage: '): said = said[-1:]
    assert len(said) == 1 and 'error: ' in said[0], err

@share(6)
@given(lines())
def test_command(desk, capsys, line):
    cmd,args = line
    work = desk.parent/'work'
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    (work/'in').symlink_to(desk)
    os.chdir(work)
    with pytest.MonkeyPatch.context() as m:
        m.setattr(sys, 'argv', [cmd.__name__, *args])
        try: code = _run_cli(cmd.__wrapped__, False, inspect.getclosurevars(cmd).nonlocals.get('pos'))
        except SystemExit as e: code = e.code
    end(code, capsys.readouterr().err)
    assert Path('/dev/null').is_char_device() and (desk/'fifo').is_fifo()

@settings(max_examples=4 if cases <= 300 else 40, deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(line=lines([cli.fer_predict, cli.fer_video, cli.fer_data]))
def test_command_in_a_process(desk, line):
    "The same through the installed command"
    cmd,args = line
    got = subprocess.run([Path(sys.executable).parent/cmd.__name__, *args, *['in/none']*(not args)], cwd=desk.parent, capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    end(got.returncode, got.stderr.decode(errors='replace'))
