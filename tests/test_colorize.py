"The colour step against a real server that misbehaves, a real SIGKILL and real files: nothing is lost, made twice or given away"
import io, json, os, pickle, shutil, signal, ssl, subprocess, sys, threading, time, traceback
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from fer_fastai.colorize import DeepAIColorizer, colorize_fer, find_colorizer, tone
from fer_fastai.core import FERError
from fer_fastai.data import FERData
from fer_fastai.read import read_fer

key = 'quick-brown-fox-0815'
gray = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8))

@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv('FER_FASTAI_CACHE', str(tmp_path/'cache'))
    monkeypatch.setenv('DEEPAI_API_KEY', key)
    monkeypatch.setenv('NO_PROXY', '127.0.0.1,localhost')

@pytest.fixture(scope='module')
def data(tmp_path_factory):
    with pytest.MonkeyPatch.context() as m:
        m.setenv('FER_FASTAI_CACHE', str(tmp_path_factory.mktemp('sample')))
        data = read_fer('sample')
    return data.subset(np.concatenate([data.idxs(o)[:n] for o,n in (('train', 14), ('valid', 3), ('test', 3))]))

# A service that speaks as DeepAI's does

class Service(ThreadingHTTPServer):
    "Answers the posts by `plan`, one after the other and then by 'good', and writes down each request with its headers"
    def __init__(self, plan=(), scheme='http', address='{}/result/{}'):
        super().__init__(('127.0.0.1', 0), Handler)
        self.base,self.plan,self.address = f'{scheme}://127.0.0.1:{self.server_port}',list(plan),address
        self.requests,self.done,self.lock,self.leave = [],{},threading.Lock(),threading.Event()
    def handle_error(self, request, address): pass # a client that has gone away
    @property
    def posts(self): return [o for o in self.requests if o['method'] == 'POST']
    @property
    def gets(self): return [o for o in self.requests if o['method'] == 'GET']

class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args): pass

    def note(self):
        note = dict(method=self.command, path=self.path, headers=dict(self.headers), time=time.monotonic())
        with self.server.lock: self.server.requests.append(note)

    def answer(self, status, body=b'', **headers):
        self.send_response(status)
        for k,v in {**headers, 'Content-Length': str(len(body))}.items(): self.send_header(k.replace('_', '-'), v)
        self.end_headers()
        self.wfile.write(body)

    def colour(self, form):
        "What 'good' does: paint by `tone`, and name the address"
        png = io.BytesIO()
        tone(Image.open(io.BytesIO(form[form.index(b'\x89PNG'):]))).save(png, 'PNG')
        with self.server.lock:
            n = len(self.server.done)
            self.server.done[f'/result/{n}'] = png.getvalue()
        return json.dumps({'id': str(n), 'output_url': self.server.address.format(self.server.base, n)}).encode()

    def do_POST(self):
        self.note()
        form = self.rfile.read(int(self.headers['Content-Length']))
        assert b'name="image"; filename=' in form
        with self.server.lock: step = self.server.plan.pop(0) if self.server.plan else 'good'
        if self.headers['api-key'] != key: step = 401
        if step == 'sleep': self.server.leave.wait(20)
        elif step == 'hang up': self.connection.close()
        elif isinstance(step, bytes): self.answer(200, step)
        elif isinstance(step, int): self.answer(step, f'{{"err": "what is {self.headers["api-key"]}?"}}'.encode()) # it blurts out the key
        elif isinstance(step, tuple): self.answer(step[0], **step[1])
        else: self.answer(200, self.colour(form))

    def do_GET(self):
        self.note()
        if self.path in self.server.done: self.answer(200, self.server.done[self.path])
        elif self.path.startswith('/moved'): self.answer(302, Location=self.path.split('?to=')[1])
        elif self.path.startswith('/broken'): self.answer(200, next(iter(self.server.done.values()))[:200])
        else: self.answer(404)

