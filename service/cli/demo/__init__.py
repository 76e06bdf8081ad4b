"""The demo: a service, a simulator beside it, a kill in the middle, and a picture.

``simulator``   a black-box model in a process of its own; talks HTTP alone
``processes``   starts, kills and watches both
``comparison``  other filters on the same model, observations and draws
``picture``     what was believed, over time and on the attractor
``run``         the whole of it
"""
