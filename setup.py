"The package's metadata stands in settings.ini, its version in fer_fastai/__init__.py"
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

root = Path(__file__).parent
def read(name): return (root/name).read_text(encoding='utf-8')
def lines(text): return text.strip().splitlines()

config = ConfigParser(delimiters='=')
config.read_string(read('settings.ini'))
cfg = config['DEFAULT']
lib = cfg['lib_name']
extras = {o: lines(cfg[f'{o}_requirements']) for o in ('dev', 'app', 'audit', 'export', 'tensorboard', 'tune', 'scale')}
extras['all'] = [o for k in ('app', 'audit', 'export', 'tensorboard', 'tune', 'scale') for o in extras[k]]

setup(
    name=lib,
    version=re.search('__version__ = "(.+)"', read(f'{lib}/__init__.py'))[1],
    description=cfg['description'],
    long_description=read('README.md'),
    long_description_content_type='text/markdown',
    keywords=cfg['keywords'].split(),
    author=cfg['author'],
    license_expression=cfg['license'],
    classifiers=['Intended Audience :: Developers', 'Intended Audience :: Science/Research', 'Programming Language :: Python :: 3',
                 'Topic :: Scientific/Engineering :: Image Recognition'],
    python_requires='>=' + cfg['min_python'],
    install_requires=lines(cfg['requirements']),
    extras_require=extras,
    packages=find_packages(include=[lib, f'{lib}.*']),
    package_data={lib: ['pretrained/*/*']},
    entry_points=dict(console_scripts=cfg['console_scripts'].split(), nbdev=[f'{lib}={lib}._modidx:d']),
)
