"Videos with sound, from a phone, in a window: what needs FFmpeg, a screen or a process of its own"
import os, shutil, subprocess, sys, time

import numpy as np
import pytest
from PIL import Image

from fer_fastai.predict import FER
from fer_fastai.sample import draw_face
from fer_fastai.video import _frames, _silently, fer_video, read_video

needs_ffmpeg = pytest.mark.skipif(not (shutil.which('ffmpeg') and shutil.which('ffprobe')), reason='FFmpeg is not installed')
needs_xvfb = pytest.mark.skipif(not shutil.which('Xvfb'), reason='Xvfb is not installed')

def ffmpeg(*args): subprocess.run(['ffmpeg', '-v', 'error', '-y', *map(str, args)], check=True)

def probe(path, kind):
    "Codec, pixel format (of pictures) and duration of the streams of one kind"
    what = ['-select_streams', kind, '-show_entries', 'stream=codec_name,pix_fmt,duration', '-of', 'csv=p=0']
    r = subprocess.run(['ffprobe', '-v', 'error', *what, str(path)], capture_output=True, text=True, check=True)
    return [o.split(',') for o in r.stdout.split()]

def python(code, *args, **env):
    r = subprocess.run([sys.executable, '-c', code, *map(str, args)], capture_output=True, text=True, env=dict(os.environ, **env), timeout=120)
    assert r.returncode == 0, r.stderr
    return r.stdout, r.stderr

def silent_clip(path, n=20, size=(320, 240)):
    import cv2
    w = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, size)
    img = Image.new('RGB', size, (150, 170, 180))
    for i in range(n):
        img.paste(draw_face('happy', 5, size=160, mode='RGB') if i == 0 else img.crop((39+i%100, 40, 199+i%100, 200)), (40+i%100, 40))
        w.write(np.asarray(img)[..., ::-1])
    w.release()
    return path

@pytest.fixture(scope='module')
def folder(tmp_path_factory): return tmp_path_factory.mktemp('video')

@pytest.fixture(scope='module')
def clip(folder): return silent_clip(folder/'clip.mp4')

@pytest.fixture(scope='module')
def phone(folder, clip):
    "As a phone records: with sound, on its side, and frames 5 to 9 missing because it was dark"
    how = ['-vf', "select='not(between(n,5,9))',transpose=2", '-fps_mode', 'vfr', '-shortest']
    ffmpeg('-i', clip, '-f', 'lavfi', '-i', 'sine=d=2', *how, folder/'lying.mp4')
    matrix = lambda *o: b''.join((v % 2**32).to_bytes(4, 'big') for v in (o[0]<<16, o[1]<<16, 0, o[2]<<16, o[3]<<16, 0, 0, 0, 1<<30))
    film,pictures,sound = (folder/'lying.mp4').read_bytes().rsplit(matrix(1, 0, 0, 1), 2) # of the pictures, and of the sound
    (folder/'phone.mp4').write_bytes(film + matrix(0, 1, -1, 0) + pictures + matrix(1, 0, 0, 1) + sound)
    return folder/'phone.mp4'

@needs_ffmpeg
def test_phone(folder, phone, clip):
    "Upright, each frame at its time, and the sound is there"
    times = [i/10 for i in range(20) if not 5 <= i <= 9]
    frames,straight = list(read_video(phone)),list(read_video(clip))
    np.testing.assert_allclose([o[1] for o in frames], times, atol=.002)
    for _,t,img in frames: assert abs(img - straight[round(10*t)][2].astype(int)).mean() < 8
    df = fer_video(phone, out=folder/'out.mp4', every=2)
    assert df.frame.tolist() == list(range(0, 15, 2)) and df.face.eq(0).all()
    np.testing.assert_allclose(df.time, times[::2], atol=.002)
    (video, pixels, seconds), = probe(folder/'out.mp4', 'v')
    assert (video, pixels) == ('h264', 'yuv420p') and abs(float(seconds) - 2) < .2
    (sound, seconds), = probe(folder/'out.mp4', 'a')
    assert sound == 'aac' and abs(float(seconds) - 2) < .2
    assert {o.name for o in folder.glob('.*')} == set()

