"""How many sagas a second, how soon, and at what cost: the product as its users run it, on servers of its own.

`shop` is the saga, `worker` a participant's process, `product` all of it running; `load` keeps sagas in flight, `costs`
says who has spent what, `measuring` puts both together, `embedded` does it in one process, `showing` prints it.
"""
