"Every kind of bad data: its own message, and nothing half-written"
import gzip, io, re, subprocess, sys, tarfile, zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_fastai.core import AFFECTNET, EMOTIONS, FERError
from fer_fastai.images import Preprocess
from fer_fastai.data import FERData
from fer_fastai.read import _open, fetch_fer, read_fer

rng = np.random.default_rng(0)
faces = rng.integers(0, 256, (42, 48, 48), dtype=np.uint8)
usage = ['Training']*28 + ['PublicTest']*7 + ['PrivateTest']*7
good = [[str(i%7), ' '.join(map(str, o.ravel())), u] for i, (o, u) in enumerate(zip(faces, usage))]
pixels = good[2][1].split()

@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    "A cache of its own, in which there may be whole entries afterwards and nothing else"
    folder = tmp_path/'cache'
    monkeypatch.setenv('FER_FASTAI_CACHE', str(folder))
    yield folder
    for o in folder.glob('*'): assert _open(o) is not None, f'half an entry is left: {[p.name for p in o.rglob("*")]}'

def write(path, rows, header='emotion,pixels,Usage'):
    path.write_text('\n'.join([header, *[','.join(o) for o in rows]]) + '\n')
    return path

def changed(path, row=2, **kwargs):
    "The good CSV with something else in one row, which stands in line 4 when `row` is 2"
    rows = [list(o) for o in good]
    for k, v in kwargs.items(): rows[row][['emotion', 'pixels', 'usage'].index(k)] = v
    return write(path, rows)

def folder(root, n=42, layout='train/{}'):
    for i, im in enumerate(faces[:n]):
        to = root/layout.format(EMOTIONS[i%7])/f'{i:02d}.jpg'
        to.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(im).save(to)
    return root

def raises(source, *fragments, error=FERError, **kwargs):
    with pytest.raises(error) as e: read_fer(source, **kwargs)
    for o in fragments: assert o in str(e.value)
    assert '\n' not in str(e.value)

# One row of a pixel CSV

one_row = {
    'short': (dict(pixels=' '.join(pixels[1:])), '2,303 pixels, and 48x48 needs 2,304'),
    'long': (dict(pixels=' '.join(pixels + ['7'])), '2,305 pixels, and 48x48 needs 2,304'),
    'word': (dict(pixels=' '.join(['dog', *pixels[1:]])), "pixel 1 is 'dog', not an integer from 0 to 255"),
    '256': (dict(pixels=' '.join([*pixels[:-1], '256'])), "pixel 2304 is '256'"),
    '300, which is 44 as a byte': (dict(pixels=' '.join(['300', *pixels[1:]])), "pixel 1 is '300'"),
    '356, which is 100 as a byte': (dict(pixels=' '.join(['356', *pixels[1:]])), "pixel 1 is '356'"),
    '65537': (dict(pixels=' '.join(['65537', *pixels[1:]])), "pixel 1 is '65537'"),
    '-1': (dict(pixels=' '.join(['-1', *pixels[1:]])), "pixel 1 is '-1'"),
    '3.5': (dict(pixels=' '.join(['3.5', *pixels[1:]])), "pixel 1 is '3.5'"),
    '3.5 for two numbers': (dict(pixels=' '.join(['3.5', *pixels[2:]])), "pixel 1 is '3.5'"),
    'Arabic digits': (dict(pixels=' '.join(['٣', *pixels[1:]])), "pixel 1 is '٣'"),
    'no pixels': (dict(pixels=''), '0 pixels, and 48x48 needs 2,304'),
    'label 7': (dict(emotion='7'), "unknown label '7'"),
    'label 7, what to do': (dict(emotion='7'), 'labels=AFFECTNET'),
    'label -1': (dict(emotion='-1'), "unknown label '-1'; the numbers are 0 angry, 1 disgust"),
    'label 3.5': (dict(emotion='3.5'), "unknown label '3.5'"),
    'label smile': (dict(emotion='smile'), "unknown label 'smile', which is no emotion"),
    'no label': (dict(emotion=''), 'the label is missing'),
    'Usage': (dict(usage='Holdout'), "unknown Usage 'Holdout': train, valid and test are known, also as Training, PublicTest, PrivateTest"),
    'no Usage': (dict(usage=''), "unknown Usage ''"),
    'header again': (dict(emotion='emotion', pixels='pixels', usage='Usage'), 'the header is here again'),
    'row cut off': (dict(pixels=' '.join(pixels[:99]) + '\n'), '99 pixels, and 48x48 needs 2,304'),
}