@needs_ffmpeg
def test_every_kind(folder, phone, clip):
    "Other containers and codecs give the same rows"
    fer = FER('fer48')
    want = fer_video(clip, every=5, fer=fer)
    ffmpeg('-i', clip, '-c:v', 'libvpx', '-b:v', '2M', folder/'clip.webm')
    ffmpeg('-i', clip, '-c:v', 'libx264', '-crf', '10', folder/'clip.mkv')
    ffmpeg('-i', clip, '-c:v', 'libx264', '-crf', '10', '-pix_fmt', 'gray', folder/'gray.mp4')
    ffmpeg('-i', clip, '-c:v', 'libx264', '-crf', '10', '-r', '25', folder/'bare.h264') # has no times
    for name in 'clip.webm', 'clip.mkv', 'gray.mp4':
        df = fer_video(folder/name, every=5, fer=fer)
        assert df[['frame', 'face']].equals(want[['frame', 'face']]), name
        np.testing.assert_allclose(df.time, want.time, atol=.002)
        assert abs(df.score - want.score).max() < .15
    np.testing.assert_allclose([o[1] for o in read_video(folder/'bare.h264')], np.arange(50)/25, atol=.002)

@needs_ffmpeg
@pytest.mark.parametrize('name,codec,fps,seconds', [('long.ts', 'libx264', 10, 2), ('short.ts', 'libx264', 10, .8), ('last.mpg', 'mpeg2video', 25, 2)])
def test_joined(folder, clip, name, codec, fps, seconds):
    "Times go on where they begin anew, even within a second, and where the file says 0 of its last frame"
    ffmpeg('-i', clip, '-c:v', codec, '-r', fps, '-bf', 2, '-t', seconds, folder/name)
    (folder/f'joined_{name}').write_bytes(2*(folder/name).read_bytes())
    np.testing.assert_allclose([o[1] for o in read_video(folder/f'joined_{name}')], np.arange(2*seconds*fps)/fps, atol=.002)

@needs_ffmpeg
def test_last_time(folder, clip):
    "An AVI may say 0 of its last frame"
    ffmpeg('-i', clip, '-c:v', 'mpeg4', '-bf', 2, folder/'last.avi')
    df = fer_video(folder/'last.avi', plot=folder/'last.png', faces='crop')
    np.testing.assert_allclose(df.time, .1 + np.arange(20)/10, atol=.002)

def ffmpeg_is(tools, script, monkeypatch):
    "Put a shell script of that name before the real one"
    tools.mkdir()
    (tools/'ffmpeg').write_text(f'#!/bin/sh\n{script}\n')
    (tools/'ffmpeg').chmod(0o755)
    monkeypatch.setenv('PATH', f'{tools}:{os.environ["PATH"]}')

@needs_ffmpeg
def test_ffmpeg_fails(folder, clip, monkeypatch):
    "The silent video stays, with a warning"
    ffmpeg_is(folder/'tools', 'echo no encoder today >&2\nexit 1', monkeypatch)
    with pytest.warns(UserWarning, match='out2.mp4 is without sound: ffmpeg says no encoder today'):
        fer_video(clip, out=folder/'out2.mp4', faces='crop')
    assert len(list(read_video(folder/'out2.mp4'))) == 20

def test_ffmpeg_interrupted(folder, clip, monkeypatch):
    "Ctrl-C while it encodes leaves the silent video, too"
    ffmpeg_is(folder/'slow', 'kill -INT $PPID\nexec sleep 60', monkeypatch)
    with pytest.warns(UserWarning, match='out4.mp4 is without sound: ffmpeg was interrupted'):
        assert len(fer_video(clip, out=folder/'out4.mp4', faces='crop')) == 20
    assert len(list(read_video(folder/'out4.mp4'))) == 20

def test_without_ffmpeg(folder, clip, monkeypatch):
    monkeypatch.setenv('PATH', '')
    fer_video(clip, out=folder/'out3.mp4', faces='crop')
    assert len(list(read_video(folder/'out3.mp4'))) == 20

full = """
import resource, sys
from fer_fastai.video import fer_video
from fer_fastai.core import FERError
clip,out,limit = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try: print(len(fer_video(clip, out=out, faces='crop', overwrite=True)))
except FERError as e: print(e)
"""

def _on_full_disk(clip, out, limit, **env):
    "Whether the video was written; if not, one line says so and what was there before is still there"
    before = out.read_bytes() if out.exists() else None
    said,err = python(full, clip, out, limit, **env)
    if said == '20\n':
        assert len(list(read_video(out))) == 20
        return True
    assert out.name in said and said.count('\n') == 1 and len(said) <= 300 and 'make room' in said.lower() and err == '', (said, err)
    assert (out.read_bytes() if out.exists() else None) == before and [o.name for o in out.parent.iterdir()] == [out.name]*bool(before)
    return False

