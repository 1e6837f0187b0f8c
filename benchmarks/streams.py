"""How many photos and frames a second, with YuNet and with OpenCV's cascades side by side.

    python benchmarks/streams.py PHOTOS [--n 200] [--rounds 2] [--page]

PHOTOS is a folder of photos. `predict_files`, which is what `fer_predict --out` calls, reads --n copies of them whose
longer side has 640 pixels (a quarter as many with the cascades, which take longer). `fer_video` reads a clip of
640 x 360 pixels and 250 frames in which two drawn faces move, and writes it with the faces drawn in (50 frames with
the cascades). All cores are used. The first round does not count.

--page opens the page in Chromium with this clip as its camera, at 640 x 360 pixels, and counts the pictures that the
camera tab shows in ten seconds."""
import argparse, shutil, signal, subprocess, sys
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from PIL import Image

from fer_fastai.folders import predict_files
from fer_fastai.images import image_suffixes, open_image
from fer_fastai.predict import FER
from fer_fastai.sample import draw_face
from fer_fastai.video import fer_video
from timing import markdown, report, take_turns

def copy_photos(photos, folder, n):
    "Write `n` copies of these photos, 640 pixels long"
    folder.mkdir()
    for i,path in enumerate(islice(cycle(photos), n)):
        img = open_image(path).convert('RGB')
        k = 640/max(img.size)
        img.resize([round(k*o) for o in img.size]).save(folder/f'{i:04d}.jpg', quality=92)

def make_clip(path, frames=250):
    "Write a clip in which two drawn faces move"
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 25, (640, 360))
    happy,sad = draw_face('happy', 3, size=180, mode='RGB'),draw_face('sad', 5, size=130, mode='RGB')
    for i in range(frames):
        img = Image.new('RGB', (640, 360), (90, 100, 110))
        img.paste(happy, (20 + i, 40))
        img.paste(sad, (490 - i, 210))
        out.write(np.asarray(img)[..., ::-1])
    out.release()

def page_rate(clip, seconds=10):
    "Pictures a second that the camera tab shows in Chromium, with a clip as the camera"
    from playwright.sync_api import sync_playwright
    camera = clip.with_suffix('.y4m')
    subprocess.run(['ffmpeg', '-v', 'error', '-i', clip, '-pix_fmt', 'yuv420p', camera], check=True)
    p = subprocess.Popen([Path(sys.executable).parent/'fer_app'], stdout=subprocess.PIPE, text=True)
    url = next(o for o in p.stdout if 'http' in o).split()[-1].replace('127.0.0.1', 'localhost')
    try:
        with sync_playwright() as pw:
            chromium = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))))
            page = pw.chromium.launch(executable_path=chromium, args=[
                '--no-sandbox', '--disable-gpu', '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
                f'--use-file-for-fake-video-capture={camera}']).new_context(permissions=['camera']).new_page()
            page.goto(url)
            page.get_by_role('tab', name='Camera').click()
            page.locator('#live').get_by_text('Click to Access Webcam').click()
            page.wait_for_function('document.querySelector("#live video")?.videoWidth')
            page.locator('#live').get_by_label('capture photo').click()
            page.locator('#live img').wait_for()
            page.wait_for_timeout(3000)
            shown = page.evaluate("""ms => new Promise(done => {
                let n = 0, last = '', start = performance.now()
                const look = () => {
                    const src = document.querySelector('#live img')?.src
                    if (src && src !== last) { n++; last = src }
                    performance.now() - start < ms ? setTimeout(look, 4) : done(n) }
                look() })""", 1000*seconds)
    finally:
        p.send_signal(signal.SIGINT)
        p.wait(30)
    return shown/seconds

def main(args):
    photos = sorted(o for o in args.photos.iterdir() if o.suffix.lower() in image_suffixes)
    share = dict(yunet=1, haar=4)
    fers = {k: FER(detector=k) for k in share}
    with TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        for k,v in share.items(): copy_photos(photos, tmp/k, args.n//v)
        make_clip(tmp/'clip.mp4')
        def folder(k): predict_files(tmp/k, tmp/f'{k}.csv', fer=fers[k], overwrite=True)
        def video(k): fer_video(tmp/'clip.mp4', tmp/f'{k}.mp4', seconds=10 if k == 'yunet' else 2, fer=fers[k], overwrite=True)
        runs = {(what, k): lambda f=f, k=k: f(k) for what,f in dict(folder=folder, video=video).items() for k in share}
        times = take_turns(runs, args.rounds)
        page = page_rate(tmp/'clip.mp4') if args.page else None
    done = {('folder', k): args.n//v for k,v in share.items()} | {('video', 'yunet'): 250, ('video', 'haar'): 50}
    rate = {o: done[o]/median(r[o] for r in times) for o in done}
    rows = [{'': what, **{k: f'{rate[what, k]:.1f} a second' for k in share},
             'times the cascades': f"{rate[what, 'yunet']/rate[what, 'haar']:.1f}"} for what in ('folder', 'video')]
    report(f'{args.n} photos, medians of {args.rounds} rounds', markdown(rows))
    if page: print(f'\ncamera of the page: {page:.1f} pictures a second')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('photos', type=Path)
    p.add_argument('--n', type=int, default=200)
    p.add_argument('--rounds', type=int, default=2)
    p.add_argument('--page', action='store_true')
    main(p.parse_args())
