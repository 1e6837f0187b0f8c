"Build the documentation site, or README.md, from the notebooks"
import os, re, shutil
from base64 import b64decode
from copy import deepcopy
from dataclasses import is_dataclass
from functools import cache
from hashlib import sha1
from importlib import import_module
from inspect import isclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import pypandoc
from fastcore.docments import MarkdownRenderer
from fastcore.nbio import mk_cell, nb2str, read_nb
from fastcore.script import call_parse
from nbdev.config import get_config, nbpath2html
from nbdev.doclinks import NbdevLookup, nbglob
from nbdev.process import NBProcessor, Processor
from nbdev.processors import FilterDefaults, FrontmatterProc, add_show_docs, clean_show_doc, exec_show_docs, insert_warning
from sphinx.cmd.build import main as sphinx

docs = Path(__file__).resolve().parent
cfg = get_config(docs)
raw = 'https://raw.githubusercontent.com/fer-fastai/fer_fastai/main' # pictures must show on a package index, too

def page_name(nb): # path of a notebook, from the folder of notebooks
    "Path of its page: 'tutorials/quickstart.html'"
    return nbpath2html(os.path.normpath(nb)).as_posix()

def document(sym, module):
    "Signature and docstring of a function or class, as markdown"
    if isclass(sym) and '__init__' not in vars(sym): # nothing of its own to be called with
        return f'```python\nclass {sym.__name__}({sym.__bases__[0].__name__})\n```\n\n*{sym.__doc__}*'
    to = getattr(sym, '__delwrap__', None)
    cls = to and vars(module).get(to.__qualname__.removesuffix('.__init__'))
    if is_dataclass(cls): sym.__delwrap__ = cls # its fields are documented there, not in the `__init__` that was made from them
    return re.sub(r'<function (\w+) at 0x\w+>', r'\1', MarkdownRenderer(sym)._repr_markdown_()) # a parameter's type may be a function

def has_entry(cell): # of a notebook that nbdev has processed
    "Whether nbdev put a `show_doc` cell here that its readers need: not one for a private class's methods"
    return getattr(cell, 'has_sd', False) and not cell.source.startswith('show_doc(_')

class show_docs(Processor):
    "Put the documentation of an exported function or class where nbdev put a `show_doc` cell"
    def end(self):
        self.nb.cells = [c for c in self.nb.cells if has_entry(c) or not getattr(c, 'has_sd', False)]
        runs = groupby(self.nb.cells, lambda c: getattr(c, 'has_sd', False))
        self.nb.cells = [c for sd,run in runs for c in (map(self.doc, reversed(list(run))) if sd else run)] # nbdev has each run backwards
    def doc(self, cell):
        name = re.search(r'show_doc\((.+)\)', cell.source)[1]
        module = import_module(f'{cfg.lib_name}.{Path(page_name(self.nb.path_)).stem}')
        link = f'<a class="source" id="{name.lower()}" href="{NbdevLookup().code(name)}">source</a>'
        title = name.replace('_', r'\_')
        return mk_cell(f'### {title}\n\n{link}\n\n{document(eval(name, vars(module)), module)}', 'markdown')

@cache
def entries():
    "The names, in lower case, that have an entry of their own on the site"
    nbs = [NBProcessor(o, procs=add_show_docs) for o in nbglob()]
    for o in nbs: o.process()
    return {c.source[len('show_doc('):-1].lower() for o in nbs for c in o.nb.cells if has_entry(c)}

class PageProcs(FilterDefaults):
    "nbdev's own steps; but nothing is run, and what is meant for Quarto alone is left out"
    def base_procs(self):
        skip = FrontmatterProc, insert_warning, clean_show_doc
        return [show_docs if o is exec_show_docs else o for o in super().base_procs() if o not in skip]

def page(fn): # path of a notebook
    "The notebook as its readers see it"
    nb = read_nb(fn)
    PageProcs()(nb)
    folder = fn.relative_to(cfg.nbs_path).parent
    def link(m): return f']({cfg.doc_url}/{page_name(folder/m[1])}{(m[2] or "").lower()})'
    def name(m): return m[0] if m[2] in entries() else m[1] # nbdev links every name of the library
    for c in nb.cells:
        c.source = re.sub(r'^#\|.*\n?', '', c.source, flags=re.M)
        if c.cell_type == 'code':
            for o in c.outputs:
                if o.output_type == 'execute_result': o.execution_count = 1 # pandoc wants a number, and nbdev-clean takes it away
                if 'image/jpeg' in o.get('data', {}): o.data.pop('image/png', None) # Pillow gives both
        else:
            c.source = re.sub(rf'\[(`[^`]+`)\]\({cfg.doc_url}/[^)]+#([^)]+)\)', name, c.source)
            c.source = re.sub(r'\]\(([\w/.]+\.ipynb)(#\S*)?\)', link, c.source)
    return nb