@pytest.fixture
def serve():
    "Starts services, and checks at the end that none of them got the key but with a post"
    running = []
    def start(plan=(), tls=None, **kwargs):
        service = Service(plan, scheme='https' if tls else 'http', **kwargs)
        if tls: service.socket = tls.wrap_socket(service.socket, server_side=True)
        running.append(service)
        threading.Thread(target=service.serve_forever, daemon=True).start()
        return service
    yield start
    for o in running:
        o.leave.set()
        o.shutdown()
        o.server_close()
        for get in o.gets: assert key not in str(get)

def paint(service, **kwargs): return DeepAIColorizer(service.base + '/api/colorizer', **{**dict(timeout=5, retries=2, rate=100), **kwargs})

def told(error):
    "All that an error may show: its own text, and that of those that led to it"
    return ''.join(traceback.format_exception(error)) + str([vars(o) for o in (error, error.__cause__, error.__context__) if o])

def refused(service, *fragments, **kwargs):
    with pytest.raises(FERError) as e: paint(service, **kwargs)(gray)
    for o in fragments: assert o in str(e.value)
    assert '\n' not in str(e.value) and key not in told(e.value) and e.value.__context__ is None
    return e.value

def same(img, want): np.testing.assert_array_equal(np.asarray(img), np.asarray(want))

def nowhere(text, folder):
    "No file under the folder and no name has the text"
    for o in folder.rglob('*'): assert text not in str(o) and not (o.is_file() and text.encode() in o.read_bytes())

# One image

def test_good(serve):
    service = serve()
    same(paint(service)(gray), tone(gray))
    post,get = service.requests
    assert post['headers']['api-key'] == key and post['path'] == '/api/colorizer' and get['path'] == '/result/0'
    assert 'api-key' not in {o.lower() for o in get['headers']}

again = {
    '429 with seconds': ((429, dict(Retry_After='1')), 1),
    '429 with a date': (lambda: (429, dict(Retry_After=formatdate(time.time() + 2, usegmt=True))), .9),
    '429 with nonsense': ((429, dict(Retry_After='soon')), 1),
    '500': (500, 1),
    '503 with seconds': ((503, dict(Retry_After='1')), 1),
    'no answer in time': ('sleep', 1),
    'hung up': ('hang up', 1),
}

@pytest.mark.parametrize('step,wait', again.values(), ids=again)
def test_again(serve, step, wait):
    service = serve([step() if callable(step) else step])
    same(paint(service, timeout=.5 if step == 'sleep' else 5)(gray), tone(gray))
    first,second = service.posts
    assert wait <= second['time'] - first['time'] < wait + 2

def test_pauses_grow(serve):
    service = serve([500, 502])
    same(paint(service)(gray), tone(gray))
    a,b,c = [o['time'] for o in service.posts]
    assert 1 <= b - a < 2 <= c - b < 3

never = {
    '500': ([500]*2, dict(retries=1), ['answers 500, 2 times'], 2),
    'time-out': (['sleep'], dict(retries=0, timeout=.3), ['gives no answer (ReadTimeout), 1 times'], 1),
    '400': ([400], {}, ['answers 400'], 1),
    '401': ([401], {}, ['refuses the key in DEEPAI_API_KEY (401)'], 1),
    '402': ([402], {}, ['DEEPAI_API_KEY (402)', 'paid'], 1),
    '403': ([403], {}, ['DEEPAI_API_KEY (403)'], 1),
    'tomorrow': ([(429, dict(Retry_After='40000'))], {}, ['answers 429 and asks to wait more than 5 minutes', 'what is done is kept'], 1),
    'no JSON': ([b'<html>'], {}, ['without an output_url that begins with http'], 1),
    'no address': ([b'{"id": "1"}'], {}, ['without an output_url'], 1),
    'a list': ([b'[]'], {}, ['without an output_url'], 1),
    'null': ([b'{"output_url": null}'], {}, ['without an output_url'], 1),
    'a number': ([b'{"output_url": 7}'], {}, ['without an output_url'], 1),
    'a file': ([b'{"output_url": "file:///etc/passwd"}'], {}, ['without an output_url'], 1),
    'ftp': ([b'{"output_url": "ftp://127.0.0.1/a.png"}'], {}, ['without an output_url'], 1),
    'brackets': ([b'{"output_url": "http://[%s"}' % key.encode()], {}, ['without an output_url'], 1),
}

