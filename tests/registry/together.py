"""Several things that are done at one moment."""

import threading


def together(*actions):
    """Do everything at one moment, each in a thread; return what went wrong."""
    barrier, errors = threading.Barrier(len(actions)), []

    def run(action):
        barrier.wait()
        try:
            action()
        except Exception as error:  # it belongs to the test, not to the thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors
