"The page under attack, without a browser: files on the server, addresses, malformed and endless requests, many clients at once"
import base64, io, json, os, re, signal, socket, subprocess, sys, threading, time, uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

pytest.importorskip('gradio')
httpx = pytest.importorskip('httpx')
from fer_fastai.app import export_space

mark = dict(meta=dict(_type='gradio.FileData'))

watched = """
import runpy, sys
def hook(event, args):
    if event == 'socket.getaddrinfo': host = args[0]
    elif event == 'socket.connect' and isinstance(args[1], tuple): host = args[1][0]
    else: return
    if host not in (None, '127.0.0.1', 'localhost', '::1', '0.0.0.0', ''): print('REQUEST TO', host, flush=True)
sys.addaudithook(hook)
"""
serve = watched + """
import fer_fastai.app
fer_fastai.app._kept = tuple(map(int, sys.argv[2:])) or fer_fastai.app._kept
runpy.run_path(sys.argv[1], run_name='__main__')
"""

class Proxy:
    "It notes what programs ask it to fetch, and fetches nothing"
    def __init__(self):
        self.asked,self.socket = [],socket.create_server(('127.0.0.1', 0))
        self.env = {k: f'http://127.0.0.1:{self.socket.getsockname()[1]}' for o in ('http', 'https', 'all') for k in (f'{o}_proxy', f'{o}_proxy'.upper())}
        self.env |= dict(NO_PROXY='127.0.0.1,localhost', no_proxy='127.0.0.1,localhost')
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            s = self.socket.accept()[0]
            self.asked.append(s.recv(200))
            s.close()

proxy = Proxy()

class Server:
    "A page in a process of its own, and what a client can ask of it"
    def __init__(self, folder, script, *args):
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        self.cache,self.log,self.url = folder/'cache',folder/'log',f'http://127.0.0.1:{port}'
        self.http = httpx.Client(base_url=self.url, timeout=60)
        env = dict(os.environ, **proxy.env, GRADIO_SERVER_PORT=str(port), GRADIO_TEMP_DIR=str(self.cache))
        self.process = subprocess.Popen([sys.executable, '-c', serve, str(script), *map(str, args)], cwd=folder, env=env,
                                        stdout=subprocess.PIPE, stderr=open(self.log, 'w'), text=True)
        assert f':{port}' in self.process.stdout.readline(), self.log.read_text()

    def close(self):
        self.process.send_signal(signal.SIGINT)
        try: self.said = self.process.communicate(timeout=30)[0]
        finally: self.process.kill()

    def post(self, path, **json): return self.http.post(f'/gradio_api/{path}', json=json)

    def upload(self, *files):
        return self.http.post('/gradio_api/upload', files=[('files', (n, d)) for n,d in files])

    def ask(self, fn, *data):
        "Status, and what the page says to it at the end"
        session = uuid.uuid4().hex
        r = self.post('queue/join', fn_index=fn, data=[*data, 'ferplus48, built in'][:2] + [None]*(fn == 2), session_hash=session)
        if r.status_code != 200: return r.status_code,r.text
        with self.http.stream('GET', '/gradio_api/queue/data', params=dict(session_hash=session)) as events:
            for line in events.iter_lines():
                said = json.loads(line.removeprefix('data: ') or '{}')
                if said.get('msg') in ('process_completed', 'process_streaming'):
                    self.post(f'stream/{r.json()["event_id"]}/close') # the camera's place, for the next one
                    return 200,json.dumps(said)

def jpeg(img):
    file = io.BytesIO()
    img.save(file, 'jpeg')
    return file.getvalue()

astronaut = jpeg(Image.fromarray(skimage.data.astronaut()))

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "A picture that is nobody's business"
    d = tmp_path_factory.mktemp('guard')
    (d/'secret.jpg').write_bytes(astronaut)
    return d

@pytest.fixture(scope='module')
def space(folder): return export_space(folder/'space')/'app.py'

