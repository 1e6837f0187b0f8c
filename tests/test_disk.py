"Full disks: every file is whole or as it was before, and one line names it"
import contextlib, multiprocessing, os, resource, subprocess, sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fer_fastai.core import FERError, atomic
from fer_fastai.sample import draw_face
