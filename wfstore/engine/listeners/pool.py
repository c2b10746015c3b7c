class ListenerPool:
    def __init__(self, on_ended):
        pass

    def submit(self, order):
        raise NotImplementedError

    def cancel(self, key):
        pass

    def runs(self, key):
        return False
