"Layouts of data sets as people have them: each is read rightly, or refused with advice that works when it is typed"
import gzip, io, json, os, re, shutil, tarfile, zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_fastai import core, read
from fer_fastai.core import AFFECTNET, EMOTIONS, EMOTIONS8, FERError
from fer_fastai.images import open_image
from fer_fastai.read import ALPHABETICAL, ALPHABETICAL8, CKPLUS, FERPLUS, RAFDB, majority, read_fer

faces = np.random.default_rng(0).integers(0, 256, (300, 48, 48), dtype=np.uint8)
names = {**vars(core), **vars(read), 'pd': pd, 'np': np}

@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch): monkeypatch.setenv('FER_FASTAI_CACHE', str(tmp_path/'cache'))

@pytest.fixture
def root(tmp_path):
    (tmp_path/'data').mkdir()
    return tmp_path/'data'

def px(i): return ' '.join(map(str, faces[i].ravel()))

def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
    return path

def picture(path, i=0, side=48, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(faces[i]).resize((side, side)).save(path, **kwargs)

def pictures(root, pattern, n, start=0, of=EMOTIONS, **kwargs):
    "`n` pictures whose names have {e}, an emotion, {k}, its number, {k1}, that from 1 on, and {i}, which counts up"
    for i in range(n):
        picture(root/pattern.format(e=of[i % len(of)], k=i % len(of), k1=i % len(of) + 1, i=i), start + i, **kwargs)
    return root

def rows(path, n, start=0, usage=None, header='emotion,pixels', of=EMOTIONS):
    text = [f'{i % len(of)},{px(start + i)}' + (f',{usage}' if usage else '') for i in range(n)]
    return put(path, '\n'.join([header + ',Usage'*bool(usage), *text]) + '\n')

def totals(source, **kwargs): return read_fer(source, **kwargs).counts().total.to_dict()

def refused(source, *parts, error=FERError, **kwargs):
    "The message, short and in one line, with all these parts"
    with pytest.raises(error) as e: read_fer(source, **kwargs)
    text = str(e.value)
    assert len(text) <= 300 and '\n' not in text, text
    for o in parts: assert o in text, text
    return text

def typed(text, source):
    "What `read_fer` gives for each piece of advice in a message, typed as it is written there"
    found = re.findall(r"((?:labels|emotions|groups|bad)=(?:\[[^\]]*\]|\{[^}]*\}|'[^']*'|\w+))", text)
    found = [o for o in found if '...' not in o]
    assert found, text
    return {o: eval(f'read_fer(source, {o})', {**names, 'source': source}) for o in found}

# A. Splits by any name, and nothing is left out without a word

splits = {
    'train.csv val.csv test.csv': dict(train=28, valid=7, test=7),
    'Training.csv PublicTest.csv PrivateTest.csv': dict(train=28, valid=7, test=7),
    'fer2013_train.csv fer2013-validation.csv fer2013_test.csv': dict(train=28, valid=7, test=7),
    'train.csv dev.csv': dict(train=28, valid=7),
    'train.csv evaluation.csv': dict(train=28, valid=7),
    'TRAIN.CSV Valid.Csv Test.csv': dict(train=28, valid=7, test=7),
    'train/data.csv val/data.csv test/data.csv': dict(train=28, valid=7, test=7),
    'train_data.csv test_data.csv': dict(train=21, valid=7, test=7),
}

@pytest.mark.parametrize('usage', [False, True])
@pytest.mark.parametrize('files,want', splits.items(), ids=splits)
def test_csv_for_each_split(root, files, want, usage):
    for i, o in enumerate(files.split()): rows(root/o, 28 if not i else 7, 50*i, usage and 'Training')
    put(root/'notes.txt', 'x')
    data = read_fer(root)
    assert data.counts().total.to_dict() == want and data.problems.name.tolist() == ['notes.txt']
    if 'val' in files or 'Public' in files or 'dev' in files: np.testing.assert_array_equal(data.images[data.idxs('valid')], faces[50:57])

def test_column_that_contradicts_the_name_is_said(root, capsys):
    rows(root/'train.csv', 28, usage='Training')
    rows(root/'val.csv', 7, 50, usage='Training')
    assert totals(root) == dict(train=28, valid=7)
    assert 'val.csv: every row says train, the name says valid, and the name counts' in capsys.readouterr().out

def test_column_in_a_named_file_that_says_more(root):
    text = ['emotion,pixels,Usage', *[f'{i%7},{px(i)},{"Training" if i < 28 else "PublicTest"}' for i in range(35)]]
    put(root/'train.csv', '\n'.join(text))
    rows(root/'test.csv', 7, 50, usage='PrivateTest')
    assert totals(root) == dict(train=28, valid=7, test=7)

columns = {
    'split': ['train']*28 + ['val']*7 + ['test']*7, 'Split': ['Training']*28 + ['dev']*7 + ['TEST']*7,
    'Usage': ['Training']*28 + ['Public Test']*7 + ['Private Test']*7, 'subset': ['train']*28 + ['validation']*7 + ['test']*7,
    'fold': ['train']*28 + ['valid']*7 + ['testing']*7,
}

@pytest.mark.parametrize('column', columns)
@pytest.mark.parametrize('form', ['frame', 'csv', 'list'])
def test_split_column(root, column, form):
    df = pd.DataFrame({'emotion': np.arange(42) % 7, 'pixels': [px(i) for i in range(42)], column: columns[column]})
    if form == 'list':
        pictures(root, 'images/{i}.png', 42)
        df = df.drop(columns='pixels').assign(image=[f'{i}.png' for i in range(42)])
    if form != 'frame': df.to_csv(root/'all.csv', index=False)
    assert totals(df if form == 'frame' else root) == dict(train=28, valid=7, test=7)

@pytest.mark.parametrize('values', [np.arange(35) >= 28, (np.arange(35) >= 28)*1, (np.arange(35) >= 28)*1., [str(i >= 28) for i in range(35)]])
def test_is_valid(root, values):
    df = pd.DataFrame(dict(emotion=np.arange(35) % 7, pixels=[px(i) for i in range(35)], is_valid=values))
    df.to_csv(root/'a.csv', index=False)
    for o in df, root, root/'a.csv': assert totals(o) == dict(train=28, valid=7)

def test_folds_are_no_splits(root, capsys):
    df = pd.DataFrame(dict(emotion=np.arange(70) % 7, pixels=list(faces[:70]), fold=np.arange(70)//14))
    assert totals(df) == dict(train=56, valid=14)
    said = capsys.readouterr().out
    assert "the column fold names no splits; groups='fold'" in said
    data, = typed(said, df).values()
    assert not {*df.fold[data.idxs('train')]} & {*df.fold[data.idxs('valid')]}

def test_unknown_split(root):
    df = pd.DataFrame(dict(emotion=np.arange(14) % 7, pixels=list(faces[:14]), split=['train']*13 + ['later']))
    refused(df, "row 13: unknown Split 'later'", 'train, valid and test are known')

def test_ambiguous_csvs(root):
    rows(root/'a.csv', 14)
    rows(root/'b.csv', 14, 50)
    refused(root, 'holds 2 files of rows, a.csv, b.csv', 'name them train, valid and test, or give one of them')
    assert totals(root/'a.csv') == dict(train=7, valid=7)
    (root/'a.csv').rename(root/'train.csv')
    (root/'b.csv').rename(root/'test.csv')
    with pytest.raises(FERError, match='has one image to train on|images to train on'): read_fer(pictures(root/'x', '{e}/{i}.png', 7))
    assert totals(root) == dict(train=7, valid=7, test=14)
    (root/'train.csv').rename(root/'val.csv')
    refused(root, 'none of them is train')

def test_csvs_of_different_roles_and_others(root, capsys):
    rows(root/'train.csv', 28)
    put(root/'test.csv', 'pixels\n' + px(0) + '\n') # the competition's, without labels
    put(root/'example_submission.csv', 'id,emotion\n1,0\n')
    rows(root/'copy'/'train_small.csv', 7)
    refused(root, 'holds 2 files of rows')
    shutil.rmtree(root/'copy')
    data = read_fer(root)
    assert data.problems.name.tolist() == ['example_submission.csv', 'test.csv'] and len(data) == 28
    assert '2 files not read, such as example_submission.csv' in capsys.readouterr().out

@pytest.mark.parametrize('suffix', 'jpg JPG jpeg jfif PNG bmp webp tiff gif ppm'.split())
def test_suffixes(root, suffix):
    kind = dict(jpg='jpeg', jfif='jpeg', tiff='tiff').get(suffix.lower(), suffix.lower())
    pictures(root, '{e}/{i}.' + suffix, 14, format=kind)
    assert len(read_fer(root)) == 14

def test_what_is_not_read_is_said(root, capsys):
    pictures(root, 'train/{e}/{i}.jpg', 28)
    for o in 'train/happy/clip.mp4', 'train/happy/face.raw', 'labels.csv', 'README.md': put(root/o, 'a,b\n')
    for o in '.DS_Store', 'train/Thumbs.db', 'train/happy/desktop.ini', '__MACOSX/a.jpg': put(root/o, '')
    data = read_fer(root)
    assert data.problems.name.tolist() == ['README.md', 'labels.csv', 'train/happy/clip.mp4', 'train/happy/face.raw']
    assert set(data.problems.reason) == {'it is there and was not read'}
    assert capsys.readouterr().out.strip().endswith('4 files not read, such as README.md')
    read_fer(root)
    assert '4 files not read' in capsys.readouterr().out # from the cache as well

folders = {
    ('train/{e}', 'validation/{e}', 'test/{e}'): dict(train=28, valid=7, test=7),
    ('Training/{e}', 'Public/{e}', 'Private/{e}'): dict(train=28, valid=7, test=7),
    ('x/trainset/{e}', 'x/valset/{e}', 'x/testset/{e}'): dict(train=28, valid=7, test=7),
    ('{e}/train', '{e}/val', '{e}/test'): dict(train=28, valid=7, test=7),
    ('FER2013Train/{e}', 'FER2013Valid/{e}', 'FER2013Test/{e}'): dict(train=28, valid=7, test=7),
    ('train/{e}', 'dev/{e}', 'dev/{e}/more'): dict(train=28, valid=14),
}

@pytest.mark.parametrize('patterns,want', folders.items(), ids=map('+'.join, folders))
def test_folders_for_splits(root, patterns, want):
    for i, o in enumerate(patterns): pictures(root, o + '/{i}.png', 7 if i else 28, 50*i)
    assert totals(root) == want

def test_test_folder_alone(root):
    pictures(root, 'test/{e}/{i}.png', 28)
    refused(root, 'the train split would be empty: all images are test', 'give the folder or file of these alone')
    assert totals(root/'test') == dict(train=21, valid=7)

def flagged(**columns): return pd.DataFrame(dict(emotion=np.arange(35) % 7, pixels=list(faces[:35]), **columns))

def test_flags():
    late, first = np.arange(35) >= 28, np.arange(35) < 7
    for o in flagged(is_valid=np.where(late, 'yes', 'no')), flagged(is_train=~late), flagged(**{'Is Val': late*1}), flagged(isTraining=~late):
        data = read_fer(o)
        assert data.idxs('valid').tolist() == list(range(28, 35)) and len(data) == 35
    assert totals(flagged(is_valid=late, is_test=first)) == dict(train=21, valid=7, test=7)
    assert totals(flagged(is_train=~late & ~first, is_valid=late)) == dict(train=21, valid=7, test=7)
    refused(flagged(is_valid=[None, *late[1:]]), 'row 0: is_valid must be true or false')
    refused(flagged(is_valid=late, is_test=late), 'row 28: is_valid and is_test must be true or false, and only one of them true')

def test_split_column_that_is_not_whole(capsys):
    for o in 'phase', 'data_split', 'Data Split':
        refused(flagged(**{o: ['train']*28 + ['val']*6 + ['later']}), "row 34: unknown", "'later': train, valid and test are known")
    assert totals(flagged(stage=['fit']*28 + ['rest']*7)) == dict(train=28, valid=7)
    assert 'the column stage names no splits' in capsys.readouterr().out
    assert totals(flagged(text=['a test', 'the train', *'abcdefghijklmnopqrstuvwxyzABCDEFG'])) == dict(train=28, valid=7)

def test_columns_that_are_there_twice(root):
    twice = pd.concat([flagged(), flagged()], axis=1)
    refused(twice, "the column 'pixels' is there 2 times")
    refused(twice.iloc[:, [0, 1, 2]], "the column 'emotion' is there 2 times")
    put(root/'a.csv', 'emotion,pixels,Emotion\n' + ''.join(f'{i%7},{px(i)},{(i+1)%7}\n' for i in range(28)))
    refused(root, "a.csv: the column 'emotion' is there 2 times")
    pictures(root/'b', '{i}.png', 28)
    put(root/'b'/'list.csv', 'path,emotion,emotion\n' + ''.join(f'{i}.png,happy,sad\n' for i in range(28)))
    refused(root/'b', "list.csv: the column 'emotion' is there 2 times")

def test_columns_called_like_the_readers_own():
    more = dict(label=['x']*35, name=['ann']*35, role=['boss']*35, bad=[''] * 35)
    assert read_fer(flagged(**more)).df.emotion[:7].tolist() == EMOTIONS
    assert read_fer(flagged(name=np.arange(35)//7), groups='name').counts().total.to_dict() == dict(train=28, valid=7)

def test_splits_in_names_of_files(root):
    for i in range(42): picture(root/f'{EMOTIONS[i % 7]}_{"train" if i < 28 else "test"}_{i}.png', i)
    assert totals(root) == dict(train=21, valid=7, test=14)

def test_links(root):
    pictures(root, '{e}/{i}.png', 28)
    (root/'happy'/'again').symlink_to(root)
    assert len(read_fer(root)) == 28
    (root/'happy'/'gone.png').symlink_to(root/'nowhere.png')
    text = refused(root, 'happy/gone.png: there is no such file')
    assert len(typed(text, root)["bad='skip'"]) == 28

def test_name_that_is_no_utf8(root):
    pictures(root, '{e}/{i}.png', 28)
    with open(os.fsencode(root/'happy') + b'/caf\xe9.png', 'wb') as f: f.write(png(faces[99]))
    for _ in range(2): assert len(read_fer(root)) == 29

# B. A folder is a class only if its name is an emotion, or if the caller says so

def ferplus(root, above=False):
    "FER+ as its own script writes it, and what the labels should be"
    want, new = {}, ['Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF']
    for o, use, n in ('Train', 'Training', 48), ('Valid', 'PublicTest', 16), ('Test', 'PrivateTest', 16):
        for i in range(n):
            k, name = len(want), f'fer{len(want):07d}.png'
            picture(root/f'FER2013{o}'/name, k)
            votes = [9*(j == k % 8) + (j == 8) for j in range(10)]
            want[name] = FERPLUS[k % 8]
            new.append(f'{use},{name},{",".join(map(str, votes))}')
            with open(root/f'FER2013{o}'/'label.csv', 'a') as f: f.write(f'{name},"(0, 0, 48, 48)",{",".join(map(str, votes))}\n')
    if above:
        for o in root.rglob('label.csv'): o.unlink()
        put(root/'fer2013new.csv', '\n'.join(new))
    return want

@pytest.mark.parametrize('above', [False, True])
@pytest.mark.parametrize('below', ['', 'images'])
def test_ferplus(root, above, below):
    (root/below).mkdir(exist_ok=True)
    want = ferplus(root/below, above)
    data = read_fer(root)
    assert data.vocab == EMOTIONS8 and data.counts().total.to_dict() == dict(train=48, valid=16, test=16)
    assert {o.rpartition('/')[2]: e for o, e in zip(data.df.name, data.df.emotion)} == want
    assert data.votes.shape == (80, 10) and (data.votes.argmax(1) == [FERPLUS.index(o) for o in data.df.emotion]).all()
    assert not len(data.problems) and totals(root, emotions=['happy', 'sad']) == dict(train=12, valid=4, test=4)

def test_ferplus_without_votes(root):
    ferplus(root, above=True)
    (root/'fer2013new.csv').rename(root.parent/'fer2013new.csv')
    refused(root, "these are FER+'s images without their votes: add votes='fer2013new.csv'")
    assert totals(root, votes=root.parent/'fer2013new.csv') == dict(train=48, valid=16, test=16)

def test_ferplus_that_is_not_whole(root):
    ferplus(root)
    (root/'FER2013Valid'/'fer0000050.png').unlink()
    picture(root/'FER2013Test'/'fer0009999.png', 200)
    refused(root, 'fer0000050.png: there is no picture of it (and 1 more)')
    data = read_fer(root, bad='skip')
    assert len(data) == 79 and data.problems.reason.tolist() == ['there is no picture of it', 'there are no votes for it']

def affectnet(root, n, start=0, numbers=8):
    for i in range(n):
        picture(root/'images'/f'{i}.jpg', start + i, 96)
        (root/'annotations').mkdir(exist_ok=True)
        np.save(root/'annotations'/f'{i}_exp.npy', np.array(str(i % numbers)))
        np.save(root/'annotations'/f'{i}_val.npy', np.array('0.1'))
    return root

def test_orders_of_eight_emotions():
    "AffectNet's own numbers, and those of the folders on Kaggle"
    assert AFFECTNET == ['neutral', 'happy', 'sad', 'surprise', 'fear', 'disgust', 'angry', 'contempt']
    assert EMOTIONS8 == ['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral', 'contempt']

@pytest.mark.parametrize('parts,below,want', [
    (('train_set', 'val_set'), '', dict(train=32, valid=16)), (('train', 'val'), '', dict(train=32, valid=16)),
    (('AffectNet/Manually/train_set', 'AffectNet/Manually/val_set'), 'AffectNet', dict(train=32, valid=16)),
    (('a/val_set',), 'a/val_set', dict(train=24, valid=8)), (('',), '', dict(train=24, valid=8))])
def test_affectnet(root, parts, below, want):
    for i, o in enumerate(parts): affectnet(root/o, 16 if i else 32, 50*i)
    data = read_fer(root/below)
    assert data.vocab == EMOTIONS8 and data.counts().total.to_dict() == want
    assert [AFFECTNET[int(Path(o).stem) % 8] for o in data.df.name] == data.df.emotion.tolist()

def test_affectnet_images_alone(root):
    affectnet(root, 16)
    refused(root/'images', '0.jpg: it lies in no folder of an emotion')

def test_kdef(root, capsys):
    codes = dict(AF='fear', AN='angry', DI='disgust', HA='happy', NE='neutral', SA='sad', SU='surprise')
    people = 'AF01 AF02 AF03 AM01 AM02 AM03 BF01 BM01'.split()
    for i, p in enumerate(people):
        for j, o in enumerate(codes): picture(root/'KDEF'/p/f'{p}{o}{["S", "HL", "FR"][j % 3]}.JPG', 10*i + j, 96, format='jpeg')
    data = read_fer(root)
    assert [codes[Path(o).stem[4:6]] for o in data.df.name] == data.df.emotion.tolist() and len(data) == 56
    assert 'none of its folders is an emotion' in capsys.readouterr().out
    who = data.df.name.map(lambda o: Path(o).stem[1:4])
    assert not {*who[data.idxs('train')]} & {*who[data.idxs('valid')]}
    as_asked = read_fer(root, emotions=people)
    assert as_asked.vocab == people and len(as_asked) == 56 # the persons, if that is what is wanted

def test_jaffe(root):
    codes = dict(AN='angry', DI='disgust', FE='fear', HA='happy', NE='neutral', SA='sad', SU='surprise')
    for i, p in enumerate(('KA', 'KL', 'KM', 'KR', 'YM')):
        for j, o in enumerate(codes): picture(root/'jaffe'/f'{p}.{o}{i % 3 + 1}.{10*i + j}.tiff', 10*i + j, 256)
    data = read_fer(root)
    assert [codes[Path(o).name[3:5]] for o in data.df.name] == data.df.emotion.tolist() and len(data) == 35
    assert {o[:8] for o in data.df.name[data.idxs('train')]}.isdisjoint({o[:8] for o in data.df.name[data.idxs('valid')]})

def test_ckplus(root):
    for p in range(5):
        for s in range(7):
            stem = f'S{p:03d}_{s:03d}'
            for f in 1, 2: picture(root/f'cohn-kanade-images/S{p:03d}/{s:03d}/{stem}_{f:08d}.png', 20*p + 2*s + f, 80)
            put(root/f'Emotion/S{p:03d}/{s:03d}/{stem}_00000002_emotion.txt', f'   {s + 1}.0000000e+00\n')
    data = read_fer(root)
    assert [CKPLUS[int(o.split('/')[2]) + 1] for o in data.df.name] == data.df.emotion.tolist() and len(data) == 35
    assert len(data.problems) == 35 and data.counts().total.to_dict() == dict(train=28, valid=7)
    put(root/'Emotion/S000/000/S000_000_00000002_emotion.txt', '9\n')
    refused(root, "its emotion is '9', not one of 0, 1")

@pytest.mark.parametrize('kind', ['aligned', 'original'])
def test_rafdb(root, kind):
    end = '_aligned' if kind == 'aligned' else ''
    pictures(root, f'basic/Image/{kind}/train_{{i:05d}}{end}.jpg', 28, side=100)
    pictures(root, f'basic/Image/{kind}/test_{{i:05d}}{end}.jpg', 14, 50, side=100)
    text = [f'{s}_{i:05d}.jpg {i % 7 + 1}' for s, n in (('train', 28), ('test', 14)) for i in range(n)]
    put(root/'basic/EmoLabel/list_patition_label.txt', '\n'.join(text))
    data = read_fer(root)
    assert data.counts().total.to_dict() == dict(train=21, valid=7, test=14)
    assert [RAFDB[int(re.search(r'_(\d+)', Path(o).stem)[1]) % 7 + 1] for o in data.df.name] == data.df.emotion.tolist()

def yolo(root, box='{} 0.5 0.5 0.9 0.9', names='names: [Anger, Contempt, Disgust, Fear, Happy, Neutral, Sad, Surprise]', layout='{s}/{k}'):
    for s, n in ('train', 32), ('valid', 16):
        for i in range(n):
            picture(root/layout.format(s=s, k='images')/f'{s}{i}.jpg', i + 50*(n == 16), 96)
            put(root/layout.format(s=s, k='labels')/f'{s}{i}.txt', box.format(i % 8))
    if names: put(root/'data.yaml', names)
    return root

@pytest.mark.parametrize('layout', ['{s}/{k}', '{k}/{s}', 'YOLO_format/{s}/{k}', '{s}'])
@pytest.mark.parametrize('listed', [True, False])
def test_yolo(root, layout, listed):
    order = 'Anger Contempt Disgust Fear Happy Neutral Sad Surprise'.split()
    names = f'nc: 8\nnames: {order}' if listed else 'names:\n' + '\n'.join(f'  {i}: {o}' for i, o in enumerate(order))
    data = read_fer(yolo(root, names=names, layout=layout))
    assert data.counts().total.to_dict() == dict(train=32, valid=16) and data.vocab == EMOTIONS8
    assert [ALPHABETICAL8[int(re.search(r'\d+', Path(o).stem)[0]) % 8] for o in data.df.name] == data.df.emotion.tolist()

def test_yolo_refused(root):
    text = refused(yolo(root/'a', names=''), 'there is no data.yaml')
    assert len(typed(text, root/'a')) >= 2 and totals(root/'a', labels='ALPHABETICAL8') == dict(train=32, valid=16)
    refused(yolo(root/'b', '{} 0.5 0.5 0.1 0.1'), 'its face fills 1% of the picture: crop the faces first')
    refused(yolo(root/'c', '{0} 0.5 0.5 0.9 0.9\n{0} 0.5 0.5 0.9 0.9'), 'it has 2 faces with a box')
    refused(yolo(root/'d', 'happy'), "its label is 'happy', not a class and a box")

def test_no_class_is_an_emotion(root):
    pictures(root/'a', '{e}/{i}.jpg', 24, of=['yawn', 'smile', 'frown'])
    text = refused(root/'a', "none of the classes is an emotion; emotions=['frown', 'smile', 'yawn']")
    data, = typed(text, root/'a').values()
    assert data.vocab == ['frown', 'smile', 'yawn'] and len(data) == 24
    refused(root/'a', 'none of the classes is an emotion', bad='skip')
    refused(root/'a', "unknown class 'Yawn': did you mean 'yawn'?", emotions=['Yawn', 'Smile'])
    pictures(root/'many', '{e}/{i}.jpg', 120, of=[f'person number {i}' for i in range(40)])
    refused(root/'many', 'none of the classes is an emotion', '...]')

@pytest.mark.parametrize('name', ['images', 'faces', 'all of my pictures'])
def test_one_class(root, name):
    pictures(root, f'{name}/{{i}}.jpg', 14)
    refused(root, 'all images are in one class', 'list the files in a CSV with the columns path and emotion')
    put(root/'list.csv', 'path,emotion\n' + ''.join(f'{name}/{i}.jpg,{EMOTIONS[i % 7]}\n' for i in range(14)))
    assert len(read_fer(root)) == 14 # what the message advises
    refused(pictures(root/'b', 'happy/{i}.jpg', 14), "there is only one class, 'happy'")

def test_some_classes_are_emotions(root):
    pictures(root, '{e}/{i}.jpg', 24, of=['happy', 'sad', 'drowsy'])
    text = refused(root, "unknown label 'drowsy', which is no emotion", "emotions=['happy', 'sad', 'drowsy']")
    got = typed(text, root)
    assert got["emotions=['happy', 'sad', 'drowsy']"].vocab == ['happy', 'sad', 'drowsy'] and len(got["bad='skip'"]) == 16
    some = read_fer(root, emotions=['happy', 'sad'])
    assert len(some) == 16 and len(some.problems) == 8

def test_misspelled(root):
    pictures(root, '{e}/{i}.jpg', 24, of=['Happy', 'Sad', 'Suprise'])
    got = typed(refused(root, "labels={'Suprise': 'surprise'}"), root)
    assert got["labels={'Suprise': 'surprise'}"].vocab == ['happy', 'sad', 'surprise']

spellings = [['0_Angry', '1_Disgust', '2_Fear', '3_Happy', '4_Sad', '5_Surprise', '6_Neutral'],
             ['anger', 'disgusted', 'fearful', 'happiness', 'sadness', 'surprised', 'NEUTRAL'],
             ['Angry faces', 'disgust_images', 'face-fear', 'HappyFace', ' sad', 'surprise.', '06 neutral'], list('0123456'),
             ['00', '01', '02', '03', '04', '05', '06'], ['class_0', 'class_1', 'class_2', 'class_3', 'class_4', 'class_5', 'class_6']]

@pytest.mark.parametrize('of', spellings, ids=[o[0] for o in spellings])
@pytest.mark.parametrize('form', ['folders', 'frame', 'csv'])
def test_spellings(root, of, form):
    if form == 'folders': source = pictures(root, '{e}/{i}.jpg', 28, of=of)
    else: source = pd.DataFrame(dict(emotion=[of[i % 7] for i in range(28)], pixels=[px(i) for i in range(28)]))
    if form == 'csv': source = (source.to_csv(root/'a.csv', index=False), root/'a.csv')[1]
    data = read_fer(source)
    assert data.vocab == EMOTIONS and len(data) == 28
    if form != 'folders': assert data.df.emotion[:7].tolist() == EMOTIONS

@pytest.mark.parametrize('name', ['not_happy', 'unhappy', 'happy_or_sad', 'dataset_happy2sad'])
def test_no_emotion_in_a_word(root, name):
    pictures(root, '{e}/{i}.jpg', 21, of=['happy', 'sad', name])
    refused(root, f'unknown label {name!r}')

def test_emotion_above_other_folders(root):
    for p in 'ann', 'bob': pictures(root, '{e}/' + p + '/{i}.jpg', 14, 20*(p == 'bob'))
    for p in 'cai', 'dan': pictures(root, p + '/{e}/{i}.jpg', 14, 40 + 20*(p == 'dan'))
    data = read_fer(root)
    assert len(data) == 56 and data.vocab == EMOTIONS

def test_emotion_in_the_name_of_a_file(root, capsys):
    pictures(root, 'faces/{e}_{i:03d}.jpg', 28)
    data = read_fer(root)
    assert [Path(o).stem.split('_')[0] for o in data.df.name] == data.df.emotion.tolist()
    assert 'the emotions are those in the names of the files' in capsys.readouterr().out
    picture(root/'faces'/'portrait.jpg', 99)
    refused(root, 'all images are in one class')

def test_two_folders_that_may_be_the_class(root):
    for k in range(7):
        for c in range(4): picture(root/f'{k}/{c}/{k}{c}.png', 4*k + c)
    refused(root, "may be the class: name those that are not another way, such as clip_1")
    put(root/'list.csv', 'path,emotion\n' + ''.join(f'{k}/{c}/{k}{c}.png,{EMOTIONS[k]}\n' for k in range(7) for c in range(4)))
    assert len(read_fer(root)) == 28 # what the message advises, and the other
    (root/'list.csv').unlink()
    for o in list(root.glob('*/*')): o.rename(o.with_name(f'clip_{o.name}'))
    assert read_fer(root).df.emotion.tolist() == [EMOTIONS[k] for k in range(7) for _ in range(4)]
    for o in 'happy', 'neutral': pictures(root/'b', o + '/{e}/{i}.png', 14)
    refused(root/'b', 'may be the class')
    pictures(root/'c', '1/neutral/{e}/{i}.png', 14) # one folder above all others
    assert read_fer(root/'c').vocab == EMOTIONS

def test_list_beside_numbered_folders(root):
    "A list that names all images counts more than numbers, and one that does not counts less"
    pictures(root, 'images/{k}/{i}.png', 28)
    text = ['path,emotion', *[f'images/{i % 7}/{i}.png,{EMOTIONS[(i + 1) % 7]}' for i in range(28)]]
    put(root/'list.csv', '\n'.join(text))
    assert read_fer(root).df.emotion[:2].tolist() == EMOTIONS[1:3]
    put(root/'list.csv', '\n'.join(text[:-1]))
    data = read_fer(root)
    assert data.problems.name.tolist() == ['list.csv'] and data.df.emotion.tolist() == sorted([*EMOTIONS]*4, key=EMOTIONS.index)

def test_list_of_affectnet(root):
    for numbers in 8, 7:
        text = ['subDirectory_filePath,face_x,expression,valence']
        for i in range(32):
            picture(root/f'Manually_Annotated/{100 + i % 4}/{i:03d}.jpg', i, 96)
            text.append(f'{100 + i % 4}/{i:03d}.jpg,1,{i % numbers},0.1')
        put(root/'training.csv', '\n'.join(text))
        got = typed(refused(root, 'labels=AFFECTNET (first rows: neutral, happy, sad)'), root)
        assert got['labels=AFFECTNET'].df.emotion.tolist() == [AFFECTNET[i % numbers] for i in range(32)]

# C. What belongs together

def test_copies(root, capsys):
    for o in 'train', 'copy/train': pictures(root, o + '/{e}/{i}.jpg', 28)
    for seed in range(5):
        data = read_fer(root, seed=seed)
        assert len(data) == 56 and not data.in_train('valid').any()
    assert '28 of 56 images are copies of others; none of valid or test is in train as well' in capsys.readouterr().out

def test_copies_by_pixels(root):
    "A copy in another format is a copy, and so it is in a frame or a CSV"
    pictures(root, '{e}/{i}.png', 28)
    pictures(root, '{e}/{i}.bmp', 28)
    for seed in range(5): assert not read_fer(root, seed=seed).in_train('valid').any()
    df = pd.DataFrame(dict(emotion=np.arange(56) % 7, pixels=[*faces[:28], *faces[:28]]))
    df.assign(pixels=[' '.join(map(str, o.ravel())) for o in df.pixels]).to_csv(root.parent/'a.csv', index=False)
    for source in df, root.parent/'a.csv':
        for seed in range(5): assert not read_fer(source, seed=seed).in_train('valid').any()

def test_copies_in_splits_of_the_source(root, capsys):
    pictures(root, 'train/{e}/{i}.png', 28)
    pictures(root, 'val/{e}/{i}.png', 14)
    assert read_fer(root).in_train('valid').all()
    assert '14 of valid are in train as well' in capsys.readouterr().out

def test_groups(root, capsys):
    for p in range(10): pictures(root, f'{{e}}/person{p}_{{i}}.png', 14, 14*p)
    def alone(data):
        who = data.df.name.map(lambda o: re.search(r'person\d+', o)[0])
        return not {*who[data.idxs('train')]} & {*who[data.idxs('valid')]}
    assert not alone(read_fer(root))
    capsys.readouterr()
    for o in r'person\d+', r'(person\d+)_', lambda o: Path(o).name.split('_')[0]:
        for seed in range(3): assert alone(read_fer(root, groups=o, seed=seed))
    assert '10 groups, each in one split' in capsys.readouterr().out
    names = [f'{o.parent.name}/{o.name}' for o in sorted(root.rglob('*.png'))]
    df = pd.DataFrame(dict(path=[f'{root}/{o}' for o in names], emotion=[o.split('/')[0] for o in names],
                           person=[re.search(r'person\d+', o)[0] for o in names]))
    df.assign(path=names).to_csv(root.parent/'list.csv', index=False)
    shutil.copy(root.parent/'list.csv', root/'list.csv')
    for kw in dict(groups='person'), dict(groups=r'person\d+'):
        data = read_fer(df, **kw)
        assert not {*df.person[data.idxs('train')]} & {*df.person[data.idxs('valid')]}

def test_groups_in_a_csv(root):
    text = [f'{i % 7},{px(i)},p{i // 7}' for i in range(70)]
    put(root/'a.csv', '\n'.join(['emotion,pixels,person', *text]))
    for _ in range(2): # the second is from the cache
        data = read_fer(root/'a.csv', groups='person')
        who = data.df.name.map(lambda o: (int(o.split(':')[1]) - 2)//7)
        assert not {*who[data.idxs('train')]} & {*who[data.idxs('valid')]} and len(data) == 70

def test_groups_of_a_data_set():
    data = read_fer(pd.DataFrame(dict(emotion=np.arange(70) % 7, pixels=list(faces[:70]))))
    whole = data.replace(df=data.df.assign(split='train'))
    again = read_fer(whole, groups=lambda o: int(o.split()[1])//7)
    who = again.df.name.map(lambda o: int(o.split()[1])//7)
    assert not {*who[again.idxs('train')]} & {*who[again.idxs('valid')]}

def test_what_a_data_set_has_already(capsys):
    data = read_fer(pd.DataFrame(dict(emotion=np.arange(70) % 7, pixels=list(faces[:70]))))
    refused(data, 'have their names already', 'labels', labels=['happy', 'sad'])
    assert read_fer(data, labels='EMOTIONS8').vocab == EMOTIONS # which names them in the same way
    capsys.readouterr()
    read_fer(data, groups=lambda o: int(o.split()[1])//7)
    assert '10 groups, 10 of them in more than one split' in capsys.readouterr().out

def test_groups_across_given_splits(root, capsys):
    pictures(root, 'train/{e}/ann_{i}.png', 28)
    pictures(root, 'val/{e}/ann_{i}.png', 14, 50)
    read_fer(root, groups='^.*/([a-z]+)_')
    assert '1 groups, 1 of them in more than one split of the source' in capsys.readouterr().out

def test_groups_refused(root):
    pictures(root, '{e}/{i}.png', 28)
    refused(root, "groups='person' is found in no name, as in 'angry/0.png', and is no column", groups='person')
    refused(root, 'is neither a column nor a regular expression', groups='(')
    refused(root, "'angry' has 4 images that belong together to train on", groups='^[a-z]+')

def test_ckplus_persons_stay_together(root):
    for p in range(8): pictures(root, f'CK+48/{{e}}/S{p:03d}_001_{{i:08d}}.png', 21, 21*p)
    data = read_fer(root)
    who = data.df.name.map(lambda o: Path(o).name[:4])
    assert not {*who[data.idxs('train')]} & {*who[data.idxs('valid')]}

# D. Numbers

def numbered(root, n, form, start=0):
    if form == 'folders': return pictures(root, '{k}/{i}.jpg' if not start else '{k1}/{i}.jpg', 8*n, of=list(range(n)))
    df = pd.DataFrame(dict(emotion=np.arange(8*n) % n + start, pixels=[px(i) for i in range(8*n)]))
    if form == 'frame': return df
    df.to_csv(root/'ckextended.csv', index=False)
    return root/'ckextended.csv'

@pytest.mark.parametrize('form', ['folders', 'frame', 'csv'])
def test_contempt(root, form, capsys):
    source = numbered(root, 8, form)
    text = refused(source, "unknown label '7'", 'labels=EMOTIONS8 (first rows: angry, disgust', 'labels=AFFECTNET (first rows: neutral')
    said = capsys.readouterr().out
    for o in 'labels=EMOTIONS8', 'labels=AFFECTNET', 'contempt', 'images', 'the first': assert o in said
    assert "bad='skip'" not in text
    refused(source, "unknown label '7'", bad='skip') # or seven classes might be called after their neighbours
    got = typed(text, source)
    assert {o: d.vocab for o, d in got.items()} == {'labels=EMOTIONS8': EMOTIONS8, 'labels=AFFECTNET': EMOTIONS8}
    for o, order in (got['labels=EMOTIONS8'], EMOTIONS8), (got['labels=AFFECTNET'], AFFECTNET):
        row = 0 if form != 'folders' else o.df.name.tolist().index('0/0.jpg')
        assert o.df.emotion[row] == order[0]
    for o in 'affectnet', 'AFFECTNET', AFFECTNET, dict(enumerate(AFFECTNET)), {str(k): v for k, v in enumerate(AFFECTNET)}:
        assert read_fer(source, labels=o).df.emotion.tolist() == got['labels=AFFECTNET'].df.emotion.tolist()

known = dict(kaggle=([5000, 3803, 5000, 5000, 5000, 5000, 5000, 3750], 'EMOTIONS8'), rafdb=([0, 1290, 281, 717, 4772, 1982, 705, 2524], 'RAFDB'),
             affectnet=([74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750], 'AFFECTNET'), ck=([45, 59, 25, 69, 28, 83, 593, 18], 'EMOTIONS8'),
             alphabetical=([4953, 547, 5121, 8989, 6198, 6077, 4002], 'ALPHABETICAL'))

@pytest.mark.parametrize('n,want', known.values(), ids=known)
def test_numbering_whose_counts_fit_comes_first(root, n, want):
    "The published counts, or a tenth or a hundredth of them"
    n = [max(1, round(o/(100 if sum(n) > 1e5 else 10 if sum(n) > 5000 else 1))) if o else 0 for o in n]
    px = np.zeros((sum(n), 2, 2), np.uint8)
    px.reshape(-1, 4)[:, :2] = np.arange(sum(n))[:, None] >> np.array([0, 8]) & 255
    df = pd.DataFrame(dict(emotion=np.repeat(np.arange(len(n)), n), pixels=list(px)))
    text = refused(df)
    assert re.findall(r'labels=(\w+)', text)[0] == want
    assert len(read_fer(df, labels=want)) == sum(n)

def test_from_one(root, capsys):
    source = numbered(root, 7, 'folders', 1)
    text = refused(source, "1/0.jpg: unknown label '1'", 'the numbers begin at 1 here', 'labels=RAFDB (first rows: surprise, fear, disgust)')
    data, = typed(text, source).values()
    assert sorted({(o.split('/')[0], e) for o, e in zip(data.df.name, data.df.emotion)}) == [(str(i), RAFDB[i]) for i in range(1, 8)]

@pytest.mark.parametrize('form', ['frame', 'csv'])
def test_float_labels(root, form):
    y = [*(np.arange(35) % 7)[:-1], None]
    df = pd.DataFrame(dict(emotion=y, pixels=[px(i) for i in range(35)]))
    where = 'row 34' if form == 'frame' else 'a.csv:36'
    if form == 'csv': df.to_csv(root/'a.csv', index=False)
    source = df if form == 'frame' else root/'a.csv'
    text = refused(source, f'{where}: the label is missing', "bad='skip'")
    data, = typed(text, source).values()
    assert len(data) == 34 and data.problems.name.tolist() == [where] and data.vocab == EMOTIONS

def test_one_hot(root):
    y = np.arange(35) % 7
    hot = pd.DataFrame(np.eye(7, dtype=int)[y], columns=['Angry', 'Disgust', 'Fear', 'Happy', 'Sad', 'Surprise', 'Neutral'])
    df = hot.assign(pixels=[px(i) for i in range(35)])
    df.to_csv(root/'a.csv', index=False)
    for o in df, df.iloc[:, ::-1], root/'a.csv', root: assert read_fer(o).df.emotion.tolist() == [EMOTIONS[i] for i in y]
    refused(df.assign(Happy=1), 'are not one-hot: give one emotion for each image, in a column emotion')
    df = pd.DataFrame(dict(emotion=list(np.eye(7)[y]), pixels=list(faces[:35])))
    text = refused(df, 'row 0: the label is a list of 7 numbers', 'df.assign(emotion=np.stack(df.emotion).argmax(1))')
    again = eval(re.search(r'df\.assign\(.*\(1\)\)', text)[0], dict(df=df, np=np))
    assert read_fer(again).df.emotion.tolist() == [EMOTIONS[i] for i in y]

def test_labels_in_a_shell():
    torch = pytest.importorskip('torch')
    for f in torch.tensor, np.array, lambda o: [o], lambda o: np.array([o]), np.float32, lambda o: torch.tensor([o]):
        assert read_fer(flagged().assign(emotion=[f(i % 7) for i in range(35)])).df.emotion[:7].tolist() == EMOTIONS

def test_labels_refused(root):
    source = numbered(root, 7, 'frame')
    refused(source, "unknown labels 'AFECTNET': did you mean 'AFFECTNET'?", labels='afectnet')
    refused(source, 'give a list of emotions, a dict, or a name', labels=7)
    refused(source, "unknown label '4'; labels says 0 happy, 1 sad", labels=['happy', 'sad', 'angry', 'fear'])

# E. Images in memory, and in Parquet

def png(o, kind='png', mode='L'):
    out = io.BytesIO()
    Image.fromarray(o).convert(mode).save(out, kind)
    return out.getvalue()

cells = dict(bytes=png, dict=lambda o: dict(bytes=png(o), path=None), named=lambda o: dict(bytes=png(o), path='face.png'),
             PIL=Image.fromarray, array=lambda o: o, lists=lambda o: o.tolist(), deep=lambda o: np.uint16(o)*257, channel=lambda o: o[..., None])

@pytest.mark.parametrize('f', cells.values(), ids=cells)
@pytest.mark.parametrize('image,label', [('image', 'emotion'), ('img_bytes', 'labels'), ('Image', 'Label'), ('picture', 'label')])
def test_frame_of_pictures(f, image, label):
    data = read_fer(pd.DataFrame({label: np.arange(35) % 7, image: [f(o) for o in faces[:35]]}))
    np.testing.assert_array_equal(data.images, faces[:35])
    assert data.df.emotion[:7].tolist() == EMOTIONS

@pytest.mark.parametrize('f', [lambda o: png(o, 'jpeg', 'RGB'), lambda o: np.dstack([o]*3), lambda o: Image.fromarray(o).resize((90, 90))])
def test_frame_of_photos(f):
    df = pd.DataFrame(dict(emotion=np.arange(35) % 7, image=[f(o) for o in faces[:35]]))
    data, again = read_fer(df), read_fer(df)
    assert data.images is None and data.paths == again.paths and data.fingerprint == again.fingerprint
    for i in 0, 9: np.testing.assert_array_equal(np.asarray(data.image(i)), np.asarray(open_image(df.image[i])))
    read_fer(data, emotions=['happy', 'sad']).image(0)

def test_table_of_hugging_face():
    "A `Dataset` gives a DataFrame, and knows the names of its classes"
    class Dataset:
        features = dict(image=object(), label=type('ClassLabel', (), dict(names=ALPHABETICAL))())
        def to_pandas(self): return pd.DataFrame(dict(image=[dict(bytes=png(o), path=None) for o in faces[:35]], label=np.arange(35) % 7))
    assert read_fer(Dataset()).df.emotion[:7].tolist() == ALPHABETICAL

def test_frame_with_bad_pictures():
    good = [png(o) for o in faces[:35]]
    for bad, why in (None, 'the image is missing'), (b'<html>', 'it is no image'), (good[3][:100], 'the image is damaged'), (b'', '0 bytes'):
        df = pd.DataFrame(dict(emotion=np.arange(35) % 7, image=[*good[:3], bad, *good[4:]]))
        text = refused(df, 'row 3: ', why)
        data, = typed(text, df).values()
        assert len(data) == 34

def test_pixels_in_a_column_of_images(root):
    df = pd.DataFrame(dict(emotion=np.arange(35) % 7, image=[px(i) for i in range(35)]))
    df.to_csv(root/'a.csv', index=False)
    for o in df, root, root/'a.csv': np.testing.assert_array_equal(read_fer(o).images, faces[:35])

def test_frame_with_pixels_in_colour():
    df = pd.DataFrame(dict(emotion=np.arange(14) % 7, pixels=[np.dstack([o]*3) for o in faces[:14]]))
    refused(df, 'row 0: an array of shape (48, 48, 3), and pixels are gray: rename the column to image')
    assert len(read_fer(df.rename(columns=dict(pixels='image')))) == 14

@pytest.fixture
def parquet():
    pa = pytest.importorskip('pyarrow')
    import pyarrow.parquet as pq
    def table(n, start=0, names=ALPHABETICAL, make=png):
        kind = pa.struct([('bytes', pa.binary()), ('path', pa.string())])
        image = pa.array([dict(bytes=make(faces[start + i]), path=f'{i}.png') for i in range(n)], kind)
        t = pa.table(dict(image=image, label=[i % 7 for i in range(n)]))
        info = dict(info=dict(features=dict(image=dict(_type='Image'), label=dict(names=names, _type='ClassLabel'))))
        return t.replace_schema_metadata(dict(huggingface=json.dumps(info)) if names else None)
    def write(path, *args, **kwargs):
        path.parent.mkdir(parents=True, exist_ok=True)
        t = table(*args, **kwargs)
        if path.suffix == '.parquet': return pq.write_table(t, path)
        with pa.OSFile(str(path), 'wb') as f, pa.ipc.new_stream(f, t.schema) as w: w.write_table(t)
    return write

def test_parquet(root, parquet):
    parquet(root/'a.parquet', 35)
    for o in root/'a.parquet', root: # the names in the file, not FER2013's numbers
        data = read_fer(o)
        assert data.df.emotion[:7].tolist() == ALPHABETICAL
        np.testing.assert_array_equal(data.images, faces[:35])
    parquet(root/'a.parquet', 35, names=None)
    assert read_fer(root).df.emotion[:7].tolist() == EMOTIONS
    put(root/'a.parquet', b'PAR1')
    refused(root, 'a.parquet cannot be read')

def test_hugging_face_folders(root, parquet):
    put(root/'hub'/'README.md', '')
    parquet(root/'hub'/'data'/'train-00000-of-00002.parquet', 28)
    parquet(root/'hub'/'data'/'train-00001-of-00002.parquet', 28, 50)
    parquet(root/'hub'/'data'/'test-00000-of-00001.parquet', 14, 100)
    assert totals(root/'hub') == dict(train=42, valid=14, test=14)
    for o, n, start in ('train', 28, 0), ('validation', 14, 50):
        parquet(root/'disk'/o/'data-00000-of-00001.arrow', n, start)
        for k in 'state.json', 'dataset_info.json': put(root/'disk'/o/k, '{}')
    put(root/'disk'/'dataset_dict.json', '{}')
    data = read_fer(root/'disk')
    assert data.counts().total.to_dict() == dict(train=28, valid=14) and not len(data.problems)
    assert totals(root/'disk'/'train') == dict(train=21, valid=7)
    assert read_fer(shutil.make_archive(root/'disk', 'zip', root/'disk')).fingerprint == data.fingerprint

def test_parquet_of_photos(root, parquet):
    parquet(root/'a.parquet', 35, make=lambda o: png(o, 'jpeg', 'RGB'))
    data, again = read_fer(root), read_fer(root)
    assert data.images is None and data.image(3).mode == 'RGB' and again.paths == data.paths

def test_parquet_without_pyarrow(root, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'pyarrow', None)
    put(root/'a.parquet', b'PAR1')
    refused(root/'a.parquet', 'pip install pyarrow')

# Lists of files

written = ['{i}.jpg', 'images/{i}.jpg', './images/{i}.jpg', 'images\\{i}.jpg', 'C:\\Users\\me\\faces\\images\\{i}.jpg', '/content/drive/faces/{i}.jpg', '{i}']

@pytest.mark.parametrize('text', written)
@pytest.mark.parametrize('header', ['path,label', 'image,emotion', 'Filename;Expression', 'image_path\tclass'])
def test_list(root, text, header):
    pictures(root, 'images/{i}.jpg', 28)
    sep = re.search(r'\W', header)[0]
    put(root/'labels.csv', '\n'.join([header, *[f'{text.format(i=i)}{sep}{EMOTIONS[i % 7].title()}' for i in range(28)]]))
    data = read_fer(root)
    assert data.df.emotion.tolist() == [EMOTIONS[i % 7] for i in range(28)]
    np.testing.assert_array_equal(data.images[5], np.asarray(Image.open(root/'images'/'5.jpg')))
    assert not len(data.problems) and (text == '{i}' or len(read_fer(root/'labels.csv')) == 28)

def test_list_for_each_split(root):
    for o, n in ('train', 28), ('test', 14):
        pictures(root, f'{o}/{{i}}.jpg', n, 50*(o == 'test'))
        put(root/f'{o}_labels.csv', '\n'.join(['image,label', *[f'{i}.jpg,{i % 7}' for i in range(n)]]))
    picture(root/'train'/'more.jpg', 200)
    with pytest.raises(FERError): read_fer(root) # 0.jpg is in both folders, and nothing says which is meant
    for o, n in ('train', 28), ('test', 14): put(root/f'{o}_labels.csv', '\n'.join(['image,label', *[f'{o}/{i}.jpg,{i % 7}' for i in range(n)]]))
    data = read_fer(root)
    assert data.counts().total.to_dict() == dict(train=21, valid=7, test=14) and data.problems.name.tolist() == ['train/more.jpg']

def test_list_with_missing_files(root):
    pictures(root, 'images/{i}.jpg', 28)
    put(root/'labels.csv', '\n'.join(['path,label', *[f'{i}.jpg,{i % 7}' for i in range(30)]]))
    text = refused(root, 'labels.csv:30: there is no such file (and 1 more)')
    assert len(typed(text, root)["bad='skip'"]) == 28

@pytest.mark.parametrize('label', ['"happy"', '3'])
def test_metadata_in_json(root, label):
    pictures(root, 'train/{i}.jpg', 28)
    line = '{{"file_name": "{i}.jpg", "label": {label}, "split": "{s}"}}'
    text = '\n'.join(line.format(i=i, label=label if i % 2 else label.replace('happy', 'sad').replace('3', '4'), s='test' if i > 19 else 'train') for i in range(28))
    put(root/'train'/'metadata.jsonl', text)
    data = read_fer(root)
    assert data.df.emotion.tolist() == ['sad', 'happy']*14 and data.counts().total.to_dict() == dict(train=16, valid=4, test=8)
    np.testing.assert_array_equal(data.images[5], np.asarray(Image.open(root/'train'/'5.jpg')))
    put(root/'train'/'metadata.jsonl', text + '\n{"file_name"')
    refused(root, 'train/metadata.jsonl cannot be read as lines of JSON')
    put(root/'train'/'metadata.jsonl', 'no JSON')
    refused(root/'train'/'metadata.jsonl', 'its first line names no columns')

def test_list_that_is_no_table(root):
    pictures(root, 'images/{i}.jpg', 14)
    put(root/'labels.csv', 'path,emotion\n0.jpg,happy\n1.jpg,sad,and,more\n')
    refused(root, 'labels.csv cannot be read as a CSV')

def test_same_names_in_two_folders(root):
    "A list beside its images means these; elsewhere a name that two images have is refused"
    for o, start in ('train', 0), ('valid', 50):
        pictures(root/'a'/o, '{i}.png', 28, start)
        put(root/'a'/o/'metadata.csv', 'file_name,label\n' + ''.join(f'{i}.png,{EMOTIONS[(i + start) % 7]}\n' for i in range(28)))
    data = read_fer(root/'a')
    assert data.counts().total.to_dict() == dict(train=28, valid=28) and not len(data.problems)
    for o, start in ('train', 0), ('valid', 50):
        np.testing.assert_array_equal(data.images[data.idxs(o)], faces[start:start+28])
        assert data.df.emotion[data.idxs(o)].tolist() == [EMOTIONS[(i + start) % 7] for i in range(28)]
    for o, folder in ('train', 'images'), ('test', 'test_images'):
        pictures(root/'b', folder + '/{i}.png', 28, 50*(o == 'test'))
        put(root/'b'/f'{o}.csv', 'path,emotion\n' + ''.join(f'{i}.png,{EMOTIONS[i % 7]}\n' for i in range(28)))
    refused(root/'b', "train.csv: '0.png' may be images/0.png or test_images/0.png: write paths as they are from the folder of the CSV on")
    for o, folder in ('train', 'images'), ('test', 'test_images'):
        put(root/'b'/f'{o}.csv', 'path,emotion\n' + ''.join(f'{folder}/{i}.png,{EMOTIONS[i % 7]}\n' for i in range(28)))
    data = read_fer(root/'b')
    np.testing.assert_array_equal(data.images[data.idxs('test')], faces[50:78])

def test_columns_that_are_no_splits():
    df = pd.DataFrame(dict(emotion=np.arange(35) % 7, pixels=list(faces[:35]), access=['public', 'private', 'public', 'private', 'private']*7))
    assert totals(df) == dict(train=28, valid=7)

def test_list_beside_folders_of_emotions(root, capsys):
    "Folders of emotions count, and the list is said not to have been read"
    pictures(root, '{e}/{i}.jpg', 28)
    put(root/'labels.csv', '\n'.join(['pth,label', *[f'{EMOTIONS[i % 7]}/{i}.jpg,happy' for i in range(28)]]))
    assert read_fer(root).problems.name.tolist() == ['labels.csv']
    assert '1 file not read, such as labels.csv' in capsys.readouterr().out

# J. Archives by content, and files that only seem to be data

def archives(root):
    "The same CSV in many forms"
    csv, out = rows(root/'in'/'fer2013.csv', 35, usage='Training'), {}
    with tarfile.open(root/'faces.tar.gz', 'w:gz') as t: t.add(csv, 'fer2013/fer2013.csv')
    with tarfile.open(root/'plain', 'w') as t: t.add(csv, 'fer2013.csv')
    out['tar without suffix'] = root/'plain'
    out['tar.gz without suffix'] = Path(shutil.copy(root/'faces.tar.gz', root/'blob'))
    for name, inner in dict(outer='faces.tar.gz', deep='outer.zip').items():
        with zipfile.ZipFile(root/f'{name}.zip', 'w') as z: z.write(root/inner, f'x/{inner}')
        out[f'{inner} in a zip'] = root/f'{name}.zip'
    out['zip called dat'] = Path(shutil.copy(root/'outer.zip', root/'data.dat'))
    out['gz without csv in its name'] = put(root/'fer.gz', gzip.compress(csv.read_bytes()))
    out['zip called csv.gz'] = Path(shutil.copy(root/'outer.zip', root/'fer2013.csv.gz'))
    return csv, out

def test_archives(root):
    csv, forms = archives(root)
    want = read_fer(csv).fingerprint
    for name, path in forms.items(): assert read_fer(path).fingerprint == want, name

def test_archives_for_each_split(root):
    for o, n in ('train', 28), ('test', 14):
        pictures(root/'in'/o, '{e}/{i}.jpg', n, 50*(o == 'test'))
        shutil.make_archive(root/o, 'zip', root/'in'/o)
    with zipfile.ZipFile(root/'all.zip', 'w') as z: [z.write(root/f'{o}.zip', f'{o}.zip') for o in ('train', 'test')]
    assert totals(root/'all.zip') == dict(train=21, valid=7, test=14)

def test_archive_in_a_folder(root):
    csv, _ = archives(root)
    (root/'a').mkdir()
    shutil.copy(root/'faces.tar.gz', root/'a'/'faces.tar.gz')
    text = refused(root/'a', 'there are no images and no pixel CSV in it; give its archive')
    assert len(read_fer(re.search(r'archive, (.*)$', text)[1])) == 35

pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 301072766\n'

@pytest.mark.parametrize('name', ['fer2013.csv', 'faces.zip', 'faces.tar.gz', 'a.parquet', 'happy/1.jpg'])
def test_pointer_of_git_lfs(root, name):
    if name == 'a.parquet': pytest.importorskip('pyarrow')
    for o in [name] if '/' not in name else [f'{e}/{i}.jpg' for e in EMOTIONS for i in range(2)]: put(root/o, pointer)
    for o in (root/name, root) if '/' not in name else (root,):
        if o == root and name.startswith('faces'): continue
        refused(o, 'Git LFS', 'git lfs pull')

@pytest.mark.parametrize('code', ['utf-16', 'utf-16-le', 'utf-16-be'])
def test_utf16(root, code, monkeypatch):
    put(root/'fer2013.csv', rows(root/'x.csv', 35).read_text().encode(code))
    (root/'x.csv').unlink()
    for o in root, root/'fer2013.csv': text = refused(o, 'text in UTF-16')
    monkeypatch.chdir(root.parent)
    eval(re.search(r'pd\.read_csv.*index=False\)', text)[0], dict(pd=pd, path=root/'fer2013.csv'))
    assert len(read_fer(root.parent/'utf8.csv')) == 35

@pytest.mark.parametrize('name,head', [('a.rar', b'Rar!\x1a\x07\0'), ('a.7z', b"7z\xbc\xaf'\x1c"), ('faces', b'Rar!\x1a\x07\0')])
def test_other_archives(root, name, head):
    put(root/name, head + bytes(99))
    refused(root/name, 'archive: unpack it, and give the folder')

def test_archive_without_files(root):
    with zipfile.ZipFile(root/'a.zip', 'w'): pass
    refused(root/'a.zip', 'there are no images and no pixel CSV in it')

# H. Strings that are no file here

def test_other_strings(root, monkeypatch):
    for o in 'https://www.kaggle.com/datasets/msambare/fer2013', 's3://bucket/faces.zip', 'data:image/png;base64,' + 'A'*5000:
        refused(o, 'is an address: download what is there')
    refused('x'*5000, 'no such file', error=FileNotFoundError)
    monkeypatch.setenv('HOME', str(root))
    pictures(root/'faces', '{e}/{i}.jpg', 28)
    assert len(read_fer('~/faces')) == 28
    picture(root/'one.jpg')
    refused(root/'one.jpg', 'is one picture: give a folder of pictures')
    refused(put(root/'a.mp4', 'x'), 'is a video: save its frames in a folder for each emotion')
    put(root/'clips'/'b.mp4', 'x')
    refused(root/'clips', 'it holds videos: save their frames as pictures')

def test_arguments(root):
    pictures(root, '{e}/{i}.jpg', 28)
    for kw in dict(groups=['a']), dict(groups=3), dict(valid_pct='0.2'), dict(valid_pct=None), dict(seed='x'), dict(seed=-1), dict(seed=None):
        refused(root, next(iter(kw)), **kw)
    refused(root, 'unknown emotion', emotions=dict(happy=1, sad=2))
    assert len(read_fer(root, drop=None)) == 28
    refused('', 'there is no such file or folder', error=FileNotFoundError)

def test_long_names(root):
    "A message stays short, whatever is in it"
    deep = root/('a'*120)/('b'*120)
    pictures(deep, '{e}/{i}.jpg', 28, of=['happy', 'x'*150])
    refused(root, "unknown label 'xxx")
    refused(deep/'none'/('c'*200), 'no such file', error=FileNotFoundError)
    put(deep/'happy'/('d'*200 + '.jpg'), 'x')
    refused(root, emotions=['happy', 'x'*150])
    df = pd.DataFrame(dict(emotion=['y'*9999, 'happy']*7, pixels=list(faces[:14]), split='z'*9999))
    refused(df, "unknown Split 'zzz")
    refused(df.drop(columns='split'), "unknown label 'yyy")

# FER+'s votes

@pytest.fixture
def voted(root):
    "FER2013 in its order, the votes for it, and the labels of both"
    use = ['Training']*84 + ['PublicTest']*14 + ['PrivateTest']*14
    label = [EMOTIONS[(3*i + i//11) % 7] for i in range(112)]
    most = [o if i % 4 else 'contempt' if i % 8 else ['unknown', 'NF'][i % 3 > 0] for i, o in enumerate(label)]
    columns = [*FERPLUS, 'unknown', 'NF']
    votes = [[8*(o == c) + 2*(j == (columns.index(o) + 1) % 10) for j, c in enumerate(columns)] for o in most]
    head = 'Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF'
    text = [f'{u},fer{i:07d}.png,{",".join(map(str, v))}' for i, (u, v) in enumerate(zip(use, votes))]
    put(root.parent/'fer2013new.csv', '\n'.join([head, *text]) + '\n')
    def csv(path, rows=range(112), usage=True):
        lines = [f'{EMOTIONS.index(label[i])},{px(i)}' + f',{use[i]}'*usage for i in rows]
        return put(path, '\n'.join(['emotion,pixels' + ',Usage'*usage, *lines]) + '\n')
    return csv, use, label, most, np.array(votes)

def right(data, most, votes):
    "Whether each image has its votes, and the majority as its label"
    at = {faces[i].tobytes(): i for i in range(112)}
    rows = [at[np.asarray(data.image(i)).tobytes()] for i in range(len(data))]
    return data.df.emotion.tolist() == [most[i] for i in rows] and (data.votes == votes[rows]).all() and data.vocab == EMOTIONS8

def test_votes(root, voted, capsys):
    csv, use, label, most, votes = voted
    file, new = csv(root/'fer2013.csv'), root.parent/'fer2013new.csv'
    kept = [o for o in most if o not in ('unknown', 'NF')]
    for source in file, root, pd.read_csv(file), read_fer(file), shutil.make_archive(root.parent/'fer', 'zip', root):
        data = read_fer(source, votes=new)
        assert right(data, most, votes) and len(data) == len(kept) and data.df.emotion.tolist() == kept
        assert len(data.problems) == 112 - len(kept) and {*data.problems.reason} == {'FER+: no majority for an emotion', 'FER+: not a face'}
    said = capsys.readouterr().out
    for o in 'unknown', 'NF':
        assert f'{most.count(o)} of 112 left out (FER+: {dict(unknown="no majority for an emotion", NF="not a face")[o]})' in said
    for o in 'ferplus', 'FERPLUS', FERPLUS: assert right(read_fer(file, votes=str(new), labels=o), most, votes)
    both = read_fer(file, votes=new, labels=EMOTIONS)
    assert both.df.emotion.tolist() == label and (both.votes == votes).all()
    assert read_fer(file).fingerprint != both.fingerprint

orders = {
    'number of the row': lambda i, use, first: f'{i:06d}.png', 'from one': lambda i, use, first: f'img{i + 1}.png',
    'in each split': lambda i, use, first: f'{i - first}.png', "FER+'s names": lambda i, use, first: f'fer{i:07d}.png',
    'official and number': lambda i, use, first: f'{use}_{i:05d}.png', 'in each split from one': lambda i, use, first: f'{use}_{i - first + 1}.png',
}

@pytest.mark.parametrize('name', orders.values(), ids=orders)
def test_votes_for_folders(root, voted, name):
    csv, use, label, most, votes = voted
    for i in range(112): picture(root/use[i]/label[i]/name(i, use[i], use.index(use[i])), i)
    data = read_fer(root, votes=root.parent/'fer2013new.csv')
    assert right(data, most, votes) and data.counts().total.sum() == 112 - most.count('unknown') - most.count('NF')

def test_votes_for_written_folder(root, voted):
    csv, use, label, most, votes = voted
    folder = read_fer(csv(root/'a.csv')).to_folder(root/'out')
    assert right(read_fer(folder, votes=root.parent/'fer2013new.csv'), most, votes)

def test_votes_for_a_csv_of_each_split(root, voted):
    csv, use, label, most, votes = voted
    for o, rows in dict(train=range(84), val=range(84, 98), test=range(98, 112)).items(): csv(root/f'{o}.csv', rows, False)
    assert right(read_fer(root, votes=root.parent/'fer2013new.csv'), most, votes)

def test_votes_refused(root, voted):
    csv, use, label, most, votes = voted
    new, order = root.parent/'fer2013new.csv', np.random.default_rng(0).permutation(84).tolist()
    for rows in [*order, *range(84, 112)], [83, *range(83), *range(84, 112)], [*range(1, 112), 0]:
        text = refused(csv(root/'a.csv', rows), 'the votes in', 'do not belong to these images', votes=new)
    for i in range(112): picture(root/'kaggle'/use[i]/label[i]/f'{use[i]}_{7919*i % 100003}.png', i)
    refused(root/'kaggle', 'do not belong to these images', votes=new)
    refused(csv(root/'a.csv'), 'there is no such file', votes=root/'none.csv', error=FileNotFoundError)
    refused(root/'a.csv', 'has no votes of FER+', votes=root/'a.csv')
    refused(root/'a.csv', 'Git LFS', votes=put(root.parent/'x.csv', pointer))

def test_votes_that_cannot_be(root, voted):
    csv, *_ = voted
    new, source = root.parent/'fer2013new.csv', csv(root/'a.csv')
    lines = new.read_text().splitlines()
    for why, text in {'fer2013new.csv:2: votes are whole numbers, and those of ten people': [lines[0], lines[1] + '0', *lines[2:]],
                      'fer2013new.csv:3: votes are whole numbers': [*lines[:2], lines[2][:-1] + '-1', *lines[3:]],
                      'fer2013new.csv:4: votes are whole numbers': [*lines[:3], lines[3] + '.5', *lines[4:]],
                      'fer2013new.csv:114: fer0000111.png is there twice': [*lines, lines[-1]],
                      "fer2013new.csv:2: unknown Usage 'Later'": [lines[0], 'Later' + lines[1][8:], *lines[2:]],
                      'do not belong to these images': lines[:100]}.items():
        put(new, '\n'.join(text))
        refused(source, why, votes=new)
    refused(source, 'votes: give the path of fer2013new.csv, not DataFrame', votes=pd.read_csv(new))

def test_votes_out_of_step(root):
    "A row that is missing shifts all that follow, and half of the labels agree all the same"
    label = np.random.default_rng(0).integers(0, 7, 301)
    def frame(rows): return pd.DataFrame(dict(emotion=label[rows], pixels=list(faces[:len(rows)])))
    text = [f'Training,fer{i:07d}.png,{",".join(str(10*(FERPLUS[j:j+1] == [EMOTIONS[k]])) for j in range(10))}' for i, k in enumerate(label)]
    new = put(root/'fer2013new.csv', '\n'.join([f'Usage,Image name,{",".join(read._votes_names)}', *text]))
    assert len(read_fer(frame(np.arange(300)), votes=new)) == 300
    refused(frame(np.delete(np.arange(301), 150)), 'do not belong to these images', votes=new)

def test_majority():
    "The rules of FER+: single votes do not count, and more than half of the rest is a majority"
    rows = dict(neutral=[10, 0], happy=[0, 6, 4], unknown=[5, 5], NF=[0]*9 + [10], contempt=[1, 1, 1, 1, 1, 1, 1, 3])
    votes = np.array([o + [0]*(10 - len(o)) for o in rows.values()])
    assert majority(votes).tolist() == list(rows)
    assert majority(np.array([[1]*10, [2, 2, 2, 2, 2, 0, 0, 0, 0, 0], [4, 3, 3, 0, 0, 0, 0, 0, 0, 0]])).tolist() == ['unknown']*3