@pytest.mark.parametrize('change,message', one_row.values(), ids=one_row)
def test_row(tmp_path, capsys, change, message):
    path = changed(tmp_path/'fer2013.csv', **change)
    raises(path, f'fer2013.csv:4: {message}' if message != 'labels=AFFECTNET' else message, str(path), "bad='skip' leaves")
    data = read_fer(path, bad='skip')
    skipped = 2 if '\n' in change.get('pixels', '') else 1 # what is left of a row that was cut is one more
    assert message in ' '.join(data.problems.reason) and data.problems.name[0] == 'fer2013.csv:4'
    assert f'{skipped} of {41 + skipped} left out, such as fer2013.csv:4' in capsys.readouterr().out
    np.testing.assert_array_equal(data.images, np.delete(faces, 2, axis=0))
    assert data.df.name.tolist()[:3] == ['fer2013.csv:2', 'fer2013.csv:3', f'fer2013.csv:{4 + skipped}']

def test_lengths_that_cancel(tmp_path):
    rows = [list(o) for o in good]
    first, second = rows[4][1].split(), rows[5][1].split()
    rows[4][1], rows[5][1] = ' '.join(first[:-1]), ' '.join(first[-1:] + second)
    raises(write(tmp_path/'a.csv', rows), 'a.csv:6: 2,303 pixels', '(and 1 more)')

def test_lines_are_counted_as_an_editor_does(tmp_path):
    path = changed(tmp_path/'a.csv', emotion='9')
    path.write_text(path.read_text().replace('\n', '\r\n\r\n'))
    raises(path, "a.csv:7: unknown label '9'")

def test_odd_but_right(tmp_path):
    want = read_fer(write(tmp_path/'a.csv', good)).fingerprint
    odd = [[f' {y} ', f'" {"  ".join(o.split())}\t"', u.upper()] for y, o, u in good]
    path = write(tmp_path/'b.csv', odd, header='\ufeffEmotion, PIXELS ,usage')
    assert read_fer(path).fingerprint == want

def test_all_rows_bad(tmp_path): raises(write(tmp_path/'a.csv', [['0', '1 2 x', 'Training']]*3), "pixel 3 is 'x'", '(and 2 more)', bad='skip')

# A whole file

def test_missing_file(tmp_path):
    raises(tmp_path/'none.csv', str(tmp_path/'none.csv'), 'there is no such file', 'read_fer takes a CSV, a folder', error=FileNotFoundError)

whole_file = {
    'empty': ('', 'a.csv: the file is empty'),
    'blank': ('\n\n', 'a.csv: the file is empty'),
    'header only': ('emotion,pixels,Usage\n', 'a.csv: there is a header and no rows'),
    'no pixels': ('emotion,Usage\n0,Training\n', "there is no column 'pixels' among 'emotion', 'Usage'"),
    'no emotion': ('mood,pixels\n0,1 2 3 4\n', "there is no column 'emotion' among 'mood', 'pixels'"),
    'no header': (f'0,{good[0][1]},Training\n', "there is no column 'emotion' among '0'"),
    'test.csv': ('pixels\n1 2 3 4\n', "the competition's test.csv has no labels"),
    'no text': ('\x00\x01\x02', "there is no column 'emotion'"),
}

@pytest.mark.parametrize('text,message', whole_file.values(), ids=whole_file)
def test_csv(tmp_path, cache, text, message):
    (tmp_path/'a.csv').write_text(text)
    raises(tmp_path/'a.csv', str(tmp_path), message)
    assert not list(cache.glob('*'))

def test_other_file(tmp_path):
    (tmp_path/'a.docx').touch()
    raises(tmp_path/'a.docx', 'a.docx: neither a folder nor a .csv, .zip, .gz or .tar file')

# Archives

def archive(path, names=('fer2013.csv',), text=None):
    text = (text or write(path.parent/'fer2013.csv', good).read_text()).encode()
    if path.suffix == '.zip':
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as z:
            for o in names: z.writestr(o, text)
    elif '.tar' in path.suffixes:
        with tarfile.open(path, 'w' if path.suffix == '.tar' else f'w:{path.suffix[1:]}') as t:
            for o in names:
                info = tarfile.TarInfo(o)
                info.size = len(text)
                t.addfile(info, io.BytesIO(text))
    else: path.write_bytes(gzip.compress(text))
    return path

