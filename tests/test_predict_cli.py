"`fer_predict` as it is called: photos, folders, broken files, and runs that are stopped; and a cluster"
import os, re, resource, signal, subprocess, sys, time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import fer_fastai
from fer_fastai.core import FERError
from fer_fastai.images import open_image
from fer_fastai.folders import image_files, predict_ray
from fer_fastai.predict import FER
from fer_fastai.sample import draw_face, sample_faces

def start(*args, **kwargs):
    cmd = [Path(sys.executable).parent/'fer_predict', *args]
    return subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)

def predict(*args, **kwargs):
    "Exit code, lines of stdout, stderr"
    p = start(*args, **kwargs)
    out,err = p.communicate(timeout=120)
    assert 'Traceback' not in err
    return p.returncode,out.splitlines(),err

def fails(*args, message, **kwargs):
    code,out,err = predict(*args, **kwargs)
    assert code == 2 and err.startswith('error: ') and err.count('\n') == 1 and message in err, err
    return out

def empty(path): path.write_bytes(b'')
def text(path): path.write_text('<html>404 Not Found</html>')
def cut(path): path.write_bytes(path.read_bytes()[:path.stat().st_size//2])

@pytest.fixture(scope='session')
def photo(tmp_path_factory):
    "Two drawn faces on a wall"
    img = Image.new('RGB', (640, 360), (150, 170, 180))
    for i in range(2): img.paste(draw_face('happy', 12-7*i, size=220, mode='RGB'), (50+300*i, 60))
    path = tmp_path_factory.mktemp('photo')/'two.jpg'
    img.save(path)
    return path

@pytest.fixture(scope='session')
def thousand(tmp_path_factory):
    "1,000 small pictures in three folders, 30 of them broken"
    folder = tmp_path_factory.mktemp('thousand')
    for o in 'abc': (folder/o).mkdir()
    imgs,_ = sample_faces(50)
    for i in range(1000):
        path = folder/'abc'[i%3]/f'{i:03d}.jpg'
        Image.fromarray(np.roll(imgs[i%50], i//50, axis=1)).save(path)
        if i%33 == 7 and i < 990: [empty, text, cut][i//33%3](path)
    return folder

def table(path):
    read = {'.csv': pd.read_csv, '.parquet': pd.read_parquet, '.jsonl': lambda o: pd.read_json(o, lines=True)}[path.suffix]
    return (df := read(path)).assign(**{o: df[o].astype(object).fillna('') for o in ('error', 'note')})

def same(a, b):
    "Tables are equal; what no detector has said is None in memory and NaN in a file"
    a,b = [o.assign(found=o.found.astype(float), points=o.points.astype(object).fillna('')) for o in (a, b)]
    pd.testing.assert_frame_equal(a, b, check_dtype=False, rtol=0, atol=1e-4)

# A few photos

def test_photo(photo):
    code,out,err = predict(photo)
    assert (code, err, len(out)) == (0, '', 2)
    for i,(line,face) in enumerate(zip(out, FER()(photo))):
        (name,p),(second,q) = face.top(2)
        at = '{},{} {}x{}'.format(*face.box)
        assert line == f'{photo}: face {i+1} of 2 at {at}: {name} {p:.0%}, then {second} {q:.0%}'

def test_real_photo(tmp_path):
    data = pytest.importorskip('skimage.data')
    Image.fromarray(data.astronaut()).save(tmp_path/'astronaut.png')
    code,out,err = predict(tmp_path/'astronaut.png')
    assert (code, err, len(out)) == (0, '', 1) and 'face 1 of 1 at' in out[0] and ': happy ' in out[0]

def test_what_a_photo_waits_for():
    "Nothing that takes seconds to import stands between the command and its answer"
    code = 'import sys, fer_fastai.cli, fer_fastai.folders; print(*{"torch", "fastai", "pandas", "matplotlib", "pyarrow"} & set(sys.modules))'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == '\n'

def test_one_that_cannot_be_read(tmp_path):
    fails(tmp_path/'none.jpg', message='none.jpg: there is no such file or folder')
    fails(tmp_path, message='there are no images in this folder')
    fails(message='name at least one')
    text(tmp_path/'a.jpg')
    assert fails(tmp_path/'a.jpg', message='the file could not be read') == [f'{tmp_path}/a.jpg is no image, or of a kind that Pillow does not know']

def test_list_goes_on(photo, tmp_path):
    (tmp_path/'empty').mkdir()
    for o in (empty, text, cut):
        (tmp_path/f'{o.__name__}.jpg').write_bytes(photo.read_bytes())
        o(tmp_path/f'{o.__name__}.jpg')
    code,out,err = predict('cut.jpg', 'empty.jpg', 'empty', 'none.jpg', 'text.jpg', photo, cwd=tmp_path)
    assert (code, err, len(out)) == (0, '', 7)
    begins = ['cut.jpg: the image is damaged', 'empty.jpg: the file is empty', 'empty: there are no images', 'none.jpg: there is no such file',
              'text.jpg is no image', f'{photo}: face 1', f'{photo}: face 2']
    for line,o in zip(out, begins): assert line.startswith(o)

def test_video_in_a_folder(photo, tmp_path):
    "It has a row that says who reads it, and stops nothing"
    (tmp_path/'clip.MP4').write_bytes(b'\0\0\0\x18ftypmp42')
    (tmp_path/'two.jpg').write_bytes(photo.read_bytes())
    code,out,err = predict('.', cwd=tmp_path)
    assert (code, err) == (0, '') and out[0] == 'clip.MP4 is a video: fer_video reads its faces' and len(out) == 3
    assert predict('.', '--out', 'a.csv', '--draw', 'drawn', cwd=tmp_path)[0] == 0
    assert 'fer_video' in table(tmp_path/'a.csv').error[0] and [o.name for o in (tmp_path/'drawn').iterdir()] == ['two.jpg']

def test_crops(tmp_path):
    "Small square pictures without a face are probably crops, and the hint works when it is typed"
    for i in range(2): Image.fromarray(np.random.default_rng(i).integers(0, 255, (48, 48), dtype=np.uint8)).save(tmp_path/f'{i}.png')
    code,out,err = predict('.', cwd=tmp_path)
    assert (code, err) == (0, '') and out[0] == '0.png: no face found; if this small picture is a face already, use --faces crop'
    assert predict('.', '--out', 'a.csv', cwd=tmp_path)[1][0].endswith('; if the photos are faces already, use --faces crop')
    assert [o.startswith(f'{i}.png: face 1 of 1: ') for i,o in enumerate(predict('.', '--faces', 'crop', cwd=tmp_path)[1])] == [True]*2

def test_detectors(photo, tmp_path):
    fails(photo, '--detector', 'yunett', message="unknown detector 'yunett': did you mean 'yunet'?")
    for o in 'yunet', 'haar':
        assert predict(photo, '--detector', o, '--out', f'{o}.csv', cwd=tmp_path)[0] == 0
        assert table(tmp_path/f'{o}.csv').note.tolist() == [f'faces by {o}']*2

def test_home_and_addresses(photo, tmp_path):
    (tmp_path/'two.jpg').write_bytes(photo.read_bytes())
    assert len(predict('~/two.jpg', env=dict(os.environ, HOME=str(tmp_path)))[1]) == 2
    for o in 'https://example.com/a.jpg', 'data:image/png;base64,' + 'A'*5000, 'rtsp://10.0.0.1/cam':
        fails(o, message='is an address: download the picture')

def test_options(photo, tmp_path):
    fails(photo, '--model', tmp_path/'none', message='there is no such model')
    fails(photo, '--faces', 'crops', message="did you mean 'crop'?")
    fails(photo, '--out', tmp_path/'a.txt', message='a table is a .csv, .jsonl or .parquet file')
    fails(photo, '--draw', photo.parent, message='would take the place of the photo')
    code,out,_ = predict(photo, '--faces', 'crop', '--tta')
    face, = FER()(photo, faces='crop', tta=True)
    assert code == 0 and out[0].startswith(f'{photo}: face 1 of 1: {face.emotion} {face.score:.0%}')

def test_drawings(photo, tmp_path):
    code,out,_ = predict(photo, '--draw', 'drawn', cwd=tmp_path)
    assert (code, len(out)) == (0, 2)
    drawn,plain = Image.open(tmp_path/'drawn'/'two.jpg'),Image.open(photo)
    assert drawn.size == plain.size and np.abs(np.asarray(drawn).astype(int) - np.asarray(plain)).max() > 50
    fails(photo, '--draw', 'drawn', cwd=tmp_path, message='is there already')
    assert predict(photo, '--draw', 'drawn', '--overwrite', cwd=tmp_path)[0] == 0

def test_refused_drawings(photo, tmp_path):
    "A file of one's own stays, however often the command is given, and nothing is left behind"
    (tmp_path/'drawn').mkdir()
    (tmp_path/'drawn'/'two.jpg').write_text('mine')
    for _ in range(2): fails(photo, '--out', 'a.csv', '--draw', 'drawn', cwd=tmp_path, message='two.jpg is there already: draw into another folder, or give --overwrite')
    for _ in range(2): fails(photo, '--out', 'a.csv', '--draw', photo.parent, cwd=tmp_path, message='would take the place of the photo')
    assert {o.name for o in tmp_path.iterdir()} == {'drawn'} and (tmp_path/'drawn'/'two.jpg').read_text() == 'mine'
    assert predict(photo, '--out', 'a.csv', '--draw', 'drawn', '--overwrite', cwd=tmp_path)[0] == 0
    assert {o.name for o in tmp_path.iterdir()} == {'drawn', 'a.csv'} and Image.open(tmp_path/'drawn'/'two.jpg').size == (640, 360)

def test_what_pillow_warns_of(tmp_path):
    "It names no file, so it is left out"
    draw_face('happy', 1).save(tmp_path/'a.jpg', exif=b'Exif\0\0II*\0\x08\0\0\0\x09\0\x0f\x01\x02\0\xff\0')
    with pytest.warns(UserWarning): open_image(tmp_path/'a.jpg')
    code,out,err = predict(tmp_path/'a.jpg', '--faces', 'crop')
    assert (code, len(out), err) == (0, 1, '')

def test_closed_stdout(photo, tmp_path):
    cmd = [Path(sys.executable).parent/'fer_predict', photo, '--out', tmp_path/'a.csv']
    r = subprocess.run(['sh', '-c', '"$0" "$@" >&-', *cmd], stderr=subprocess.PIPE, text=True)
    assert (r.returncode, r.stderr) == (0, '') and len(table(tmp_path/'a.csv')) == 2

def test_reader_that_leaves(thousand):
    "As in `fer_predict photos | head -1`"
    p = start(thousand, '--faces', 'crop')
    assert str(thousand) in p.stdout.readline()
    p.stdout.close()
    assert p.wait(60) == 1 and p.stderr.read() == ''

def test_names(tmp_path):
    names = sorted(['a,b.png', 'two\nlines.png', 'é.png'])
    for o in names: draw_face('happy', 1).save(tmp_path/o)
    code,out,err = predict(tmp_path, '--faces', 'crop', env={'PYTHONIOENCODING': 'ascii'})
    assert (code, err, len(out)) == (0, '', 3)
    assert predict('.', '--faces', 'crop', '--out', 'a.csv', cwd=tmp_path)[0] == 0
    assert table(tmp_path/'a.csv').file.tolist() == names

# A thousand

@pytest.fixture(scope='session')
def whole(thousand):
    "The table of a run that nothing stopped"
    out = thousand/'whole.csv'
    code,lines,err = predict(thousand, '--faces', 'crop', '--out', out)
    assert (code, err) == (0, '')
    assert re.fullmatch(rf'{out}: 1,000 files, 970 faces, 30 unreadable; 1,000 files in [\d.]+ s, [\d.]+ faces/s', lines[0])
    return out

def test_thousand(thousand, whole):
    df = table(whole)
    files = image_files(thousand)
    assert df.file.tolist() == [str(o) for o in files] and len(files) == 1000
    assert ((df.error != '') == df.emotion.isna()).all()
    kinds = df.error.str.extract('(is empty|is no image|is damaged)')[0].value_counts()
    assert kinds.to_dict() == {'is empty': 10, 'is no image': 10, 'is damaged': 10} and (df.error != '').sum() == 30
    same(df.iloc[:60], FER().frame(files[:60], faces='crop'))
    assert not list(thousand.glob('whole.csv.*')) and not list(thousand.glob('.tmp-*'))

def rows_done(out):
    state = Path(f'{out}.json')
    found = state.exists() and re.search(r'"files": (\d+)', state.read_text())
    return int(found[1]) if found else 0

def stop_at(n, sig, out, *args):
    "Send a signal to the run when `n` files are done"
    p = start(*args, '--out', out)
    while rows_done(f'{out}.part') < n:
        assert p.poll() is None, p.communicate()
        time.sleep(.005)
    p.send_signal(sig)
    err = p.communicate(timeout=60)[1]
    assert n <= rows_done(f'{out}.part') < 1000 and not out.exists()
    return p.returncode,err

@pytest.mark.parametrize('suffix', ['csv', 'jsonl', 'parquet'])
def test_killed_and_gone_on_with(thousand, whole, tmp_path, suffix):
    if suffix == 'parquet': pytest.importorskip('pyarrow')
    out,args = tmp_path/f'a.{suffix}',(thousand, '--faces', 'crop')
    for n in (100, 500): assert stop_at(n, signal.SIGKILL, out, *args) == (-signal.SIGKILL, '')
    with open(f'{out}.part', 'ab') as f: f.write(b'half a li')
    fails(*args, '--tta', '--out', out, message='was begun with tta False and it is True now')
    code,lines,err = predict(*args, '--out', out)
    assert (code, err) == (0, '') and '1,000 files, 970 faces, 30 unreadable;' in lines[0] and '; 1,000 files' not in lines[0]
    if suffix == 'csv': assert out.read_bytes() == whole.read_bytes()
    else: pd.testing.assert_frame_equal(table(out), table(whole), check_dtype=False, rtol=0, atol=1e-9)
    assert {o.name for o in tmp_path.iterdir()} == {out.name}
    before = out.read_bytes()
    fails(*args, '--out', out, message=f'{out} is there already')
    assert out.read_bytes() == before

def children(pid):
    "The processes that a process has started"
    lists = Path(f'/proc/{pid}/task').glob('*/children')
    return [int(o) for path in lists for o in path.read_text().split()]

@pytest.mark.skipif(not Path('/proc/self/task').exists(), reason='there is no /proc here')
@pytest.mark.parametrize('sig', [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_process_stays(thousand, tmp_path, sig):
    "Each core has a process of its own, and none of them outlives the command"
    p = start(thousand, '--faces', 'crop', '--out', tmp_path/'a.csv')
    while rows_done(f'{tmp_path}/a.csv.part') < 100: time.sleep(.01)
    workers = children(p.pid)
    assert len(workers) == min(len(os.sched_getaffinity(0)), 1000//32)*(len(os.sched_getaffinity(0)) > 1)
    p.send_signal(sig)
    p.communicate(timeout=30)
    end = time.time() + 20
    while any(Path(f'/proc/{o}').exists() for o in workers): assert time.time() < end; time.sleep(.05)

def test_killed_process(thousand, tmp_path):
    "One that the system ends, as for want of memory, is told of in a line, and the same command continues"
    if len(os.sched_getaffinity(0)) < 2: pytest.skip('there is one core')
    p = start(thousand, '--faces', 'crop', '--out', 'a.csv', cwd=tmp_path)
    while rows_done(f'{tmp_path}/a.csv.part') < 100: time.sleep(.01)
    os.kill(children(p.pid)[0], signal.SIGKILL)
    err = p.communicate(timeout=60)[1]
    said = ('error: a process that looked at photos was ended, perhaps for want of memory: start again; the same command, '
            r'without --overwrite, continues after \d+ files\n')
    assert p.returncode == 2 and re.fullmatch(said, err)
    assert predict(thousand, '--faces', 'crop', '--out', 'a.csv', cwd=tmp_path)[0] == 0 and len(table(tmp_path/'a.csv')) == 1000

def test_killed_while_it_draws(thousand, tmp_path):
    out,args = tmp_path/'a.csv',(thousand/'a', '--faces', 'crop', '--draw', tmp_path/'drawn')
    assert stop_at(60, signal.SIGKILL, out, *args)[0] == -signal.SIGKILL
    code,lines,_ = predict(*args, '--out', out)
    df = table(out)
    assert code == 0 and [o.name for o in image_files(tmp_path/'drawn')] == [Path(o).name for o in df.file[df.error == '']]
    assert not list(tmp_path.rglob('.tmp-*'))

@pytest.mark.parametrize('sig,code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(thousand, whole, tmp_path, sig, code):
    out,args = tmp_path/'a.csv',(thousand, '--faces', 'crop')
    assert stop_at(100, sig, out, *args) == (code, 'interrupted; the same command continues, without --overwrite\n')
    assert {o.name for o in tmp_path.iterdir()} == {'a.csv.part', 'a.csv.part.json'}
    assert predict(*args, '--out', out)[0] == 0
    assert out.read_bytes() == whole.read_bytes()

def test_no_room(thousand, whole, tmp_path):
    "A limit on the size of files takes the place of a full disk"
    out,args = tmp_path/'a.csv',(thousand, '--faces', 'crop')
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
    fails(*args, '--out', out, preexec_fn=limit, message=f'{out}.part cannot be written (File too large): make room; the same command, without --overwrite, continues after ')
    assert not out.exists() and 0 < rows_done(f'{out}.part') < 1000
    assert predict(*args, '--out', out)[0] == 0
    assert out.read_bytes() == whole.read_bytes() and {o.name for o in tmp_path.iterdir()} == {'a.csv'}

@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_no_room_for_a_drawing(photo, tmp_path, suffix):
    "It is whole, or it is not there"
    path = tmp_path/f'a.{suffix}'
    Image.open(photo).save(path)
    args,limit = (path, '--out', 'a.csv', '--draw', 'drawn'),lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
    fails(*args, cwd=tmp_path, preexec_fn=limit, message=f'drawn/a.{suffix} cannot be written (File too large): make room, or choose another place; the same command')
    assert not list((tmp_path/'drawn').iterdir())
    assert predict(*args, cwd=tmp_path)[0] == 0
    Image.open(tmp_path/'drawn'/f'a.{suffix}').load()

# A cluster

def test_ray(thousand, tmp_path, monkeypatch):
    "Two workers give what one process gives, in the same order"
    ray = pytest.importorskip('ray')
    pytest.importorskip('ray.data')
    files = image_files(thousand)[:40]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        with pytest.raises(FERError, match='there is no such model'): predict_ray(files, tmp_path/'out', model=tmp_path/'none')
        monkeypatch.chdir(Path(fer_fastai.__file__).parent) # where the workers are not
        assert predict_ray(files, tmp_path/'out', 'pretrained/ferplus48', faces='crop') == tmp_path/'out'
        with pytest.raises(FERError, match='is there already'): predict_ray(files, tmp_path/'out')
    finally: ray.shutdown()
    assert len(list((tmp_path/'out').glob('*.parquet'))) > 1 and [o.name for o in tmp_path.iterdir()] == ['out']
    same(pd.read_parquet(tmp_path/'out'), FER().frame(files, faces='crop'))
