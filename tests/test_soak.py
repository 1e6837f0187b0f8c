"A short version of benchmarks/soak.py: flat memory, and the same answers in threads and in child processes"
import re, subprocess, sys
from pathlib import Path

import pytest
from PIL import Image
from skimage.data import astronaut

from fer_fastai.sample import draw_face

script = Path(__file__).resolve().parent.parent/'benchmarks'/'soak.py'

@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='memory is read from /proc')
def test_soak(tmp_path):
    Image.fromarray(astronaut()).save(tmp_path/'astronaut.jpg')
    for i in range(3): draw_face('happy', i, size=200 + 100*i, mode='RGB').save(tmp_path/f'{i}.png')
    got = subprocess.run([sys.executable, script, tmp_path, '--faces', '3000', '--photos', '40'], capture_output=True, text=True)
    assert got.returncode == 0, got.stdout + got.stderr
    assert '40 photos: ' in got.stdout and '3,000 faces: ' in got.stdout and '10 of 10 give the same answers' in got.stdout
    assert float(re.search(r'memory grew by ([\d.]+) MB', got.stdout)[1]) <= 20

@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='memory is read from /proc')
def test_soak_notices(tmp_path):
    "It says so if the memory grows by more than it may"
    Image.fromarray(astronaut()).save(tmp_path/'astronaut.jpg')
    got = subprocess.run([sys.executable, script, tmp_path, '--faces', '10', '--photos', '2', '--most', '-1'], capture_output=True, text=True)
    assert got.returncode == 1 and 'did not hold: memory, photos, memory, faces' in got.stderr, got.stdout + got.stderr