archives = ['a.zip', 'fer2013.csv.zip', 'fer2013.csv.gz', 'a.tar', 'a.tar.gz', 'a.tar.xz', 'a.tar.bz2']

@pytest.mark.parametrize('share', [.3, .7, .99])
@pytest.mark.parametrize('name', archives)
def test_truncated(tmp_path, cache, name, share):
    path = archive(tmp_path/name)
    assert len(read_fer(path)) == 42
    whole, n = path.read_bytes(), len(list(cache.glob('*')))
    path.write_bytes(whole[:int(len(whole)*share)])
    raises(path, str(path), 'the archive cannot be read to its end', 'truncated, damaged or encrypted')
    assert len(list(cache.glob('*'))) == n

@pytest.mark.parametrize('name', archives)
def test_empty_archive(tmp_path, name):
    (tmp_path/name).touch()
    raises(tmp_path/name, f'{name}: the file is empty')

def test_tar_cut_between_members(tmp_path):
    path = archive(tmp_path/'a.tar', ['fer2013.csv', 'x.txt'])
    with tarfile.open(path) as t: second = t.getmembers()[1].offset
    path.write_bytes(path.read_bytes()[:second])
    raises(path, 'the end of the archive is missing')

@pytest.mark.parametrize('name', ['a.zip', 'a.tar', 'a.tar.gz'])
@pytest.mark.parametrize('member', ['../x', 'faces/../../x', '/fer_fastai_x', '..\\x', 'C:/x'])
def test_member_outside(tmp_path, cache, name, member):
    path = archive(tmp_path/name, ['fer2013.csv', member])
    raises(path, str(path), f'member {member!r} would land outside of its folder')
    assert not list(cache.glob('*')) and not (tmp_path/'x').exists() and not Path('/fer_fastai_x').exists()

def test_link_in_tar(tmp_path):
    with tarfile.open(tmp_path/'a.tar', 'w') as t:
        info = tarfile.TarInfo('fer2013.csv')
        info.type, info.linkname = tarfile.SYMTYPE, '/etc/passwd'
        t.addfile(info)
    raises(tmp_path/'a.tar', "member 'fer2013.csv' is a link or a device")

def test_archive_without_images(tmp_path):
    raises(archive(tmp_path/'a.zip', ['notes.txt'], 'hello'), 'a.zip: there are no images and no pixel CSV in it')

def test_bad_row_in_archive(tmp_path):
    path = archive(tmp_path/'a.zip', text=changed(tmp_path/'a.csv', emotion='7').read_text())
    raises(path, "fer2013.csv:4: unknown label '7'", str(path))

# Folders and images

def test_no_images(tmp_path):
    (tmp_path/'faces'/'happy').mkdir(parents=True)
    raises(tmp_path/'faces', 'faces: there are no images and no pixel CSV in it')

def test_images_of_no_emotion(tmp_path):
    raises(folder(tmp_path/'faces', layout='.'), '00.jpg: it lies in no folder of an emotion (and 41 more)')
    raises(folder(tmp_path/'more', layout='train'), 'train/00.jpg: it lies in no folder of an emotion')