@pytest.mark.parametrize('plan,kwargs,fragments,n', never.values(), ids=never)
def test_never(serve, plan, kwargs, fragments, n):
    service = serve(plan)
    refused(service, f'127.0.0.1:{service.server_port} ', *fragments, **kwargs)
    assert len(service.posts) == n and not service.gets

def test_nobody_there(serve):
    service = serve()
    service.shutdown()
    service.server_close()
    refused(service, 'gives no answer (ConnectionError), 1 times', retries=0)

def test_result(serve):
    refused(serve(address='{}/none/{}'), 'the address of the result answers 404')
    refused(serve(address='{}/broken/{}'), 'is no image, or a damaged one')
    there = serve()
    there.done['/photo'] = b'no image'
    refused(serve(address=f'{there.base}/photo'), 'is no image')
    png = io.BytesIO()
    Image.new('RGBA', (48, 48)).save(png, 'PNG')
    there.done['/clear'] = png.getvalue()
    same(paint(serve(address=f'{there.base}/clear'))(gray), Image.new('RGB', (48, 48), 'white')) # what is transparent, as on paper
    assert [o['path'] for o in there.gets] == ['/photo', '/clear'] # which `serve` searches for the key

def test_key_does_not_follow(serve):
    "Neither a redirect nor an address of the result brings the key to another computer"
    there = serve()
    refused(serve([(307, dict(Location=there.base + '/api/colorizer'))]), 'answers 307')
    assert not there.requests
    here = serve(address='{}/moved/{}?to=' + there.base + '/photo')
    png = io.BytesIO()
    tone(gray).save(png, 'PNG')
    there.done['/photo'] = png.getvalue()
    same(paint(here)(gray), tone(gray))
    assert len(there.gets) == 1 and key not in str(there.requests)

def test_rate(serve):
    "Requests are told apart in time, over all threads"
    service = serve()
    colorizer = paint(service, rate=20)
    threads = [threading.Thread(target=colorizer, args=(gray,)) for _ in range(5)]
    for o in threads: o.start()
    for o in threads: o.join()
    times = sorted(o['time'] for o in service.requests)
    assert len(times) == 10 and times[-1] - times[0] >= 9/20 - .05

def test_pause_is_for_all(serve):
    "Where the service asks one thread for a pause, the others make it, too"
    service = serve([(429, dict(Retry_After='1'))])
    colorizer = paint(service)
    first = threading.Thread(target=colorizer, args=(gray,))
    first.start()
    while not service.requests: time.sleep(.01)
    time.sleep(.2)
    colorizer(gray)
    first.join()
    assert all(o['time'] - service.requests[0]['time'] >= .95 for o in service.requests[1:])

@pytest.fixture(scope='module')
def tls(tmp_path_factory):
    "A server's side of https for 127.0.0.1, and the file that makes a client trust it"
    if not shutil.which('openssl'): pytest.skip('there is no openssl to make a certificate with')
    folder = tmp_path_factory.mktemp('tls')
    name = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
    make = ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', *name]
    subprocess.run([*make, '-keyout', folder/'key.pem', '-out', folder/'cert.pem'], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder/'cert.pem', folder/'key.pem')
    return context,str(folder/'cert.pem')

def test_https_stays_https(serve, tls, monkeypatch):
    context,cert = tls
    refused(serve(tls=context), '(SSLError)', retries=0) # nobody vouches for it
    monkeypatch.setenv('REQUESTS_CA_BUNDLE', cert)
    same(paint(serve(tls=context))(gray), tone(gray))
    plain = serve()
    refused(serve(tls=context, address=plain.base + '/photo'), 'without an output_url that begins with https')
    refused(serve(tls=context, address='{}/moved/{}?to=' + plain.base + '/photo'), 'gives no answer (InvalidSchema)', retries=0)
    assert not plain.requests

none = [(None, 'is not set'), ('  ', 'is not set'),
        (f'{key} {key}', 'holds blanks'), (f'{key}\n{key}', 'holds blanks'), (f'{key}é', 'holds blanks or characters')]

