"The map of the modules on the architecture page is what the imports say"
import ast, json, re, subprocess, sys
from pathlib import Path

import pytest

root = Path(__file__).resolve().parent.parent
nbs = sorted((root/'nbs').glob('[0-9][0-9]_*.ipynb'))
number = {o.stem[3:]: int(o.stem[:2]) for o in nbs}
modules = sorted(number, key=number.get)

def tree(name): return ast.parse((root/'fer_fastai'/f'{name}.py').read_text(encoding='utf-8'))

def imported(name):
    "Pairs of a module of the library that `name` imports, anywhere in it, and what it takes from there"
    for o in ast.walk(tree(name)):
        if not isinstance(o, ast.ImportFrom): continue
        path = ['fer_fastai'*(o.level == 1), *(o.module or '').split('.')] if o.level else o.module.split('.')
        path = [p for p in path if p]
        if path[:1] != ['fer_fastai']: continue
        for a in o.names:
            if len(path) > 1: yield path[1], a.name
            elif a.name in number: yield a.name, None

def outside(name):
    "The libraries that `name` imports at its top"
    for o in tree(name).body:
        if isinstance(o, ast.Import): yield from (a.name.split('.')[0] for a in o.names)
        elif isinstance(o, ast.ImportFrom) and not o.level: yield o.module.split('.')[0]

def cells(nb): return json.loads(nb.read_text(encoding='utf-8'))['cells']

def source(cell): return ''.join(cell['source'])

def wing(name): return ('ground', 'training', 'training', 'predicting', 'terminal')[number[name]//10]

@pytest.mark.parametrize('name', modules)
def test_imports(name):
    "A module imports modules with a lower number, of its own wing or of the ground, and only their public names"
    for other,what in imported(name):
        assert number[other] < number[name], f'{name} imports {other}'
        assert wing(name) == 'terminal' or wing(other) in ('ground', wing(name)), f'{name} imports {other}'
        assert not (what or '').startswith('_'), f'{name} imports {what} of {other}'
    if wing(name) in ('ground', 'predicting'): assert not {'torch', 'torchvision', 'fastai'} & {*outside(name)}

@pytest.mark.parametrize('name', [o for o in modules if wing(o) in ('ground', 'predicting', 'terminal')])
def test_light(name):
    "Neither the ground nor the predicting wing nor a command that has not begun loads torch"
    code = f"import sys, fer_fastai.{name}; print([o for o in ('torch', 'fastai') if o in sys.modules])"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == '[]\n'

def test_map():
    "The page names each module with what its notebook says that it is for"
    text = '\n'.join(map(source, cells(root/'nbs'/'architecture.ipynb')))
    for o in nbs:
        line = re.search('^> (.*)', source(cells(o)[0]), re.M)[1]
        assert f'| [{o.stem}]({o.name}) | {line} |' in text, o.stem

def test_lines():
    "Few exported lines are longer than 120 characters"
    lines = [line for o in modules for line in (root/'fer_fastai'/f'{o}.py').read_text(encoding='utf-8').splitlines() if line.strip()]
    assert sum(len(o) > 120 for o in lines) < .02*len(lines)
