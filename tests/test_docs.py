"The site and the README can be made from the notebooks, and are right"
import html, json, re, subprocess, sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from nbdev.config import get_config, nbpath2html

root = Path(__file__).resolve().parent.parent
nbs = root/'nbs'
doc_url = get_config(root).doc_url
notebooks = [o.relative_to(nbs) for o in sorted(nbs.rglob('*.ipynb')) if not o.parent.name.startswith('.')]

def build(*args): subprocess.run([sys.executable, root/'docs'/'build.py', *args], cwd=root, check=True)

@pytest.fixture(scope='session')
def site(tmp_path_factory):
    "The site; building it fails on any warning, and leaves nothing beside it"
    out = tmp_path_factory.mktemp('docs').resolve()/'site'
    build('--out', out)
    assert list(out.parent.iterdir()) == [out]
    return out

@pytest.mark.parametrize('nb', notebooks, ids=str)
def test_page(site, nb):
    "A notebook has a page with its title, and none of its directives"
    page = (site/nbpath2html(nb)).read_text(encoding='utf-8')
    title = ''.join(json.loads((nbs/nb).read_text(encoding='utf-8'))['cells'][0]['source']).splitlines()[0]
    assert f'<h1>{html.escape(title.removeprefix("# "))}<' in page
    assert not re.search(r'^#\|', re.sub('<[^>]+>', '', page), re.M)

def test_links(site):
    "Links inside the site lead to a place on a page, and links to the source to a line"
    texts = {o: o.read_text(encoding='utf-8') for o in site.rglob('*.html')}
    places = {o: {'', *re.findall(r'\bid="([^"]+)"', text)} for o,text in texts.items()}
    for page,text in texts.items():
        for url in re.findall(r'<a [^>]*href="([^"]*)"', text):
            assert not url.endswith('#LNone'), f'{page.name}: {url}'
            if re.match('https?:|mailto:', url): continue
            path,_,place = unquote(html.unescape(url)).partition('#')
            to = (page.parent/path).resolve() if path else page
            assert to.is_file() and place in places.get(to, ['']), f'{page.name}: {url}'

def test_readme(tmp_path):
    "README.md and its pictures are what index.ipynb makes"
    build('--readme', '--out', tmp_path/'README.md')
    made,here = [{p.name: p.read_bytes() for p in (o/'docs'/'images').iterdir()} for o in (tmp_path, root)]
    assert {k: here.get(k) for k in made} == made, 'run python docs/build.py --readme'
    assert (tmp_path/'README.md').read_text(encoding='utf-8') == (root/'README.md').read_text(encoding='utf-8'), 'run python docs/build.py --readme'
