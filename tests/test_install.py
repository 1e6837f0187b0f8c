"An installation holds wherever Python is started, and importing it loads no more than what is used"
import json, os, re, shutil, site, subprocess, sys, venv
from pathlib import Path

import pytest

root = Path(__file__).resolve().parent.parent
setup = re.search("pip install -q (.*)-e '", (root/'tests'/'run.sh').read_text())[1].split() # how CONTRIBUTING and CI install

def run(*args, cwd): return subprocess.run(args, cwd=cwd, env={**os.environ, 'PYTHONPATH': ''}, capture_output=True, text=True, check=True).stdout

@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    "A clone whose folder is called like the library, installed for development, and the Python that has it"
    folder = tmp_path_factory.mktemp('above')/'fer_fastai'
    shutil.copytree(root, folder, ignore=shutil.ignore_patterns('.git', '.venv', 'nbs', 'runs', '*.egg-info', '__pycache__', 'build', 'dist'))
    env = folder.parent/'env'
    venv.create(env, symlinks=True)
    python = env/'bin'/'python'
    packages = Path(run(python, '-c', 'import site; print(site.getsitepackages()[0])', cwd=env).strip())
    (packages/'tests.pth').write_text('\n'.join(site.getsitepackages())) # what the library needs, but not the library itself
    run(sys.executable, '-m', 'pip', '--python', python, 'install', '-q', '--no-deps', '--no-build-isolation', *setup, '-e', folder, cwd=env)
    return folder, python

@pytest.mark.parametrize('how', ['-c', '-m', 'file'])
def test_folder_above(clone, how, tmp_path):
    "Python finds the library, and not the folder of the same name, in the folder above the clone"
    folder,python = clone
    code = 'import fer_fastai, fer_fastai.core; print(fer_fastai.__version__)'
    (folder.parent/'look.py').write_text(code)
    args = dict({'-c': ['-c', code], '-m': ['-m', 'look'], 'file': ['look.py']})[how]
    assert run(python, *args, cwd=folder.parent) == run(python, '-c', code, cwd=tmp_path)

def loaded(code):
    "The heavy libraries that are there after `code`"
    code += "\nimport sys, json; print(json.dumps([o for o in ('torch', 'fastai', 'pandas', 'cv2', 'onnxruntime') if o in sys.modules]))"
    return json.loads(run(sys.executable, '-c', f'import sys; sys.path.insert(0, {str(root)!r})\n{code}', cwd=root.parent).splitlines()[-1])

def test_light_names():
    "The main names are at hand and cost nothing before they are used"
    assert loaded('import fer_fastai; fer_fastai.__version__; dir(fer_fastai)') == []
    assert not {'torch', 'fastai'} & {*loaded('from fer_fastai import FER; FER(threads=1)')}
    assert 'torch' in loaded('from fer_fastai import FER, train_fer')
    import fer_fastai
    for o in fer_fastai.__all__: assert callable(getattr(fer_fastai, o)) and o in dir(fer_fastai)
    with pytest.raises(AttributeError, match="no attribute 'trane_fer'"): fer_fastai.trane_fer
