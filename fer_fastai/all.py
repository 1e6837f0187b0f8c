"Everything for a notebook: `from fer_fastai.all import *`"
from fastai.vision.all import *

from fer_fastai.core import *
from fer_fastai.images import *
from fer_fastai.bundle import *
from fer_fastai.sample import *
from fer_fastai.data import *
from fer_fastai.read import *
from fer_fastai.augment import *
from fer_fastai.loaders import *
from fer_fastai.page import *
from fer_fastai.predictions import *
from fer_fastai.audit import *
from fer_fastai.colorize import *
from fer_fastai.models import *
from fer_fastai.recipes import *
from fer_fastai.callbacks import *
from fer_fastai.checkpoint import *
from fer_fastai.interpret import *
from fer_fastai.export import *
from fer_fastai.train import *
from fer_fastai.tune import *
from fer_fastai.faces import *
from fer_fastai.predict import *
from fer_fastai.folders import *
from fer_fastai.video import *
from fer_fastai.app import *