@pytest.fixture(scope='module')
def server(folder, space):
    "The page of an exported Space; it calls nobody, and forgets what was uploaded"
    s = Server(folder, space)
    yield s
    kept = [o for o in s.cache.rglob('*') if o.is_file() and not o.is_symlink() and o.name != 'planted.jpg']
    s.close()
    assert 'REQUEST TO' not in s.said and not proxy.asked
    assert kept and not [o for o in kept if o.exists()]

@pytest.fixture(scope='module')
def mounted(folder):
    "The same page inside another app, without the guard of `fer_app`"
    (folder/'mounted').mkdir()
    (folder/'own.py').write_text('from fer_fastai.app import make_app\nmake_app().launch()\n')
    s = Server(folder/'mounted', folder/'own.py')
    yield s
    s.close()

def outside(server, folder):
    "Ways to name the picture, and a link to it inside of the page's own folder"
    (server.cache/'links').mkdir(parents=True, exist_ok=True)
    link = server.cache/'links'/'secret.jpg'
    if not link.exists(): link.symlink_to(folder/'secret.jpg')
    (server.cache/'planted.jpg').write_bytes(astronaut) # in the folder, but no visitor's
    return [folder/'secret.jpg', f'{server.cache}/../secret.jpg', f'{server.cache}/links/../../secret.jpg', link, server.cache/'planted.jpg',
            '../secret.jpg', f'file://{folder}/secret.jpg']

def nothing(status, text, folder):
    "No picture and nothing about the server is in an answer"
    assert '.jpg' not in text.replace('planted.jpg', '').replace('secret.jpg', '') and 'base64' not in text and '/file=' not in text, text[:500]
    for o in (str(folder), sys.prefix, 'Traceback', 'File "', 'site-packages', 'gradio.', 'python'): assert o not in text, (o, text[:500])

@pytest.mark.parametrize('fn', [0, 1, 2])
@pytest.mark.parametrize('marked', [{}, mark], ids=['plain', 'marked'])
def test_files_outside(server, folder, fn, marked):
    "The photo, the photos and the camera, each with and without Gradio's mark of a file"
    for path in outside(server, folder):
        data = dict(path=str(path), orig_name='mine.jpg', **marked)
        status,text = server.ask(fn, [data] if fn == 1 else data)
        assert status == 403
        nothing(status, text, folder)

@pytest.mark.parametrize('fn', [0, 1, 2])
@pytest.mark.parametrize('marked', [{}, mark], ids=['plain', 'marked'])
def test_files_outside_of_a_mounted_page(mounted, folder, fn, marked):
    "Without the guard the page itself refuses, or Gradio"
    for path in outside(mounted, folder):
        data = dict(path=str(path), orig_name='mine.jpg', **marked)
        status,text = mounted.ask(fn, [data] if fn == 1 else data)
        assert status != 403 and 'base64,/9j' not in text and '/file=' not in text, text[:500]

def test_other_places_for_a_path(server, folder):
    path = str(folder/'secret.jpg')
    for data in ([[dict(path=path)]], [dict(image=dict(path=path))], [dict(a=[dict(b=dict(path=path))])], [dict(path=[path])], [dict(path=dict(path=path))]):
        assert server.ask(0, *data)[0] == 403
    for o in ('run/look', 'api/look', 'call/look', 'call/v2/look', 'run/predict', 'component_server', 'process_recording'):
        assert server.post(o, data=[dict(path=path), 'ferplus48, built in'], fn_index=0, session_hash='a', component_id=7, fn_name='get').status_code == 404, o
    status,text = server.ask(2, dict(url=f'file://{path}'))
    nothing(status, text, folder)

def test_file_route(server, folder):
    for path in outside(server, folder)[:5]:
        for route in ('gradio_api/file=', 'file=', 'gradio_api/file/', 'gradio_api/file=/'):
            r = server.http.get(f'/{route}{path}', follow_redirects=True)
            assert r.status_code == 404 and r.text == 'there is nothing here', (route, path)
    assert server.http.get('/gradio_api/file=%2e%2e/secret.jpg').status_code == 404

