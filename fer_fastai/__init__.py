"""fer_fastai reads facial expressions in photos, in videos and from a camera, and trains models that do so. One call, `train_fer()`, trains on FER2013 or on your own folders of faces. It gives you an honest score, shows where the model is wrong, and leaves a model that runs anywhere. It is a [fast.ai](https://docs.fast.ai) library: what you get back is an ordinary `Learner`. This is all you need to read the expressions in a photo:

```python
from skimage.data import astronaut # a portrait in the public domain: pip install scikit-image
from fer_fastai import FER

fer = FER()
fer.draw(astronaut()).crop((90, 0, 410, 240))
```

Modules:

- `fer_fastai.app`: A page in the browser for photos and the camera, on your own machine or as a Hugging Face Space
- `fer_fastai.audit`: What a data set hides: copies, conflicting labels, empty pictures, and labels that are probably wrong
- `fer_fastai.augment`: Show a network each training face a little differently every time
- `fer_fastai.bundle`: A trained model is a folder that any tool can read and that runs no code
- `fer_fastai.callbacks`: Additions to a training: the fastest precision, the best epoch, averaged weights, teachers, votes, and TensorBoard
- `fer_fastai.checkpoint`: Interrupt a training at any time, and continue it to the same result, bit for bit
- `fer_fastai.cli`: Everything from a terminal: training, photos, videos, a page in the browser, a look at the data and its audit
- `fer_fastai.colorize`: Gray faces in colour, for networks that have learnt from photos in colour
- `fer_fastai.core`: The names of the emotions, errors that help, and files that are written whole or not at all
- `fer_fastai.data`: Faces with their emotions and splits, as one object
- `fer_fastai.draw`: Faces with their expressions, drawn into the picture
- `fer_fastai.export`: A trained network as a folder that any tool can read, and as a file for other programs
- `fer_fastai.faces`: Find the faces in a picture, and cut each out as a square
- `fer_fastai.folders`: Thousands of photos into a table and into drawings, on all cores or on many machines
- `fer_fastai.images`: Open a picture of any kind, and bring a face to the form that a network takes
- `fer_fastai.interpret`: How good a network is, how sure we can be of that, and where it is wrong
- `fer_fastai.loaders`: From a table of faces to the batches that a network learns from
- `fer_fastai.maps`: Which parts of a face a network looks at, and which faces look alike to it
- `fer_fastai.models`: A network of ours, of torchvision or of timm, with a head for your emotions, in a `Learner`
- `fer_fastai.page`: Quiet plots, grids of pictures, and one HTML file that holds them
- `fer_fastai.predict`: What a network says about the faces in a picture
- `fer_fastai.predictions`: What a model says about every image of a data set, from a Learner, a bundle or a file
- `fer_fastai.read`: Read faces with their emotions and splits, in whatever form you have them
- `fer_fastai.recipes`: Every choice of a training run, under a name and as plain data
- `fer_fastai.sample`: Drawn faces: a data set that needs no download
- `fer_fastai.train`: Train a classifier of facial expressions with one call, and find everything about it in one folder
- `fer_fastai.tune`: Search for the settings of a recipe, on all cores of a machine or on a whole cluster
- `fer_fastai.video`: Expressions over time: the faces of a video or a camera, followed from frame to frame"""

__version__ = "0.1.0"

_where = dict(FER='predict', fer_video='video', watch='video', fer_app='app', read_fer='read', audit_fer='audit',
              train_fer='train', tune_fer='tune')
__all__ = [*_where]

def __getattr__(name):
    "Import one of the main names when it is first used, so that `import fer_fastai` stays light"
    if name not in _where: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module
    return getattr(import_module(f'{__name__}.{_where[name]}'), name)

def __dir__(): return sorted([*globals(), *_where])
