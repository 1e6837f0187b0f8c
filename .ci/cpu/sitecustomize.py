"With this folder on PYTHONPATH, fastai uses the processor: the Macs of GitHub's CI report a GPU, and every use of it fails"
import sys
from importlib.util import find_spec

class UseCPU:
    def find_spec(self, name, path=None, target=None):
        if name != 'fastai.torch_core': return
        sys.meta_path.remove(self)
        spec = find_spec(name)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            module.defaults.use_cuda = False
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, UseCPU())