def test_addresses(server):
    "The page fetches nothing, not even from the machine that it runs on"
    asked = []
    with socket.create_server(('127.0.0.1', 0)) as s:
        threading.Thread(target=lambda: [asked.append(s.accept()) for _ in range(9)], daemon=True).start()
        for host in f'127.0.0.1:{s.getsockname()[1]}', 'example.com':
            url = f'http://{host}/a.jpg'
            for fn in range(3):
                for data in (dict(path=url), dict(path=url, **mark)): assert server.ask(fn, [data] if fn == 1 else data)[0] == 403
            for o in (f'file={url}', f'proxy={url}'): assert server.http.get(f'/gradio_api/{o}').status_code == 404
        time.sleep(.2)
        assert not asked

def raw(server, *lines, body=b''):
    "Status and text for a request that is sent as it is"
    host,port = server.url.removeprefix('http://').split(':')
    with socket.create_connection((host, port), timeout=20) as s:
        s.sendall('\r\n'.join([*lines, 'Host: a', 'Connection: close', '', '']).encode('latin1') + body)
        head,_,text = b''.join(iter(lambda: s.recv(1 << 16), b'')).decode('latin1').partition('\r\n\r\n')
    return int(head.split()[1]),text

def test_raw_requests(server, folder):
    "Paths that a client would tidy up, and lengths that are none"
    for o in outside(server, folder)[:5]:
        for path in f'file={o}', f'file=//{o}', f'file=./{o}', f'./file={o}', f'x/../file={o}', f'file%3D{o}', f'file={str(o).replace("/", "%2f")}', f'file={o}%00.jpg', f'file={o}?x=1':
            for prefix in '/gradio_api/', '/', '//gradio_api/', '/gradio_api//', '/./gradio_api/', '/static/../gradio_api/', '/assets/..%2f..%2f':
                status,text = raw(server, f'GET {prefix}{path} HTTP/1.1')
                assert status in (400, 403, 404), (prefix, path, status)
                nothing(status, text, folder)
    for length in 'a', '-1', '1e3', '9'*30, '0x10', '5, 5': # the last one is allowed
        for path in 'queue/join', 'upload', 'reset':
            status,text = raw(server, f'POST /gradio_api/{path} HTTP/1.1', 'Content-Type: application/json', f'Content-Length: {length}', body=b'{"a":')
            assert 400 <= status < 500, (length, path, status)
            nothing(status, text, folder)
    for path in 'queue/join', 'upload':
        assert raw(server, f'POST /gradio_api/{path} HTTP/1.1', 'Transfer-Encoding: chunked', body=b'0\r\n\r\n')[0] == 413
    test_honest(server)

def test_only_what_the_page_needs(server, folder):
    "Of everything that this Gradio serves"
    from fer_fastai.app import make_app
    paths = {re.sub('{.*?}', 'x', o) for o in make_app().app.openapi()['paths']}
    def status(path):
        with server.http.stream('GET', path) as r: return r.status_code if 'text/plain' not in r.headers.get('content-type', '') else r.read() and r.text
    served = {o for o in paths if status(o) != 'there is nothing here'}
    calls = 'cancel heartbeat/x info queue/data queue/join reset startup-events stream/x stream/x/close upload upload_progress'
    files = '/ /assets/x /config /favicon.ico /manifest.json /robots.txt /static/x /theme.css'
    assert served - {'/gradio_api/upload_progress'} == {*files.split(), *(f'/gradio_api/{o}' for o in calls.split())} - {'/gradio_api/upload_progress'} and len(paths) > 40
    for o in '/', '/config', '/gradio_api/info':
        text = server.http.get(o).text
        for secret in str(folder), sys.prefix, 'site-packages', sys.version.split()[0]: assert secret not in text, (o, secret)

def test_honest(server):
    "An upload is looked at, comes back drawn, and can be fetched; so do several and a frame"
    path, = server.upload(('me.jpg', astronaut)).json()
    status,text = server.ask(0, dict(path=path, orig_name='me.jpg', **mark))
    drawn = json.loads(text)['output']['data'][1]
    assert status == 200 and 'happy' in text
    for o in (drawn['path'], path): assert Image.open(io.BytesIO(server.http.get(f'/gradio_api/file={o}').content)).size == (512, 512)
    status,text = server.ask(1, [dict(path=path, orig_name='me.jpg', **mark)]*3)
    assert '3 faces in 3 photos' in text
    status,text = server.ask(2, dict(url='data:image/jpeg;base64,' + base64.b64encode(astronaut).decode()))
    url = json.loads(text)['output']['data'][0]['url']
    assert Image.open(io.BytesIO(base64.b64decode(url.split(',')[1]))).size == (512, 512)

def test_gradio_client(server, folder):
    "Nothing has a public name, and a file is a file for this client, too"
    client = pytest.importorskip('gradio_client').Client(server.url, verbose=False)
    assert client.view_api(return_format='dict') == dict(named_endpoints={}, unnamed_endpoints={})
    for where in (dict(api_name='/look'), dict(fn_index=0)):
        with pytest.raises(Exception) as e: client.predict(dict(path=str(folder/'secret.jpg'), **mark), 'ferplus48, built in', **where)
        nothing(0, str(e.value), folder)

malformed = [b'', b'{', b'[]', b'null', b'"a"', b'{}', b'[' * 100_000, b'{"a":' * 50_000, json.dumps(dict(fn_index=-1, data=[], session_hash='a')).encode(),
             *(json.dumps(dict(fn_index=o, data=[], session_hash='a')).encode() for o in (99, 'a', [0], {}, 1.5, None, True)),
             *(json.dumps(dict(fn_index=0, data=o, session_hash='a')).encode() for o in ([], [3], 'a', None, {}, [None]*9)),
             json.dumps(dict(fn_index=0, data=[None, 'x'])).encode()]

@pytest.mark.parametrize('path', ['queue/join', 'reset', 'cancel', 'stream/none', 'upload', 'nothing'])
def test_malformed(server, folder, path):
    for body in malformed:
        for kind in 'application/json', 'text/plain', 'multipart/form-data':
            r = server.http.post(f'/gradio_api/{path}', content=body, headers={'content-type': kind})
            nothing(r.status_code, r.text, folder)
            assert r.status_code < 500, (path, body[:50], kind, r.text)
    test_honest(server)

@pytest.mark.parametrize('fn', range(6))
def test_wrong_values(server, folder, fn):
    "Values of any kind end in a message or in nothing, never in an answer that says where it failed"
    for o in (None, 3, 'a', [], [3], [None], {}, dict(url=3), dict(url='data:image/png;base64,!!'), dict(url='data:image/png;base64,AAAA'), dict(path=None), [[]], {'__type__': 'update', 'value': 3}):
        for name in ('ferplus48, built in', '../x', None, [], {}):
            session = uuid.uuid4().hex
            inputs = {0: [o, name], 1: [o, name], 2: [o, name, o], 3: [o], 4: [], 5: [name]}[fn]
            r = server.post('queue/join', fn_index=fn, data=inputs, session_hash=session)
            nothing(r.status_code, r.text, folder)
            if r.status_code != 200: continue
            with server.http.stream('GET', '/gradio_api/queue/data', params=dict(session_hash=session)) as events:
                for line in events.iter_lines():
                    if '"process_completed"' in line or '"process_streaming"' in line: break
                server.post(f'stream/{r.json()["event_id"]}/close')
                nothing(200, line.replace('base64,', '') if fn == 5 else line, folder)
    assert 'fer_fastai/app.py' not in server.log.read_text() # Gradio may complain in the log, the page has no error