def pictures(nb):
    "The pictures among the outputs of a notebook: name that pandoc gives it -> its own name, from `#| label:`"
    res = {}
    for c in nb.cells:
        label = re.search(r'^#\| label: (\S+)', c.source, re.M)
        for o in c.get('outputs', []):
            kind,data = next(((k,v) for k,v in o.get('data', {}).items() if k in ('image/jpeg', 'image/png')), (None, None))
            if kind: res[sha1(b64decode(data)).hexdigest()] = label[1]
    return res

def markdown(nb, *args): # page, more arguments of pandoc
    "The page as Markdown"
    return pypandoc.convert_text(nb2str(nb), 'gfm-raw_html', format='ipynb', extra_args=['--wrap=preserve', *args]).strip() + '\n'

def make_readme(out): # path of the file
    "Write the README, and its pictures into docs/images beside it"
    index = cfg.nbs_path/'index.ipynb'
    images,names = out.parent/'docs'/'images',pictures(read_nb(index))
    images.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as tmp:
        text = markdown(page(index), f'--extract-media={tmp}')
        for o in Path(tmp).iterdir():
            name = names[o.stem] + o.suffix
            shutil.copyfile(o, images/name)
            text = text.replace(f'![]({o})', f'![{names[o.stem].replace("-", " ")}]({raw}/docs/images/{name})')
    out.write_text(f'<!-- Made from nbs/index.ipynb by docs/build.py: edit the notebook. -->\n\n{text}', encoding='utf-8')

wings = 'Ground', 'Training', 'Training', 'Predicting', 'Terminal' # by the first digit of a notebook's number

def group(nb): # path of a notebook
    "What its page is listed under in the sidebar"
    if nb.parent != cfg.nbs_path: return 'Tutorials'
    return wings[int(nb.name[0])] if nb.name[0].isdigit() else ''

def sidebar(nbs, names): # paths of the notebooks, and their pages without '.html'
    "Cell that orders the site's sidebar"
    def tree(caption):
        pages = [o for nb,o in zip(nbs, names) if group(nb) == caption]
        head = [f':caption: {caption}'] if caption else []
        return '\n'.join(['```{toctree}', ':hidden:', *head, '', *(o if o != 'index' else 'Home <self>' for o in pages), '```'])
    return mk_cell('\n'.join(map(tree, ['', 'Tutorials', *dict.fromkeys(wings)])), 'markdown')

def without_pictures(nb):
    "The page for readers that are programs: words, code and what it prints"
    nb = deepcopy(nb)
    for c in nb.cells:
        for o in c.get('outputs', []): o['data'] = {k: v for k,v in o.get('data', {}).items() if k.startswith('text/')}
    return nb

def make_site(out): # path of the folder
    "Write the site; a warning is an error"
    nbs = sorted(nbglob(as_path=True), key=lambda o: (o.name != 'index.ipynb', o))
    names = [page_name(o.relative_to(cfg.nbs_path)).removesuffix('.html') for o in nbs]
    with TemporaryDirectory() as tmp:
        src,site = Path(tmp)/'src',Path(tmp)/'site' # myst-nb leaves a folder beside the site
        for nb,name in zip(map(page, nbs), names):
            for o in src,site: (o/name).parent.mkdir(parents=True, exist_ok=True)
            (site/f'{name}.html.md').write_text(markdown(without_pictures(nb)), encoding='utf-8')
            if name == 'index': nb.cells.append(sidebar(nbs, names))
            (src/f'{name}.ipynb').write_text(nb2str(nb), encoding='utf-8')
        if rc := sphinx(['-q', '-W', '-c', str(docs), '-d', f'{tmp}/doctrees', str(src), str(site)]): raise SystemExit(rc)
        shutil.copy(cfg.nbs_path/'llms.txt', site)
        for html in site.rglob('*.html'):
            here = '../'*len(html.relative_to(site).parent.parts)
            html.write_text(html.read_text(encoding='utf-8').replace(f'href="{cfg.doc_url}/', f'href="{here}'), encoding='utf-8')
        shutil.copytree(site, out, dirs_exist_ok=True)

@call_parse
def main(
    out:str=None, # Where to write it (default: `_site`, or `README.md`)
    readme:bool=False # Make README.md rather than the site?
):
    "Build the documentation site, or README.md, from the notebooks"
    out = Path(out or cfg.config_path/('README.md' if readme else '_site')).absolute()
    os.chdir(cfg.config_path) # where nbdev looks for the modules
    (make_readme if readme else make_site)(out)