@pytest.mark.parametrize('value,text', none)
def test_key_that_is_none(serve, monkeypatch, value, text):
    if value is None: monkeypatch.delenv('DEEPAI_API_KEY')
    else: monkeypatch.setenv('DEEPAI_API_KEY', value)
    service = serve()
    refused(service, 'DEEPAI_API_KEY ' + text)
    assert not service.requests

def test_key_with_a_line_end(serve, monkeypatch):
    monkeypatch.setenv('DEEPAI_API_KEY', key + '\n')
    same(paint(serve())(gray), tone(gray))

def test_key_is_nowhere(serve):
    colorizer = paint(serve())
    colorizer(gray)
    for o in (repr(colorizer), str(vars(colorizer)), pickle.dumps(colorizer), colorizer.identity): assert key not in str(o)
    assert pickle.loads(pickle.dumps(colorizer)) == colorizer

# A data set

def test_service_that_stumbles(serve, data, tmp_path, capsys):
    "A run over a bad line: what is answered by 400 is told and made by the next call, all else is there"
    service = serve(['good', 500, (429, dict(Retry_After='1')), 400, 'hang up', b'{}'])
    some = colorize_fer(data, paint(service), tmp_path/'web', n_workers=4)
    out = capsys.readouterr()
    assert len(some.problems) == 2 and f'DeepAIColorizer: 2 of {len(data)} images stay gray, such as sample:' in out.out
    assert {o.split(' ', 1)[1] for o in some.problems.reason} == {'answers 400', 'answers without an output_url that begins with http or https'}
    stay = set(some.problems.name)
    for i,o in enumerate(data.df.name): same(some.image(i), data.image(i).convert('RGB') if o in stay else tone(data.image(i)))
    n = len(service.posts)
    whole = colorize_fer(data, paint(service), tmp_path/'web')
    assert len(service.posts) == n + 2 and not len(whole.problems) and not list((tmp_path/'web'/'gray').iterdir())
    for i in range(len(data)): same(whole.image(i), tone(data.image(i)))
    colorize_fer(data, paint(service), tmp_path/'web')
    assert len(service.posts) == n + 2
    out = out.out + out.err + ''.join(capsys.readouterr()) + str(some.problems.values)
    assert key not in out
    nowhere(key, tmp_path)

@pytest.mark.parametrize('status', [401, 403])
def test_refused_at_once(serve, data, tmp_path, status):
    service = serve([status])
    with pytest.raises(FERError, match=rf'refuses the key in DEEPAI_API_KEY \({status}\)'): colorize_fer(data, paint(service), tmp_path/'web')
    assert len(service.requests) == 1 and not (tmp_path/'web').exists()

def test_refused_in_the_middle(serve, data, tmp_path):
    "Credits that are used up stop the run; what is done is kept, and nothing is asked for twice"
    service = serve(['good']*5 + [402]*99)
    with pytest.raises(FERError, match='used up'): colorize_fer(data, paint(service, rate=20), tmp_path/'web', n_workers=2)
    done = len([o for o in (tmp_path/'web').rglob('*.png')])
    assert done == 5 and len(service.posts) <= 5 + 2*2 # each thread may have begun another one
    service.plan,n = [],len(service.posts)
    assert not len(colorize_fer(data, paint(service), tmp_path/'web').problems)
    assert len(service.posts) - n == len(data) - 5

def test_no_key(data, tmp_path, monkeypatch):
    monkeypatch.delenv('DEEPAI_API_KEY')
    with pytest.raises(FERError, match="use colorize='tone'"): colorize_fer(data, 'deepai', tmp_path/'web')
    assert not (tmp_path/'web').exists()

def test_down_in_the_middle(serve, data, tmp_path):
    "A service that goes away is not asked for all the others"
    service = serve(['good']*3 + [500]*99)
    with pytest.raises(FERError, match='10 images in a row failed, the last one by: 127.0.0.1:.* answers 500, 1 times; what is done is kept'):
        colorize_fer(data, paint(service, retries=0), tmp_path/'web', n_workers=1)
    assert len(service.posts) <= 3 + 10 + 1
    service.plan = []
    assert not len(colorize_fer(data, paint(service), tmp_path/'web').problems)