def test_clients_at_once(server):
    "Limits hold under 32 clients, and the page answers afterwards"
    large = io.BytesIO()
    Image.new('1', (10_000, 5_001)).save(large, 'png')
    def client(i):
        heavy = server.upload(('a.jpg', bytes(21_000_000)))
        path, = server.upload((f'{i}.png', large.getvalue() + bytes(i))).json()
        data = dict(path=path, orig_name=f'{i}.png', **mark)
        too_long = server.http.post('/gradio_api/queue/join', content=b'{"a": "' + b'x'*8_000_000 + b'"}').status_code
        return heavy.status_code,too_long,server.ask(0, data),server.ask(1, [data]*51),server.ask(1, [data]*2)
    with ThreadPoolExecutor(32) as pool: got = list(pool.map(client, range(32)))
    for i,(heavy,too_long,*asked) in enumerate(got):
        assert (heavy, too_long) == (413, 413)
        for status,text in asked: assert status == 503 or status == 200 and '"path"' not in text, text
    assert sum(status == 200 for o in got for status,_ in o[2:]) >= 32
    test_honest(server)

def test_queue_is_full(server):
    "No more than 32 requests wait"
    path, = server.upload(('me.jpg', astronaut)).json()
    data = [[dict(path=path, orig_name='me.jpg', **mark)]*3, 'ferplus48, built in']
    with ThreadPoolExecutor(16) as pool:
        status = list(pool.map(lambda i: server.post('queue/join', fn_index=1, data=data, session_hash=f'full{i}').status_code, range(60)))
    assert set(status) == {200, 503} and 32 <= status.count(200) <= 40, status
    for i in range(60): server.post('reset', event_id='', session_hash=f'full{i}')
    while server.ask(1, *data)[0] == 503: time.sleep(.5)
    test_honest(server)

def test_deleted(folder, space):
    "What was uploaded and drawn is deleted in time, here after ten seconds"
    (folder/'short').mkdir()
    s = Server(folder/'short', space, 1, 10)
    try:
        path, = s.upload(('me.jpg', astronaut)).json()
        assert 'happy' in s.ask(0, dict(path=path, orig_name='me.jpg', **mark))[1]
        assert len([o for o in s.cache.rglob('*') if o.is_file()]) == 2
        end = time.time() + 60
        while [o for o in s.cache.rglob('*') if o.is_file()]:
            assert time.time() < end
            time.sleep(.2)
        assert s.ask(0, dict(path=path, orig_name='me.jpg', **mark))[0] == 403
    finally: s.close()

home = watched + """
from skimage.data import astronaut
from fer_fastai.all import *
data = read_fer('sample').sample(.1)
train_fer(data, epochs=1, bs=16, lr_find=False, out='run')
print(FER()(astronaut()), FER('run')(astronaut()))
print('finished')
"""

def test_nobody_is_called(tmp_path):
    "Neither by training nor by prediction, on a machine that had never run either"
    env = dict(os.environ, **proxy.env, HOME=str(tmp_path), FER_FASTAI_CACHE=str(tmp_path/'cache'))
    r = subprocess.run([sys.executable, '-c', home], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert r.stdout.endswith('finished\n'), r.stderr
    assert 'REQUEST TO' not in r.stdout and not proxy.asked
    assert not list(tmp_path.rglob('*onnxruntime*')) # where it would keep an identifier

def test_the_watch_sees_a_call(tmp_path):
    "Otherwise the test above would test nothing"
    for o in 'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 9))', 'socket.getaddrinfo("example.invalid", 80)':
        r = subprocess.run([sys.executable, '-c', watched + f'import socket; {o}'], capture_output=True, text=True)
        assert 'REQUEST TO' in r.stdout
    subprocess.run([sys.executable, '-c', 'import urllib.request as r; r.urlopen("http://192.0.2.1/a")'], env={**os.environ, **proxy.env}, capture_output=True)
    assert b'192.0.2.1' in proxy.asked.pop()