def cut(path): path.write_bytes(path.read_bytes()[:path.stat().st_size//2])
def text(path): path.write_text('<html>404 Not Found</html>')
def empty(path): path.write_bytes(b'')

@pytest.mark.parametrize('harm,message', [(cut, 'the image is damaged ('), (text, 'it is no image'), (empty, 'the file is empty')])
@pytest.mark.parametrize('size', [48, 200])
def test_image(tmp_path, harm, message, size):
    root = folder(tmp_path/'faces')
    if size != 48:
        for o in root.rglob('*.jpg'): Image.open(o).resize((size, size)).save(o)
    harm(root/'train'/'fear'/'09.jpg')
    raises(root, f'train/fear/09.jpg: {message}', str(root))
    data = read_fer(root, bad='skip')
    assert len(data) == 41 and data.problems.name.tolist() == ['train/fear/09.jpg']
    raises(pd.DataFrame(dict(emotion='fear', path=[root/'train'/'fear'/'09.jpg', root/'train'/'fear'/'02.jpg'])), f'row 0: {message}')

def test_class_with_one_image(tmp_path):
    root = folder(tmp_path/'faces')
    for o in list((root/'train'/'disgust').iterdir())[1:]: o.unlink()
    raises(root, "'disgust' has one image to train on, and a valid split needs another")
    assert len(read_fer(root, emotions=['happy', 'sad'])) == 12

def test_class_without_training_images(tmp_path):
    rows = [o for o in good if o[0] != '1' or o[2] != 'Training']
    raises(write(tmp_path/'a.csv', rows), "'disgust' has 0 images to train on and 2 in all")

def test_missing_file_in_frame(tmp_path):
    raises(pd.DataFrame(dict(emotion=['happy'], path=[tmp_path/'none.jpg'])), 'row 0: there is no such file')

def test_numbered_folders(tmp_path):
    for i in range(8): folder(tmp_path/'faces', n=14, layout=f'{i}')
    raises(tmp_path/'faces', "7/00.jpg: unknown label '7'", 'labels=AFFECTNET')
    assert read_fer(tmp_path/'faces', labels=AFFECTNET).vocab == [*EMOTIONS, 'contempt']

@pytest.mark.parametrize('n', [6, 7])
def test_folders_numbered_from_one(tmp_path, n):
    "As RAF-DB's are: each would be taken for its neighbour, and no hint may lead to AffectNet's numbers"
    for i in range(n): folder(tmp_path/'faces', n=4, layout=f'{i+1}')
    raises(tmp_path/'faces', "1/00.jpg: unknown label '1'", "labels=[None, 'surprise', 'fear', ...]", f'(and {4*n-1} more)')
    raf = [None, 'surprise', 'fear', 'disgust', 'happy', 'sad', 'angry', 'neutral']
    data = read_fer(tmp_path/'faces', labels=raf)
    assert [o.split('/')[0] for o in data.df.name] == [str(raf.index(o)) for o in data.df.emotion]
    rows = pd.DataFrame(dict(emotion=np.arange(42)%n + 1, pixels=list(faces)))
    if n == 7: raises(rows, "row 6: unknown label '7'", 'labels=[None')
    else: assert read_fer(rows).vocab == EMOTIONS[1:] # FER2013 without its angry faces

def test_other_names_of_splits(tmp_path):
    for o in ('train_images', 'test-images'): folder(tmp_path/'faces', n=14 if o[1] == 'r' else 7, layout=o + '/{}')
    assert read_fer(tmp_path/'faces').counts().total.to_dict() == dict(train=7, valid=7, test=7)
    for o in ('learn', 'exam'): folder(tmp_path/'more', n=14, layout=o + '/{}')
    raises(tmp_path/'more', f"{tmp_path/'more'}: 'angry' lies in exam and learn", 'train', 'validation', 'put all into one folder train')
    (tmp_path/'one'/'train').mkdir(parents=True)
    (tmp_path/'more').rename(tmp_path/'one'/'train'/'all')
    assert len(read_fer(tmp_path/'one')) == 28
    for o in ('ann', 'bob', 'cai', 'dan'): folder(tmp_path/'people', n=14, layout=o + '/{}')
    assert read_fer(tmp_path/'people').counts().total.sum() == 56

def test_depth_and_transparency(tmp_path):
    "A folder gives the faces that a predictor sees: the plain ones, however their files hold them"
    def save(name, make):
        for i, im in enumerate(faces[:14]):
            to = tmp_path/name/EMOTIONS[i%7]/f'{i:02d}.png'
            to.parent.mkdir(parents=True, exist_ok=True)
            make(im).save(to)
        return read_fer(tmp_path/name)
    want = save('plain', Image.fromarray).fingerprint
    assert save('bits16', lambda o: Image.fromarray(np.uint16(o)*257)).fingerprint == want
    assert save('alpha', lambda o: Image.merge('LA', [Image.fromarray(o), Image.new('L', (48, 48), 255)])).fingerprint == want
    large = save('large', lambda o: Image.fromarray(np.uint16(o)*257).resize((96, 96)))
    for i, o in enumerate(large.paths): np.testing.assert_array_equal(np.asarray(large.image(i)), np.uint8(np.asarray(Image.open(o))/257 + .5))
    clear = save('clear', lambda o: Image.new('RGBA', (48, 48)))
    assert all(Preprocess()(clear.image(i)).min() == 255 for i in range(14))

# DataFrames

frames = {
    'no emotion': (pd.DataFrame(dict(pixels=[1])), 'the DataFrame needs a column emotion'),
    'no images': (pd.DataFrame(dict(emotion=[1])), 'and one of pixels, path, file, image; it has emotion'),
    'no rows': (pd.DataFrame(dict(emotion=[], pixels=[])), 'the DataFrame has no rows'),
    'size': (pd.DataFrame(dict(emotion=3, pixels=[faces[0], faces[1], faces[2][1:]])), 'row 2: 2,256 pixels, and 48x48 needs 2,304'),
    'range': (pd.DataFrame(dict(emotion=3, pixels=[faces[0], faces[1].astype(int)+1])), 'row 1: the pixels are not integers from 0 to 255'),
    'colours': (pd.DataFrame(dict(emotion=3, pixels=[np.zeros((48, 48, 4), np.uint8)]*2)), 'row 0: an array of shape (48, 48, 4), and pixels are gray'),
    'floats': (pd.DataFrame(dict(emotion=3, pixels=[faces[0], faces[1]/255])), 'row 1: the pixels are not integers from 0 to 255'),
    'word': (pd.DataFrame(dict(emotion=3, pixels=[good[0][1], good[0][1] + ' x'], Usage='Training'), index=[5, 6]), "row 6: pixel 2305 is 'x'"),
    'missing': (pd.DataFrame(dict(emotion=3, pixels=[good[0][1], None])), 'row 1: '),
    'split': (pd.DataFrame(dict(emotion=3, pixels=[faces[0]]*2, split=['train', 'later'])), "row 1: unknown Split 'later'"),
    'label': (pd.DataFrame(dict(emotion=['3', None], pixels=[faces[0]]*2)), 'row 1: the label is missing'),
}

@pytest.mark.parametrize('frame,message', frames.values(), ids=frames)
def test_frame(frame, message): raises(frame, message)

# What is asked for

@pytest.fixture
def fer(tmp_path): return write(tmp_path/'fer2013.csv', good)

asked = {
    'emotion': (dict(emotions=['happy', 'contempt']), "unknown emotion 'contempt'"),
    'emotion, nearest': (dict(emotions=['hapy']), "did you mean 'happy'?"),
    'no emotions': (dict(emotions=[]), 'emotions is empty'),
    'protocol': (dict(protocol='oficial'), "unknown protocol 'oficial': did you mean 'official'?"),
    'bad': (dict(bad='ignore'), "unknown bad 'ignore': choose from raise, skip"),
    'valid_pct 0': (dict(valid_pct=0), 'valid_pct=0'),
    'valid_pct 1': (dict(valid_pct=1.), 'valid_pct=1.0'),
    'valid_pct 20': (dict(valid_pct=20), 'valid_pct=20: it must be a number between 0 and 1'),
}

@pytest.mark.parametrize('kwargs,message', asked.values(), ids=asked)
def test_asked(fer, kwargs, message):
    raises(fer, message, **kwargs)
    raises(read_fer(fer), message, **kwargs)

def test_empty_split(tmp_path):
    raises(write(tmp_path/'a.csv', [o for o in good if o[2] != 'PublicTest' or o[0] != '3']), 'the valid split would be empty: none of its 6 images', emotions=['happy'])
    data = read_fer(tmp_path/'a.csv', emotions=['happy', 'sad'])
    raises(data, 'the valid split would be empty', emotions=['happy'])
    raises(write(tmp_path/'b.csv', [o for o in good if o[2] != 'Training']), 'the train split would be empty')

def test_no_valid_split(fer):
    "Held out of train, as from any other source, and the same one each time"
    data = read_fer(fer)
    some = data.subset(np.flatnonzero(data.df.split != 'valid'))
    again = read_fer(some, valid_pct=.25)
    assert again.counts().total.to_dict() == dict(train=21, valid=7, test=7)
    assert again.fingerprint == read_fer(some, valid_pct=.25).fingerprint != read_fer(some, valid_pct=.25, seed=1).fingerprint
    assert read_fer(data) is data
    one = FERData(some.df[:7], some.images[:7])
    raises(one, 'has one image to train on')

def test_source_of_another_type(): raises(42, 'read_fer takes a CSV')

# The cache, and Kaggle

def test_two_processes(fer, cache):
    code = f'from fer_fastai.read import read_fer; print(read_fer({str(fer)!r}).fingerprint)'
    procs = [subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert {o.communicate()[0].strip() for o in procs} == {read_fer(fer).fingerprint}
    assert len(list(cache.iterdir())) == 1

def flip(path): path.write_bytes(path.read_bytes()[:-9] + b'x' + path.read_bytes()[-8:]) # the size stays

@pytest.mark.parametrize('file', ['images.npy', 'rows.csv', 'meta.json'])
@pytest.mark.parametrize('harm', [cut, empty, flip, Path.unlink])
def test_damaged_cache(fer, cache, file, harm):
    want = read_fer(fer).fingerprint
    harm(next(cache.iterdir())/file)
    assert read_fer(fer).fingerprint == want
    assert len(list(cache.iterdir())) == 1

def test_changed_file(fer):
    read_fer(fer)
    write(fer, good[:-1])
    assert len(read_fer(fer)) == 41

def test_fetch_without_network(monkeypatch):
    pytest.importorskip('kagglehub')
    monkeypatch.setenv('https_proxy', 'http://127.0.0.1:9')
    with pytest.raises(FERError, match='cannot be downloaded from Kaggle .* check the network'): fetch_fer()

def test_fetch_without_kagglehub(monkeypatch):
    monkeypatch.setitem(sys.modules, 'kagglehub', None)
    with pytest.raises(FERError, match='pip install kagglehub'): fetch_fer()

# Numbers that are none, at every place that takes one

def edges():
    "Name of an argument, and what to call with a value for it"
    from fer_fastai.audit import audit_fer
    from fer_fastai.faces import detect, find_faces
    from fer_fastai.loaders import class_weights
    from fer_fastai.predict import FER
    from fer_fastai.predictions import cross_predict
    from fer_fastai.recipes import Recipe
    from fer_fastai.train import train_fer
    from fer_fastai.video import Tracker, fer_video, read_video, watch
    img, data, clip = np.zeros((48, 48), np.uint8), read_fer(pd.DataFrame(dict(emotion=np.arange(42)%7, pixels=list(faces)))), 'nowhere.mp4'
    numbers = [k for k, o in Recipe.__dataclass_fields__.items() if o.type in ('int', 'float') or o.type in (int, float, int|tuple, float|tuple, float|slice|tuple)]
    assert {'lr', 'epochs', 'wd', 'ema', 'grad_clip', 'bs', 'seed', 'size', 'valid_pct'} <= set(numbers)
    for k in numbers: yield k, lambda v, k=k: train_fer('sample', **{k: v})
    yield 'happy', lambda v: train_fer('sample', class_weights=dict(happy=v))
    yield 'happy', lambda v: class_weights(data, dict(happy=v))
    for k in 'min_size', 'score':
        for f in find_faces, detect: yield k, lambda v, k=k, f=f: f(img, **{k: v})
    yield 'threads', lambda v: FER(threads=v)
    for k in 'smooth', 'patience': yield k, lambda v, k=k: Tracker(**{k: v})
    for k in 'every', 'smooth', 'seconds': yield k, lambda v, k=k: fer_video(clip, **{k: v})
    yield 'every', lambda v: read_video(clip, v)
    yield 'smooth', lambda v: watch(clip, v)
    yield 'near', lambda v: audit_fer(data, near=v)
    yield 'folds', lambda v: cross_predict(data, folds=v)
    for k in 'valid_pct', 'seed': yield k, lambda v, k=k: read_fer('sample', **{k: v})
    yield 'frac', lambda v: data.sample(v)
    if find_spec('ray'):
        from fer_fastai.tune import tune_fer
        for k in 'n_trials', 'lr': yield k, lambda v, k=k: tune_fer('sample', 'cnn6', **{k: v})
        yield 'gpu', lambda v: tune_fer('sample', resources=dict(gpu=v), space=dict(lr=[1e-3]))
    if find_spec('gradio'):
        from fer_fastai.app import fer_app
        yield 'port', lambda v: fer_app(port=v)

def test_infinite_and_nan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, call in edges():
        for v in float('nan'), float('inf'), -float('inf'), np.float32('nan'):
            with pytest.raises(FERError) as e: call(v)
            assert name in str(e.value) and re.search('nan|inf', str(e.value)) and len(str(e.value)) < 300, (name, v, e.value)
    assert not list(tmp_path.glob('runs*'))

@pytest.mark.parametrize('args', ['--seconds inf', '--smooth nan'])
def test_infinite_in_a_command(tmp_path, args):
    (tmp_path/'a.mp4').write_bytes(b'x')
    r = subprocess.run([Path(sys.executable).parent/'fer_video', tmp_path/'a.mp4', *args.split(), '--out', tmp_path/'b.mp4'], capture_output=True, text=True)
    assert (r.returncode, r.stdout) == (2, '') and r.stderr.count('\n') == 1 and args in r.stderr
    assert not (tmp_path/'b.mp4').exists()