def test_bad_ones_do_not_block(data, tmp_path):
    "More than ten images that never work: the run ends, and so does the next"
    bad = {data.images[i].tobytes() for i in range(3, 15)}
    calls = []
    def some(img):
        calls.append(img)
        if img.tobytes() in bad: raise RuntimeError('not this one')
        return tone(img)
    some.identity = 'some'
    order = data.subset([3, 0, 4, 1, 5, 2, 6, 15, 7, 16, 8, 17, 9, 18, 10, 19, 11, 12, 13, 14])
    assert len(colorize_fer(order, some, tmp_path/'a', n_workers=1).problems) == 12 and len(calls) == 20
    assert len(colorize_fer(order, some, tmp_path/'a', n_workers=1).problems) == 12 and len(calls) == 32

def test_bug_goes_through(data, tmp_path):
    "A mistake in the program is no image that failed"
    calls = []
    def bug(img):
        calls.append(img)
        return tone(img) if len(calls) < 4 else img.no_such_method()
    bug.identity = 'bug'
    with pytest.raises(AttributeError, match='no_such_method'): colorize_fer(data, bug, tmp_path/'a', n_workers=1)
    assert len(list((tmp_path/'a').rglob('*.png'))) == 3 and not (tmp_path/'a'/'gray').exists()

wrong = {
    'gray': (lambda o: o, 'an image of mode L and 48x48 pixels for a gray one of 48x48'),
    'RGBA': (lambda o: o.convert('RGBA'), 'an image of mode RGBA and 48x48'),
    'stretched': (lambda o: tone(o).resize((96, 48)), 'an image of mode RGB and 96x48'),
    'array': (lambda o: np.asarray(tone(o)), 'gives ndarray for'),
    'nothing': (lambda o: None, 'gives NoneType for'),
}

@pytest.mark.parametrize('colorizer,text', wrong.values(), ids=wrong)
def test_wrong_result(data, tmp_path, colorizer, text):
    with pytest.raises(FERError, match=f'the colorizer <lambda> .*{text}.*: it must give a Pillow image of mode RGB with the same proportions'):
        colorize_fer(data, colorizer, tmp_path/'a')
    assert not (tmp_path/'a').exists()

def test_photos(tmp_path):
    "Files of any mode, size and proportions, and a colorizer that enlarges"
    rng = np.random.default_rng(0)
    for i,(mode,size) in enumerate([('RGB', (60, 40)), ('L', (33, 50)), ('RGBA', (48, 48)), ('RGB', (97, 61))]*2):
        to = tmp_path/'photos'/('train' if i < 4 else 'test')/('happy' if i%2 else 'sad')/f'{i}.png'
        to.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size[::-1], 4), dtype=np.uint8)).convert(mode).resize(size).save(to)
    photos = read_fer(tmp_path/'photos', valid_pct=.3)
    assert photos.images is None
    seen = []
    def double(img):
        seen.append(img.mode)
        return tone(img).resize((img.width*3//2, img.height*3//2))
    double.identity = 'double'
    color = colorize_fer(photos, double, tmp_path/'color')
    assert set(seen) == {'L'} and color.df.equals(photos.df) and color.vocab == photos.vocab and color.source == photos.source
    for i in range(len(photos)): same(color.image(i), double(photos.image(i).convert('L')))

def test_gray_of_any_kind(tmp_path):
    "A colorizer gets the grays that a predictor would see: 16 bits are not cut off, and what is transparent is white"
    a = np.asarray(gray)
    files = [tmp_path/f'{o}.png' for o in ('bits16', 'clear')]
    Image.fromarray(np.uint16(a)*257).save(files[0])
    Image.new('RGBA', (48, 48)).save(files[1])
    color = colorize_fer(FERData(pd.DataFrame(dict(emotion='happy', split='train', name=['a', 'b'])), paths=files), 'tone', tmp_path/'color')
    same(color.image(0), tone(gray))
    same(color.image(1), Image.new('RGB', (48, 48), 'white'))

def test_problems_are_kept(tmp_path):
    use = ['Training']*4 + ['PublicTest', 'PrivateTest']
    rows = [f'{i%2},' + ' '.join(['7']*2304) + f',{o}' for i,o in enumerate(use)]
    (tmp_path/'a.csv').write_text('\n'.join(['emotion,pixels,Usage', *rows, '9,1 2,Training']))
    data = read_fer(tmp_path/'a.csv', bad='skip', protocol='public+private')
    calls = []
    def second(img):
        calls.append(img)
        if len(calls) == 2: raise ValueError('too\n dark')
        return tone(img)
    second.identity = 'second'
    color = colorize_fer(data, second, n_workers=1)
    assert color.problems.name.tolist() == ['a.csv:8', 'a.csv:3'] and color.problems.reason[1] == 'ValueError: too dark'
    assert color.protocol == 'public+private' and Path(color.paths[0]).is_relative_to(tmp_path/'cache')

def test_folders_are_not_mixed(data, tmp_path):
    colorize_fer(data, 'tone', tmp_path/'a')
    before = {o: o.stat().st_mtime_ns for o in (tmp_path/'a').rglob('*')}
    def other(img): return ImageOps.invert(img).convert('RGB')
    for args in ((data, other), (data.subset(np.arange(19)), 'tone')):
        with pytest.raises(FERError, match='holds colours of .*: give a new folder'): colorize_fer(*args, tmp_path/'a')
    (tmp_path/'file').touch()
    (tmp_path/'mine').mkdir()
    (tmp_path/'mine'/'photo.png').touch()
    with pytest.raises(FERError, match='is a file'): colorize_fer(data, 'tone', tmp_path/'file')
    with pytest.raises(FERError, match='holds other things'): colorize_fer(data, 'tone', tmp_path/'mine')
    assert {o: o.stat().st_mtime_ns for o in (tmp_path/'a').rglob('*')} == before

def test_names(tmp_path):
    assert find_colorizer('tone') is tone and find_colorizer('deepai') == DeepAIColorizer()
    for name,text in {'deep-ai': "did you mean 'deepai'?", 'x': 'choose from tone, deepai', tmp_path/'a.onnx': 'there is no such file'}.items():
        with pytest.raises(FERError) as e: find_colorizer(name)
        assert text in str(e.value)

# A run that is killed

script = '''
import sys, time
from fer_fastai.colorize import colorize_fer, tone
from fer_fastai.read import read_fer

def slow(img):
    time.sleep(0.2)
    with open(sys.argv[2], 'ab') as f: f.write(b'.')
    return tone(img)

if __name__ == '__main__':
    data = colorize_fer(read_fer(sys.argv[3]), slow, sys.argv[1], n_workers=2)
    print('\\nproblems', len(data.problems), 'images', len(data))
'''

def pngs(folder):
    found = (Path(d)/o for d,_,files in os.walk(folder) if '/.' not in d for o in files if o.endswith('.png')) # `rglob` trips over what vanishes
    return {o: o.stat().st_mtime_ns for o in found}

def test_killed_and_gone_on_with(data, tmp_path):
    (tmp_path/'run.py').write_text(script)
    out,calls,csv = tmp_path/'color',tmp_path/'calls',data.to_csv(tmp_path/'a.csv')
    cmd = [sys.executable, tmp_path/'run.py', out, calls, csv]
    start = lambda: subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p = start()
    while len(pngs(out)) < 5:
        assert p.poll() is None, p.communicate()
        time.sleep(.02)
    os.kill(p.pid, signal.SIGKILL)
    assert p.wait() == -signal.SIGKILL
    p.communicate()
    before,asked = pngs(out),calls.stat().st_size
    assert 5 <= len(before) < len(data)
    for o in before: Image.open(o).load() # each one is whole
    p = start()
    text = p.communicate(timeout=120)
    assert p.returncode == 0 and f'problems 0 images {len(data)}' in text[0], text
    after = pngs(out)
    assert len(after) == len(data) and {k: after[k] for k in before} == before
    assert calls.stat().st_size - asked == len(data) - len(before)
    for i,(split,emotion) in enumerate(zip(data.df.split, data.df.emotion)):
        same(Image.open(out/split/emotion/f'{i:06d}.png'), tone(data.image(i)))
