"The page in a real browser: photos, groups, what is no photo, the camera; on a wide screen and on a phone's; with no request that leaves the machine"
import base64, json, os, re, shutil, signal, socket, subprocess, sys
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pandas as pd
import pytest
import skimage
from PIL import Image, ImageOps

import fer_fastai
from fer_fastai.app import export_space
from fer_fastai.predict import FER
from fer_fastai.sample import draw_face

pytest.importorskip('gradio')
playwright = pytest.importorskip('playwright.sync_api')
expect = playwright.expect
expect.set_options(timeout=20_000)
chromium = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
pytestmark = pytest.mark.skipif(chromium is None, reason='there is no Chromium on the PATH')

sizes = dict(wide=dict(width=1280, height=860), phone=dict(width=390, height=844))
shots = Path(__file__).parent/'screenshots'

def write_y4m(path, frames):
    "The kind of video that Chromium takes for a camera"
    import cv2
    h,w = frames[0].shape[:2]
    with open(path, 'wb') as f:
        f.write(f'YUV4MPEG2 W{w} H{h} F10:1 Ip A1:1 C420jpeg\n'.encode())
        for o in frames: f.write(b'FRAME\n' + cv2.cvtColor(o, cv2.COLOR_RGB2YUV_I420).tobytes())

def room(img, x):
    res = Image.new('RGB', (640, 480), (90, 100, 110))
    res.paste(img, (x, 90))
    return np.asarray(res)

@pytest.fixture(scope='module')
def files(tmp_path_factory):
    "Photos, what is none, and what the camera sees: the astronaut for three seconds, then a drawn face for three"
    d = tmp_path_factory.mktemp('app')
    astronaut,drawn = Image.fromarray(skimage.data.astronaut()),draw_face('surprise', 5, size=240, mode='RGB')
    astronaut.save(d/'astronaut.jpg')
    group,face = Image.new('RGB', (1200, 700), (120, 140, 150)),astronaut.crop((130, 0, 330, 250))
    for img,at in [(face, (60, 60)), (ImageOps.mirror(face).resize((300, 375)), (380, 160)), (drawn, (840, 60))]: group.paste(img, at)
    group.save(d/'group.jpg')
    Image.fromarray(skimage.data.chelsea()).save(d/'cat.jpg')
    Image.new('1', (10_000, 5_001)).save(d/'large.png')
    (d/'text.jpg').write_text('no picture')
    (d/'heavy.jpg').write_bytes(bytes(21_000_000))
    write_y4m(d/'camera.y4m', [room(o, 60 + 2*i) for o in (astronaut.crop((100, 0, 400, 300)), drawn) for i in range(30)])
    return d

@pytest.fixture(scope='module')
def mine(files):
    "A bundle with labels of its own"
    folder = files/'runs'/'mine'/'model'
    shutil.copytree(Path(fer_fastai.__file__).parent/'pretrained'/'fer48', folder)
    config = json.loads((folder/'config.json').read_text())
    config['labels'] = [f'<i>{o}</i>' for o in config['labels']]
    (folder/'config.json').write_text(json.dumps(config))
    (folder/'README.md').write_text('---\nlicense: other\n---\n\n# Mine\n\n## Use\n\nWith care.\n\n## Limits\n\nKnown to its maker.\n')
    return folder.parent

serve = """
import runpy, sys
def hook(event, args):
    if event == 'socket.getaddrinfo': host = args[0]
    elif event == 'socket.connect' and isinstance(args[1], tuple): host = args[1][0]
    else: return
    if host not in (None, '127.0.0.1', 'localhost', '::1', '0.0.0.0', ''): print('REQUEST TO', host, flush=True)
sys.addaudithook(hook)
runpy.run_path('app.py', run_name='__main__')
"""

