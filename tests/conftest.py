"Ctrl-C interrupts, also where the tests are a job in the background, which the shell starts with SIGINT ignored"
import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
