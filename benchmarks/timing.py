"""What the benchmarks share: a clock that waits for the GPU, contenders that take turns, short fits, and tables.

Only the standard library is imported at the top, so that this file also works in the environment of another package."""
import sys, time

def seconds(f):
    "Seconds that `f` takes, with the work that it leaves on a GPU"
    torch = sys.modules.get('torch')
    wait = torch.cuda.synchronize if torch and torch.cuda.is_available() else lambda: None
    wait()
    start = time.perf_counter()
    f()
    wait()
    return time.perf_counter() - start

def take_turns(contenders, rounds):
    "Seconds of each contender in each round, after one round that does not count: a list of dicts"
    return [{k: seconds(f) for k,f in contenders.items()} for _ in range(rounds + 1)][1:]

def peak_mb(usage): # what `resource.getrusage` or `os.wait4` gives
    "The most memory that a process had, in MB"
    return usage.ru_maxrss/(1e6 if sys.platform == 'darwin' else 1e3)

def short_fit(learn, n): # Learner, number of batches
    "A function that trains on `n` batches as `Learner.fit` does, and validates on none"
    from fastai.callback.core import Callback, CancelFitException
    class Stop(Callback):
        order = 100
        def after_batch(self):
            if self.iter + 1 == n: raise CancelFitException
    def fit():
        with learn.no_bar(), learn.no_logging(), learn.added_cbs(Stop()): learn.fit(1, 1e-3)
    return fit

def markdown(rows): # list of dicts with the same keys
    "A table in Markdown"
    line = lambda cells: f'| {" | ".join(map(str, cells))} |'
    return '\n'.join([line(rows[0]), line(['---']*len(rows[0])), *(line(o.values()) for o in rows)])

def report(*parts, file=None):
    "Print paragraphs and tables, and write them to `file` as well if one is given"
    text = '\n\n'.join(parts)
    print(text)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + '\n', encoding='utf-8')