@pytest.fixture(scope='module')
def url(files, mine):
    "The address of the page, which runs from the folder of a Space; at the end, the server has asked nobody for anything, has had no error, and leaves no picture behind"
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    with open(files/'log', 'w+') as log:
        p = subprocess.Popen([sys.executable, '-c', serve], cwd=export_space(files/'space', [mine]), env=dict(os.environ, GRADIO_SERVER_PORT=str(port), GRADIO_TEMP_DIR=str(files/'cache')),
                             stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            start = p.stdout.readline()
            assert f':{port}' in start, (start, (files/'log').read_text())
            yield f'http://localhost:{port}'
            kept = [o for o in (files/'cache').rglob('*') if o.is_file()]
            p.send_signal(signal.SIGINT)
            said,_ = p.communicate(timeout=30)
        finally: p.kill()
    assert 'REQUEST TO' not in said and 'Traceback' not in said + (files/'log').read_text(), said + (files/'log').read_text()
    assert kept and not [o for o in kept if o.exists()]

@pytest.fixture(scope='module')
def browser(files):
    with playwright.sync_playwright() as p:
        b = p.chromium.launch(executable_path=chromium, args=[
            *'--no-sandbox --disable-gpu --disable-quic --disable-background-networking --disable-component-update --disable-sync'.split(),
            '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', f'--use-file-for-fake-video-capture={files/"camera.y4m"}'])
        yield b
        b.close()

@pytest.fixture(params=sizes)
def page(request, browser, url):
    "The page on a screen of some size; at the end, nothing stands out at the side and every request went to this machine"
    context = browser.new_context(viewport=sizes[request.param], has_touch=request.param == 'phone', permissions=['camera', 'clipboard-read', 'clipboard-write'])
    page,hosts,errors = context.new_page(),set(),[]
    page.on('request', lambda o: hosts.add(urlparse(o.url).hostname))
    page.on('pageerror', lambda o: errors.append(str(o)))
    page.set_default_timeout(20_000)
    page.goto(url)
    choose(page, 'ferplus48, built in')
    yield page
    shots.mkdir(exist_ok=True)
    page.screenshot(path=shots/f'{request.node.originalname[5:]}_{request.param}.png', full_page=True, animations='disabled')
    wide = page.evaluate('document.documentElement.scrollWidth - innerWidth')
    context.close()
    assert hosts <= {'localhost', None} and not errors and wide <= 0, (hosts, errors, wide)

only_wide,only_phone = [pytest.mark.parametrize('page', [o], indirect=True) for o in sizes]

def upload(page, *paths, to='#photo'): page.locator(f'{to} input[type=file]').set_input_files(list(paths))

def choose(page, model):
    page.locator('#model input').click()
    page.get_by_role('option', name=model).click()

def table(page, where):
    "What the link to the table gives"
    with page.expect_download() as o: page.locator(f'{where} .fer-link').click()
    assert o.value.suggested_filename == 'faces.csv'
    return pd.read_csv(o.value.path())

def start_camera(page, where):
    page.locator(where).get_by_text('Click to Access Webcam').click()
    page.wait_for_function('where => document.querySelector(where + " video")?.videoWidth', arg=where)
    page.locator(where).get_by_label('capture photo').click()

def pixels(page, where):
    "Width and height of a picture that is loaded, of one of them where they follow each other"
    size = 'o => new Promise(r => o.naturalWidth ? r(0) : o.onload = r).then(() => [o.naturalWidth, o.naturalHeight])'
    return page.locator(f'{where} img').evaluate(size)

def test_ended():
    "SIGTERM closes the page of the command"
    p = subprocess.Popen([Path(sys.executable).parent/'fer_app'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert 'http://127.0.0.1:' in p.stdout.readline()
    p.send_signal(signal.SIGTERM)
    assert (p.communicate(timeout=30)[1], p.returncode) == ('closed\n', 143)

def test_photo(page, files):
    upload(page, files/'astronaut.jpg')
    card = page.locator('#cards .fer-card')
    expect(card).to_have_count(1)
    face, = FER()(files/'astronaut.jpg')
    expect(card.locator('h3')).to_have_text(f'{face.emotion} {face.score:.0%}')
    expect(card.locator('.fer-bar')).to_have_count(7)
    assert pixels(page, '#drawn') == [512, 512]
    df = table(page, '#cards')
    assert (df.file.tolist(), df.emotion.tolist(), df[[*'xywh']].values.tolist()) == (['astronaut.jpg'], [face.emotion], [list(face.box)])
    page.get_by_label('Remove Image').click()
    expect(card).to_have_count(0)
    upload(page, files/'astronaut.jpg')
    expect(card).to_have_count(1)
    expect(page.locator('#drawn img')).to_be_visible()

def test_group(page, files):
    upload(page, files/'group.jpg')
    expect(page.locator('#cards .fer-card')).to_have_count(3)
    assert pixels(page, '#drawn') == [1200, 700] and len(table(page, '#cards')) == 3

@only_phone
def test_no_face(page, files):
    upload(page, files/'cat.jpg')
    expect(page.get_by_text('No face was found')).to_be_visible()
    expect(page.locator('#drawn img')).to_be_visible()
    expect(page.locator('#cards .fer-link')).to_have_count(0)

@only_wide
@pytest.mark.parametrize('name,text', [('text.jpg', 'text.jpg is no image'), ('large.png', 'large.png has 50,010,000 pixels, and the limit is 50,000,000'),
                                       ('heavy.jpg', 'exceed the maximum allowed size of 20.0 Mb')])
def test_refused(page, files, name, text):
    "A message says why, the page is as it was, and goes on working"
    upload(page, files/name)
    toast = page.get_by_test_id('toast-text').filter(has_text=text)
    expect(toast).to_have_count(1)
    page.wait_for_function('o => { while (o && getComputedStyle(o).opacity == 1) o = o.parentElement; return !o }', arg=toast.element_handle()) # it fades in
    if name == 'text.jpg': page.screenshot(path=shots/'no_image.png', animations='disabled')
    expect(page.locator('#photo img')).to_have_count(0)
    upload(page, files/'astronaut.jpg')
    expect(page.locator('#cards .fer-card')).to_have_count(1)

@only_wide
def test_paste(page, files):
    data = base64.b64encode((files/'cat.jpg').read_bytes()).decode()
    page.evaluate("""async data => {
        const img = await createImageBitmap(await (await fetch('data:image/jpeg;base64,' + data)).blob()), canvas = new OffscreenCanvas(img.width, img.height)
        canvas.getContext('2d').drawImage(img, 0, 0)
        await navigator.clipboard.write([new ClipboardItem({'image/png': await canvas.convertToBlob()})]) }""", data)
    page.get_by_label('Paste from clipboard').click()
    expect(page.get_by_text('No face was found')).to_be_visible()
    assert pixels(page, '#drawn') == [451, 300]

@only_phone
def test_shot(page):
    page.get_by_label('Capture from camera').click()
    start_camera(page, '#photo')
    expect(page.locator('#cards .fer-card')).to_have_count(1)
    assert pixels(page, '#drawn') == [640, 480]

def test_several(page, files):
    page.get_by_role('tab', name='Several').click()
    upload(page, *(files/f'{o}.jpg' for o in ('astronaut', 'group', 'cat', 'text')), to='#files')
    expect(page.locator('#total')).to_contain_text('4 faces in 3 photos, 1 without a face, 1 could not be read')
    expect(page.locator('#gallery img')).to_have_count(3)
    expect(page.locator('#table')).to_contain_text('text.jpg is no image')
    assert table(page, '#total').file.tolist() == ['astronaut.jpg', *['group.jpg']*3, 'cat.jpg', 'text.jpg']

@only_wide
def test_too_many(page):
    page.get_by_role('tab', name='Several').click()
    upload(page, *[dict(name=f'{i}.jpg', mimeType='image/jpeg', buffer=b'x') for i in range(51)], to='#files')
    expect(page.get_by_test_id('toast-text')).to_have_text('these are 51 photos, and the limit is 50')
    expect(page.locator('#table')).to_have_count(0)

def test_camera(page):
    "The camera's picture is labelled as it streams, and a notification tells of each change"
    page.get_by_role('tab', name='Camera').click()
    start_camera(page, '#live')
    now,toast = page.locator('#now p'),page.get_by_test_id('toast-text')
    expect(now).to_have_text('Now: happy')
    expect(toast).to_have_text('Now: happy')
    expect(now).not_to_have_text('Now: happy')
    expect(toast.filter(has_text=now.inner_text()).first).to_be_visible()
    expect(now).to_have_text('Now: happy')
    assert pixels(page, '#live') == [640, 480]
    picture = page.locator('#live img')
    for _ in range(3): expect(picture).not_to_have_attribute('src', picture.get_attribute('src'))

@only_wide
def test_models(page, files):
    "The labels of a model of one's own, which are no HTML, its card, and the change to another"
    upload(page, files/'astronaut.jpg')
    heading = page.locator('#cards .fer-card h3')
    expect(heading).to_have_text(re.compile('^happy'))
    choose(page, 'mine')
    expect(heading).to_contain_text('<i>happy</i>')
    page.get_by_role('tab', name='About').click()
    expect(page.get_by_text('Known to its maker.')).to_be_visible()
    assert not page.get_by_text('With care.').count() and not page.get_by_text('license: other').count()

@only_phone
def test_about(page):
    page.get_by_role('tab', name='About').click()
    expect(page.get_by_text('An expression is not an emotion').first).to_be_visible()

def test_dark(browser, url, files):
    page = browser.new_page(viewport=sizes['wide'], color_scheme='dark')
    page.goto(url)
    upload(page, files/'group.jpg')
    expect(page.locator('#cards .fer-card')).to_have_count(3)
    light = page.locator('.fer-card').first.evaluate('o => getComputedStyle(o).backgroundColor.match(/[0-9]+/g).slice(0, 3).map(Number)')
    page.screenshot(path=shots/'dark.png', full_page=True)
    page.close()
    assert max(light) < 80