@pytest.mark.parametrize('path', ['', None], ids=['without ffmpeg', 'with ffmpeg'])
def test_no_room(folder, clip, path):
    "A limit on the size of files takes the place of a full disk, at ten sizes from nothing to enough"
    place = folder/f'limited{path is None}'
    place.mkdir()
    env = {} if path is None else dict(PATH=path)
    sizes = [0, 40, 1000, 5000, 10_000, 20_000, 30_000, 60_000, 150_000, 2_000_000]
    written = [_on_full_disk(clip, place/'out.mp4', o, **env) for o in sizes]
    assert not written[0] and written[-1] and written == sorted(written), written
    assert not _on_full_disk(clip, place/'out.mp4', 5000, **env) # the video that is there stays

@pytest.mark.skipif(sys.platform != 'linux' or os.geteuid() != 0, reason='only root can mount')
def test_full_disk(folder, clip):
    place = folder/'small'
    place.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=8k', 'tmpfs', place], capture_output=True).returncode: pytest.skip('mount is not allowed here')
    try:
        assert not _on_full_disk(clip, place/'out.mp4', 2**40)
        subprocess.run(['mount', '-o', 'remount,size=4m', place], check=True)
        assert _on_full_disk(clip, place/'out.mp4', 2**40)
    finally: subprocess.run(['umount', place], check=True)

def test_memory(folder):
    "A video five times as long takes no more memory; its frames alone would be 300 MB"
    short,long = [silent_clip(folder/f'long{n}.mp4', n, (640, 480)) for n in (80, 400)]
    code = """
import resource, sys
from fer_fastai.video import fer_video
for o in sys.argv[1:]:
    n = len(fer_video(o, out=o + '.out.mp4', faces='crop'))
    print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss//1024)
"""
    (n1, mb1), (n2, mb2) = [map(int, o.split()) for o in python(code, short, long, PATH='')[0].splitlines()[-2:]]
    assert (n1, n2) == (80, 400) and mb2 - mb1 < 40, (mb1, mb2)

def test_camera_clock(clip):
    "The frames of a camera have the time at which they come, from a file in its place"
    got = []
    for n,t,_ in _frames(_silently('VideoCapture', str(clip)), 0, 2):
        got.append((n, t))
        time.sleep(.02)
    assert [o[0] for o in got] == list(range(0, 20, 2))
    assert got[0][1] < .5 and (np.diff([o[1] for o in got]) >= .02).all()

window = """
import os, signal, sys, tkinter
from PIL import ImageGrab
from fer_fastai.predict import FER
from fer_fastai.video import watch
path,how,shot = sys.argv[1:]

class Predictor:
    "A predictor that ends the show with the fourth frame"
    fer,n = FER(),0
    def __call__(self, *args):
        self.n += 1
        if self.n == 4:
            root = tkinter._default_root
            if how == 'file': ImageGrab.grab().save(shot)
            elif how == 'interrupt': os.kill(os.getpid(), signal.SIGINT)
            elif how == 'button': root.tk.call(*root.protocol('WM_DELETE_WINDOW').split())
            else:
                root.focus_force()
                root.update()
                root.event_generate(how)
        return self.fer(*args)

predictor = Predictor()
watch(path, fer=predictor, notify=lambda face: print(face.id, face.emotion))
print(predictor.n)
"""

@pytest.fixture
def display():
    read,write = os.pipe()
    server = subprocess.Popen(['Xvfb', '-displayfd', str(write), '-screen', '0', '500x400x24', '-nolisten', 'tcp'],
                              pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as f: yield f':{f.readline().strip()}'
    server.terminate()
    server.wait()

@needs_xvfb
def test_window(folder, clip, display):
    "The picture is on the screen; the show ends with the file, with q, with the window's button, and with Ctrl-C"
    pytest.importorskip('tkinter')
    shot = folder/'screen.png'
    out = python(window, clip, 'file', shot, DISPLAY=display)[0].split()
    assert out[:2] == ['0', 'happy'] and out[-1] == '20'
    screen,frame = np.asarray(Image.open(shot).convert('RGB')).astype(int),next(read_video(clip))[2]
    assert screen.shape == (400, 500, 3)
    assert (abs(screen - frame[5, 5]).max(2) < 12).mean() > .1 # the picture's background stands on the screen
    for how in '<q>', '<Escape>', 'button', 'interrupt': assert python(window, clip, how, shot, DISPLAY=display)[0].split()[-1] == '4', how

def test_no_screen(clip):
    pytest.importorskip('tkinter')
    code = "import sys; from fer_fastai.video import watch\ntry: watch(sys.argv[1])\nexcept ValueError as e: print(e)"
    assert 'there is no screen for a window' in python(code, clip, DISPLAY='')[0]
